"""Change one value in a YAML file that people edit, and leave their comments, order and layout as they are."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import yaml

from brain_assets.resources.errors import ConfigurationError

NULL = "tag:yaml.org,2002:null"
WIDEST = 1 << 20


def assigned(text: str, key: str, value: Any) -> str:
    r"""Return a YAML text in which a dotted key has a value; positions count from 0 in lists.

    Parameters
    ----------
    text : str
        Keys and values; comments stay, but for those inside a list or section that is replaced as a whole.
    key : str
        Such as ``similarity.k`` or ``labels.0.format``.
    value : any
        What YAML can hold.

    Raises
    ------
    ConfigurationError
        If the key leads through something that has no keys, or the text is laid out so that the change is not safe.

    Examples
    --------
    >>> print(assigned("media: a  # where\nsimilarity:\n  k: 5  # few\n", "similarity.k", 30), end="")
    media: a  # where
    similarity:
      k: 30  # few
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    parts = key.split(".")
    edited = _inserted(text, root, parts, value) if root is not None else f"{text}{_line(parts, value)}\n"
    expected = _tree(text)
    _assign(expected, parts, value)
    return _checked(edited, expected, key)


def appended(text: str, key: str, values: Sequence[Any]) -> str:
    """Return a YAML text in which the list of a top key has further entries; see `assigned`."""
    expected = _tree(text)
    if not isinstance(expected.get(key), list) or not expected[key]:
        return assigned(text, key, list(values))
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    node = next(value for name, value in root.value if name.value == key)
    expected[key] += values
    if node.flow_style:
        end = node.end_mark.index - 1
        edited = f"{text[:end]}, {', '.join(map(_flow, values))}{text[end:]}"
    else:
        end, indent = _line_end(text, _end(node)), " " * node.start_mark.column
        lines = [f"{indent}- {_flow(value)}" for value in values]
        edited = "\n".join([text[:end].removesuffix("\n"), *lines, text[end:]])
    return _checked(edited, expected, key)


def _checked(edited: str, expected: Any, key: str) -> str:
    """Return an edited text when it says what it shall, and nothing else changed."""
    try:
        safe = _tree(edited) == expected
    except yaml.YAMLError:
        safe = False
    if not safe:
        raise ConfigurationError(f"{key} cannot be set without changing more of the file: edit it by hand")
    return edited


def _tree(text: str) -> Any:
    tree = yaml.safe_load(text)
    return {} if tree is None else tree


def _assign(tree: Any, parts: Sequence[str], value: Any) -> None:
    for part, following in pairwise(parts):
        place = int(part) if isinstance(tree, list) else part
        if not isinstance(tree, list) and tree.get(place) is None:
            tree[place] = [] if following == "0" else {}
        tree = tree[place]
    if isinstance(tree, list):
        tree[int(parts[-1])] = value
    else:
        tree[parts[-1]] = value


def _inserted(text: str, node: yaml.Node, parts: Sequence[str], value: Any) -> str:
    """Return the text with the value in place of the deepest part of the key that is there, or behind its neighbours."""
    for depth, part in enumerate(parts):
        child = _child(node, part, ".".join(parts[: depth + 1]))
        if child is None:
            return _added(text, node, parts[depth:], value)
        if child.tag == NULL and parts[depth + 1 :]:
            return _replaced(text, child, _nested(parts[depth + 1 :], value))
        node = child
    return _replaced(text, node, value)


def _child(node: yaml.Node, part: str, key: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
        child: yaml.Node = node.value[int(part)]
        return child
    raise ConfigurationError(f"there is no {key}: what stands above it in the file holds no such keys")


def _replaced(text: str, node: yaml.Node, value: Any) -> str:
    start, end = node.start_mark.index, _end(node)
    block = _is_block(node)
    if block:
        # What stood on lines of its own now stands behind its key.
        start = text.rindex(":", 0, start) + 1
    gap = " " if block or (node.tag == NULL and start == end) else ""
    return f"{text[:start]}{gap}{_flow(value)}{text[end:]}"


def _added(text: str, node: yaml.Node, parts: Sequence[str], value: Any) -> str:
    line = _line(parts, value)
    if _is_block(node):
        end = _line_end(text, _end(node))
        indent = " " * node.value[0][0].start_mark.column
        newline = "" if text[:end].endswith("\n") else "\n"
        return f"{text[:end]}{newline}{indent}{line}\n{text[end:]}"
    end = node.end_mark.index - 1
    return f"{text[:end]}{', ' if node.value else ''}{line}{text[end:]}"


def _is_block(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and not node.flow_style


def _end(node: yaml.Node) -> int:
    """Return where a node ends; a block is said to end where the next one begins, behind all comments in between."""
    if not _is_block(node) or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end + 1


def _line(parts: Sequence[str], value: Any) -> str:
    return f"{parts[0]}: {_flow(_nested(parts[1:], value))}"


def _nested(parts: Sequence[str], value: Any) -> Any:
    for part in reversed(parts):
        value = [value] if part == "0" else {part: value}
    return value


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=WIDEST, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()
