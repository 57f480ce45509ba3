"""Training: from settings and sets to a finished run."""
