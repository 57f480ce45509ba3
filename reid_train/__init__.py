"""Records in, scores out: training, features, evaluation, the matrix of data sets, and its report."""
