"""The commands for whoever declares nothing: ``brain scan`` and ``brain contract``."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.home import Home

if TYPE_CHECKING:
    from brain_assets.app.scans import Scan

FORMATS = ("text", "json", "sarif", "github", "junit", "markdown")
FAILED, CANNOT = 1, 2
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--labels", metavar="[FIELD=]URI", multiple=True, help="File or folder of labels [default: what surely is such]."
)
@click.option("--predictions", metavar="[MODEL=]URI", multiple=True, help="File or folder of predictions.")
@click.option("--split-from", type=click.Choice(["folder", "column", "none"]), help="Where splits come from.")
@click.option("--model", help="Embedding model [default: builtin:efficientnet-lite0].")
@click.option(
    "--fail-on",
    metavar="NAME[>LIMIT[%]],...",
    default="",
    help="Exit with 1 where an issue occurs, or more often than this: leaks,label_mistakes>1%,new_outliers. Numbers of health"
    " count, too: unreadable_share>0.01.",
)
@click.option("--contract", type=FILE, help="File of what must hold; exit with 1 where a clause fails.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="What is printed."
)
@click.option("-o", "--output", type=FILE, help="Write the report with pictures there, as HTML.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Look at N images alone.")
@click.pass_obj
def scan(
    home: Home, /, folder: Path, *, fail_on: str, contract: Path | None, form: str, output: Path | None, **given: Any
) -> None:
    """Scan a folder of images, with its labels and predictions, without declaring it; the next scan reads what changed.

    Exits with 0 when all holds, 1 when something that --fail-on or --contract names does not (or nothing of given labels can
    be used), 2 when there is nothing to scan or an argument is wrong, 130 when interrupted. What is derived stays in
    $BRAIN_HOME/scans (~/.brain/scans): delete that to forget it, or keep it between runs of CI.
    """
    from brain_assets.app.scan_formats import FORMATS as WRITE

    try:
        found = _scanned(home, folder, fail_on, contract, {**given, "everything": output is not None})
        if output:
            click.echo(f"wrote {_report(found, output)}", err=True)
    except BrainError as error:
        click.echo(f"brain scan: {' '.join(str(error).split())}", err=True)
        sys.exit(CANNOT)
    click.echo(WRITE[form](found))
    _summarize(found, form)
    if found.failed:
        click.echo(f"failed: {', '.join(one.name for one in found.failed)}", err=True)
        sys.exit(FAILED)


def _scanned(home: Home, folder: Path, fail_on: str, contract: Path | None, given: dict[str, Any]) -> "Scan":
    from brain_assets.app.conditions import conditions
    from brain_assets.app.scans import scan as scan_folder
    from brain_assets.app.scans import unmeasured
    from brain_assets.assets.catalog import ALL
    from brain_assets.signals.registry import ISSUES

    metrics = {name for signal in ALL for name in signal.metrics} - unmeasured()
    asked = conditions(fail_on, ISSUES.keys() - unmeasured(), metrics)
    return scan_folder(home, folder, conditions=asked, contract=contract, told=_tell, **given)


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _report(found: "Scan", output: Path) -> Path:
    from brain_assets.report.writing import write_page
    from brain_assets.resources.settings.configuration import load_dataset

    paths = found.home.existing(found.name)
    return write_page(paths, load_dataset(paths.config), output).path


def _summarize(found: "Scan", form: str) -> None:
    """Add to the summary of a GitHub job, where there is one."""
    from brain_assets.app.scan_formats import as_markdown

    if form == "github" and (path := os.environ.get("GITHUB_STEP_SUMMARY")):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(as_markdown(found) + "\n")


@click.group()
def contract() -> None:
    """Write down what must hold of a dataset; name the file in dataset.yaml, or give it to 'brain scan --contract'."""


@contract.command("schema")
def contract_schema() -> None:
    """Print the JSON schema of contract.yaml, for editors."""
    import json

    from brain_assets.answers.contract import schema

    click.echo(json.dumps(schema(), indent=2))


@contract.command("init")
@click.argument("name")
@click.option("-o", "--output", type=FILE, default=Path("contract.yaml"), show_default=True, help="File to write.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.pass_obj
def contract_init(home: Home, /, name: str, output: Path, *, force: bool) -> None:
    """Write a contract that a dataset keeps as it is now, to be edited."""
    from brain_assets.answers.contract import proposed
    from brain_assets.resources.store.publishing import connect

    with connect(home.existing(name).published) as connection:
        text = proposed(connection)
    if output.exists() and not force:
        raise BrainError(f"{output} exists: give another file with -o, or --force")
    output.write_text(text, "utf-8")
    click.echo(f"wrote {output}; next: brain set {name} contract={output}")


COMMANDS: Sequence[click.Command] = (scan, contract)
