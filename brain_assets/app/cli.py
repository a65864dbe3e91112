"""The ``brain`` command. Whatever is heavy is imported inside the commands, so that ``--help`` answers at once."""

import gc
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from brain_assets.app.care_commands import COMMANDS as CARE_COMMANDS
from brain_assets.app.commands import COMMANDS, PORT, with_output
from brain_assets.app.label_commands import COMMANDS as LABEL_COMMANDS
from brain_assets.app.ledger_commands import COMMANDS as LEDGER_COMMANDS
from brain_assets.app.scan_commands import COMMANDS as SCAN_COMMANDS
from brain_assets.app.split_commands import COMMANDS as SPLIT_COMMANDS
from brain_assets.app.terminal import showing_all
from brain_assets.app.version_commands import COMMANDS as VERSION_COMMANDS
from brain_assets.app.what_if_commands import COMMANDS as WHAT_IF_COMMANDS
from brain_assets.resources.errors import FULL, BrainError, disk_full
from brain_assets.resources.machine import RARELY
from brain_assets.resources.settings.home import Home, unusable

USAGE_ERROR, FAILURE, INTERRUPTED = 2, 1, 130


class Commands(click.Group):
    """Commands whose errors are one clear line."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command and exit: 0 on success, 1 on failure, 2 on wrong usage, 130 when interrupted."""
        with showing_all():
            self._main(*args, **kwargs)

    def _main(self, *args: Any, **kwargs: Any) -> None:  # noqa: C901 - one exit code per kind of error
        for kind in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(kind) is signal.SIG_DFL:
                signal.signal(kind, signal.default_int_handler)
        try:
            super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.UsageError as error:
            error.show()
            sys.exit(USAGE_ERROR)
        except click.ClickException as error:
            error.show()
            sys.exit(FAILURE)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted; what was done is kept, the next run goes on", err=True)
            sys.exit(INTERRUPTED)
        except BrainError as error:
            _fail(error)
        except BrokenPipeError:
            # Whoever read our output has gone; Python would complain when it closes it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(FAILURE)
        except Exception as error:  # noqa: BLE001 - a user gets one line, and the traceback on demand
            _fail(error)

    def invoke(self, context: click.Context) -> Any:
        """Run a command; what the system refuses it is reported as such."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _of_the_world(error, context.obj) from error


def _fail(error: Exception) -> None:
    if "--debug" in sys.argv:
        traceback.print_exception(error)
    else:
        text = str(error) if isinstance(error, BrainError) else f"{type(error).__name__}: {error} (--debug shows where)"
        click.echo(f"brain: {' '.join(text.split())}", err=True)
    sys.exit(FAILURE)


def _of_the_world(error: OSError, home: Home) -> BrainError:
    """Return what the system refused, and where; in the home, how to use another."""
    if error.errno in FULL:
        return disk_full(Path(os.fsdecode(error.filename)).parent if error.filename else home.root, error.strerror)
    if error.filename and Path(os.fsdecode(error.filename)).is_relative_to(home.root):
        return unusable(home, error)
    return BrainError(f"{error.filename}: {error.strerror}" if error.filename else f"{error} (--debug shows where)")


def _assets(context: click.Context, parameter: click.Parameter, text: str | None) -> list[str]:
    """Return the assets that ``--select`` names."""
    chosen = [asset.strip() for asset in (text or "").split(",") if asset.strip()]
    if chosen:
        from brain_assets.assets.catalog import BY_NAME

        for asset in chosen:
            click.Choice(list(BY_NAME)).convert(asset, parameter, context)
    return chosen


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home", type=click.Path(path_type=Path), help="Folder that holds all state [default: $BRAIN_HOME or ~/.brain]."
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(package_name="brain-assets")
@click.pass_context
def main(context: click.Context, home: Path | None, *, debug: bool) -> None:
    """Find what is wrong in a dataset of images, and keep every answer current."""
    del debug
    gc.set_threshold(*RARELY)
    context.obj = Home.default(home)


def _frames(_: click.Context, __: click.Parameter, value: str | None) -> float | str | None:
    """Return seconds as a number."""
    try:
        return float(value) if value not in {None, "key"} else value
    except ValueError:
        raise click.BadParameter(f"give seconds between two frames, or key, not {value!r}") from None


@main.command()
@click.argument("name")
@click.argument("sources", metavar="[MEDIA]...", nargs=-1)
@click.option(
    "--media",
    multiple=True,
    help="Folder, archive (.zip, .tar, .tar.gz, .tgz), video, object store (s3://, gs://, az://), glob, list of paths or web"
    " addresses (.txt), manifest of them (.csv, .parquet, .jsonl) or data.yaml; may be repeated.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Take N samples alone, for a first look.")
@click.option("--min-file-size", type=click.IntRange(1), metavar="BYTES", help="Take no image with fewer bytes.")
@click.option("--pattern", metavar="REGEX", help="Take only images in whose path this is found.")
@click.option(
    "--split-from",
    type=click.Choice(["folder", "column", "none"]),
    help="Where a sample's split comes from: the folders above it (train, images/val2017), the column of a manifest or of a file"
    " of labels, or nowhere.",
)
@click.option(
    "--groups",
    metavar="COLUMN|REGEX",
    multiple=True,
    help="What must not lie in two splits: a column of a manifest or table, such as patient_id, or a named part of paths.",
)
@click.option(
    "--frames", metavar="SECONDS|key", callback=_frames, help="Take frames of videos, also of those in a folder."
)
@click.option("--model", help="Embedding model [default: builtin:efficientnet-lite0].")
@click.option(
    "--labels",
    metavar="[FIELD=]URI",
    multiple=True,
    help="File or folder of labels; 'folder' or 'name': classes stand in names of folders or images.",
)
@click.option(
    "--labels-format",
    metavar="FORMAT",
    help="What label files are written in, such as csv, coco, yolo or voc [default: by content].",
)
@click.option(
    "--predictions", metavar="[MODEL=]URI", multiple=True, help="File or folder [default: the dataset's own folder]."
)
@click.option(
    "--predictions-format", metavar="FORMAT", help="What prediction files are written in [default: by content]."
)
@click.option("--classes", metavar="NAME[,NAME...]", help="The classes, in the order of logits.")
@click.option("--yes", is_flag=True, help="Take in all that is seen where only a folder is given; do not ask.")
@click.pass_obj
def add(home: Home, /, name: str, sources: Sequence[str], media: Sequence[str], *, yes: bool, **settings: Any) -> None:
    """Declare a dataset; its images, labels and predictions stay where they are.

    Where only a folder is given, it is looked at first: splits, labels and predictions that lie there are proposed. Without a
    terminal, and without --yes, what is certain is taken in, and the rest is named.
    """
    from brain_assets.app.declaring import declare, looked_at, undeclared
    from brain_assets.app.scanning import says_where_to_look
    from brain_assets.resources.settings import instance

    if not (given := [*media, *sources]):
        raise click.UsageError("Missing option '--media': say where the images lie.")
    undeclared(home, name)
    said = any(settings.get(key) for key in ("split_from", "labels"))
    if folder := says_where_to_look(given, settings):
        # A home that cannot be used is said before a look that may take long.
        instance.prepare(home)
        settings |= {key: value for key, value in _seen(name, folder, yes=yes).items() if not settings.get(key)}
    paths = declare(home, name, **{"media": given, **settings})
    for told in looked_at(paths, before=bool(folder or said)):
        click.echo(told, err=True)
    click.echo(
        f"declared {name} in {paths.config}\nnext: brain materialize {name}   (or 'brain up', which notices by itself)"
    )


def _seen(name: str, folder: Path, *, yes: bool) -> dict[str, Any]:
    """Return the settings that take in what lies in a folder, as far as they are certain or confirmed."""
    from brain_assets.app.scanning import as_options, look_at

    look = look_at(folder)
    asks = sys.stdin.isatty() and not yes
    everything, settings = look.proposal(unsure=True), look.proposal(unsure=yes or asks)
    if not everything and not look.left_out:
        return {}
    for line in look.lines():
        click.echo(line, err=True)
    if not everything:
        return {}
    if asks and not click.confirm(f"declare it with {as_options(settings)}?", default=True, err=True):
        return {}
    if settings:
        click.echo(f"declared with what is there: {as_options(settings)}", err=True)
    for why, what in look.not_taken(settings):
        click.echo(f"{why}: brain attach {name} {what}", err=True)
    return settings


@main.command("list")
@click.pass_obj
def list_datasets(home: Home) -> None:
    """List the datasets."""
    names = home.names()
    click.echo(
        "\n".join(names) if names else f"no datasets in {home.root}; declare one with 'brain add NAME --media FOLDER'"
    )


@main.command()
@click.argument("name")
@click.pass_obj
def show(home: Home, name: str) -> None:
    """Show a dataset's declaration."""
    click.echo(home.existing(name).config.read_text("utf-8"), nl=False)


@main.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove(home: Home, name: str, *, yes: bool) -> None:
    """Remove a dataset's declaration and everything derived; its images are not touched."""
    from brain_assets.app.declaring import remove as remove_dataset

    folder = home.existing(name).folder
    if not yes and not click.confirm(f"remove {folder} with everything derived of {name}?"):
        raise click.Abort
    remove_dataset(home, name)
    click.echo(f"removed {name}")


@main.command()
@click.argument("name")
@click.option("--select", metavar="ASSET[,ASSET...]", callback=_assets, help="Only these assets [default: all].")
@click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="A setting for this run alone, e.g. similarity.k=30."
)
@click.pass_obj
def materialize(home: Home, name: str, select: list[str], settings: Sequence[str]) -> None:
    """Bring a dataset up to date now, at the cost of what changed."""
    from brain_assets.app.materializing import materialize as run
    from brain_assets.app.status import summary

    assigned = dict(_assignment(text) for text in settings)
    run_id = run(home, name, select, assigned, waiting=partial(click.echo, err=True))
    done = f"brought {', '.join(select)} of {name} up to date" if select else f"{name} is up to date"
    click.echo(f"{done} (run {run_id[:8]})")
    click.echo(summary(home, name))


@main.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.pass_obj
def status(home: Home, name: str | None, *, as_json: bool) -> None:
    """Show samples, errors, what is up to date or pending, and how many of each issue."""
    from brain_assets.app import status as statuses

    names = [name] if name else home.names()
    found = [statuses.status(home, one) for one in names]
    if as_json:
        import json

        click.echo(json.dumps(found[0] if name else found, default=str, indent=2))
    else:
        click.echo("\n\n".join(statuses.as_text(one) for one in found) or f"no datasets in {home.root}")


@main.command()
@click.argument("name")
@click.argument("query")
@with_output
@click.option("--external", is_flag=True, help="Let the query read and write other files, and change what it likes.")
@click.option("--at", "version", metavar="VERSION|TAG|DATE", default="current", help="Ask of what was published then.")
@click.pass_obj
def sql(home: Home, /, name: str, query: str, *, external: bool, version: str, **written: Any) -> None:
    """Query the published tables; works while a run is writing.

    For example: brain sql NAME "select filepath, uniqueness from uniqueness join samples using (sample_id) limit 5"
    """
    from brain_assets.app.querying import run_query

    asked = home.existing(name).published, version
    run_query(asked, query, written["form"], written["output"], external=external)


@main.command()
@click.argument("name", required=False)
@click.pass_obj
def config(home: Home, name: str | None) -> None:
    """Show the settings that hold, and where each came from; exit 1 where one names what there is not."""
    from brain_assets.resources.settings.configuration import load_dataset, load_service

    values = list(load_service(home.settings).values)
    dataset = load_dataset(home.existing(name).config) if name else None
    values += dataset.values if dataset else ()
    width = max(len(value.key) for value in values)
    for value in values:
        click.echo(f"{value.key:{width}}  {value.value!s:32}  {value.origin}")
    if dataset:
        from brain_assets.assets.declarations import check_declaration, check_inputs

        check_declaration(dataset.settings)
        check_inputs(dataset.settings)


@main.command()
@click.option("--port", type=PORT, default=3000, show_default=True, help="Port of the Dagster pages.")
@click.option("--review-port", type=PORT, default=3001, show_default=True, help="Port of the review page.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address that both listen on; other than this machine needs BRAIN_REVIEW_TOKEN in the environment.",
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.pass_obj
def up(home: Home, port: int, review_port: int, host: str, *, no_browser: bool) -> None:
    """Start the service: Dagster's pages, the sensors that notice arrivals, and the review page; Ctrl-C stops all of it."""
    from brain_assets.app.serving import serve

    serve(home, port, review_port, browser=not no_browser, host=host)


@main.command()
@click.option(
    "--allow-review", is_flag=True, help="Let the agent tag, drop, relabel, correct and undo, under its name."
)
@click.option("--as", "agent", metavar="NAME", default="agent", show_default=True, help="The agent's name in reviews.")
@click.pass_obj
def mcp(home: Home, agent: str, *, allow_review: bool) -> None:
    """Answer an agent over standard input and output, by the Model Context Protocol; read-only unless allowed to review."""
    try:
        from brain_assets.app.agent_server import serve
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise BrainError(
            "the SDK of the Model Context Protocol is not installed: pip install 'brain-assets[mcp]'"
        ) from None
    serve(home, f"agent:{agent}", allow_review=allow_review)


@main.command()
def reference() -> None:
    """Print what every asset, table, column, setting and command means, as Markdown."""
    from brain_assets.app.reference import reference as page

    click.echo(page(), nl=False)


@main.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File, replaced in one step [default: the terminal].",
)
@click.pass_obj
def metrics(home: Home, output: Path | None) -> None:
    """Tell all datasets in numbers for Prometheus; the review page serves the same as /metrics.

    With -o a file is replaced in one step, as the collector of text files of node_exporter wants it.
    """
    from brain_assets.answers.exposition import exposition

    text = exposition(home)
    if output is None:
        click.echo(text, nl=False)
        return
    from brain_assets.report.writing import write_file

    write_file(output, text.encode(), "file of numbers")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def plugins(*, as_json: bool) -> None:
    """List signals, label formats and kinds of embedding models, with the packages that bring them, and what failed to load."""
    from brain_assets.app import plugins as doors

    if as_json:
        import json

        click.echo(json.dumps(doors.as_json(), indent=2))
        return
    for line in doors.told():
        click.echo(line)


@main.command()
@click.argument("images", type=click.Choice(["digits", "photos"]), default="digits")
@click.option("--no-ui", is_flag=True, help="Stop when the work is done.")
@click.pass_obj
def demo(home: Home, images: str, *, no_ui: bool) -> None:
    """Run the main job on images that come with packages, end to end: digits with classes, or photos with boxes."""
    from brain_assets.app.demo import run_demo

    run_demo(home, images, ui=not no_ui)


def _assignment(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--set wants KEY=VALUE, got {text!r}")
    return key.strip(), value


GROUPS = (
    COMMANDS,
    CARE_COMMANDS,
    SCAN_COMMANDS,
    SPLIT_COMMANDS,
    VERSION_COMMANDS,
    LEDGER_COMMANDS,
    WHAT_IF_COMMANDS,
    LABEL_COMMANDS,
)
for command in (command for group in GROUPS for command in group):
    main.add_command(command)

if __name__ == "__main__":
    main()
