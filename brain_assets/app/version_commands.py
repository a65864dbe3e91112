"""The commands about what was published before: ``brain versions``, ``brain tag`` and ``brain diff``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from brain_assets.app.commands import with_output
from brain_assets.resources.settings.home import Home


@click.command()
@click.argument("name")
@with_output
@click.pass_obj
def versions(home: Home, /, name: str, form: str | None, output: Path | None) -> None:
    """List the versions that can be read: what was published, when, with which tags."""
    import duckdb

    from brain_assets.app.past import listed
    from brain_assets.app.querying import write_rows
    from brain_assets.resources.store.history import open_history

    with open_history(home.existing(name).published) as history, duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        write_rows(connection, connection.from_arrow(listed(history)), form, output)
        if history.unreachable:
            click.echo(history.unreachable, err=True)


@click.command("tag")
@click.argument("name")
@click.argument("version")
@click.argument("tag", required=False)
@click.option("--remove", is_flag=True, help="Take the tag away that stands for VERSION.")
@click.pass_obj
def tag_version(home: Home, /, name: str, version: str, tag: str | None, *, remove: bool) -> None:
    """Give a version a name, such as before-cleanup: brain tag NAME current before-cleanup. It is then kept for ever."""
    from brain_assets.resources.store.history import tag as give_tag

    if remove == (tag is not None):
        raise click.UsageError("say brain tag NAME VERSION TAG, or brain tag NAME TAG --remove")
    found = give_tag(home.existing(name).published, version, tag)
    click.echo(
        f"removed the tag {version} from {found.name}"
        if remove
        else f"{tag} is now version {found.number} of {found.at:%Y-%m-%d %H:%M} UTC"
    )


@click.command()
@click.argument("name")
@click.argument("older")
@click.argument("newer", default="current")
@click.option("--json", "as_json", is_flag=True, help="Everything, for machines.")
@click.option("--table", help="The rows of one table that came (_count above 0) and went.")
@with_output
@click.pass_obj
def diff(home: Home, /, name: str, older: str, newer: str, *, as_json: bool, table: str | None, **written: Any) -> None:
    """Tell what is different between two versions, and why: samples, labels, predictions, issues, numbers, settings.

    Versions are numbers, tags, dates (the end of that day) or 'current', as in brain diff NAME 2026-10-01, or
    brain diff NAME 3 before-cleanup. The name of another dataset in their place compares the two as they are now.
    """
    import duckdb

    from brain_assets.answers.differences import compare, open_pair, rows
    from brain_assets.app.querying import write_rows

    with open_pair(home, name, older, newer) as pair:
        if table:
            with duckdb.connect() as connection:
                connection.execute("set timezone = 'UTC'")
                write_rows(connection, connection.from_arrow(rows(pair, table)), **written)
            return
        found = compare(pair)
    if as_json:
        import json

        click.echo(json.dumps(found.as_json(), indent=2, default=str))
    else:
        click.echo(found)


COMMANDS: Sequence[click.Command] = (versions, tag_version, diff)
