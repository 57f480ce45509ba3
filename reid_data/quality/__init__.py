"""What a composite is worth, and how it looks."""
