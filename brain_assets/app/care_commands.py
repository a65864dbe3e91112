"""The commands that look after what is kept: ``brain doctor``, ``brain backup`` and ``brain restore``."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.home import Home

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("name", required=False)
@click.option("--repair", is_flag=True, help="Mend what can be mended; what is replaced is set aside, never deleted.")
@click.pass_obj
def doctor(home: Home, /, name: str | None, *, repair: bool) -> None:
    """Look at all that is kept of a dataset, or of all of them, and say what is wrong; exit 1 when something is left.

    Read to the last byte are the declaration, what people said and its backup, the database, previews, what is published, and
    Dagster's history.
    """
    from brain_assets.app.doctor import lost, visit

    gone = lost(home)
    names = [name] if name else [*home.names(), *gone]
    if name and name not in gone:
        home.existing(name)
    left = 0
    for found in visit(home, names, repair=repair):
        click.echo("\n".join(found.lines))
        left += found.left
    if left:
        raise BrainError(f"{left} left as {'it is' if left == 1 else 'they are'}: see above")


@click.command()
@click.argument("name")
@click.argument("file", type=FILE)
@click.option(
    "--small", is_flag=True, help="Only what nothing can derive again: the declaration, what people said, predictions."
)
@click.pass_obj
def backup(home: Home, /, name: str, file: Path, *, small: bool) -> None:
    """Write all that is kept of a dataset to a file, such as flowers.tar (.tar.gz is compressed).

    Images, and labels and models that lie elsewhere, are not in it.
    """
    from brain_assets.app.backups import back_up

    count = back_up(home, name, file, small=small, waiting=partial(click.echo, err=True))
    click.echo(f"wrote {count} files of {name} to {file} ({file.stat().st_size / 1e6:.1f} MB)")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Another name than the dataset had.")
@click.pass_obj
def restore(home: Home, /, file: Path, name: str | None) -> None:
    """Put a dataset back from a file that brain backup wrote; it is checked to the last byte before it is put in place."""
    from brain_assets.app.backups import restore as put_back

    paths = put_back(home, file, name)
    click.echo(f"restored {paths.name} in {paths.folder}\nnext: brain status {paths.name}")


COMMANDS: Sequence[click.Command] = (doctor, backup, restore)
