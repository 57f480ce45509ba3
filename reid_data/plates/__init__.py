"""Plates: person-free pictures out of crops, scenes or frames, for one run or as a set."""
