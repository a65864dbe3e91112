"""How unsure each model is of each sample."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.signal import Check, Publication, Signal, Whole
from brain_assets.incremental.update import Update
from brain_assets.methods.labels import hardness as method
from brain_assets.resources.store.store import Merge

NONE = "select * exclude (changed) from hardness where false"
GONE = "(sample_id, label_field, model) not in (select (sample_id, label_field, model) from predictions)"
# Without scores over the classes their number matters, and it grows with the dataset.
CLASSES = """
    select count(distinct label) from (
        select unnest(labels) as label from prediction_rows union all select unnest(labels) from ground_truth)"""


def update_hardness(update: Update) -> Iterator[Merge]:
    """Measure predictions that changed, and those of which only the confidence is known."""
    since = -1 if update.anew else update.since
    rows = update.query(f"""
        select sample_id, label_field, model, logits, list_avg(confidences) as confidence from effective_predictions
        where changed > {since} or logits is null""")
    classes = max(len(update.dataset.settings.classes), int(update.dataset.store.value(CLASSES)), 1)
    values = method.hardness_from_confidence(rows.column("confidence").to_numpy(), classes)
    for positions, logits in logit_matrices(rows.column("logits")):
        values[positions] = method.hardness(logits)
    update.notes |= {"measured": rows.num_rows}
    table = rows.select(["sample_id", "label_field", "model"])
    yield Merge("hardness", table.append_column("hardness", pa.array(values, from_pandas=True)))
    yield Merge("hardness", NONE, within=GONE)


def logit_matrices(column: pa.ChunkedArray) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Yield the rows that have scores over the same number of classes, with their matrix."""
    lists = column.combine_chunks()
    lengths = np.nan_to_num(lists.value_lengths().to_numpy(zero_copy_only=False)).astype(np.int64)
    for length in np.unique(lengths[lengths > 0]).tolist():
        positions = np.flatnonzero(lengths == length)
        values = lists.take(pa.array(positions)).flatten().to_numpy(zero_copy_only=False)
        yield positions, values.astype(np.float64).reshape(-1, length)


HARDNESS = Signal(
    name="hardness",
    description="How unsure each model is of each sample: the entropy of its distribution over the classes. The hardest samples"
    " are ambiguous, mislabelled, or what the model has yet to learn.",
    group="labels",
    reads=("predictions", "ground_truth"),
    writes=("hardness",),
    update=Whole(update_hardness),
    checks=(
        Check(
            "every_prediction_has_a_hardness",
            "select count(*) from predictions anti join hardness using (sample_id, label_field, model)",
            "Each prediction was measured.",
        ),
    ),
    publishes=(
        Publication(
            "hardness",
            """
            select sample_id, label_field, model, hardness from hardness
            union all select sample_id, label_field, '*', avg(hardness) from hardness
            where label_field in (select label_field from hardness group by label_field having count(distinct model) > 1)
            group by sample_id, label_field
            order by label_field, model, hardness desc, sample_id""",
            {
                "sample_id": "The sample.",
                "label_field": "The field of labels.",
                "model": "The model; * is the mean over models where there are several.",
                "hardness": "Nats; an upper bound where only the confidence is known; NULL where nothing is.",
            },
        ),
    ),
    metrics={"mean_hardness": "select coalesce(avg(hardness), 0) from hardness"},
)
