"""The commands about what was ever seen: ``brain seen`` and ``brain fingerprint``."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from brain_assets.app.commands import with_output
from brain_assets.resources.errors import MissingError
from brain_assets.resources.settings.home import Home

if TYPE_CHECKING:
    from brain_assets.answers.seen import Answer


@click.command("seen")
@click.argument("paths", metavar="IMAGE|FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_output
@click.pass_obj
def was_seen(home: Home, /, paths: Sequence[Path], form: str | None, output: Path | None) -> None:
    """Tell whether pictures were ever seen: in any dataset of the home, now or before, or in fingerprints that were taken in.

    Other encodings and sizes are recognised, as are pictures that were turned or flipped. Nothing is written or remembered.
    """
    from brain_assets.answers.seen import Lookout

    lookout = Lookout(home)
    for name in lookout.missing:
        click.echo(
            f"{name} is not looked at: no run has taken its fingerprints yet (brain materialize {name})", err=True
        )
    answers = lookout.look((str(path), path.read_bytes()) for path in _files(paths))
    if form or output:
        _write(answers, form, output)
        return
    count = known = 0
    for answer in answers:
        count, known = count + 1, known + bool(answer.seen)
        told = "; ".join(map(str, answer.seen)) or "not seen"
        click.echo(f"{answer.picture}: {told}" + (f" (not decoded: {answer.error})" if answer.error else ""))
    if count > 1:
        click.echo(f"{known} of {count} pictures were seen")


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files that are named, and the images in the folders that are."""
    from brain_assets.resources.media.candidates import may_be_image

    for path in paths:
        if path.is_dir():
            found = [one for one in sorted(path.rglob("*")) if one.is_file() and may_be_image(one.name)]
            if not found:
                raise MissingError(f"{path} holds no images")
            yield from found
        elif path.is_file():
            yield path
        else:
            raise MissingError(f"{path} is neither a file nor a folder")


def _write(answers: "Iterator[Answer]", form: str | None, output: Path | None) -> None:
    import duckdb
    import pyarrow as pa

    from brain_assets.app.querying import write_rows

    rows = [
        {"picture": one["picture"], "error": one["error"], **sighting}
        for one in (answer.as_json() for answer in answers)
        for sighting in one["seen"] or [{}]
    ]
    names = ("source", "source_kind", "name", "match", "first_seen", "dropped_at", "dropped_by")
    kinds = {
        "picture": pa.string(), "error": pa.string(), **dict.fromkeys(names, pa.string()), "present": pa.bool_(),
        **dict.fromkeys(("splits", "former_splits"), pa.list_(pa.string())),
        **dict.fromkeys(("hash_bits", "code_bits"), pa.int32()),
    }  # fmt: skip
    with duckdb.connect() as connection:
        table = pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))
        write_rows(connection, connection.from_arrow(table), form, output)


@click.group("fingerprint")
def fingerprint() -> None:
    """Exchange fingerprints: what a dataset holds, as hashes and short codes, without a pixel."""


@fingerprint.command("export")
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File [default: NAME.parquet].")
@click.option("--split", "splits", multiple=True, help="Only images of this split; may be repeated.")
@click.option("--without-names", is_flag=True, help="Leave out the paths of the images.")
@click.pass_obj
def export_fingerprints(
    home: Home, /, name: str, output: Path | None, splits: Sequence[str], *, without_names: bool
) -> None:
    """Write the fingerprints of a dataset for others: brain fingerprint export NAME --split test."""
    from brain_assets.app.fingerprints import export

    path = output or Path(f"{'-'.join([name, *splits])}.parquet")
    count = export(home, name, path, splits, names=not without_names)
    click.echo(f"wrote {count} fingerprints to {path}")


@fingerprint.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="What the ledger calls them [default: the file's name].")
@click.pass_obj
def import_fingerprints(home: Home, /, file: Path, name: str | None) -> None:
    """Take in fingerprints that others publish; every dataset's next run is compared with them."""
    from brain_assets.app.fingerprints import take_in

    entry = take_in(home, file, name)
    click.echo(
        f"took in {entry.rows.num_rows} fingerprints as {entry.name}; next: brain materialize NAME, or brain seen IMAGE"
    )


@fingerprint.command("list")
@click.pass_obj
def list_fingerprints(home: Home) -> None:
    """List what the ledger knows: datasets, and files that were taken in."""
    from brain_assets.ledger.entries import entries

    found = entries(home)
    if not found:
        click.echo("the ledger is empty: brain materialize NAME, or brain fingerprint import FILE")
    for one in found:
        click.echo(f"{one.kind:8} {one.name:32} {one.rows.num_rows:>10} fingerprints")


@fingerprint.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove_fingerprints(home: Home, /, name: str, *, yes: bool) -> None:
    """Forget fingerprints that were taken in, or those of a dataset that was removed."""
    from brain_assets.ledger import entries

    kept = {one.name: one for one in entries.entries(home) if one.kind == "file" or one.name not in home.names()}
    if name not in kept:
        raise MissingError(
            f"nothing of the name {name!r} can be forgotten (there are: {', '.join(kept) or 'none'}); what a dataset has is"
            " kept as long as it is declared"
        )
    entry = kept[name]
    if not yes and not click.confirm(f"forget {entry.rows.num_rows} fingerprints of {name}?"):
        raise click.Abort
    entries.remove(home, entry.kind, name)
    entries.remove(home, "remembered", name)
    click.echo(f"forgot {name}")


COMMANDS: Sequence[click.Command] = (was_seen, fingerprint)
