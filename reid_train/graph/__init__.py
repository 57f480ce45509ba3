"""Neighbours of features among each other: what re-ranking and clustering share."""
