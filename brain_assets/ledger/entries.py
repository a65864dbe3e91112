"""The entries of a home's ledger: for each dataset, and each file of fingerprints that was taken in, rows and their indexes.

``ledger/datasets/NAME`` and ``ledger/files/NAME`` hold one folder per state, named by a digest of its rows, and the link
``current``; ``ledger/remembered/NAME`` likewise those rows of a dataset that were dropped, or in another split. Rows and
indexes are mapped into memory, so that a question touches only the pages that it needs.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import ipc

from brain_assets.methods.duplicates.fingerprints import CODE_WORDS, CodeIndex, Codes
from brain_assets.resources.errors import MissingError, StoreError
from brain_assets.resources.settings.home import Home

Kind = Literal["dataset", "file", "remembered"]
FOLDERS: dict[Kind, str] = {"dataset": "datasets", "file": "files", "remembered": "remembered"}
CURRENT = "current"
MOMENT = pa.timestamp("us", "UTC")
CODE_BYTES = CODE_WORDS * 8
ROWS = pa.schema([
    ("content_hash", pa.string()),
    ("phash", pa.uint64()),
    ("code", pa.binary(CODE_BYTES)),
    ("model", pa.string()),
    ("name", pa.string()),
    ("splits", pa.list_(pa.string())),
    ("former_splits", pa.list_(pa.string())),
    ("present", pa.bool_()),
    ("first_seen", MOMENT),
    ("dropped_at", MOMENT),
    ("dropped_by", pa.string()),
    ("recorded_at", MOMENT),
])  # fmt: skip
COLUMNS = {
    "content_hash": "BLAKE2b of the file's bytes, 16 bytes in hexadecimal; NULL where only the picture is known.",
    "phash": "64-bit perceptual hash; 0 where it says nothing.",
    "code": "16 bytes: on which side of 128 planes the model's vector lies; NULL without one.",
    "model": "Version of the model.",
    "name": "Path of a file of this content.",
    "splits": "The splits that it is in.",
    "former_splits": "Those that it was in and is not in any more.",
    "present": "Whether a sample has it now.",
    "first_seen": "When a sample first had it.",
    "dropped_at": "When a reviewer dropped it; NULL where none did, or took it back.",
    "dropped_by": "Who did.",
    "recorded_at": "When the ledger took note of it.",
}
BLOCK = 1 << 16
# Of a content's hash so many digits find it; the others are compared.
KEY_DIGITS = 16


@dataclass(frozen=True)
class Entry:
    """What a dataset ever had, or what a file says, at one state.

    Attributes
    ----------
    kind : {"dataset", "file", "remembered"}
    name : str
    folder : Path
        Where the state lies; its name is the digest of the rows.
    """

    kind: Kind
    name: str
    folder: Path

    @property
    def version(self) -> str:
        """Name of the state; equal for equal rows."""
        return self.folder.name

    @cached_property
    def rows(self) -> pa.Table:
        """The rows as `ROWS`, by content, phash and name; mapped into memory."""
        with _there(self):
            return ipc.open_file(pa.memory_map(str(self.folder / "rows.arrow"))).read_all()

    @cached_property
    def hashes(self) -> CodeIndex:
        """The perceptual hashes."""
        return CodeIndex(*(self._array(f"hash_{name}") for name in CodeIndex._fields))

    @cached_property
    def codes(self) -> CodeIndex:
        """The codes of vectors; 0 without one."""
        return CodeIndex(*(self._array(f"code_{name}") for name in CodeIndex._fields[:-1]))

    def of_contents(self, contents: list[str | None]) -> Iterator[tuple[int, int]]:
        """Yield, for contents that are there, their place among those asked for and their row."""
        keys, order = self._keys
        asked = np.array([_key(one) for one in contents], np.uint64)
        starts, ends = (np.searchsorted(keys, asked, side).tolist() for side in ("left", "right"))
        known = self.rows.column("content_hash")
        for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
            for row in order[start:end].tolist() if contents[place] else ():
                if known[row].as_py() == contents[place]:
                    yield place, row

    @property
    def marks(self) -> Codes:
        """A number per row, (n,) uint64, that tells rows of other contents, hashes, codes or models apart."""
        keys, order = self._keys
        marks = np.empty(len(keys), np.uint64)
        marks[order] = keys
        for column in (self.hashes.codes[:, 0], *self.codes.codes.T, _digests(self.rows.column("model"))):
            marks = _mixed(marks ^ column)
        return marks

    @cached_property
    def _keys(self) -> tuple[Codes, NDArray[np.uint32]]:
        return self._array("keys"), self._array("key_order")

    def _array(self, name: str) -> NDArray[Any]:
        with _there(self):
            found: NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r")
            # Without its subclass, whose slices cost more than the look-ups.
            return found.view(np.ndarray)


class _there:
    """Tells in a line of an entry that is damaged."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError | ValueError | pa.ArrowInvalid):
            entry = self.entry
            mended = f"run 'brain materialize {entry.name}'" if entry.kind == "dataset" else "import the file again"
            raise StoreError(f"the ledger's entry {entry.name} is damaged: delete {entry.folder.parent} and {mended}")


def entries(home: Home) -> list[Entry]:
    """Return the entries of a home's ledger, files first, each by name."""
    found = []
    for kind in ("file", "dataset"):
        names = sorted(path.parent.name for path in (home.ledger / FOLDERS[kind]).glob(f"*/{CURRENT}"))
        found += [entry for name in names if (entry := find(home, kind, name))]
    return found


def find(home: Home, kind: Kind, name: str) -> Entry | None:
    """Return an entry as it is now, None where there is none."""
    current = home.ledger / FOLDERS[kind] / name / CURRENT
    return Entry(kind, name, current.resolve()) if current.is_symlink() and current.exists() else None


def existing(home: Home, kind: Kind, name: str) -> Entry:
    """Return an entry; raises MissingError where there is none."""
    if entry := find(home, kind, name):
        return entry
    known = ", ".join(one.name for one in entries(home) if one.kind == kind) or "none"
    raise MissingError(f"the ledger has no {kind} {name!r} (there are: {known})")


def write(home: Home, kind: Kind, name: str, rows: pa.Table) -> Entry:
    """Replace an entry in one step; whoever reads the former state goes on reading it.

    Parameters
    ----------
    home : Home
    kind : {"dataset", "file", "remembered"}
    name : str
    rows : pyarrow.Table
        As `ROWS`, in any order.

    Raises
    ------
    StoreError
        If it cannot be written; what was there stays.
    """
    folder = home.ledger / FOLDERS[kind] / name
    staging = folder / f".{uuid.uuid4().hex}"
    former = find(home, kind, name)
    try:
        staging.mkdir(parents=True)
        ordered = (
            rows.select(ROWS.names)
            .cast(ROWS)
            .sort_by([(one, "ascending") for one in ("content_hash", "phash", "name")])
        )
        _write_rows(staging / "rows.arrow", ordered)
        for one, array in _indexes(ordered):
            np.save(staging / f"{one}.npy", array)
        version = _digest(staging / "rows.arrow")
        if not (folder / version).exists():
            staging.rename(folder / version)
        _switch(folder, version)
    except OSError as error:
        raise StoreError(f"the ledger's entry {name} cannot be written: {error.strerror} ({error.filename})") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    # Somebody may just have looked where the former state lies.
    for path in folder.iterdir():
        if path.name not in (version, CURRENT, former.version if former else "") and not path.name.startswith("."):
            shutil.rmtree(path, ignore_errors=True)
    return Entry(kind, name, folder / version)


def remove(home: Home, kind: Kind, name: str) -> None:
    """Forget an entry, if there is one."""
    shutil.rmtree(home.ledger / FOLDERS[kind] / name, ignore_errors=True)


def _write_rows(path: Path, rows: pa.Table) -> None:
    with ipc.new_file(str(path), ROWS) as writer:
        writer.write_table(rows, max_chunksize=BLOCK)


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=10)).hexdigest()


def _switch(folder: Path, version: str) -> None:
    link = folder / f".{uuid.uuid4().hex}"
    link.symlink_to(version)
    os.replace(link, folder / CURRENT)


def _indexes(rows: pa.Table) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Yield the arrays by name, one index after the other, as together they are larger than the rows."""
    keys = _keys_of(rows.column("content_hash"))
    order = np.argsort(keys, kind="stable").astype(np.uint32)
    yield "keys", keys[order]
    yield "key_order", order
    phash = rows.column("phash").fill_null(0).to_numpy().astype(np.uint64)[:, None]
    yield from _named("hash", CodeIndex.of(phash))
    yield from _named("code", CodeIndex.of(codes_of(rows)))


def _named(kind: str, index: CodeIndex) -> Iterator[tuple[str, NDArray[np.generic]]]:
    yield from ((f"{kind}_{name}", array) for name, array in index._asdict().items() if array is not None)


def _digests(texts: pa.ChunkedArray) -> Codes:
    """Return a number for each text; 0 for NULL."""
    import pyarrow.compute as pc

    known = texts.unique().drop_null()
    found = pc.fill_null(pc.index_in(texts, value_set=known), -1).to_numpy()
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in known.to_pylist()]
    numbers = np.array([*(int.from_bytes(one) for one in digests), 0], np.uint64)
    return np.asarray(numbers[found], np.uint64)


def _mixed(numbers: Codes) -> Codes:
    """Return numbers of which every bit depends on all bits (S. Vigna's SplitMix64)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), np.uint64)


def _key(content: str | None) -> int:
    return int(content[:KEY_DIGITS], 16) if content else 0


def _keys_of(contents: pa.ChunkedArray) -> Codes:
    """Return `_key` of many contents, without an object for each."""
    import pyarrow.compute as pc

    keys = [np.zeros(0, np.uint64)]
    for chunk in contents.chunks:
        first = pc.utf8_slice_codeunits(pc.fill_null(chunk, "0" * KEY_DIGITS), 0, KEY_DIGITS)
        digits = np.frombuffer(first.buffers()[2] or b"", np.uint8, len(first) * KEY_DIGITS).reshape(-1, KEY_DIGITS)
        # The letters come 39 places behind the digits.
        nibbles = np.where(digits >= ord("a"), digits - 87, digits - ord("0"))
        pairs = np.ascontiguousarray(nibbles[:, ::2] << 4 | nibbles[:, 1::2])
        keys.append(pairs.view(">u8")[:, 0].astype(np.uint64))
    return np.concatenate(keys)


def codes_of(rows: pa.Table) -> Codes:
    """Return the codes of rows, (n, 2) uint64; 0 without one."""
    import pyarrow.compute as pc

    nothing = pa.scalar(bytes(CODE_BYTES), pa.binary(CODE_BYTES))
    packed = pc.fill_null(rows.column("code"), nothing).combine_chunks()
    packed = pa.concat_arrays(packed.chunks) if isinstance(packed, pa.ChunkedArray) else packed
    data = np.frombuffer(packed.buffers()[1], np.uint8) if len(packed) else np.zeros(0, np.uint8)
    wide = data[packed.offset * CODE_BYTES : (packed.offset + len(packed)) * CODE_BYTES]
    return wide.reshape(-1, CODE_BYTES).view(">u8").astype(np.uint64)


def packed(codes: Codes) -> pa.Array:
    """Return codes, (n, 2) uint64, as a column of rows; NULL for 0."""
    data = codes.astype(">u8").tobytes()
    known = np.asarray(codes.any(axis=1), np.bool_).tolist()
    values = [
        data[place * CODE_BYTES : (place + 1) * CODE_BYTES] if there else None for place, there in enumerate(known)
    ]
    return pa.array(values, pa.binary(CODE_BYTES))
