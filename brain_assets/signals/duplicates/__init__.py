"""Copies: exact, near, and across splits."""
