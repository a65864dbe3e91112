"""How well models predict the labels of whole images: what is taken for what, per class, and two models side by side."""

from collections.abc import Iterable
from typing import Any

from brain_assets.review.columns import columns, suffix_of
from brain_assets.review.refusal import Refused
from brain_assets.review.sets import Frame, OpenSet
from brain_assets.review.subjects import Row, fetch

BINS = 10
# Neighbours whose labels say which of two models is right.
NEAREST = 10
# Images with one label in a field, beside the first prediction of a model.
JUDGED = """
    select sample_id, labels[1] as label, p.label as prediction, confidence
    from ground_truth g join predictions p using (sample_id, label_field)
    where label_field = $field and model = $model and "position" = 0 and len(labels) = 1 and p.label is not null"""
PAIRED = f"""
    select one.sample_id, one.label, one.prediction as prediction, two.prediction as other
    from ({JUDGED}) one join ({JUDGED.replace("$model", "$other")}) two using (sample_id)"""
CLASSES = f"""
    with judged as ({JUDGED}),
    labelled as (select label, count(*) as support, count_if(prediction = label) as "right" from judged group by 1),
    predicted as (select prediction as label, count(*) as predicted from judged group by 1)
    select label, coalesce(support, 0) as support, coalesce(predicted, 0) as predicted, coalesce("right", 0) as "right",
        "right" / support as recall, coalesce("right", 0) / predicted as precision
    from labelled full join predicted using (label) order by support desc, label"""
CALIBRATION = f"""
    select least(floor(confidence * {BINS}), {BINS - 1})::integer as bin, count(*) as count, avg(confidence) as confidence,
        avg((prediction = label)::integer) as accuracy
    from ({JUDGED}) where confidence between 0 and 1 group by 1 order by 1"""
OUTCOMES = f"""
    select case when prediction = label and other = label then 'both right' when prediction = label then 'only the first'
        when other = label then 'only the second' when prediction = other then 'wrong alike' else 'wrong, each its own' end
        as outcome, count(*) as count
    from ({PAIRED}) group by 1 order by 2 desc, 1"""
# The commonest label among the nearest; of equals the first by name.
BY_NEIGHBOURS = f"""
    with apart as (select * from ({PAIRED}) where prediction != other),
    near as (
        select apart.sample_id, labels[1] as label, count(*) as votes from apart
        join neighbors n on n.sample_id = apart.sample_id and n.object_id is null and n."rank" <= {NEAREST} and n.brain_key = $key
        join ground_truth g on g.sample_id = n.neighbor_id and g.label_field = $field and len(g.labels) = 1
        group by 1, 2 qualify row_number() over (partition by apart.sample_id order by votes desc, labels[1]) = 1)
    select count(*) as apart, count_if(prediction = near.label) as first, count_if(other = near.label) as second
    from apart left join near using (sample_id)"""


def pairings(opened: OpenSet) -> list[Row]:
    """Return which models predict which fields that have one label per image: field, model; the builtin model last."""
    if not (opened.has("predictions", "label", "model") and opened.has("ground_truth", "labels")):
        return []
    return fetch(
        opened,
        """
        select distinct label_field as field, model from predictions
        semi join (select label_field from ground_truth group by 1 having max(len(labels)) = 1) using (label_field)
        where model is not null order by field != 'ground_truth', field, model = 'builtin', model""",
    )


def evaluation(opened: OpenSet, field: str, model: str, other: str | None = None) -> Row:
    """Return how a model's first predictions compare with the labels of a field, as published.

    Parameters
    ----------
    opened : OpenSet
    field, model : str
        One of `pairings`.
    other : str, optional
        A second model of the same field, to compare with.

    Returns
    -------
    dict
        ``count`` (of images with a label and a prediction), ``right``; ``classes``: label, support, predicted, right, recall,
        precision (None where there is nothing to divide by); ``confusions``: label, prediction, count, the commonest first;
        ``calibration``: bin, count, confidence, accuracy, and ``calibration_error``, the mean distance of the two weighed by
        count (None without confidences in [0, 1]); ``columns``, those of the page that filter by label and prediction;
        ``ranked``, those that sort by hardness and mistakenness, as far as there are any; and
        with ``other``: ``outcomes`` (outcome, count) and ``neighbours`` (apart, first, second: where the two differ, how often
        each says what most of the ten nearest images are labelled; None where no neighbours are published).

    Raises
    ------
    Refused
        404 where there is no such field or model.
    """
    require_known(pairings(opened), field, (model, other), "no such model predicts this field")
    given: dict[str, Any] = {"field": field, "model": model}
    classes, calibration = rows_of(opened, CLASSES, given), rows_of(opened, CALIBRATION, given)
    confused = f"select label, prediction, count(*) as count from ({JUDGED}) group by all order by 3 desc, 1, 2"
    found: Row = {
        "count": sum(row["support"] for row in classes),
        "right": sum(row["right"] for row in classes),
        "classes": classes,
        "confusions": rows_of(opened, confused, given),
        "calibration": calibration,
        "calibration_error": calibration_error(calibration),
        "columns": {
            "label": "label" + suffix_of(opened, "ground_truth", None, field),
            "prediction": "prediction" + suffix_of(opened, "predictions", model, field),
        },
        "ranked": ranked(opened, "images", model, field),
    }
    return found | (_beside(opened, given | {"other": other}) if other is not None else {})


def require_known(pairs: Iterable[Row], field: str, models: Iterable[str | None], fault: str) -> None:
    """Raise Refused (404) where a model that is asked for is of no pair with the field."""
    if not {(field, one) for one in models if one is not None} <= {(row["field"], row["model"]) for row in pairs}:
        raise Refused(404, fault)


def by_neighbours(opened: OpenSet, keys: str, query: str, given: Row) -> Row | None:
    """Return whom of two models neighbours agree with, by the first run that a query of keys names; None without neighbours."""
    if not opened.has("neighbors", "neighbor_id", "brain_key", "object_id"):
        return None
    found = fetch(opened, keys)
    return rows_of(opened, query, given | {"key": found[0]["brain_key"]})[0] if found else None


def ranked(opened: OpenSet, frame: Frame, model: str, field: str) -> Row:
    """Return the columns by which the hardest and the most mistaken of a class come first: those of the model, if it has any."""
    tables = {"hardest": ("hardness", "hardness"), "most mistaken": ("mistakenness", "mistakenness")}
    if frame == "objects":
        tables = {"most mistaken": ("object_mistakenness", "mistakenness")}
    known = columns(opened, frame)
    names = {
        what: column + suffix_of(opened, table, model, field)
        for what, (table, column) in tables.items()
        if opened.has(table)
    }
    return {what: name for what, name in names.items() if name in known}


def rows_of(opened: OpenSet, query: str, given: dict[str, Any]) -> list[Row]:
    """Return the rows of a query with named parameters, by column name."""
    cursor = opened.cursor().execute(query, given)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def calibration_error(calibration: list[Row]) -> float | None:
    """Return the mean distance of confidence and accuracy over bins, weighed by count; None without any."""
    total = sum(row["count"] for row in calibration)
    if not total:
        return None
    return float(sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in calibration) / total)


def _beside(opened: OpenSet, given: dict[str, Any]) -> Row:
    keys = "select distinct brain_key from neighbors order by brain_key != 'neighbors', brain_key"
    return {
        "outcomes": rows_of(opened, OUTCOMES, given),
        "neighbours": by_neighbours(opened, keys, BY_NEIGHBOURS, given),
        "columns_of_other": "prediction" + suffix_of(opened, "predictions", given["other"], given["field"]),
    }
