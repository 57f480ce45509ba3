"""Every training set against every test set: plan, cells, how they are run, and the tables."""
