"""The engine: how every signal stays current at the cost of the change."""
