"""What object detectors and the labels of objects disagree about."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.calibrations import CHOSEN, Calibration, Fitting, calibrated
from brain_assets.incremental.digests import Slice
from brain_assets.incremental.signal import (
    Check,
    Histogram,
    Issue,
    IssueQuery,
    MethodRun,
    PerSubject,
    Publication,
    Say,
    Signal,
)
from brain_assets.incremental.update import Update, literal, section_settings
from brain_assets.incremental.words import Evidence, number, sure
from brain_assets.methods.labels import detectors
from brain_assets.methods.labels import object_mistakenness as method
from brain_assets.methods.labels.label_noise import DEVIATION, LIKELY
from brain_assets.methods.labels.matching import NONE
from brain_assets.methods.labels.objects import Objects, polygon_edges
from brain_assets.resources.dataset import Dataset
from brain_assets.signals.labels.class_overlaps import note_strangers
from brain_assets.signals.labels.label_issues import LABEL_MISTAKE
from brain_assets.signals.labels.mistakenness import certainties

# Images that both labels and the model speak of: only there does silence say anything.
JUDGED = """
    select predicted.sample_id, predicted.label_field, predicted.model, given.digest as labels, predicted.digest as predictions
    from object_images predicted join object_images given using (sample_id, label_field)
    where predicted.model != 'ground_truth' and given.model = 'ground_truth'
        and (label_field, predicted.model) not in (select label_field, model from object_class_overlaps where not comparable)"""
# In compat a model has seen every labelled image, and an image without predictions is one in which it found nothing.
JUDGED_IN_COMPAT = """
    select given.sample_id, label_field, models.model, given.digest as labels, predicted.digest as predictions
    from object_images given
    join (select distinct label_field, model from object_images where model != 'ground_truth') models using (label_field)
    left join object_images predicted on predicted.sample_id = given.sample_id and predicted.model = models.model
        and predicted.label_field = given.label_field
    where given.model = 'ground_truth'"""
# What is learned of a detector is drawn towards what is usual, so that a few images do no harm.
LEAST_IMAGES = 20
# What a detector's profile says of each class.
OF_CLASSES = ("class_found", "class_agreement", "class_seen")
SCHEMA = pa.schema([
    ("object_id", pa.string()), ("model", pa.string()), ("sample_id", pa.string()), ("label_field", pa.string()),
    ("source", pa.string()), ("mistakenness", pa.float64()), ("mistakenness_loc", pa.float64()),
    ("possible_missing", pa.bool_()), ("possible_spurious", pa.bool_()), ("missing_score", pa.float64()),
    ("spurious_score", pa.float64()), ("matched_id", pa.string()), ("iou", pa.float64()), ("suggested", pa.string()),
    ("placed_by", pa.string()),
])  # fmt: skip


@dataclass(frozen=True)
class _Side:
    """The objects of one side of a comparison, with their ids and images, and how sure a model is of each."""

    ids: pa.Array
    samples: pa.Array
    objects: Objects
    certainty: NDArray[np.float64]


@dataclass(frozen=True)
class _Comparison:
    """Labels and one model's predictions in the same images, and the names of their classes."""

    labels: _Side
    predictions: _Side
    classes: list[str]


def _inputs(update: Update) -> Iterator[Slice]:
    """Yield the images of every model and field; how far a detector is trusted is an input."""
    note_strangers(update, "object_class_overlaps")
    judged = JUDGED_IN_COMPAT if _is_compat(update) else JUDGED
    readable = int(update.dataset.store.value("select count(*) from readable"))
    for field, model in update.dataset.store.rows(f"select distinct label_field, model from ({judged}) order by all"):
        which = f"label_field = {literal(field)} and model = {literal(model)}"
        due = Fitting(readable, LEAST_IMAGES, lambda stored: "found" not in stored.evidence)
        profile = calibrated(update, f"detector {field} {model}", partial(_fit, update, which), (0.0, {}), due)
        context = json.dumps(profile.evidence, default=str)
        yield Slice(f"select * from ({judged}) where {which}", context, (field, model, profile))


def judge_objects(update: Update, images: pa.Table, given: tuple[str, str, Calibration]) -> pa.Table:
    """Compare labels and one model's predictions in some images."""
    field, model, profile = given
    comparison = _read(update, images.column("sample_id").sort(), (field, model))
    rows = pa.concat_tables(_judge(comparison, profile, update))
    return _named(rows, {"label_field": field, "model": model})


def _is_compat(update: Update) -> bool:
    return bool(update.run.settings["MistakennessSettings"]["mode"] == "compat")


def _read(update: Update, samples: pa.ChunkedArray, names: tuple[str, str]) -> _Comparison:
    """Return both sides in the images ``samples``, which are ascending."""
    field, model = names
    update.dataset.store.connection.register("compared", pa.table({"sample_id": samples}))
    rows = update.query(
        f"""select objects.* from objects semi join compared using (sample_id)
        where label_field = {literal(field)} and model in ('ground_truth', {literal(model)})
        order by sample_id, coalesce(confidence, 0) desc, object_id"""
    )
    classes = sorted(set(rows.column("label").to_pylist()))
    given = np.array([name == "ground_truth" for name in rows.column("model").to_pylist()], bool)
    sides = [
        _side(rows.filter(pa.array(part)), samples, classes, labels=labels)
        for part, labels in ((given, True), (~given, False))
    ]
    return _Comparison(sides[0], sides[1], classes)


def _side(rows: pa.Table, samples: pa.ChunkedArray, classes: list[str], *, labels: bool) -> _Side:
    boxes = [rows.column(name).to_numpy() for name in ("x", "y", "width", "height")]
    places = np.searchsorted(np.array(samples.to_pylist()), np.array(rows.column("sample_id").to_pylist(), dtype=str))
    counts = np.bincount(places.astype(np.int64), minlength=len(samples))
    numbers = {name: number for number, name in enumerate(classes)}
    confidence = rows.column("confidence").to_numpy().astype(np.float64)
    objects = Objects(
        boxes=np.stack(boxes, axis=1).astype(np.float64).reshape(-1, 4),
        classes=np.array([numbers[name] for name in rows.column("label").to_pylist()], np.int64),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        confidence=None if labels else confidence,
        crowd=rows.column("iscrowd").to_numpy().astype(bool) if labels else None,
        outlines=outlines(rows.column("polygon")),
    )
    ids, images = (rows.column(name).combine_chunks() for name in ("object_id", "sample_id"))
    return _Side(ids, images, objects, certainties(rows.column("logits"), confidence))


def outlines(polygons: pa.ChunkedArray) -> tuple[NDArray[np.float64] | None, ...] | None:
    """Return polygons as `Objects` has them; None where there are none at all."""
    if polygons.null_count == len(polygons):
        return None
    return tuple(
        None if rings is None else polygon_edges([np.array(ring).reshape(-1, 2) for ring in rings])
        for rings in polygons.to_pylist()
    )


def _fit(update: Update, which: str) -> tuple[float, Mapping[str, Any]]:
    """Return a detector's profile, by the names of the classes."""
    limit = update.dataset.settings.calibration.sample_size
    chosen = f"select sample_id from samples where content_hash in ({CHOSEN.format(limit=limit)})"
    images = update.query(f"""
        select sample_id, label_field, model from ({JUDGED}) where {which} and sample_id in ({chosen}) order by sample_id""")
    if not images.num_rows:
        return 0.0, {}
    names = images.column("label_field")[0].as_py(), images.column("model")[0].as_py()
    both = _read(update, images.column("sample_id"), names)
    profile = detectors.calibrate(both.labels.objects, both.predictions.objects, len(both.classes))
    added = {name: dict(zip(both.classes, getattr(profile, name).tolist(), strict=True)) for name in OF_CLASSES}
    return float(images.num_rows), {**asdict(profile), **added}


def _profile(calibration: Calibration, classes: list[str]) -> detectors.DetectorProfile:
    """Return the stored profile for some classes; one that it does not know is as all others are."""
    found = calibration.evidence
    if "found" not in found:
        return detectors.DetectorProfile.default(len(classes))
    added = {one: np.array([found[one].get(name, 0.0) for name in classes], dtype=np.float64) for one in OF_CLASSES}
    return detectors.DetectorProfile(
        found=detectors.Curve(**found["found"]),
        agreement=detectors.Curve(**found["agreement"]),
        seen=detectors.Curve(**found["seen"]),
        class_found=added["class_found"],
        class_agreement=added["class_agreement"],
        class_seen=added["class_seen"],
        gap=(found["gap"][0], found["gap"][1]),
        rates=detectors.Rates(**found["rates"]),
    )


def _judge(both: _Comparison, calibration: Calibration, update: Update) -> list[pa.Table]:
    """Return the rows of labels and of predictions."""
    labels, predictions = both.labels, both.predictions
    if _is_compat(update):
        peer = method.peer_scores(labels.objects, predictions.objects, certainty=predictions.certainty)
        of_labels = {"mistakenness": peer.mistakenness, "mistakenness_loc": peer.mistakenness_loc,
            "possible_spurious": peer.possible_spurious}  # fmt: skip
        return [
            _rows(labels, predictions, (peer.matches.prediction, peer.matches.label_iou), of_labels),
            _rows(
                predictions,
                labels,
                (peer.matches.label, peer.matches.prediction_iou),
                {"possible_missing": peer.possible_missing},
            ),
        ]
    scores = method.object_scores(labels.objects, predictions.objects, _profile(calibration, both.classes))
    suggested = pa.array([*both.classes, ""]).take(pa.array(scores.suggested % (len(both.classes) + 1)))
    of_labels = {
        "mistakenness": scores.mistakenness, "mistakenness_loc": scores.mistakenness_loc,
        "spurious_score": scores.spurious_score, "possible_spurious": scores.possible_spurious, "suggested": suggested,
        "placed_by": _ids(predictions, scores.placed_by),
    }  # fmt: skip
    of_predictions = {"missing_score": scores.missing_score, "possible_missing": scores.possible_missing}
    return [
        _rows(labels, predictions, (scores.matches.prediction, scores.matches.label_iou), of_labels),
        _rows(predictions, labels, (scores.matches.label, scores.matches.prediction_iou), of_predictions),
    ]


def _rows(
    side: _Side, other: _Side, matched: tuple[NDArray[np.intp], NDArray[np.float64]], scores: Mapping[str, Any]
) -> pa.Table:
    """Return one row per object of a side, with its partner on the other."""
    partner, iou = matched
    columns: dict[str, Any] = {
        "object_id": side.ids,
        "sample_id": side.samples,
        "matched_id": _ids(other, partner),
        "iou": pa.array(iou, from_pandas=True),
        "source": pa.repeat("ground_truth" if side.objects.confidence is None else None, len(side.ids)).cast(
            pa.string()
        ),
    }
    columns |= {
        name: value if isinstance(value, pa.Array) else pa.array(value, from_pandas=True)
        for name, value in scores.items()
    }
    size = len(side.ids)
    return pa.table(
        [columns[one.name].cast(one.type) if one.name in columns else pa.nulls(size, one.type) for one in SCHEMA],
        schema=SCHEMA,
    )


def _ids(side: _Side, places: NDArray[np.intp]) -> pa.Array:
    """Return the ids of objects of a side by their places, null for none."""
    return side.ids.take(pa.array(np.maximum(places, 0), mask=places == NONE))


def _named(rows: pa.Table, names: Mapping[str, str]) -> pa.Table:
    """Return rows with the field and the model of the comparison, which is also the source of predictions."""
    for name, value in names.items():
        constant = pa.repeat(pa.scalar(value), rows.num_rows)
        rows = rows.set_column(rows.schema.get_field_index(name), name, constant)
    source = rows.column("source").fill_null(names["model"])
    return rows.set_column(rows.schema.get_field_index("source"), "source", source)


def _runs(dataset: Dataset) -> list[MethodRun]:
    settings = section_settings(dataset.settings.mistakenness, dataset.settings.calibration)
    return [MethodRun("object_mistakenness", settings)]


def _said(words: str) -> Say:
    """Return what says a finding, given words with a place for the label, how sure the model is, and the overlap."""

    def say(evidence: Evidence, labels: str, partner: str) -> str:
        label, overlap = evidence.get("label"), evidence.get("iou")
        fit = f", overlap {number(overlap)}" if isinstance(overlap, float) else ""
        return words.format(label=f"“{label}”", sure=sure(evidence), fit=fit) if label else ""

    return say


MISSING_OBJECT = Issue(
    "missing_object",
    70,
    "Missing objects",
    "A model sees an object that nobody annotated.",
    "Annotate it where it is right.",
    _said("A model sees {label} here{sure}{fit}."),
)
SPURIOUS_OBJECT = Issue(
    "spurious_object",
    80,
    "Spurious objects",
    "An annotation where models see no such object.",
    "Remove the annotation where it is wrong.",
    _said("{label} is annotated, and models see no such object here{fit}."),
)
BAD_BOX = Issue(
    "bad_box",
    90,
    "Badly placed boxes",
    "The box does not fit the object.",
    "Draw the box again.",
    _said("The box of {label} is not where a model sees it{fit}."),
)


def _issue(issue: Issue, score: str, is_issue: str, condition: str, partner: str = "matched_id") -> IssueQuery:
    # The peer's numbers are no probabilities; where they stand, there are no scores of ours.
    probability = f"if(coalesce(spurious_score, missing_score) is null, null, {score})"
    return IssueQuery(
        f"""
        select object_id as subject_id, scores.sample_id, object_id, '{issue.name}' as issue,
            if(label_field = 'ground_truth', scores.model, label_field || '/' || scores.model) as source,
            {score} as score, {is_issue} as is_issue,
            json_object('label_field', label_field, 'model', scores.model, 'label', objects.label, 'confidence', confidence,
                'suggested', nullif(suggested, ''), 'matched', {partner}, 'iou', if({partner} = matched_id, iou, null),
                'probability', {probability}, 'deviation', {DEVIATION}) as evidence
        from object_mistakenness scores join (select object_id, label, confidence from objects) objects using (object_id)
        where {score} is not null and {condition}""",
        (issue,),
    )


def _flagged(score: str, in_compat: float) -> str:
    return f"{score} >= if(spurious_score is null, {in_compat}, {LIKELY})"


OF_LABELS = "source = 'ground_truth'"

OBJECT_MISTAKENNESS = Signal(
    name="object_mistakenness",
    description="Objects whose class a detector contradicts, whose box is misplaced, that are labelled and not there, or there"
    " and not labelled.",
    group="labels",
    reads=("objects", "object_images", "samples", "media"),
    writes=("object_mistakenness",),
    version="3",
    update=PerSubject("object_mistakenness", ("sample_id", "label_field", "model"), _inputs, judge_objects),
    runs=_runs,
    checks=(
        Check(
            "no_score_without_an_object",
            "select count(*) from object_mistakenness anti join objects using (object_id)",
            "No score is left of an object that is gone.",
        ),
    ),
    publishes=(
        Publication(
            "object_mistakenness",
            """
            select object_id, sample_id, label_field, model, source, mistakenness, mistakenness_loc, possible_missing,
                possible_spurious, missing_score, spurious_score, matched_id, iou, nullif(suggested, '') as suggested,
                placed_by
            from object_mistakenness order by sample_id, label_field, model, source, object_id""",
            {
                "object_id": "The object.",
                "sample_id": "The image.",
                "label_field": "The field of labels.",
                "model": "The model that was compared with.",
                "source": "ground_truth for a label, else the model whose prediction it is.",
                "mistakenness": "The probability that the class is wrong.",
                "mistakenness_loc": "The probability that the box is misplaced.",
                "possible_missing": "Whether the prediction is an object without a label.",
                "possible_spurious": "Whether the label may hold no object, or one that another label holds.",
                "missing_score": "The probability that the prediction is an object without a label.",
                "spurious_score": "The probability that the label is one too many.",
                "matched_id": "The object of the other side that it goes with.",
                "iou": "Overlap with it.",
                "suggested": "The class that predictions would give.",
                "placed_by": "The prediction that mistakenness_loc is measured from.",
            },
        ),
    ),
    issues=(
        _issue(
            LABEL_MISTAKE,
            "mistakenness",
            _flagged("mistakenness", 0.75),
            f"{OF_LABELS} and coalesce(suggested, '') != ''",
        ),
        _issue(
            BAD_BOX,
            "mistakenness_loc",
            _flagged("mistakenness_loc", 0.5),
            OF_LABELS,
            "coalesce(placed_by, matched_id)",
        ),
        _issue(SPURIOUS_OBJECT, "spurious_score", "coalesce(possible_spurious, false)", OF_LABELS),
        _issue(MISSING_OBJECT, "missing_score", "coalesce(possible_missing, false)", "source != 'ground_truth'"),
    ),
    metrics={"objects_compared": "select count(*) from object_mistakenness"},
    chart=Histogram("mistakenness of objects", "select mistakenness from object_mistakenness"),
    view={"tab": "queue", "issue": SPURIOUS_OBJECT.name},
)
