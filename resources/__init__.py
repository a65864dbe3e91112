"""The outside world: store, configuration, media sources and formats, embedding models."""
