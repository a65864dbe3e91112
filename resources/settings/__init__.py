"""Declarations, settings and the home they live in."""
