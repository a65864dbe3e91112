"""How well models find the objects that labels have: what is taken for what, average precision, and two models side by side."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.methods.labels.average_precision import IOUS, average_precision
from brain_assets.methods.labels.matching import NONE, match
from brain_assets.methods.labels.objects import Objects
from brain_assets.review.evaluation import by_neighbours, calibration_error, ranked, require_known, rows_of
from brain_assets.review.sets import OpenSet, literal
from brain_assets.review.subjects import Row, fetch

MATCHED = "matched_objects"
BINS = 10
# Overlap from which on a prediction speaks of a label.
IOU = 0.5
# Neighbours of a label whose classes say which of two models is right.
NEAREST = 10
IMAGES = """
    select distinct sample_id from object_images semi join (
        select sample_id from object_images where label_field = $field and source = $model) using (sample_id)
    where label_field = $field and source = 'ground_truth'"""
SIDE = f"""
    select object_id, sample_id, label, coalesce(confidence, 0)::double as confidence, coalesce(iscrowd, false) as iscrowd,
        x::double as x, y::double as y, width::double as width, height::double as height
    from objects where label_field = $field and source = $source and label is not null and sample_id in ({IMAGES})
    order by sample_id, object_id"""
EMPTY = f"""
    create table if not exists {MATCHED} (label_field varchar, model varchar, label_id varchar, prediction_id varchar,
        label varchar, prediction varchar, confidence double, iou double)"""
# What a model says of each label, and beside them, from a confidence on.
JUDGED = f"""
    select label_id, prediction_id, label, if(sure, prediction, null) as prediction, confidence, iou
    from (select *, coalesce(confidence >= $from, false) as sure from {MATCHED} where label_field = $field and model = $model)
    where label_id is not null or sure"""
CONFUSIONS = f"select label, prediction, count(*) as count from ({JUDGED}) group by all order by 3 desc, 1, 2"
CLASSES = f"""
    with judged as ({JUDGED}),
    labelled as (select label, count(*) as support, count_if(prediction = label) as "right" from judged
        where label is not null group by 1),
    predicted as (select prediction as label, count(*) as predicted from judged where prediction is not null group by 1)
    select label, coalesce(support, 0) as support, coalesce(predicted, 0) as predicted, coalesce("right", 0) as "right",
        "right" / support as recall, coalesce("right", 0) / predicted as precision
    from labelled full join predicted using (label) order by support desc, label"""
CALIBRATION = f"""
    select least(floor(confidence * {BINS}), {BINS - 1})::integer as bin, count(*) as count, avg(confidence) as confidence,
        avg(coalesce(prediction = label, false)::integer) as accuracy
    from {MATCHED} where label_field = $field and model = $model and prediction_id is not null and confidence between 0 and 1
    group by 1 order by 1"""
# The confidence at which precision and recall of all classes together are best, by their harmonic mean.
BEST = f"""
    with found as (select confidence, count(*) as predicted, count_if(prediction = label) as "right" from {MATCHED}
        where label_field = $field and model = $model and prediction_id is not null group by 1),
    from_there as (select confidence, sum(predicted) over later as predicted, sum("right") over later as "right" from found
        window later as (order by confidence desc))
    select confidence from from_there, (select count(label_id) as labelled from {MATCHED}
        where label_field = $field and model = $model)
    order by 2 * "right" / (predicted + labelled) desc, confidence desc limit 1"""
PAIRED = f"""
    select one.label_id, one.label, one.prediction as prediction, two.prediction as other from ({JUDGED}) one
    join ({JUDGED.replace("$model", "$other").replace("$from", "$other_from")}) two on two.label_id = one.label_id"""
OUTCOMES = {
    "both right": "prediction = label and other = label",
    "only the first": "prediction = label and other is distinct from label",
    "only the second": "prediction is distinct from label and other = label",
    "found by neither": "prediction is null and other is null",
    "wrong alike": "prediction != label and other = prediction",
    "wrong, each its own": "prediction is distinct from label and other is distinct from label"
    " and prediction is distinct from other",
}
# The commonest class among the nearest labelled objects; of equals the first by name.
BY_NEIGHBOURS = f"""
    with apart as (select * from ({PAIRED}) where prediction != other),
    near as (
        select apart.label_id, o.label, count(*) as votes from apart
        join neighbors n on n.object_id = apart.label_id and n."rank" <= {NEAREST} and n.brain_key = $key
        join objects o on o.object_id = n.neighbor_id and o.source = 'ground_truth' and o.label_field = $field
        group by all qualify row_number() over (partition by apart.label_id order by votes desc, o.label) = 1)
    select count(*) as apart, count_if(prediction = near.label) as first, count_if(other = near.label) as second
    from apart left join near using (label_id)"""


@dataclass(frozen=True)
class _Side:
    """The objects of a source in the images that both sides speak of, and their ids and classes by name."""

    ids: list[str]
    names: list[str]
    objects: Objects


def pairings(opened: OpenSet) -> list[Row]:
    """Return which models found objects of which fields that have labels: field, model."""
    if not (opened.has("objects", "source", "x") and opened.has("object_images", "source")):
        return []
    return fetch(
        opened,
        """
        select distinct label_field as field, source as model from object_images
        semi join (select distinct label_field from object_images where source = 'ground_truth') using (label_field)
        where source != 'ground_truth' order by field != 'ground_truth', field, model""",
    )


def evaluation(
    opened: OpenSet, field: str, model: str, other: str | None = None, confidence: float | None = None
) -> Row:
    """Return how a model's boxes compare with the labels of a field, as published.

    By falling confidence each prediction takes the label that it overlaps most, by half at least, whatever its class. Of a
    crowd nothing is counted.

    Parameters
    ----------
    opened : OpenSet
    field, model : str
        One of `pairings`.
    other : str, optional
        A second model of the same field, to compare with.
    confidence : float in [0, 1], optional
        From where on predictions count; by default where the harmonic mean of precision and recall is highest.

    Returns
    -------
    dict
        As of `brain_assets.review.evaluation.evaluation`, of objects. ``confusions`` have None for a label that nothing
        found and for a prediction where no label is; they and ``outcomes`` have ``where``, the condition that selects them;
        ``classes`` have ``ap`` (the mean over overlaps of .5 to .95) and ``ap50``; beside these ``ap`` and ``ap50``, the means
        over classes, and ``confidence``, from which on predictions count.

    Raises
    ------
    Refused
        404 where there is no such field or model.
    """
    require_known(pairings(opened), field, (model, other), "no such model finds objects of this field")
    make_matched(opened)
    given: Row = {"field": field, "model": model}
    given |= {"from": _from(opened, field, model) if confidence is None else confidence}
    precisions = _precisions(opened, field, model)
    classes = [
        row | precisions.get(row["label"], {"ap": None, "ap50": None}) for row in rows_of(opened, CLASSES, given)
    ]
    calibration = rows_of(opened, CALIBRATION, {name: given[name] for name in ("field", "model")})
    found: Row = {
        "count": sum(row["support"] for row in classes),
        "right": sum(row["right"] for row in classes),
        "confidence": given["from"],
        **{name: _mean(row[name] for row in precisions.values()) for name in ("ap", "ap50")},
        "classes": classes,
        "confusions": [row | {"where": _where(row, given)} for row in rows_of(opened, CONFUSIONS, given)],
        "calibration": calibration,
        "calibration_error": calibration_error(calibration),
        "ranked": ranked(opened, "objects", model, field),
    }
    return found | (_beside(opened, given | {"other": other}) if other is not None else {})


def make_matched(opened: OpenSet) -> None:
    """Make the table of labels and predictions that lie on each other, for all models, where it is not made yet."""
    with opened.lock:
        if MATCHED in opened.memo:
            return
        cursor = opened.cursor()
        cursor.execute(EMPTY)
        for row in pairings(opened):
            cursor.register("found_matches", _matched(opened, row["field"], row["model"]))
            cursor.execute(f"insert into {MATCHED} select * from found_matches")
            cursor.unregister("found_matches")
        opened.memo[MATCHED] = True


def _matched(opened: OpenSet, field: str, model: str) -> pa.Table:
    labels, predictions, _ = _sides(opened, field, model)
    found = match(labels.objects, predictions.objects, IOU)
    crowd = labels.objects.is_crowd
    joins = (found.label != NONE) & crowd[found.label] if len(crowd) else np.zeros(len(found.label), bool)
    shown = np.flatnonzero(~joins)
    missed = np.flatnonzero((found.prediction == NONE) & ~crowd)
    label = np.concatenate([found.label[shown], missed])
    prediction = np.concatenate([shown, np.full(len(missed), NONE)])
    confidence, iou = predictions.objects.confidence, found.prediction_iou
    columns = {
        "label_field": pa.array([field] * len(label), pa.string()),
        "model": pa.array([model] * len(label), pa.string()),
        "label_id": _taken(labels.ids, label),
        "prediction_id": _taken(predictions.ids, prediction),
        "label": _taken(labels.names, label),
        "prediction": _taken(predictions.names, prediction),
        "confidence": _taken(confidence, prediction),
        "iou": _taken(iou, np.where(label == NONE, NONE, prediction)),
    }
    return pa.table(columns)


def _taken(values: Any, places: NDArray[np.intp]) -> pa.Array:
    return pa.array(values).take(pa.array(places, mask=places == NONE))


def _sides(opened: OpenSet, field: str, model: str) -> tuple[_Side, _Side, list[str]]:
    """Return labels and predictions over the same images, and the classes of both by number."""
    given: Row = {"field": field, "model": model}
    tables = [_table(opened, SIDE, given | {"source": source}) for source in ("ground_truth", model)]
    samples = np.unique(
        np.concatenate([np.asarray(one["sample_id"].to_pylist(), object).astype(str) for one in tables])
    )
    classes = sorted({name for one in tables for name in one["label"].unique().to_pylist()})
    sides = [_side(one, samples, classes, labels=place == 0) for place, one in enumerate(tables)]
    return sides[0], sides[1], classes


def _side(table: pa.Table, samples: NDArray[Any], classes: list[str], *, labels: bool) -> _Side:
    places = np.searchsorted(samples, np.asarray(table["sample_id"].to_pylist(), object).astype(str))
    counts = np.bincount(places, minlength=len(samples))
    number = {name: place for place, name in enumerate(classes)}
    names = table["label"].to_pylist()
    objects = Objects(
        np.stack([table[name].to_numpy() for name in ("x", "y", "width", "height")], axis=1).reshape(-1, 4),
        np.array([number[name] for name in names], np.int64),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        None if labels else table["confidence"].to_numpy(),
        table["iscrowd"].to_numpy().astype(bool) if labels else None,
    )
    return _Side(table["object_id"].to_pylist(), names, objects)


def _precisions(opened: OpenSet, field: str, model: str) -> dict[str, Row]:
    """Return the average precision of each class that has labels: ap, ap50; computed once for a set."""
    key = f"average precision of {model} for {field}"
    with opened.lock:
        if key not in opened.memo:
            labels, predictions, classes = _sides(opened, field, model)
            found = average_precision(labels.objects, predictions.objects, len(classes), IOUS)
            known = np.flatnonzero(~np.isnan(found[0]))
            opened.memo[key] = {
                classes[one]: {"ap": float(found[:, one].mean()), "ap50": float(found[0, one])} for one in known
            }
        rows: dict[str, Row] = opened.memo[key]
    return rows


def _from(opened: OpenSet, field: str, model: str) -> float:
    rows = rows_of(opened, BEST, {"field": field, "model": model})
    return float(rows[0]["confidence"]) if rows else 0.0


def _mean(values: Any) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None


def _table(opened: OpenSet, query: str, given: Row) -> pa.Table:
    return opened.cursor().sql(query, params=given).to_arrow_table()


def _where(row: Row, given: Row) -> str:
    """Return the condition on objects that selects those of a confusion: the labels, or else the predictions."""
    about = f"label_field = {literal(given['field'])} and model = {literal(given['model'])}"
    label = "label is null" if row["label"] is None else f"label = {literal(row['label'])}"
    if row["prediction"] is None:
        said = f"coalesce(confidence < {given['from']!r}, true)"
    else:
        said = f"prediction = {literal(row['prediction'])} and confidence >= {given['from']!r}"
    return (
        f"subject_id in (select coalesce(label_id, prediction_id) from {MATCHED} where {about} and {label} and {said})"
    )


def _beside(opened: OpenSet, given: Row) -> Row:
    given |= {"other_from": _from(opened, given["field"], given["other"])}
    case = " ".join(f"when {condition} then {literal(name)}" for name, condition in OUTCOMES.items())
    counted = f"select case {case} end as outcome, count(*) as count from ({PAIRED}) group by 1 order by 2 desc, 1"
    outcomes = [row | {"where": _where_outcome(row["outcome"], given)} for row in rows_of(opened, counted, given)]
    keys = "select distinct brain_key from neighbors where object_id is not null order by 1"
    return {"outcomes": outcomes, "neighbours": by_neighbours(opened, keys, BY_NEIGHBOURS, given)}


def _where_outcome(outcome: str, given: Row) -> str:
    query = PAIRED
    for name in sorted(given, key=len, reverse=True):
        value = given[name]
        query = query.replace(f"${name}", literal(value) if isinstance(value, str) else repr(value))
    return f"subject_id in (select label_id from ({' '.join(query.split())}) where {OUTCOMES[outcome]})"
