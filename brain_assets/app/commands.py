"""Further commands of ``brain``: questions about what is published, and changes to a dataset's runs and thresholds."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from brain_assets.methods.similarity.metrics import AGGREGATIONS, METRICS
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.home import Home

if TYPE_CHECKING:
    from brain_assets.app.cleaning import Cleaning

PORT = click.IntRange(0, 65535)


def with_output(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how rows are shown."""
    command = click.option(
        "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here instead of to the terminal."
    )(command)
    told = (
        "How rows are written; json is one array, jsonl an object a line; in csv, text that a spreadsheet would take for a"
        " formula begins with ' [default: by --output's suffix, else table]."
    )
    return click.option("--format", "form", type=click.Choice(["table", "csv", "json", "jsonl", "parquet"]), help=told)(
        command
    )


@click.command()
@click.argument("name")
@click.option("--id", "ids", multiple=True, metavar="ID", help="A sample, by its id or filepath; may be repeated.")
@click.option("--vector", type=click.Path(path_type=Path), metavar="FILE.npy", help="One vector, or one per row.")
@click.option("--text", help="A text, where the model embeds text.")
@click.option("--image", type=click.Path(path_type=Path), help="A picture that need not be in the dataset.")
@click.option("-k", type=click.IntRange(1, 1_000_000), default=15, show_default=True, help="Number of answers.")
@click.option("--farthest", is_flag=True, help="The least similar first.")
@click.option(
    "--aggregate",
    type=click.Choice(AGGREGATIONS),
    default="mean",
    show_default=True,
    help="How several queries combine: the mean of their vectors, or the mean, minimum or maximum of the distances.",
)
@click.option(
    "--metric",
    type=click.Choice(METRICS),
    default="cosine",
    show_default=True,
    help="Distance between vectors.",
)
@click.option("--where", metavar="SQL", help="Only samples of which this holds, e.g. \"split = 'train'\".")
@click.option("--brain-key", default="embeddings", show_default=True, help="The run of the embeddings.")
@click.option("--index", metavar="KEY", help="The vector index to ask; exact compares with every vector.")
@with_output
@click.pass_obj
def similar(home: Home, /, name: str, form: str | None, output: Path | None, **asked: Any) -> None:
    """Show the samples most like a sample, a vector, a text or a picture."""
    given = [option for option in ("ids", "vector", "text", "image") if asked[option]]
    if len(given) != 1:
        raise click.UsageError("say what to look for by one of --id (may be repeated), --vector, --text or --image")
    from brain_assets.answers.similar import Question, read_vectors
    from brain_assets.answers.similar import similar as find
    from brain_assets.app.querying import write_rows
    from brain_assets.resources.store.publishing import connect

    path = asked.pop("vector")
    question = Question(vectors=read_vectors(path) if path else None, **asked)
    with connect(home.existing(name).published) as connection:
        rows = find(home, name, connection, question)
        write_rows(connection, connection.from_arrow(rows), form, output)


@click.command()
@click.argument("name")
@click.pass_obj
def check(home: Home, /, name: str) -> None:
    """Evaluate the gates of dataset.yaml on what is published, or was held back; exit 1 when one fails.

    Without being asked, it warns where a hundredth of the rows of labels or predictions is rejected, and fails where files of
    them were given and nothing of them is used.
    """
    from brain_assets.answers.gates import examine
    from brain_assets.assets.declarations import check_declaration
    from brain_assets.resources.settings.configuration import load_dataset

    check_declaration(load_dataset(home.existing(name).config).settings)
    found = examine(home, name)
    for verdict in found.verdicts:
        click.echo(verdict)
    if found.held_back:
        click.echo(f"not published: these are the numbers of run {found.held_back[:8]}, which a gate held back")
    if not found.verdicts:
        click.echo(f"{name} has no gates: add some to {home.paths(name).config}")
    failed = [verdict.condition for verdict in found.verdicts if not verdict.passed and not verdict.warns]
    if failed:
        raise BrainError(f"{len(failed)} of {len(found.verdicts)} gates failed: {', '.join(failed)}")


@click.group()
@click.argument("name")
@click.pass_context
def runs(context: click.Context, name: str) -> None:
    """List the runs of a dataset's methods; show, rename or delete one."""
    context.obj = (context.obj, name)


@runs.command("list")
@click.option("--method", help="Only runs of this method.")
@click.option(
    "--config", "wanted", metavar="KEY=VALUE", multiple=True, help="Only runs configured so, e.g. mode=compat."
)
@with_output
@click.pass_obj
def list_runs(
    dataset: tuple[Home, str], /, method: str | None, wanted: Sequence[str], form: str | None, output: Path | None
) -> None:
    """List the newest record of every run."""
    from brain_assets.app.querying import write_rows
    from brain_assets.app.runs import latest_runs, recorded

    wrong = [text for text in wanted if "=" not in text]
    if wrong:
        raise click.UsageError(f"--config wants KEY=VALUE, got {wrong[0]!r}")
    configuration = dict(text.split("=", 1) for text in wanted)
    with recorded(*dataset) as connection:
        write_rows(connection, latest_runs(connection, method, configuration), form, output)


@runs.command("show")
@click.argument("brain_key", metavar="KEY")
@click.pass_obj
def show_run(dataset: tuple[Home, str], /, brain_key: str) -> None:
    """Show a run's full configuration and its history."""
    from brain_assets.app.runs import as_text, history, recorded

    with recorded(*dataset) as connection:
        click.echo(as_text(history(connection, brain_key)))


@runs.command("rename")
@click.argument("old")
@click.argument("new")
@click.pass_obj
def rename_run(dataset: tuple[Home, str], /, old: str, new: str) -> None:
    """Rename a run of dataset.yaml, with its rows, record and calibrations."""
    from brain_assets.app.runs import rename

    rename(*dataset, old, new)
    click.echo(f"renamed {old} to {new}")


@runs.command("delete")
@click.argument("brain_key", metavar="KEY")
@click.pass_obj
def delete_run(dataset: tuple[Home, str], /, brain_key: str) -> None:
    """Delete a run of dataset.yaml, with its rows, record and calibrations."""
    from brain_assets.app.runs import delete

    delete(*dataset, brain_key)
    click.echo(f"deleted {brain_key}")


@click.command()
@click.argument("name")
@click.option("--issue", metavar="ISSUE", help="Only the thresholds of this issue [default: all].")
@click.pass_obj
def calibrate(home: Home, /, name: str, issue: str | None) -> None:
    """Refit the thresholds to the dataset as it is, and bring it up to date."""
    from brain_assets.app.calibrating import recalibrate

    changes = recalibrate(home, name, issue)
    for change in changes:
        click.echo(change)
    if not changes:
        click.echo(f"{name} has too few samples to fit thresholds to: the documented defaults hold")


@click.command()
@click.argument("name")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write [default: NAME-report.html]."
)
@click.option(
    "--json", "as_json", is_flag=True, help="The same content for machines; to the terminal unless -o is given."
)
@click.pass_obj
def report(home: Home, /, name: str, output: Path | None, *, as_json: bool) -> None:
    """Write a self-contained page on the state of a dataset, to be opened in a browser or mailed."""
    from brain_assets.report.writing import report_json, write_file, write_page
    from brain_assets.resources.settings.configuration import load_dataset

    paths = home.existing(name)
    configuration = load_dataset(paths.config)
    if as_json:
        text = report_json(paths, configuration)
        write_file(output, text.encode()) if output else click.echo(text)
        return
    page = write_page(paths, configuration, output or Path(f"{name}-report.html"))
    click.echo(f"wrote {page.path} ({page.bytes / 1e6:.1f} MB, {page.pictures} pictures)")


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Return the names between commas."""
    del context, parameter
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())


@click.command()
@click.argument("name")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="COCO file to write, or with --format the folder; outside of what the dataset reads.",
)
@click.option(
    "--format",
    "form",
    metavar="FORMAT",
    help="Write the cleaned dataset, with its images: coco, yolo, voc, cvat, labelstudio, csv, parquet, folders, webdataset,"
    " huggingface, fiftyone or fiftyone-dataset.",
)
@click.option("--where", metavar="SQL", help='Of the dataset only samples of which this holds, e.g. "width > 500".')
@click.option(
    "--without", metavar="ISSUE,...", callback=_names, help="Leave out samples that have one of these issues."
)
@click.option(
    "--retain",
    metavar="ISSUE,...",
    callback=_names,
    help="Leave in what else is left out: of exact_duplicate, near_duplicate, leak.",
)
@click.option("--split", "splits", metavar="SPLIT,...", callback=_names, help="Only these splits.")
@click.option(
    "--plan",
    metavar="RUN",
    help="The splits of a plan that is kept in place of those of the files: planned_splits, or a run of it.",
)
@click.option(
    "--images",
    type=click.Choice(["link", "copy"]),
    default="link",
    show_default=True,
    help="Whether images are links to where they lie; those in archives or far away are copied.",
)
@click.option(
    "--missing-objects",
    is_flag=True,
    help="Add objects that models found, no label holds and nobody has confirmed or dismissed, marked as such.",
)
@click.option("--field", default="ground_truth", show_default=True, help="The field of labels.")
@click.option("--model", help="Add only what this model found [default: what any did, each object once].")
@click.option(
    "--min-score", type=float, metavar="S", help="Add only what is missing with at least this score, in [0, 1]."
)
@click.option("--force", is_flag=True, help="Replace a file, or an earlier export, that exists.")
@click.pass_obj
def export(home: Home, /, name: str, output: Path, *, form: str | None, force: bool, **chosen: Any) -> None:
    """Write the labels of objects, as reviewers left them, as a COCO file of its own, or the cleaned dataset.

    With --missing-objects, what the table object_mistakenness holds as possible_missing is added. With --format the whole
    dataset is written into a folder: labels as reviewed, without what reviewers dropped, what cannot be read, and copies
    and leaks but those to keep; CHANGES.csv says what is different and why. Nothing of the dataset itself changes.
    """
    from brain_assets.app.cleaning import Cleaning
    from brain_assets.app.dataset_export import Wanted, export_dataset
    from brain_assets.app.exporting import ExportChoice, export_objects
    from brain_assets.resources.settings.configuration import load_dataset
    from brain_assets.resources.store.publishing import connect

    paths = home.existing(name)
    dataset = paths, load_dataset(paths.config).settings
    cleaning = Cleaning(**{key: chosen.pop(key) for key in ("where", "without", "retain", "splits", "plan")})
    images = chosen.pop("images")
    with connect(paths.published) as connection:
        if form is None:
            _refuse_cleaning(cleaning)
            click.echo(export_objects(connection, dataset, output, ExportChoice(**chosen), force=force))
        else:
            _refuse_missing(chosen)
            wanted = Wanted(form, cleaning, chosen["field"], images)
            click.echo(export_dataset(connection, dataset, output, wanted, force=force))


def _refuse_cleaning(cleaning: "Cleaning") -> None:
    if any(vars(cleaning).values()):
        raise click.UsageError(
            "--where, --without, --retain, --split and --plan are about the dataset: give --format, too"
        )


def _refuse_missing(chosen: Mapping[str, Any]) -> None:
    if chosen["missing_objects"] or chosen["model"] or chosen["min_score"] is not None:
        raise click.UsageError("--missing-objects, --model and --min-score are for COCO files: leave out --format")


@click.command("select")
@click.argument("name")
@click.option(
    "--method",
    type=click.Choice(["unique", "k-center", "facility-location"]),
    default="unique",
    show_default=True,
    help="The least like any other, or those that cover the dataset's extent or its bulk.",
)
@click.option("-k", "count", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many.")
@click.option("--where", metavar="SQL", help="Only samples of which this holds, e.g. \"split = 'train'\".")
@click.option("--labeled", metavar="SQL", help="What is labelled already: it counts as chosen, and is never selected.")
@click.option("--embeddings", default="embeddings", show_default=True, help="The run of the embeddings.")
@click.option("--similarity", default="neighbors", show_default=True, help="The run of the neighbours.")
@with_output
@click.pass_obj
def select_samples(home: Home, /, name: str, form: str | None, output: Path | None, **chosen: Any) -> None:
    """Show which few samples to look at, or to label, next."""
    from brain_assets.app.querying import write_rows
    from brain_assets.resources.store.publishing import connect
    from brain_assets.signals.similarity.selections import Choice, SelectionSettings, select_published

    settings = SelectionSettings(**{key: chosen.pop(key) for key in ("method", "count", "labeled")})
    with connect(home.existing(name).published) as connection:
        rows = select_published(connection, Choice(settings, **chosen))
        write_rows(connection, connection.from_arrow(rows), form, output)


@click.command()
@click.argument("name", required=False)
@click.option("--port", type=PORT, default=3001, show_default=True, help="Port to listen on.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; other than this machine needs --token.",
)
@click.option("--token", envvar="BRAIN_REVIEW_TOKEN", help="What opens the page [default: a fresh one, in the link].")
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.option("--invite", metavar="PERSON", help="Print a link of somebody's own, who may come until it is revoked.")
@click.option("--revoke", metavar="PERSON", help="Take somebody's link back; who came by it is out at once.")
@click.option("--invited", is_flag=True, help="List who was invited, and when.")
@click.pass_obj
def review(home: Home, /, name: str | None, **asked: Any) -> None:
    """Serve the review page alone, on what is published; 'brain up' serves it too, and takes in the decisions made there.

    With --invite, --revoke or --invited nothing is served: they are about the links of people by name, which hold for the page
    however it was started, also while it runs. What such a person says bears their name.
    """
    from brain_assets.app.page_methods import DeclaredMethods
    from brain_assets.resources.store.publishing import open_set
    from brain_assets.review import serve

    if asked["invite"] or asked["revoke"] or asked["invited"]:
        _invitations(home, name, asked)
        return
    if name:
        with open_set(home.existing(name).published):
            pass
    address, browser = (asked["host"], asked["port"]), not asked["no_browser"]
    serve(home.root, address, asked["token"], name, browser=browser, methods=DeclaredMethods(home))


def _invitations(home: Home, name: str | None, asked: Mapping[str, Any]) -> None:
    from brain_assets.review.app import sign_in_url
    from brain_assets.review.invitations import Invitations

    invitations = Invitations(home.root)
    if person := asked["invite"]:
        click.echo(sign_in_url(asked["host"], asked["port"], invitations.invite(person), name))
    if person := asked["revoke"]:
        invitations.revoke(person)
        click.echo(f"{person} is not invited any more")
    if asked["invited"]:
        click.echo("\n".join(f"{person}  since {since}" for person, since in invitations.since().items()) or "nobody")


@click.command()
@click.argument("name")
@click.option(
    "--labels",
    metavar="[FIELD=]URI",
    multiple=True,
    help="File or folder of labels; 'folder' or 'name': classes stand in names of folders or images.",
)
@click.option("--labels-format", metavar="FORMAT", help="How the labels are written [default: by content].")
@click.option("--predictions", metavar="[MODEL=]URI", multiple=True, help="File or folder of predictions.")
@click.option("--predictions-format", metavar="FORMAT", help="How the predictions are written [default: by content].")
@click.pass_obj
def attach(home: Home, /, name: str, **inputs: Any) -> None:
    """Add labels and predictions to a dataset that is declared already."""
    from brain_assets.app.changing import attach as attach_inputs

    if not inputs["labels"] and not inputs["predictions"]:
        raise click.UsageError("say what to attach by --labels or --predictions")
    for told in attach_inputs(home, name, **inputs):
        click.echo(f"attached {told}")
    click.echo(f"next: brain materialize {name}")


@click.command("set")
@click.argument("name")
@click.argument("assignments", metavar="KEY=VALUE...", nargs=-1, required=True)
@click.pass_obj
def set_values(home: Home, /, name: str, assignments: Sequence[str]) -> None:
    """Set values in a dataset's file, such as similarity.k=30; comments in it stay, and an empty value is the default."""
    from brain_assets.app.changing import set_value

    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"write KEY=VALUE, got {text!r}")
        if warning := set_value(home, name, key.strip(), value):
            click.echo(f"{key.strip()}: {warning}", err=True)
        click.echo(f"set {key.strip()} in {home.existing(name).config}")


COMMANDS: Sequence[click.Command] = (
    attach,
    set_values,
    similar,
    select_samples,
    check,
    export,
    report,
    calibrate,
    runs,
    review,
)
