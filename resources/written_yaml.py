"""YAML as people wrote it, in files that no one of ours made: every value is its text."""

from typing import Any

import yaml

MOST_ALIASES = 16
NULLS = ("", "~", "null", "Null", "NULL")
"""What stands for nothing."""


class _BoundedLoader(yaml.BaseLoader):
    """Reads YAML as it is written: ``no`` is the text no, and tags say nothing.

    Few aliases may stand in it: nested, each level of them multiplies what a file of a few lines holds.
    """

    aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node."""
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MOST_ALIASES:
                raise yaml.YAMLError(f"more than {MOST_ALIASES} aliases")
        return super().compose_node(parent, index)


def written_in(text: str) -> Any:
    """Return the lists, mappings and texts in a text of YAML; raises YAMLError, or RecursionError where it is nested too deep."""
    return yaml.load(text, _BoundedLoader)
