"""Edit the list of runs in ``dataset.yaml`` as text: what a person wrote around them, comments included, stays.

The edited text is parsed again and must say exactly what was meant, or it is refused.
"""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from brain_assets.resources.errors import ConfigurationError

RUNS, KEY = "runs", "brain_key"
# The keys of an entry that name a run: itself, and those that it reads.
REFERENCES = (KEY, "embeddings", "similarity")


def rename_entry(text: str, old: str, new: str) -> str:
    """Return the declaration with a run renamed, also where other runs read it.

    Parameters
    ----------
    text : str
        YAML.
    old, new : str
        Keys; ``old`` is declared.

    Raises
    ------
    ConfigurationError
        If the text is written in a way that cannot be edited in place.
    """
    tree = yaml.safe_load(text)
    for entry in tree[RUNS]:
        entry |= {name: new for name in REFERENCES if entry.get(name) == old}
    written = new if yaml.safe_load(new) == new else json.dumps(new)
    edited = text
    for start, end in sorted(_mentions(text, old), reverse=True):
        edited = edited[:start] + written + edited[end:]
    return _checked(edited, tree, old)


def delete_entry(text: str, key: str) -> str:
    """Return the declaration without a run; the arguments and errors are those of ``rename_entry``."""
    tree = yaml.safe_load(text)
    position = next(number for number, entry in enumerate(tree[RUNS]) if entry.get(KEY) == key)
    del tree[RUNS][position]
    node = _runs(text)
    if not tree[RUNS]:
        edited = _emptied(text, node)
    elif node.flow_style:
        edited = _without_flow_item(text, node, position)
    else:
        edited = _without_lines(text, node.value[position])
    return _checked(edited, tree, key)


def _runs(text: str) -> Any:
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    return next(value for name, value in root.value if name.value == RUNS)


def _mentions(text: str, key: str) -> Iterator[tuple[int, int]]:
    for entry in _runs(text).value:
        for name, value in entry.value:
            if name.value in REFERENCES and value.value == key:
                yield value.start_mark.index, value.end_mark.index


def _end(node: Any) -> int:
    """Return where the last thing that a node holds ends; the node's own mark lies behind the comments after it."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style:
        return int(node.end_mark.index)
    parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
    return max(_end(part) for part in parts)


def _without_lines(text: str, node: Any) -> str:
    """Return the text without the lines of an item of a block sequence, from its dash on."""
    dash = text.rindex("-", 0, node.start_mark.index)
    start, end = text.rfind("\n", 0, dash) + 1, text.find("\n", _end(node))
    return text[:start] + (text[end + 1 :] if end >= 0 else "")


def _emptied(text: str, node: Any) -> str:
    """Return the text with an empty list in place of the only item."""
    if node.flow_style:
        return text[: node.start_mark.index] + "[]" + text[node.end_mark.index :]
    without = _without_lines(text, node.value[0])
    colon = text.rindex(":", 0, text.rindex("-", 0, node.value[0].start_mark.index))
    return without[: colon + 1] + " []" + without[colon + 1 :]


def _without_flow_item(text: str, node: Any, position: int) -> str:
    items = node.value
    if position + 1 < len(items):
        return text[: items[position].start_mark.index] + text[items[position + 1].start_mark.index :]
    return text[: items[position - 1].end_mark.index] + text[items[position].end_mark.index :]


def _checked(edited: str, meant: Any, key: str) -> str:
    try:
        said = yaml.safe_load(edited)
    except yaml.YAMLError:
        said = None
    if said != meant:
        raise ConfigurationError(
            f"dataset.yaml is written in a way that cannot be edited in place: change run {key!r} by hand"
        )
    return edited
