"""``samples.json`` of a FiftyOne dataset that was exported, or dumped: its samples, their tags and splits, and arrays in it."""

import base64
import binascii
import io
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = "samples.json"
# Tags by which datasets for FiftyOne say in which split a sample is.
SPLIT_TAGS = ("train", "training", "val", "valid", "validation", "test", "testing")
MOST_BYTES = 1 << 30
"""Of an array that is unpacked."""

Sample = Mapping[str, Any]


def samples_of(tree: Any) -> list[Sample]:
    """Return the samples of a file; raises ValueError where it is none of FiftyOne's."""
    given = tree.get("samples") if isinstance(tree, dict) else None
    if not isinstance(given, list) or not all(isinstance(one, dict) and one.get("filepath") for one in given[:1]):
        raise ValueError("there is no list of samples with their filepath")
    return given


def path_of(sample: Sample, folder: Path) -> str:
    """Return where a sample's file lies: what an export brings along, below the export's own folder.

    Raises
    ------
    ValueError
        If it does not say.
    """
    name = sample.get("filepath")
    if not isinstance(name, str) or not name:
        raise ValueError("no filepath")
    plain = name.replace("\\", "/")
    return plain if "://" in plain else (folder / plain).as_posix()


def tags_of(sample: Sample) -> list[str]:
    """Return a sample's tags."""
    given = sample.get("tags")
    return [one for one in given if isinstance(one, str)] if isinstance(given, list) else []


def split_of(sample: Sample) -> str | None:
    """Return a sample's split: what its field ``split`` says, else the one tag that is the name of one.

    Examples
    --------
    >>> (
    ...     split_of({"tags": ["night", "train"]}),
    ...     split_of({"tags": ["train", "test"]}),
    ...     split_of({"split": {"label": "dev"}}),
    ... )
    ('train', None, 'dev')
    """
    said = sample.get("split")
    said = said.get("label") if isinstance(said, dict) else said
    if isinstance(said, str) and said:
        return said
    named = [tag for tag in tags_of(sample) if tag.lower() in SPLIT_TAGS]
    return named[0] if len(named) == 1 else None


def columns_of(tree: Any, folder: Path) -> list[dict[str, Any]]:
    """Return ``filepath``, ``split`` and ``tags`` of the samples of a file, without those that name no file.

    Parameters
    ----------
    tree : object
        What the file's JSON holds.
    folder : Path
        The one that the file lies in.
    """
    named = [one for one in samples_of(tree) if isinstance(one, dict) and isinstance(one.get("filepath"), str)]
    return [{"filepath": path_of(one, folder), "split": split_of(one), "tags": tags_of(one)} for one in named]


def file_and_field(target: str) -> tuple[str, str]:
    """Return the path of a file of vectors, and the field behind a ``#`` where one is named, else an empty text.

    Examples
    --------
    >>> file_and_field("pets/samples.json#clip"), file_and_field("vectors.npz")
    (('pets/samples.json', 'clip'), ('vectors.npz', ''))
    """
    named, mark, field = target.rpartition(f"{FILE}#")
    return (f"{named}{FILE}", field) if mark else (target, "")


def vectors_of(tree: Any, folder: Path, field: str = "") -> tuple[list[str], list[NDArray[np.float32]]]:
    """Return the paths of the samples that have a vector, and the vectors.

    Parameters
    ----------
    tree, folder
        As for `columns_of`.
    field : str
        Which one; the only one that is a vector where it is empty.

    Raises
    ------
    ValueError
        If there is no such field, or several.
    """
    samples = [one for one in samples_of(tree) if isinstance(one, dict) and isinstance(one.get("filepath"), str)]
    fields = {name for one in samples for name, value in one.items() if _is_vector(value)}
    if (field and field not in fields) or (not field and len(fields) != 1):
        told = ", ".join(sorted(fields)) or "none"
        raise ValueError(f"say which field of vectors is meant, as in {FILE}#FIELD (fields of vectors: {told})")
    chosen = field or fields.pop()
    given = [(path_of(one, folder), array_of(one[chosen])) for one in samples if one.get(chosen) is not None]
    return [path for path, _ in given], [np.ravel(vector).astype(np.float32) for _, vector in given]


def _is_vector(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) > 1 and all(isinstance(one, float | int) and not isinstance(one, bool) for one in value)
    return isinstance(value, dict) and "$binary" in value


def array_of(value: Any) -> NDArray[Any]:
    """Return an array as FiftyOne writes it: a list of numbers, or a packed ``.npy`` in base 64; raises ValueError."""
    if isinstance(value, list):
        return np.asarray(value)
    text = value.get("$binary") if isinstance(value, dict) else value
    text = text.get("base64") if isinstance(text, dict) else text
    if not isinstance(text, str):
        raise ValueError("no array")
    try:
        return np.asarray(np.load(io.BytesIO(_unpacked(base64.b64decode(text))), allow_pickle=False))
    except (binascii.Error, zlib.error, EOFError) as error:
        raise ValueError(f"no array: {error}") from None


def _unpacked(data: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    content = unpacking.decompress(data, MOST_BYTES)
    if unpacking.unconsumed_tail:
        raise ValueError(f"an array of more than {MOST_BYTES} bytes")
    return content
