"""HTML and SVG in which every text is escaped, because only elements are not texts."""

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

VOID = {"img", "meta", "br", "link", "path", "line", "circle", "rect", "polyline"}
# Marks that turn the direction of text, or end it, in a file's name.
UNPRINTABLE = dict.fromkeys(
    [*range(0x20), 0x7F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\N{REPLACEMENT CHARACTER}"
)


class Element(str):
    """Markup that was made by `element` and is not escaped again."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"
Value: TypeAlias = "str | float | bool | None"


def element(tag: str, /, *children: Child, **attributes: Value) -> Element:
    """Return an element; attributes that are None or False are left out, ``_`` in their names is ``-``, a last one nothing.

    Examples
    --------
    >>> element("p", "1 < 2", element("b", "so"), class_="note", hidden=True)
    '<p class="note" hidden>1 &lt; 2<b>so</b></p>'
    """
    told = "".join(_attribute(key, value) for key, value in attributes.items())
    if tag in VOID and not children:
        return Element(f"<{tag}{told}/>")
    return Element(f"<{tag}{told}>{markup(children)}</{tag}>")


def markup(child: Child) -> Element:
    """Return a text escaped, an element as it is, and of several, one after the other."""
    if child is None:
        return Element("")
    if isinstance(child, Element):
        return child
    if isinstance(child, str | int):
        return Element(escape(printable(str(child))))
    return Element("".join(markup(one) for one in child))


def printable(text: str) -> str:
    """Return a text without what would break its line or turn its direction."""
    return text.translate(UNPRINTABLE)


def _attribute(key: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(printable(str(value)))}"'
