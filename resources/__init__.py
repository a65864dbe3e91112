"""The outside world: store, configuration, media sources and formats, embedding models."""

from resources import telemetry  # noqa: F401 - first of all, before any library is imported
