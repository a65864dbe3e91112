"""Vectors of a run's subjects as a matrix, for the methods that need them and not only their distances."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.update import Update, literal
from brain_assets.resources.errors import StoreError
from brain_assets.resources.machine import available_memory
from brain_assets.resources.scratch import lies_on_disk, scratch

# Keys that a fit keeps of the vectors it rests on: a share of a half is told to within an eighth.
REMEMBERED = 64
# Rows that are scaled at once: a second matrix of a million vectors is gigabytes.
SCALED_ROWS = 1 << 14
# So many times a graph is in memory while it is built or changes.
GRAPHS = 6


@dataclass(frozen=True)
class Vectors:
    """Subjects, ascending, with their vectors."""

    ids: pa.Array
    matrix: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)


def read_vectors(update: Update, condition: str = "true") -> Vectors:
    """Return the vectors of the embeddings run that ``update.run`` reads.

    Parameters
    ----------
    update : Update
        Its run has ``embeddings`` and may have ``where`` among its settings.
    condition : str
        SQL condition on ``embeddings`` that narrows the subjects further.
    """
    rows = update.query(f"""
        select subject_id, node from embeddings join vectors using (model_version, input_key)
        where {taking_part(update)} and ({condition}) order by subject_id""")
    return Vectors(rows.column("subject_id").combine_chunks(), matrix_of(update, rows.column("node").to_numpy()))


def matrix_of(update: Update, nodes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the vectors of ``nodes``, which may name one several times, as rows of one matrix.

    The database holds but a batch of them: it neither sorts nor joins vectors; each is put in its place as it comes.

    Returns
    -------
    matrix : (len(nodes), d) float32
        (0, 1) where there are no nodes.

    Raises
    ------
    StoreError
        If the matrix does not fit into memory, before any vector is read.
    """
    if not len(nodes):
        return np.zeros((0, 1), np.float32)
    width = update.dataset.store.value("select len(vector) from vectors where node = ?", [int(nodes[0])])
    refuse_what_does_not_fit(update, len(nodes), width)
    matrix = scratch((len(nodes), width), update.dataset.store.path.parent)
    order = np.argsort(nodes, kind="stable")
    ordered, filled = nodes[order], 0
    within = f"node between {ordered[0]} and {ordered[-1]} and vector is not null"
    for batch in update.dataset.store.stream(f"select node, vector from vectors where {within}"):
        read = batch.column("node").to_numpy()
        first, last = np.searchsorted(ordered, read, "left"), np.searchsorted(ordered, read, "right")
        rows = np.repeat(np.arange(len(read)), last - first)
        places = order[first[rows] + _counted(last - first)]
        wanted = batch.column("vector").take(pa.array(np.flatnonzero(last > first)))
        vectors = wanted.flatten().to_numpy().reshape(-1, width)
        matrix[places] = vectors[np.repeat(np.arange(len(wanted)), (last - first)[last > first])]
        filled += len(places)
    assert filled == len(nodes), "a vector is missing"
    return matrix


def _counted(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, ... for each of some lengths, one after the other."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def refuse_what_does_not_fit(update: Update, count: int, width: int, neighbors: int = 0) -> None:
    """Raise before long work if a graph, and vectors that have no room on the disk, will not fit into memory.

    Parameters
    ----------
    update : Update
    count, width : int
        Vectors, and numbers in each.
    neighbors : int
        Length of each list of the graph, which is held some times while it changes.
    """
    vectors = 4 * count * width
    on_disk = lies_on_disk(vectors, update.dataset.store.path.parent)
    free, needed = available_memory(), GRAPHS * 8 * count * neighbors + (0 if on_disk else vectors)
    if free is not None and needed > free:
        raise StoreError(
            f"{count} vectors of {width} numbers need {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: choose"
            " an embeddings.model with shorter vectors in dataset.yaml, split the dataset, or run where there is more memory"
        )


def taking_part(update: Update) -> str:
    """Return the SQL condition of rows of ``embeddings`` that take part in a run."""
    condition = f"embeddings.brain_key = {update.embeddings}"
    where = update.run.settings.get("where")
    return (
        f"{condition} and embeddings.sample_id in (select sample_id from sample_facts where {where})"
        if where
        else condition
    )


def unit_rows(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows of length 1; a zero row stays zero."""
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(matrix, lengths, out=np.zeros_like(matrix), where=lengths > 0)
    return unit


def in_place(
    scaled: Callable[[NDArray[np.float32]], NDArray[np.float32]], matrix: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Scale rows, each of which follows from its own values alone, where they lie, and return the matrix."""
    for start in range(0, len(matrix), SCALED_ROWS):
        rows = slice(start, start + SCALED_ROWS)
        matrix[rows] = scaled(matrix[rows])
    return matrix


def remembered(update: Update) -> list[str]:
    """Return the keys of some of the vectors that are there now, chosen by hash, in whatever order they came."""
    return [str(key) for key in update.column(f"{_keys(update)} order by md5(input_key) limit {REMEMBERED}")]


def mostly_replaced(update: Update, fitted_to: Sequence[str]) -> bool:
    """Return whether half of the vectors that something was fitted to have gone or become others."""
    if not fitted_to:
        return False
    left = f"select count(*) from ({_keys(update)}) where input_key in (select unnest(?::varchar[]))"
    return bool(2 * update.dataset.store.value(left, [list(fitted_to)]) <= len(fitted_to))


def _keys(update: Update) -> str:
    embeddings = literal(update.run.settings["embeddings"])
    return f"select distinct input_key from embeddings where brain_key = {embeddings}"
