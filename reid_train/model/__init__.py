"""The network: backbone, pooling, neck, classifier, and the weights it starts from."""
