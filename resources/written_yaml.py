"""YAML as people wrote it, in files that no one of ours made: every value is its text. And bounds on what any YAML may hold."""

from typing import Any

import yaml

MOST_ALIASES = 16
MOST_NODES = 100_000
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


def settings_in(text: str) -> tuple[yaml.SafeLoader, yaml.Node | None]:
    """Return the nodes of a text of YAML that holds settings, and the loader that makes values of them.

    Raises
    ------
    yaml.YAMLError
        If it is no YAML, is nested too deep, or holds by its aliases far more than is written in it.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is not None and _size(node, {}) > MOST_NODES:
            raise yaml.YAMLError(f"its aliases make more than {MOST_NODES} values of it")
        return loader, node
    except RecursionError:
        raise yaml.YAMLError("it is nested too deep") from None


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values a node holds once its aliases are followed."""
    if id(node) not in known:
        # A node that holds itself holds more than anything.
        known[id(node)] = MOST_NODES
        parts = node.value if not isinstance(node, yaml.ScalarNode) else ()
        inner = (part for pair in parts for part in (pair if isinstance(pair, tuple) else (pair,)))
        known[id(node)] = 1 + sum(_size(part, known) for part in inner)
    return known[id(node)]
