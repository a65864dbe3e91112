"""``precomputed:FILE``: vectors that the user has, looked up by sample rather than computed.

The file names each sample by a column or array ``filepath`` or ``sample_id`` and gives its vector as

- ``.npz``: an array ``vectors`` beside the array of keys;
- ``.npy``: a matrix, with its keys in a ``.csv`` of the same stem whose rows are in the same order;
- ``.parquet``: a column ``vector`` of lists;
- ``.csv``: a column ``vector`` of JSON lists, or one numeric column per dimension;
- ``samples.json`` of a FiftyOne dataset, with ``#FIELD`` behind it where there are several fields of vectors.

Names in the plural are understood, and ``embedding`` for ``vector``.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic
from numpy.typing import NDArray

from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.fiftyone_samples import FILE, file_and_field, vectors_of
from brain_assets.resources.local_files import bytes_of, open_local
from brain_assets.resources.models.embedding_cache import fingerprint
from brain_assets.resources.models.embedding_files import existing_file
from brain_assets.resources.models.embedding_networks import first_line
from brain_assets.resources.scratch import scratch

if TYPE_CHECKING:
    import pyarrow as pa

Key = Literal["filepath", "sample_id"]
Vectors = tuple[Key, list[str], NDArray[np.float32]]

KEY_NAMES: dict[str, Key] = {
    "filepath": "filepath",
    "filepaths": "filepath",
    "sample_id": "sample_id",
    "sample_ids": "sample_id",
}
VECTOR_NAMES = ("vector", "vectors", "embedding", "embeddings")
HEADERS: Mapping[tuple[int, int], Callable[[IO[bytes]], Any]] = {
    (1, 0): read_array_header_1_0,
    (2, 0): read_array_header_2_0,
}
# Bytes of an array that are read at once.
READ_BYTES = 1 << 24
RUNTIME = "precomputed"
VERSION = fingerprint(RUNTIME, 1)


@dataclass(frozen=True)
class PrecomputedVectors:
    """Vectors of a file, by sample.

    Attributes
    ----------
    name : str
        The URI as configured.
    key : {"filepath", "sample_id"}
        What the keys are.
    keys : list of str
        Distinct; paths are absolute or relative to the media root.
    matrix : ndarray of shape (n, dimension), float32
        Row by row the vectors of ``keys``, as given: NaN and zero vectors stay.
    """

    name: str
    key: Key
    keys: list[str]
    matrix: NDArray[np.float32]
    # The same for every file: a row is named by its sample and its bytes, so that an edited file costs its edits only.
    version: str = VERSION
    runtime: str = RUNTIME
    input: None = None
    supports_text: bool = False

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return int(self.matrix.shape[1])

    def vectors(self) -> tuple[list[str], NDArray[np.float32]]:
        """Return the keys and the ``(n, dimension)`` matrix of their vectors."""
        return self.keys, self.matrix

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raise TypeError: these vectors belong to samples, not to pixels."""
        raise TypeError(f"{self.name} holds vectors by {self.key}; it cannot embed images")

    def embed_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raise TypeError: there is no model."""
        raise TypeError(f"{self.name} holds vectors by {self.key}; it cannot embed text")


def load_vectors(target: str, folder: Path | None = None) -> PrecomputedVectors:
    """Return the vectors of a file.

    Parameters
    ----------
    target : str
        The file, for a FiftyOne dataset with ``#FIELD``.
    folder : Path, optional
        Where many of them may lie while they are held, see `scratch`; by default in the system's folder for such files.

    Raises
    ------
    MissingError
        There is no such file.
    ConfigurationError
        It lacks keys or vectors, they differ in number or length, or a key is given twice.
    """
    named, field = file_and_field(target)
    path = existing_file(named)
    held = folder if folder and folder.is_dir() else Path(tempfile.gettempdir())
    read = partial(_read_samples, field=field) if path.name == FILE else READERS.get(path.suffix.lower())
    if read is None:
        raise ConfigurationError(
            f"{path}: precomputed vectors are read from {', '.join(READERS)}, or {FILE} of FiftyOne"
        )
    try:
        key, keys, matrix = read(path, held)
    except BrainError:
        raise
    except Exception as error:
        raise ConfigurationError(f"{path} cannot be read: {first_line(error)}") from error
    _check(path, keys, matrix)
    return PrecomputedVectors(f"precomputed:{target}", key, keys, matrix)


def _check(path: Path, keys: Sequence[str], matrix: NDArray[np.float32]) -> None:
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise ConfigurationError(f"{path}: vectors must form a matrix of one row per sample, not {matrix.shape}")
    if len(keys) != len(matrix):
        raise ConfigurationError(f"{path}: {len(keys)} keys for {len(matrix)} vectors")
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise ConfigurationError(f"{path}: {twice[0]!r} is given more than once ({len(twice)} such keys)")


def _read_npz(path: Path, folder: Path) -> Vectors:
    with open_local(path) as file, np.load(file, allow_pickle=False) as arrays:
        key = _one_of(arrays.files, KEY_NAMES, path)
        keys = arrays[key].astype(str).tolist()
        name = _one_of(arrays.files, VECTOR_NAMES, path)
        member = name if name in arrays.zip.namelist() else f"{name}.npy"
        with arrays.zip.open(member) as vectors:
            found = _matrix(vectors, folder)
        return KEY_NAMES[key], keys, arrays[name].astype(np.float32, copy=False) if found is None else found


def _read_npy(path: Path, folder: Path) -> Vectors:
    beside = existing_file(str(path.with_suffix(".csv")))
    key, keys = _keys(_read_table(beside), beside)
    with open_local(path) as file:
        found = _matrix(file, folder)
        file.seek(0)
        return key, keys, np.load(file, allow_pickle=False).astype(np.float32, copy=False) if found is None else found


def _matrix(file: IO[bytes], folder: Path) -> NDArray[np.float32] | None:
    """Return the matrix of an array file, read part by part; None where it is no matrix of numbers, row by row."""
    read_header = HEADERS.get(read_magic(file))
    if read_header is None:
        return None
    shape, by_columns, kind = read_header(file)
    if len(shape) != 2 or by_columns or kind.kind not in "iuf" or 0 in shape:
        return None
    matrix = scratch(shape, folder)
    row = shape[1] * kind.itemsize
    at_once = max(READ_BYTES // row, 1)
    for start in range(0, shape[0], at_once):
        count = min(at_once, shape[0] - start)
        read = file.read(count * row)
        if len(read) < count * row:
            raise ValueError(f"it ends before the last of {shape[0]} vectors")
        matrix[start : start + count] = np.frombuffer(read, kind).reshape(count, shape[1])
    return matrix


def _read_rows(path: Path, _: Path) -> Vectors:
    table = _read_table(path)
    key, keys = _keys(table, path)
    names = [name for name in table.column_names if name not in KEY_NAMES]
    listed = [name for name in names if name in VECTOR_NAMES]
    if listed:
        return key, keys, _unfold(table[listed[0]].to_numpy())
    if path.suffix.lower() == ".parquet" or not names:
        raise ConfigurationError(f"{path} lacks a column {VECTOR_NAMES[0]!r}: it has {', '.join(table.column_names)}")
    return key, keys, np.column_stack([table[name].to_numpy().astype(np.float32) for name in names])


def _read_samples(path: Path, _: Path, field: str) -> Vectors:
    keys, vectors = vectors_of(json.loads(bytes_of(path)), path.absolute().parent, field)
    if len({len(one) for one in vectors}) > 1:
        raise ValueError("vectors differ in length")
    return "filepath", keys, np.array(vectors, np.float32)


def _read_table(path: Path) -> "pa.Table":
    """Return a CSV or Parquet file; the keys of a CSV are text, whatever they look like."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    texts = dict.fromkeys((*KEY_NAMES, *VECTOR_NAMES), pa.string())
    with open_local(path) as file:
        if path.suffix.lower() == ".parquet":
            return parquet.read_table(file)
        return csv.read_csv(file, convert_options=csv.ConvertOptions(column_types=texts))


def _keys(table: "pa.Table", path: Path) -> tuple[Key, list[str]]:
    column = _one_of(table.column_names, KEY_NAMES, path)
    keys = table[column].to_pylist()
    if None in keys:
        raise ConfigurationError(f"{path}: row {keys.index(None) + 1} has no {column}")
    return KEY_NAMES[column], [*map(str, keys)]


def _unfold(cells: NDArray[np.object_]) -> NDArray[np.float32]:
    """Return the matrix of a column of lists, or of texts that hold JSON lists."""
    rows = [json.loads(cell) if isinstance(cell, str) else cell for cell in cells]
    lengths = {len(row) if row is not None else 0 for row in rows}
    if len(lengths) > 1:
        raise ValueError(f"vectors differ in length: {min(lengths)} to {max(lengths)}")
    return np.array(rows, np.float32)


def _one_of(names: Sequence[str], wanted: Iterable[str], path: Path) -> str:
    """Return the first name that is among the wanted ones."""
    found = next((name for name in names if name in wanted), None)
    if found is None:
        first, *others = wanted
        raise ConfigurationError(f"{path} lacks {first!r} (or {', '.join(others)}): it has {', '.join(names)}")
    return found


READERS: dict[str, Callable[[Path, Path], Vectors]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".parquet": _read_rows,
    ".csv": _read_rows,
}
