"""Scores over the classes that files of predictions give: logits, or probabilities instead."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.resources.tabular import Rows, number_lists

TOLERANCE = 0.01
"""How far the sum of a row's probabilities may be from 1."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """Logits, or the logarithms of probabilities, of n rows.

    Attributes
    ----------
    lists : (n,) pyarrow.Array of lists of float64
        NULL where a row has none that can be used, else all of one length.
    known : (n,) bool
    matrix : (m, classes) float64
        Those that are known.
    probable : bool
        Whether probabilities were given.
    """

    lists: pa.Array
    known: Mask
    matrix: NDArray[np.float64]
    probable: bool


def read_scores(rows: Rows, classes: Sequence[str]) -> tuple[Scores, Mask]:
    """Return the scores of rows, and which rows have nothing wrong with theirs; what is wrong is listed there.

    Parameters
    ----------
    rows : Rows
        With a column ``logits``, else perhaps ``probabilities``: lists of float.
    classes : sequence of str
        As many as there must be scores; where none are known, the commonest length counts.
    """
    import pyarrow.compute as pc

    probable = rows.column("logits") is None and rows.column("probabilities") is not None
    lists, malformed = number_lists(rows.column("probabilities" if probable else "logits"), len(rows.lines))
    rows.reject(malformed, "logits_not_numbers")
    given = lists.is_valid().to_numpy(zero_copy_only=False)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    width = len(classes) or max(int(np.bincount(lengths[given], minlength=1).argmax()), 1)
    misfit = given & (lengths != width)
    rows.reject(misfit, "logits_length", f"expected {width}")
    known = given & ~misfit
    matrix = (
        lists.filter(pa.array(known)).flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, width)
    )
    wrong = _among(known, _wrong(rows, known, matrix, probable=probable))
    if probable:
        with np.errstate(divide="ignore", invalid="ignore"):
            matrix = np.log(matrix)
    return Scores(_lists(known, matrix), known, matrix, probable), ~(malformed | misfit | wrong)


def _wrong(rows: Rows, known: Mask, matrix: NDArray[np.float64], *, probable: bool) -> Mask:
    """Return which of the known rows are no scores; a logit may be minus infinity, though not all of a row."""
    bounded = np.isfinite(matrix) if probable else ~(np.isnan(matrix) | np.isposinf(matrix))
    endless: Mask = np.logical_not(bounded.all(axis=1) & np.isfinite(matrix).any(axis=1))
    rows.reject(_among(known, endless), "logits_not_finite")
    if not probable:
        return endless
    unnormed: Mask = ~endless & ((matrix < 0).any(axis=1) | (abs(matrix.sum(axis=1) - 1) > TOLERANCE))
    rows.reject(_among(known, unnormed), "probabilities_sum", "probabilities must be at least 0 and sum to 1")
    return endless | unnormed


def _among(known: Mask, values: Mask) -> Mask:
    """Return values of the known rows as those of all, False elsewhere."""
    everywhere = np.zeros(len(known), bool)
    everywhere[known] = values
    return everywhere


def _lists(known: Mask, matrix: NDArray[np.float64]) -> pa.Array:
    """Return the rows of a matrix as lists, NULL between them where a row is not known."""
    import pyarrow.compute as pc

    offsets = np.concatenate([[0], np.cumsum(known * matrix.shape[1])]).astype(np.int32)
    return pc.if_else(pa.array(known), pa.ListArray.from_arrays(offsets, matrix.ravel()), None)
