"""Synthetic pedestrians in synthetic places, with exact masks and plates."""
