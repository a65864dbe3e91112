"""Vectors of a run's subjects as a matrix, for the methods that need them and not only their distances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental import Update, literal

# Keys that a fit keeps of the vectors it rests on: a share of a half is told to within an eighth.
REMEMBERED = 64


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
    settings = update.run.settings
    if settings.get("where"):
        condition += f" and embeddings.sample_id in (select sample_id from sample_facts where {settings['where']})"
    rows = update.query(f"""
        select subject_id, vector from embeddings join vectors using (model_version, input_key)
        where embeddings.brain_key = {literal(settings["embeddings"])} and ({condition}) order by subject_id""")
    values = rows.column("vector").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    matrix = values.reshape(rows.num_rows, -1) if rows.num_rows else np.zeros((0, 1), np.float32)
    return Vectors(rows.column("subject_id").combine_chunks(), matrix)


def unit_rows(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows of length 1; a zero row stays zero."""
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(matrix, lengths, out=np.zeros_like(matrix), where=lengths > 0)
    return unit


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


def gone_from(update: Update, source: str, key: str) -> str:
    """Return the condition of the run's rows whose subject is no longer among the run ``key`` of the table ``source``."""
    return f"brain_key = {update.key} and subject_id not in (select subject_id from {source} where brain_key = {literal(key)})"
