"""Fuzzers: whatever bytes come in by any door, they end as rows with reasons or as one clear line."""
