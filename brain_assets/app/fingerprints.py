"""Files of fingerprints, which teams exchange in place of pictures: written from a dataset's entry, and taken in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from brain_assets.ledger import entries
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.settings.home import NAME, Home

# What a file holds; who dropped what, and when, is nobody else's business.
WRITTEN = ("content_hash", "phash", "code", "model", "name", "splits")
CONTENT_DIGITS = 32
FORMAT = {b"brain_fingerprints": b"1"}
READ_AT_ONCE = 1 << 18


def export(home: Home, name: str, output: Path, splits: Sequence[str] = (), *, names: bool = True) -> int:
    """Write the fingerprints of what a dataset has now, and return how many there are.

    Parameters
    ----------
    home : Home
    name : str
    output : Path
        A Parquet file.
    splits : sequence of str
        Only what is in one of these; by default all.
    names : bool
        Whether the paths of the images are written.

    Raises
    ------
    MissingError
        If no run has taken the dataset's fingerprints yet, or nothing is left to write.
    """
    home.existing(name)
    entry = entries.find(home, "dataset", name)
    if entry is None:
        raise MissingError(f"no fingerprints were taken of {name} yet: run 'brain materialize {name}'")
    rows = entry.rows.filter(pc.and_(entry.rows.column("present"), pc.is_null(entry.rows.column("dropped_at"))))
    if splits:
        chosen = [bool(set(one) & set(splits)) for one in rows.column("splits").to_pylist()]
        rows = rows.filter(pa.array(chosen, pa.bool_()))
    if not rows.num_rows:
        raise MissingError(f"{name} has no image" + (f" in {', '.join(splits)}" if splits else ""))
    written = rows.select([one for one in WRITTEN if names or one != "name"])
    try:
        pq.write_table(written.replace_schema_metadata(FORMAT), output, compression="zstd")
    except OSError as error:
        raise BrainError(f"{output} cannot be written: {error.strerror or error}") from None
    return int(rows.num_rows)


def take_in(home: Home, path: Path, name: str | None = None) -> entries.Entry:
    """Take in a file of fingerprints under a name, in the place of one that bears it.

    Parameters
    ----------
    home : Home
    path : Path
        A Parquet file with ``phash`` or ``content_hash``, and where known ``code`` and ``model``, ``name`` and ``splits``.
    name : str, optional
        By default that of the file.

    Raises
    ------
    ConfigurationError
        In one line, if the file cannot be read or its columns are not those of fingerprints.
    """
    name = name or path.stem
    if not NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} cannot name fingerprints: give --name, of A-Z a-z 0-9 _ - .")
    try:
        found = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigurationError(f"{path} cannot be read as Parquet: {str(error).partition(chr(10))[0]}") from None
    return entries.write(home, "file", name, _checked(path, found))


def _checked(path: Path, found: pa.Table) -> pa.Table:
    if not {"phash", "content_hash"} & set(found.column_names):
        raise ConfigurationError(
            f"{path} holds no fingerprints: it needs phash or content_hash (columns: {', '.join(found.column_names)})"
        )
    columns: dict[str, Any] = {one.name: pa.nulls(found.num_rows, one.type) for one in entries.ROWS}
    for name in set(WRITTEN) & set(found.column_names):
        try:
            columns[name] = found.column(name).cast(entries.ROWS.field(name).type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ConfigurationError(
                f"{path}: {name} is not as it should be: {str(error).partition(chr(10))[0]}"
            ) from None
    hexadecimal = pc.match_substring_regex(columns["content_hash"], f"^[0-9a-f]{{{CONTENT_DIGITS}}}$")
    if not pc.all(hexadecimal, min_count=0).as_py():
        raise ConfigurationError(f"{path}: content_hash is not {CONTENT_DIGITS} hexadecimal digits")
    nowhere: list[list[str]] = [[]] * found.num_rows
    given = (
        pc.fill_null(columns["splits"], pa.scalar([], pa.list_(pa.string())))
        if "splits" in found.column_names
        else nowhere
    )
    columns |= {"splits": given, "former_splits": nowhere, "present": [True] * found.num_rows}
    return pa.table(columns).select(entries.ROWS.names).cast(entries.ROWS)
