"""The outside world: store, configuration, media sources and formats, embedding models."""

from brain_assets.resources import telemetry  # noqa: F401 - first of all, before any library is imported
