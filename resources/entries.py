"""What other packages bring by entry points, or settings name as ``module:Class``."""

import importlib
from importlib.metadata import entry_points
from typing import Any


def loaded(group: str, name: str) -> Any:
    """Return what an entry point of a group is called by, else what is named as ``module:Class``; raises whatever that raises."""
    found = next((entry for entry in entry_points(group=group) if entry.name == name), None)
    if found:
        return found.load()
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
