"""Migrations of the store, applied in the order of their numbers."""
