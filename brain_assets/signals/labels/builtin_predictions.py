"""What a small model says of each sample, fitted on the vectors to the labels of others: predictions for those who have none.

The fit is an input of the predictions, like a threshold: it stands until more than a tenth of the labels that it rests on
came, went or changed, or until somebody asks for another. Each sample is judged by the head that was fitted without its
fold, so by one that has seen neither it nor a copy of it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.calibrations import Fitting, calibrated
from brain_assets.incremental.digests import BATCH, Slice
from brain_assets.incremental.runs import model_of
from brain_assets.incremental.signal import Check, MethodRun, PerSubject, Signal
from brain_assets.incremental.update import Update, literal, section_settings
from brain_assets.incremental.vectors import matrix_of
from brain_assets.methods.labels import linear_probe as method
from brain_assets.methods.labels.linear_probe import FOLDS, LinearProbe
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.threads import one_blas_thread

EMBEDDINGS = "embeddings"
MOST_FITTED = 50_000
CHANGED = 0.1
"""The share of labels that come, go or change before the fit is made anew."""
CELLS = 20_000_000
"""Samples times classes that are predicted together."""

# Contents with one label, and the vector of each; a content that bears several teaches nothing.
LABELLED = """
    select content_hash, any_value(labels[1]) as label, arg_min(node, sample_id) as node
    from ground_truth join readable using (sample_id) join embeddings using (sample_id)
        join vectors using (model_version, input_key)
    where label_field = {field} and brain_key = {embeddings}
    group by content_hash having count(distinct labels[1]) = 1 order by md5(content_hash) limit {limit}"""
COPIES = """
    select content_hash, min(component_id) as component from components join samples on subject_id = sample_id
    where components.brain_key = {copies_of} group by 1"""
CHOSEN = """
    select content_hash, label, node, (md5_number_lower(coalesce(component, content_hash)) % {folds})::integer as fold
    from ({labelled}) left join ({copies}) using (content_hash) order by md5(content_hash)"""
MOVED = """
    select count(*) filter (now.label is distinct from fitted.label) / greatest(count(fitted.label), 1) > {share}
    from ({labelled}) now full join (from probe_folds where brain_key = {key} and label_field = {field}) fitted
        using (content_hash)"""
# The fold that a fit had a content or its copies in; one that it has not seen may be in any.
INPUTS = """
    with own as (select content_hash, fold from probe_folds where brain_key = {key} and label_field = {field}),
    copies as ({copies}),
    beside as (select component, min(fold) as fold from copies join own using (content_hash) group by 1)
    select sample_id, {field} as label_field, label, input_key, node,
        coalesce(own.fold, beside.fold, (md5_number_lower(content_hash) % {folds})::integer) as fold
    from readable join embeddings using (sample_id) join vectors using (model_version, input_key)
        left join (select sample_id, labels[1] as label from ground_truth where label_field = {field}) using (sample_id)
        left join own using (content_hash) left join copies using (content_hash) left join beside using (component)
    where brain_key = {embeddings}"""


@dataclass(frozen=True)
class _Fitted:
    """A fit, the classes that its columns stand for, and what tells it from others."""

    classes: list[str]
    probe: LinearProbe
    mark: str


def _inputs(update: Update) -> Iterator[Slice]:
    """Yield the samples of each field that a model is fitted to; a fit is made where that is due."""
    names = "select label_field from ground_truth group by 1 having not bool_or(multilabel) order by 1"
    for name in update.column(names):
        found = _fitted(update, name)
        if found:
            query = INPUTS.format(copies=_copies(update), folds=FOLDS, **_literals(update, name))
            yield Slice(query, found.mark, found, batch=min(BATCH, max(CELLS // len(found.classes), 1)))


def _literals(update: Update, name: str) -> dict[str, str]:
    return {"key": update.key, "field": literal(name), "embeddings": update.embeddings}


def _copies(update: Update) -> str:
    return COPIES.format(copies_of=literal(update.run.settings["copies"]))


def _fitted(update: Update, name: str) -> _Fitted | None:
    """Return the fit that holds for a field, None while it has too few labels."""
    literals = _literals(update, name)
    labelled = LABELLED.format(limit=MOST_FITTED, **literals)
    count, classes = update.dataset.store.rows(f"select count(*), count(distinct label) from ({labelled})")[0]
    when = Fitting(
        count if classes > 1 else 0,
        least=update.run.settings["BuiltinModelSettings"]["min_samples"],
        outdated=lambda _: bool(update.value(MOVED.format(labelled=labelled, share=CHANGED, **literals))),
    )
    fit = partial(_fit, update, name, labelled)
    found = calibrated(update, f"builtin_model {name}", fit, (0.0, {}), when)
    return _stored(update, literals, found.evidence) if found.evidence["origin"] == "fitted" else None


def _fit(update: Update, name: str, labelled: str) -> tuple[float, Mapping[str, Any]]:
    """Fit the heads of a field, commit them with what each has seen, and return their accuracy with evidence."""
    import pyarrow.compute as pc

    rows = update.query(CHOSEN.format(labelled=labelled, copies=_copies(update), folds=FOLDS))
    classes = sorted(set(rows.column("label").to_pylist()))
    labels = pc.index_in(rows.column("label"), pa.array(classes)).to_numpy().astype(np.int64)
    vectors = matrix_of(update, rows.column("node").to_numpy())
    with one_blas_thread():
        probe = method.fit(vectors, labels, rows.column("fold").to_numpy().astype(np.int64), len(classes))
    own = {"brain_key": update.run.brain_key, "label_field": name}
    within = f"brain_key = {update.key} and label_field = {literal(name)}"
    folds = rows.select(["content_hash", "label", "fold"])
    for key, value in own.items():
        folds = folds.append_column(key, pa.repeat(value, len(folds)))
    heads = _heads(probe, classes, own)
    update.commit(update.put("probes", heads, without=within), update.put("probe_folds", folds, without=within))
    evidence = {"fitted_on": len(rows), "classes": classes, "components": probe.axes.shape[1]}
    chosen = {"shrinkage": probe.shrinkage, "temperature": probe.temperature, "fit": _digest(probe)}
    return probe.accuracy, {**evidence, **chosen}


def _digest(probe: LinearProbe) -> str:
    return hashlib.blake2b(probe.weights.astype(np.float32).tobytes(), digest_size=8).hexdigest()


HEADS = pa.schema([
    ("brain_key", pa.string()),
    ("label_field", pa.string()),
    ("fold", pa.int32()),
    ("classes", pa.list_(pa.string())),
    *((name, pa.list_(pa.float32())) for name in ("mean", "axes", "weights", "biases")),
])  # fmt: skip


def _heads(probe: LinearProbe, classes: list[str], own: Mapping[str, str]) -> pa.Table:
    """Return one row per head; the axes, which they share, stand with the first."""
    rows = []
    for fold in range(FOLDS):
        shared = probe.axes.ravel() if fold == 0 else np.zeros(0)
        numbers = {
            "mean": probe.mean,
            "axes": shared,
            "weights": probe.weights[fold].ravel(),
            "biases": probe.biases[fold],
        }
        rows.append(
            {**own, "fold": fold, "classes": classes, **{name: each.tolist() for name, each in numbers.items()}}
        )
    return pa.Table.from_pylist(rows, HEADS)


def _stored(update: Update, literals: Mapping[str, str], evidence: Mapping[str, Any]) -> _Fitted:
    rows = update.query(
        "select * from probes where brain_key = {key} and label_field = {field} order by fold".format(**literals)
    )
    classes: list[str] = rows.column("classes")[0].as_py()
    mean, axes = (_numbers(rows.column(name)[0]) for name in ("mean", "axes"))
    weights, biases = (np.stack([_numbers(one) for one in rows.column(name)]) for name in ("weights", "biases"))
    shaped = weights.reshape(len(rows), -1, len(classes))
    chosen = evidence["shrinkage"], evidence["temperature"]
    probe = LinearProbe(mean, axes.reshape(len(mean), -1), shaped, biases, *chosen, accuracy=0.0)
    return _Fitted(classes, probe, json.dumps([evidence["fit"], classes]))


def _numbers(scalar: pa.ListScalar) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = scalar.values.to_numpy().astype(np.float64)
    return numbers


def judge_builtin_predictions(update: Update, rows: pa.Table, given: _Fitted) -> pa.Table:
    """Predict the classes of some samples, by the heads that have not seen them; of a class that is new to these, nothing."""
    rows = rows.filter(pa.array(_competent(rows, given)))
    vectors = matrix_of(update, rows.column("node").to_numpy())
    with one_blas_thread():
        logits = method.scores(given.probe, vectors, rows.column("fold").to_numpy().astype(np.int64)).astype(np.float32)
    best = logits.argmax(axis=1)
    offsets = np.arange(0, logits.size + 1, logits.shape[1], dtype=np.int32)
    inputs = zip(rows.column("input_key").to_pylist(), rows.column("fold").to_pylist(), strict=True)
    marks = [hashlib.blake2b(f"{given.mark} {one}".encode(), digest_size=8).digest() for one in inputs]
    return pa.table({
        "brain_key": pa.repeat(update.run.brain_key, len(rows)),
        "sample_id": rows.column("sample_id"),
        "label_field": rows.column("label_field"),
        "label": pa.array(given.classes).take(pa.array(best)),
        "confidence": np.exp(logits.max(axis=1).astype(np.float64)),
        "logits": pa.ListArray.from_arrays(pa.array(offsets), pa.array(logits.ravel())),
        "mark": np.frombuffer(b"".join(marks), np.uint64),
    })  # fmt: skip


def _competent(rows: pa.Table, given: _Fitted) -> NDArray[np.bool_]:
    """Return of which samples the head knows the class that they are labelled with, if they are."""
    import pyarrow.compute as pc

    labels, folds = rows.column("label"), rows.column("fold").to_numpy()
    codes = pc.index_in(labels, pa.array(given.classes)).fill_null(-1).to_numpy()
    known = (codes >= 0) & given.probe.known[folds, codes]
    return np.asarray(known | labels.is_null().to_numpy())


def _runs(dataset: Dataset) -> list[MethodRun]:
    settings = dataset.settings
    if not settings.builtin_model.enabled:
        return []
    vectors = {"embeddings": EMBEDDINGS, "model": model_of(dataset, EMBEDDINGS), "copies": "near_duplicates"}
    return [MethodRun("builtin_predictions", {**vectors, **section_settings(settings.builtin_model)})]


BUILTIN_PREDICTIONS = Signal(
    name="builtin_predictions",
    description="What a small model predicts that is fitted to the labels on the vectors, for those who have no predictions: each"
    " sample by a head that has seen neither it nor a copy of it. Published among the predictions, as those of the model"
    " `builtin`.",
    group="labels",
    reads=("ground_truth", "samples", "media", "embeddings", "vectors", "components"),
    writes=("builtin_predictions", "probes", "probe_folds"),
    update=PerSubject("builtin_predictions", ("sample_id", "label_field"), _inputs, judge_builtin_predictions),
    runs=_runs,
    kinds=("python", "numpy", "duckdb"),
    checks=(
        Check(
            "no_builtin_prediction_without_a_sample",
            "select count(*) from builtin_predictions anti join samples using (sample_id)",
            "No prediction is left of a sample that is gone.",
        ),
    ),
    metrics={
        "builtin_accuracy": "select coalesce(max(value), 0) from calibrations where issue = 'builtin_model ground_truth'"
    },
)
