"""The command ``brain split``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.home import Home

if TYPE_CHECKING:
    from brain_assets.app.splitting import Question

USUAL = ("train", "val", "test")
SAID = ("folds", "given", "repair", "relations", "seed")


def _shares(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, float]:
    """Return the shares of splits with names of their own."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise click.BadParameter(f"write NAME=SHARE, such as holdout=0.1, not {text!r}") from None
        if not equals or not name.strip():
            raise click.BadParameter(f"write NAME=SHARE, such as holdout=0.1, not {text!r}")
    return found


def _relations(_: click.Context, __: click.Parameter, text: str | None) -> list[str] | None:
    return None if text is None else [one.strip() for one in text.split(",") if one.strip()]


@click.command("split")
@click.argument("name")
@click.option("--train", type=float, metavar="SHARE", help="Share of the split train, such as .8.")
@click.option("--val", type=float, metavar="SHARE", help="Share of the split val.")
@click.option("--test", type=float, metavar="SHARE", help="Share of the split test.")
@click.option(
    "--share", "others", metavar="NAME=SHARE", multiple=True, callback=_shares, help="Share of another split."
)
@click.option("--folds", type=int, metavar="K", help="Equal folds instead, for cross-validation.")
@click.option("--given", is_flag=True, default=None, help="Samples that have a split stay in it; plan the others.")
@click.option(
    "--repair",
    is_flag=True,
    default=None,
    help="Start from the splits that samples have, and end leaks by the fewest moves.",
)
@click.option(
    "--previous",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An earlier plan: what it names stays.",
)
@click.option(
    "--relations",
    metavar="NAME,...",
    callback=_relations,
    help="Pairs that stay together, of same, edited and same_scene [default: all].",
)
@click.option("--where", metavar="SQL", help='Plan only samples of which this holds, e.g. "split is null".')
@click.option(
    "--by-cluster", is_flag=True, help="Let clusters of similar images keep their shares, too, as classes do."
)
@click.option("--seed", type=int, help="Another one deals out otherwise [default: 51].")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File (.csv, .parquet), or folder for YOLO's lists; the proof is written beside it.",
)
@click.option(
    "--format", "form", type=click.Choice(["csv", "parquet", "yolo"]), help="How it is written [default: by --output]."
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option(
    "--keep",
    is_flag=True,
    help="Keep this plan as data arrives: written into dataset.yaml, published as planned_splits.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the proof for machines.")
@click.pass_obj
def split_dataset(home: Home, /, name: str, *, output: Path | None, keep: bool, as_json: bool, **asked: Any) -> None:
    """Plan splits that cannot leak: what belongs together stays together, and classes keep their shares.

    Copies, same scenes, frames of a video and members of a group (setting groups) go into one split. Nothing is written into
    the dataset but with --keep. Without any shares, the plan that is kept is shown, or written. Exit 1 if anything leaks.
    """
    from brain_assets.app.splitting import Question, asked_for, split
    from brain_assets.resources.settings.configuration import load_dataset
    from brain_assets.resources.store.publishing import connect

    paths = home.existing(name)
    settings = load_dataset(paths.config).settings
    shares = {one: asked[one] for one in USUAL if asked[one] is not None} | asked["others"]
    said = {one: asked[one] for one in SAID if asked[one] is not None}
    question = Question(
        asked_for(settings.splits, shares, said), asked["where"], asked["previous"], asked["by_cluster"]
    )
    if keep and (question.previous or question.where or question.by_cluster):
        raise click.UsageError(
            "--keep goes with neither --previous, --where nor --by-cluster: declare a run of planned_splits with where in"
            " dataset.yaml"
        )
    with connect(paths.published) as connection:
        found = split(connection, settings, question)
    for path in found.write(output, asked["form"], force=asked["force"]) if output else ():
        click.echo(f"wrote {path}", err=True)
    if as_json:
        import json

        click.echo(json.dumps(found.proof, indent=2))
    else:
        click.echo(found)
    if keep:
        _keep(home, name, question)
    if found.proof["leaks"]:
        raise BrainError(f"{found.proof['leaking_samples']} samples leak between splits")


def _keep(home: Home, name: str, question: "Question") -> None:
    import yaml

    from brain_assets.app.changing import set_value

    said = question.settings.model_dump(exclude_defaults=True)
    set_value(home, name, "splits", yaml.safe_dump(said, default_flow_style=True, sort_keys=False))
    click.echo(f"kept in {home.existing(name).config}; next: brain materialize {name}", err=True)


COMMANDS: Sequence[click.Command] = (split_dataset,)
