"""Experiments of the reference study, and our own beside them."""
