"""The one door of table formats: what every one of them can do with the tables of a published set.

A table that is written bears a mark, in the same commit as its rows: whose it is, and of what rows. So a table whose rows are
the same is not written again, whatever ended the run before, and one that is not ours is never touched.
"""

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.media import store_credentials
from brain_assets.resources.media.object_stores import REMOTE, is_store

HOUSE = "brain_assets.resources.table_formats"
OURS = "brain_assets"
MARK = "brain_assets.mark"
BATCH = 10_000
# Colours and arrows, which have no place in a line for people.
ESCAPES = re.compile(r"\s*\x1b\[[0-9;]*m↳?(\x1b\[[0-9;]*m)?|\x1b\[[0-9;]*m")
# Written by the next wider type: numbers stay equal, also those of 64 bits, which need 20 digits.
UNSIGNED = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.decimal128(20, 0)}


class UnwritableError(BrainError):
    """Tables could not be written in a format; the message says where and why."""


@dataclass(frozen=True)
class Place:
    """Where tables are written.

    Attributes
    ----------
    format : str
        As settings name it.
    root : str
        A folder, or an address in an object store; each table is below it.
    owner : str
        Names the dataset, wherever its tables lie.
    folder : Path
        Folder of the dataset, for what cannot lie in an object store.
    options : mapping of str to str
        What leads to the object store, as obstore names it.
    """

    format: str
    root: str
    owner: str
    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)

    def mark(self, state: str) -> str:
        """Return what a table says of itself that was made of some state of its rows."""
        return f"{OURS} {self.owner} {state}"


class TableFormat(Protocol):
    """Writes tables that readers of a format open.

    Attributes
    ----------
    name : str
        What settings call it, which is also the extra of what it needs.
    title : str
        What people call it.
    unsigned : bool
        Whether it knows numbers without a sign.
    """

    name: str
    title: str
    unsigned: bool

    def known(self, place: Place, table: str) -> str | None:
        """Return the mark of a table as it is there: None where there is none, nothing where it is not ours."""

    def write(self, place: Place, table: str, rows: pa.RecordBatchReader, mark: str) -> None:
        """Write a table, with its mark, as a new version that readers see at once and as a whole."""

    def forget(self, place: Place, table: str, age: timedelta) -> None:
        """Remove what only versions need that were followed by another one that long ago."""


@cache
def table_format(name: str) -> TableFormat:
    """Return a format by its name.

    Raises
    ------
    MissingError
        If what it needs is not installed.
    """
    module = importlib.import_module(f"{HOUSE}.{name}")
    try:
        importlib.import_module(module.NEEDS)
    except ImportError:
        raise MissingError(f"{module.FORMAT.title} needs a package: pip install 'brain-assets[{name}]'") from None
    member: TableFormat = module.FORMAT
    return member


def place_of(name: str, to: str, owner: str, folder: Path) -> Place:
    """Return where tables of a format are written.

    Parameters
    ----------
    name : str
        Of the format.
    to : str
        A folder, which may be relative to the dataset's, or an address in an object store.
    owner : str
    folder : Path
        Folder of the dataset.

    Raises
    ------
    ConfigurationError
        If the address names no bucket.
    SourceError
        If the profile that leads to an object store cannot be read.
    """
    if "://" not in to:
        return Place(name, str(folder / Path(to).expanduser() / name), owner, folder)
    found = REMOTE.fullmatch(to) if is_store(to) else None
    if found is None:
        raise ConfigurationError(
            f"publish.to: {to} is neither a folder nor in an object store: s3://, gs:// or az:// and the bucket, or"
            " minio://SERVER:PORT and the bucket"
        )
    scheme, bucket, path = (part for part in found.groups() if part is not None)
    server, _, bucket = bucket.rpartition("/")
    options = _named(store_credentials.found(scheme, server))
    address = "/".join(part for part in (bucket, path.strip("/"), name) if part)
    return Place(name, f"{'s3' if scheme == 'minio' else scheme}://{address}", owner, folder, options)


def _named(found: Mapping[str, object]) -> dict[str, str]:
    """Return what leads to a store as texts; of what hands out credentials, those of now."""
    given = {key: value for key, value in found.items() if key != "credential_provider"}
    provider = found.get("credential_provider")
    if callable(provider):
        handed = provider()
        given |= {key: handed[key] for key in ("access_key_id", "secret_access_key") if handed.get(key)}
        given |= {"session_token": handed["token"]} if handed.get("token") else {}
    plain = str(given.get("endpoint") or given.get("base_url") or "").startswith("http:")
    return {key: str(value) for key, value in given.items()} | ({"allow_http": "true"} if plain else {})


def streamed(files: Sequence[Path], *, unsigned: bool = True) -> pa.RecordBatchReader:
    """Return the rows of Parquet files as they come.

    Parameters
    ----------
    files : sequence of Path
    unsigned : bool
        Whether the format knows numbers without a sign.
    """
    from pyarrow import dataset as arrow_dataset

    found = arrow_dataset.dataset([str(path) for path in files], format="parquet")
    reader = found.scanner(batch_size=BATCH).to_reader()
    if unsigned:
        return reader
    schema = pa.schema([one.with_type(_signed(one.type)) for one in reader.schema])
    return pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in reader))


def _signed(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_signed(kind.value_type))
    return UNSIGNED.get(kind, kind)


def make_folder(member: TableFormat, place: Place) -> None:
    """Make the folder of a format; raises UnwritableError where that cannot be."""
    if "://" in place.root:
        return
    try:
        Path(place.root).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableError(f"{member.title} cannot be written to {place.root}: {error.strerror}") from None


@contextmanager
def told(member: TableFormat, place: Place, table: str) -> Iterator[None]:
    """Say in one line what a library says of a table; raises UnwritableError."""
    try:
        yield
    except BrainError:
        raise
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        line = " ".join(ESCAPES.sub(":", str(error)).split())[:300] or type(error).__name__
        hint = store_credentials.hint(place.root.partition(":")[0], line) if "://" in place.root else None
        raise UnwritableError(
            f"{member.title} cannot be written to {place.root}, table {table}: {hint or line}"
        ) from None
