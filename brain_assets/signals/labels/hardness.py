"""How unsure each model is of each sample."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.digests import Slice
from brain_assets.incremental.signal import Check, Histogram, MethodRun, PerSubject, Publication, Signal
from brain_assets.incremental.update import Update
from brain_assets.methods.labels import hardness as method
from brain_assets.resources.dataset import Dataset

CLASSES = """
    select count(distinct label) from (
        select unnest(labels) as label from prediction_rows union all select unnest(labels) from ground_truth)"""
# Without scores over the classes their number matters, and it grows with the dataset.
INPUTS = """
    select sample_id, label_field, model, logits, list_avg(confidences) as confidence,
        if(logits is null, {classes}, null) as classes
    from effective_predictions"""


def _inputs(update: Update) -> list[Slice]:
    classes = max(int(update.value(CLASSES)), int(update.run.settings["classes"]), 1)
    return [Slice(INPUTS.format(classes=classes))]


def judge_hardness(_: Update, rows: pa.Table, __: None) -> pa.Table:
    """Measure how unsure the models are, by their scores over the classes or else by their confidence."""
    classes = max((known for known in rows.column("classes").unique().to_pylist() if known), default=1)
    values = method.hardness_from_confidence(rows.column("confidence").to_numpy(), classes)
    for positions, logits in logit_matrices(rows.column("logits")):
        values[positions] = method.hardness(logits)
    table = rows.select(["sample_id", "label_field", "model"])
    return table.append_column("hardness", pa.array(values, from_pandas=True))


def _runs(dataset: Dataset) -> list[MethodRun]:
    return [MethodRun("hardness", {"classes": len(dataset.settings.classes)})]


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
    reads=("predictions", "prediction_rows", "builtin_predictions", "ground_truth"),
    writes=("hardness",),
    update=PerSubject("hardness", ("sample_id", "label_field", "model"), _inputs, judge_hardness),
    runs=_runs,
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
            where model != 'builtin' and label_field in (
                select label_field from hardness where model != 'builtin' group by 1 having count(distinct model) > 1)
            group by sample_id, label_field
            order by label_field, model, hardness desc, sample_id""",
            {
                "sample_id": "The sample.",
                "label_field": "The field of labels.",
                "model": "The model; * is the mean over models, builtin left out, where there are several.",
                "hardness": "Nats; an upper bound where only the confidence is known; NULL where nothing is.",
            },
        ),
    ),
    metrics={
        "mean_hardness": "select coalesce(avg(hardness) filter (model != 'builtin'), avg(hardness), 0) from hardness"
    },
    chart=Histogram("hardness in nats", "select hardness from hardness"),
    view={"colour": "hardness", "sort": "hardness"},
)
