"""The commands about label tools: ``brain label-tool send``, ``fetch`` and ``list``."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from brain_assets.resources.settings.home import Home

if TYPE_CHECKING:
    from brain_assets.resources.store.label_tasks import Count

TOOLS = ("label-studio", "cvat")


@click.group("label-tool")
def label_tool() -> None:
    """Send images to Label Studio or CVAT to be labelled, and take back what people did there.

    Who asks is said by the environment alone: LABEL_STUDIO_API_KEY; CVAT_ACCESS_TOKEN, or CVAT_USERNAME and CVAT_PASSWORD.
    """


def _server(*, required: bool) -> Callable[..., Any]:
    """Return what adds the options that name a project of a server."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        told = "Where the server is [default: LABEL_STUDIO_URL or CVAT_URL, else http://localhost:8080]."
        command = click.option("--url", help=told)(command)
        what = "Number of a project there [default: " + (
            "a new one is made]." if required else "all that were sent to]."
        )
        command = click.option("--project", metavar="NUMBER", help=what)(command)
        name = "--to" if required else "--from"
        return click.option(name, "tool", type=click.Choice(TOOLS), required=required, help="The label tool.")(command)

    return decorated


@label_tool.command()
@click.argument("name")
@_server(required=True)
@click.option("--issue", help="Images of this queue that nobody has decided on, the most severe first.")
@click.option("--where", metavar="SQL", help='Images of which this holds, e.g. "label is null" or "uniqueness > .9".')
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most N images.")
@click.option("--model", help="Propose what this model found and no label holds, too.")
@click.option(
    "--image-url",
    metavar="PREFIX",
    help="Address at which the tool finds images, before their paths [default: pictures are uploaded].",
)
@click.pass_obj
def send(home: Home, /, name: str, tool: str, url: str | None, project: str | None, **asked: Any) -> None:
    """Send images of NAME as tasks, with the labels that they have as proposals.

    For example: brain label-tool send flowers --to label-studio --issue label_mistake --limit 200

    What is out there already is not sent again. Labels do not change before somebody has finished a task.
    """
    from brain_assets.labelling.sending import Order, send
    from brain_assets.resources.label_tools.tools import tool_of

    if not (asked["issue"] or asked["where"]):
        raise click.UsageError("say what to send: --issue ISSUE or --where SQL")
    sent = send(home, name, tool_of(tool, url), project, Order(**asked), partial(click.echo, err=True))
    click.echo(sent)
    click.echo(f"next: brain label-tool fetch {name}   (or 'brain up', which notices finished work by itself)")


@label_tool.command()
@click.argument("name")
@_server(required=False)
@click.pass_obj
def fetch(home: Home, /, name: str, tool: str | None, url: str | None, project: str | None) -> None:
    """Take finished work back, as decisions of those who did it; the next run makes labels of it.

    It can be undone on the review page. What somebody changed after it was fetched comes by the next fetch.
    """
    from brain_assets.labelling.fetching import fetch, places
    from brain_assets.resources.label_tools.tools import tool_of

    paths = home.existing(name)
    said = 0
    for place in places(paths, tool, url, project):
        found = fetch(paths, tool_of(place.tool, place.url), place.project)
        click.echo(found)
        for line in found.unusable[1:]:
            click.echo(f"cannot be used: {line}", err=True)
        said += found.kinds.total()
    if said:
        click.echo(f"next: brain materialize {name}   (or 'brain up', which notices by itself)")


def _counts(home: Home, name: str) -> "list[Count]":
    from brain_assets.resources.store.label_tasks import LabelTasks

    return LabelTasks(home.existing(name).label_tasks).counts()


@label_tool.command("list")
@click.argument("name", required=False)
@click.pass_obj
def list_projects(home: Home, /, name: str | None) -> None:
    """List the projects that images were sent to, with how many are out, done or skipped."""
    names = [name] if name else home.names()
    found = [(one, count) for one in names for count in _counts(home, one)]
    if not found:
        click.echo("nothing was sent to a label tool yet: brain label-tool send NAME --to label-studio --issue ISSUE")
    for one, count in found:
        states = ", ".join(f"{number} {state}" for state, number in sorted(count.states.items()))
        click.echo(f"{one}: {count.place.tool} {count.place.url} project {count.place.project}: {states}")


COMMANDS: Sequence[click.Command] = (label_tool,)
