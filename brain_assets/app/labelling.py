"""Images of a dataset or a view sent to a label tool from Python."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from brain_assets.app.views import View
from brain_assets.labelling.sending import Order, Sent, send
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.label_tools.tools import TOOLS, tool_of
from brain_assets.resources.settings.validation import nearest

if TYPE_CHECKING:
    from brain_assets.app.api import DatasetReader


def send_samples(reader: "DatasetReader", asked: tuple[str, str | None, str | None], order: Mapping[str, Any]) -> Sent:
    """Send the images of a dataset that an order chooses, or those of them that are in a view: all of it where it chooses none.

    Parameters
    ----------
    reader : DatasetReader
    asked : tuple
        The tool, where it is, and the project.
    order : mapping
        As `Order` has it.

    Raises
    ------
    ConfigurationError
        If there is no such tool, or no such choice, or nothing says what to send.
    """
    tool, url, project = asked
    if tool not in TOOLS:
        raise ConfigurationError(f"no label tool {tool!r}: {' or '.join(TOOLS)}")
    known = {one.name for one in fields(Order)}
    if unknown := sorted(order.keys() - known):
        raise ConfigurationError(f"no choice {unknown[0]!r}{nearest(unknown[0], known)}")
    wanted = Order(**order)
    if isinstance(reader, View):
        # Ids are hexadecimal.
        inside = ", ".join(f"'{one}'" for one in reader.ids) or "null"
        within = f"sample_id in ({inside})"
        wanted = replace(wanted, where=f"({wanted.where}) and {within}" if wanted.where else within)
    if not (wanted.issue or wanted.where):
        raise ConfigurationError("say what to send: issue=, where=, or a view")
    return send(reader.home, reader.name, tool_of(tool, url), None if project is None else str(project), wanted)
