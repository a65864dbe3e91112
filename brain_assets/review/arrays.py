"""Columns and maps as arrays over the positions of a frame."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.review.columns import Column, columns, values_of
from brain_assets.review.refusal import Refused
from brain_assets.review.sets import Frame, OpenSet, literal
from brain_assets.review.wire import pack

# A column of words with more different ones than this is sorted and searched, but not listed.
MOST_CATEGORIES = 20_000


def column_message(opened: OpenSet, frame: Frame, name: str) -> bytes:
    """Return the values of a column over all positions, as a message of :mod:`wire`.

    ``number`` and ``time`` (seconds since 1970) come as ``values``, NaN where there is none. ``category`` comes as
    ``codes`` into the header's ``values``, most frequent first, with ``len(values)`` where there is none. ``labels``
    come as the ``codes`` of all subjects on end, those of position i from ``offsets[i]`` to ``offsets[i + 1]``.
    ``text`` comes as ``ranks`` in alphabetical order.
    """
    column = columns(opened, frame).get(name)
    if column is None:
        raise Refused(404, f"there is no column {name!r}")
    count = opened.count(frame)
    positions, values = _read(opened, frame, column)
    if column.kind in ("number", "time"):
        return pack({"kind": column.kind}, {"values": _numbers(positions, values, count, column)})
    if column.kind == "labels":
        return _labels_message(positions, values, count)
    return _words_message(column, positions, values, count)


def map_message(opened: OpenSet, frame: Frame, brain_key: str) -> bytes:
    """Return the coordinates of a map as ``x`` and ``y`` over all positions, NaN for subjects that are not on it."""
    if not opened.has("visualization", "x", "y", "brain_key"):
        raise Refused(404, "no map has been computed yet")
    subject = "object_id" if frame == "objects" else "sample_id"
    about = "object_id is not null" if frame == "objects" else "object_id is null"
    query = f"""
        select f.position, v.x::float as x, v.y::float as y from {opened.frame(frame)} f join (
            select {subject} as subject_id, x, y from visualization where brain_key = {literal(brain_key)} and {about}
        ) v using (subject_id)
    """
    found = opened.cursor().execute(query).fetchnumpy()
    coordinates = {axis: np.full(opened.count(frame), np.nan, np.float32) for axis in ("x", "y")}
    for axis, values in coordinates.items():
        values[found["position"]] = np.ma.filled(found[axis], np.nan)
    return pack({"brain_key": brain_key}, coordinates)


def _read(opened: OpenSet, frame: Frame, column: Column) -> tuple[NDArray[Any], pa.ChunkedArray]:
    value = {"time": "epoch(value)", "flag": "if(value, 'yes', 'no')"}.get(column.kind, "value")
    if column.kind in ("category", "text"):
        value = "value::varchar"
    query = f"select position, {value} as value from {values_of(opened, frame, column)}"
    table = opened.cursor().sql(query).to_arrow_table()
    return table["position"].to_numpy(), table["value"]


def _numbers(positions: NDArray[Any], values: pa.ChunkedArray, count: int, column: Column) -> NDArray[Any]:
    numbers = values.cast(pa.float64(), safe=False).to_numpy()
    exact = column.kind == "number" and (len(numbers) == 0 or np.nanmax(np.abs(numbers), initial=0) < 2**24)
    array = np.full(count, np.nan, np.float32 if exact else np.float64)
    array[positions] = numbers
    return array


def _encode(values: pa.ChunkedArray) -> tuple[NDArray[Any], list[str], NDArray[np.int64]]:
    """Return codes, words and their frequencies, the most frequent word first and equals in alphabetical order."""
    encoded = values.combine_chunks().dictionary_encode()
    words, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    counts = np.bincount(codes, minlength=len(words))
    order = sorted(range(len(words)), key=lambda code: (-counts[code], words[code]))
    rank = np.empty(len(words), np.uint32)
    rank[order] = np.arange(len(words), dtype=np.uint32)
    return rank[codes], [words[code] for code in order], counts[order]


def _words_message(column: Column, positions: NDArray[Any], values: pa.ChunkedArray, count: int) -> bytes:
    codes, words, counts = _encode(values)
    if column.kind == "text" or len(words) > MOST_CATEGORIES:
        alphabetical = np.empty(len(words), np.float64)
        alphabetical[sorted(range(len(words)), key=words.__getitem__)] = np.arange(len(words))
        ranks = np.full(count, np.nan)
        ranks[positions] = alphabetical[codes]
        return pack({"kind": "text"}, {"ranks": ranks})
    full = np.full(count, len(words), np.uint16 if len(words) < 2**16 else np.uint32)
    full[positions] = codes
    return pack({"kind": "category", "values": words, "counts": counts.tolist()}, {"codes": full})


def _labels_message(positions: NDArray[Any], values: pa.ChunkedArray, count: int) -> bytes:
    lists = values.combine_chunks().take(pa.array(np.argsort(positions, kind="stable")))
    lengths = np.zeros(count, np.int64)
    lengths[np.sort(positions)] = lists.value_lengths().to_numpy()
    codes, words, counts = _encode(pa.chunked_array([lists.flatten()], pa.string()))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.uint32)
    return pack({"kind": "labels", "values": words, "counts": counts.tolist()}, {"offsets": offsets, "codes": codes})


def maps(opened: OpenSet, frame: Frame) -> list[str]:
    """Return the runs that put subjects of a frame on a map; the default one first."""
    if not opened.has("visualization", "x", "y", "brain_key"):
        return []
    about = "object_id is not null" if frame == "objects" else "object_id is null"
    rows = opened.cursor().execute(f"select distinct brain_key from visualization where {about}").fetchall()
    return sorted((row[0] for row in rows), key=lambda key: (key != "visualization", key))
