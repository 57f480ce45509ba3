"""Compositions: a person of one picture on a plate of another; and whole sets of them."""
