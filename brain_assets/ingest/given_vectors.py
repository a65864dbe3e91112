"""Vectors that the user has: matched to samples by path or id, and kept by sample and content of the vector.

A row whose sample is not there yet waits and matches when it arrives; a sample that the file does not name has no vector.
"""

import hashlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.update import Update
from brain_assets.ingest.decode_pass import VECTORS, vector_row
from brain_assets.resources.media.media_source import sample_id
from brain_assets.resources.store.store import Merge

if TYPE_CHECKING:
    from brain_assets.resources.models.embedding_precomputed import Key, PrecomputedVectors

# Nothing was computed that a kill could lose: what is committed at once is many vectors, as each time keys are compared with all.
COMMIT_BYTES = 1 << 24
# Of several rows for one sample, by its path and its address, the first counts.
MATCHED = """
    select sample_id, min(place) as place from (
        select sample_id, place from readable join given_rows using (sample_id)
        union all
        select samples.sample_id, place from samples join given_rows using (uri) semi join readable
            on readable.sample_id = samples.sample_id)
    group by sample_id order by sample_id"""
NEW = """
    select input_key, place from given_vectors
    where input_key not in (select input_key from vectors where model_version = ?)"""


def assign(update: Update, model: "PrecomputedVectors") -> str:
    """Commit the given vectors of readable samples and return the query that tells which sample has which.

    Parameters
    ----------
    update : Update
        Its notes tell how many rows wait for their sample, and how many readable samples have no vector.
    model : PrecomputedVectors
    """
    keys, matrix = model.vectors()
    connection = update.dataset.store.connection
    connection.register("given_rows", _rows(model.key, keys))
    matched = update.query(MATCHED)
    places = matched.column("place").to_numpy()
    names = [input_key(name, matrix[place]) for name, place in zip(matched.column(0).to_pylist(), places, strict=True)]
    connection.register("given_vectors", matched.append_column("input_key", pa.array(names, pa.string())))
    _commit(update, model.version, matrix)
    readable = update.dataset.store.value("select count(*) from readable")
    update.notes |= {"given": len(keys), "waiting": len(keys) - len(set(places.tolist()))}
    update.notes["without_vector"] = readable - len(names)
    return "select sample_id, input_key from given_vectors"


def input_key(name: str, vector: NDArray[np.float32]) -> str:
    """Return what names a sample's given vector: a hash of the sample's id and the vector's bytes."""
    return hashlib.blake2b(name.encode() + vector.tobytes(), digest_size=16).hexdigest()


def _rows(key: "Key", keys: list[str]) -> pa.Table:
    ids: list[str | None] = list(keys)
    uris: list[str | None] = [None] * len(keys)
    if key == "filepath":
        paths = [os.path.normpath(path) for path in keys]
        ids = [None if os.path.isabs(path) else sample_id(path) for path in paths]
        uris = [path if os.path.isabs(path) else None for path in paths]
    columns: dict[str, Any] = {"sample_id": pa.array(ids, pa.string()), "uri": pa.array(uris, pa.string())}
    return pa.table(columns | {"place": np.arange(len(keys))})


def _commit(update: Update, version: str, matrix: NDArray[np.float32]) -> None:
    fresh = update.query(NEW, [version])
    count = max(COMMIT_BYTES // max(matrix[:1].nbytes, 1), 1)
    for start in range(0, fresh.num_rows, count):
        batch = fresh.slice(start, count).to_pylist()
        rows = [vector_row(version, row["input_key"], matrix[row["place"]]) for row in batch]
        update.commit(Merge("vectors", pa.Table.from_pylist(rows, schema=VECTORS)))
    update.notes["embedded"] = fresh.num_rows
