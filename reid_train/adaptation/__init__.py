"""Unsupervised domain adaptation: rounds of clustering a site without labels and training on the clusters."""
