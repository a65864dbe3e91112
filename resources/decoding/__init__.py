"""Decoders, their limits and worker processes."""
