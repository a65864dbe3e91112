"""What decides which of several copies is kept, in the order that is configured."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from brain_assets.incremental.words import Evidence, number
from brain_assets.methods.duplicates import keep_policy as policy

# The earliest time that is known of an image: of the picture, else of its file.
TIME = "coalesce(taken_at, modified_at::timestamp)"


def keep_criteria(rows: pa.Table, order: Sequence[str], protected: Sequence[str]) -> list[policy.Criterion]:
    """Return the criteria by which samples are preferred: before all else one that no exact copy makes superfluous.

    Parameters
    ----------
    rows : pyarrow.Table
        ``is_copy`` (an exact copy is kept instead), ``split``, ``labelled``, ``width``, ``height``, ``bytes`` and
        ``existed_at`` (``TIME``) of each sample.
    order : sequence of str
        The setting ``near_duplicates.keep``.
    protected : sequence of str
        The setting ``keep_first``.
    """
    made = {
        "split": lambda: policy.protected_splits(rows.column("split").to_pylist(), protected),
        "label": lambda: policy.labelled(np.array(rows.column("labelled"), np.bool_)),
        "resolution": lambda: policy.resolution(_whole(rows, "width"), _whole(rows, "height")),
        "size": lambda: policy.file_size(_whole(rows, "bytes")),
        "age": lambda: policy.age(rows.column("existed_at").to_numpy().astype("datetime64[s]")),
    }
    exact = policy.kept_exactly(np.array(rows.column("is_copy"), np.bool_))
    return [exact, *(made[name]() for name in order)]


def say_copy(evidence: Evidence, labels: str, partner: str) -> str:
    """Return what a copy that is not kept is a copy of."""
    reason = str(evidence.get("reason") or f"a copy of {partner}")
    distance = evidence.get("distance")
    return f"{reason}; distance {number(distance)}" if isinstance(distance, float) else reason


def _whole(rows: pa.Table, name: str) -> policy.Rows:
    return np.array(rows.column(name).fill_null(0), np.int64)
