"""Readers of labels and predictions."""
