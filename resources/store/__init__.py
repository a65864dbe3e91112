"""The store of a dataset, its locks, its events, and its published tables."""
