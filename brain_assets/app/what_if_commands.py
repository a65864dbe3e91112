"""The command ``brain what-if``."""

from collections.abc import Sequence
from typing import Any

import click

from brain_assets.resources.settings.home import Home


@click.command("what-if")
@click.argument("name")
@click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="A setting, e.g. near_duplicates.threshold=.2."
)
@click.option(
    "--drop-duplicates", is_flag=True, help="Suppose that all copies but one are dropped, exact and near ones."
)
@click.option("--drop", metavar="ISSUE", multiple=True, help="Suppose that the images with this issue are dropped.")
@click.option("--relabel-suggested", is_flag=True, help="Suppose that doubted labels are replaced by those suggested.")
@click.option("--json", "as_json", is_flag=True, help="All numbers, for machines.")
@click.pass_obj
def what_if_command(
    home: Home, /, name: str, settings: Sequence[str], *, drop_duplicates: bool, as_json: bool, **decided: Any
) -> None:
    """Tell which counts, gates and numbers of health would follow from other settings or decisions; nothing is changed.

    They are those that the run then gives. What would decode, embed or fit anew is named as needing a run.
    """
    from brain_assets.app.what_if import DUPLICATES, Supposed, what_if

    pairs = [text.partition("=") for text in settings]
    if wrong := next((text for text, (_, equals, _) in zip(settings, pairs, strict=True) if not equals), None):
        raise click.UsageError(f"--set wants KEY=VALUE, got {wrong!r}")
    dropped = [*decided["drop"], *(DUPLICATES if drop_duplicates else ())]
    if not (settings or dropped or decided["relabel_suggested"]):
        raise click.UsageError(
            "say what to suppose: --set KEY=VALUE, --drop-duplicates, --drop ISSUE or --relabel-suggested"
        )
    assigned = {key.strip(): value for key, _, value in pairs}
    found = what_if(home, name, Supposed(assigned, dropped, decided["relabel_suggested"]))
    if as_json:
        import json

        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        click.echo(found)


COMMANDS: Sequence[click.Command] = (what_if_command,)
