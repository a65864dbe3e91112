"""Splits that are planned and kept."""
