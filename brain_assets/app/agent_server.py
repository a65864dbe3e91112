"""``brain mcp``: datasets for agents, by the Model Context Protocol over standard input and output."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from brain_assets.app.agent_tools import Reading, Reviewing, Shown, as_text
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.home import Home
from brain_assets.review.refusal import Refused

INSTRUCTIONS = """\
Quality of image datasets: duplicates, leaks between splits, wrong labels, missing boxes, broken and odd images.
Ask for datasets, then for the overview of one; it lists the issues in the order in which they are worth a look. Then ask
for the queue of an issue, look at pictures of what is doubtful, and use sql for any other question. Scores are in [0, 1].
Answers describe the version that is published; what is reviewed counts from the next run on."""
READING = (
    "datasets", "overview", "queue", "subject", "pictures", "tables", "sql", "similar", "versions", "diff", "what_if",
)  # fmt: skip
REVIEWING = ("review", "review_pairs", "correct_object", "said", "undo")


def server(home: Home, agent: str, *, allow_review: bool) -> tuple[MCPServer[Any], Reading]:
    """Return the server and what answers it; closing the latter lets go of what is open.

    Parameters
    ----------
    home : Home
    agent : str
        The name under which reviews are noted.
    allow_review : bool
        Whether the agent may say something, too.
    """
    tools = Reviewing(home, agent) if allow_review else Reading(home, agent)
    made: MCPServer[Any] = MCPServer("brain", instructions=INSTRUCTIONS, log_level="WARNING")
    for name in (*READING, *(REVIEWING if allow_review else ())):
        reads = name in READING or name == "said"
        hints = ToolAnnotations(read_only_hint=reads, destructive_hint=False, open_world_hint=False)
        answer = getattr(tools, name)
        described = inspect.cleandoc(answer.__doc__).replace("``", "`")
        made.add_tool(_tool(answer), name=name, description=described, annotations=hints, structured_output=False)
    return made, tools


def serve(home: Home, agent: str, *, allow_review: bool) -> None:
    """Answer over standard input and output until the client hangs up."""
    made, tools = server(home, agent, allow_review=allow_review)
    try:
        made.run()
    finally:
        tools.close()


def _tool(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return a tool that answers in compact JSON and pictures, and tells what is wrong in one line."""

    @functools.wraps(answer)
    def told(**given: Any) -> Any:
        try:
            found = answer(**given)
        except Refused as error:
            raise ToolError(error.message) from None
        except BrainError as error:
            raise ToolError(str(error)) from None
        if isinstance(found, list) and any(isinstance(one, Shown) for one in found):
            return [part for one in found for part in (one.caption, Image(data=one.encoded, format=one.format))]
        return as_text(found)

    return told
