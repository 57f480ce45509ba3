"""Training of the small segmenter: bank, samples, optimizer, run."""
