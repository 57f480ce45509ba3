"""The matrix as one page, from the files that runs left behind."""
