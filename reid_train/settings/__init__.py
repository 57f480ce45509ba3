"""Every experimental setting, declared and checked once."""
