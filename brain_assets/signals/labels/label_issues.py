"""Which labels are wrong or missing, by what models predict and by the labels of the nearest neighbours."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.calibrations import Calibration, Fitting, calibrated, stored_calibration
from brain_assets.incremental.digests import Slice
from brain_assets.incremental.runs import runs_of, with_parameters
from brain_assets.incremental.signal import Check, Issue, IssueQuery, MethodRun, PerSubject, Publication, Sheet, Signal
from brain_assets.incremental.update import Update, literal, section_settings
from brain_assets.incremental.words import Evidence, joined, sure
from brain_assets.methods.labels import label_issues as method
from brain_assets.methods.labels import label_noise
from brain_assets.methods.labels.hardness import softmax
from brain_assets.methods.labels.label_issues import NEIGHBORS, NONE, LabelCalibration, LabelIssues
from brain_assets.methods.labels.label_noise import LabelNoise
from brain_assets.methods.similarity.shortlists import slots
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.settings.configuration import RunSettings
from brain_assets.signals.labels.class_overlaps import note_strangers
from brain_assets.signals.labels.hardness import logit_matrices

CELLS = 2_000_000
"""Samples times classes that are looked at together."""
MOST_FITTED = 10_000
SEVERAL = "*"
VIEWS = ("by_predictions", "by_neighbors", "by_builtin")
VIEW_SETS = [
    " ".join(name for place, name in enumerate(VIEWS) if views >> place & 1) for views in range(1, 1 << len(VIEWS))
]
CLASS_ORDERS = pa.schema([("source", pa.int64()), ("file", pa.string()), ("class_order", pa.int64())])

# Fields that nearly all samples have a label in, of five to nine all but one: where it is usual to have none, none is missing.
COMPLETE = """
    select label_field from ground_truth semi join readable using (sample_id) group by label_field
    having count(*) >= (select if(count(*) < 5, count(*), least(.9 * count(*), count(*) - 1)) from readable)"""
GIVEN = "select sample_id, labels[1] as label from ground_truth where label_field = {field}"
# Of a model that gives several classes at once, nothing can be said about one label.
PREDICTED = """
    select sample_id, model, labels[1] as label, confidences[1] as confidence, logits, rows.source, rows.file,
        hash(hash(model, chosen.digest, classes)) as mark
    from predictions chosen join prediction_rows rows using (source, file, model, label_field, key)
    left join input_files files on files.role = 'predictions' and files.source = rows.source and files.file = rows.file
    where label_field = {field} and len(labels) = 1 and (logits is not null or not isnan(confidences[1])) and {models}
        and (label_field, model) not in (select label_field, model from class_overlaps where not comparable)"""
# Only those vote that have a label; others would use up the places of some that do. They are numbered where they are read:
# a window over all lists does not fit into the database's memory from some tens of thousands of images on.
NEAREST = """
    select sample_id, neighbor_id, distance, label, place from (
        select subject_id as sample_id, unnest(neighbor_ids) as neighbor_id, unnest(distances) as distance,
            generate_subscripts(neighbor_ids, 1) as place
        from neighbors where {among}) listed
    join (select sample_id as neighbor_id, label from ({given})) using (neighbor_id)"""
BUILTIN = """
    select sample_id, logits, hash(hash('builtin', mark)) as mark from builtin_predictions
    where label_field = {field} and {wanted}"""
CLASSES = """
    select label from ({given}) union select label from ({predicted})
    union select unnest(classes) from input_files where role = 'predictions' and (source, file) in (
        select (source, file) from ({predicted}))
    order by 1"""
# What reviewers of the queue found of the labels that files give: a new label says that it was wrong, and keeping it that it
# is right.
REVIEWED = """
    select sample_id, filed[1] as filed, filed is distinct from labels as wrong
    from ground_truth join samples using (sample_id) semi join (
        select subject_id as sample_id, content_hash from last_decisions
        where issue = 'label_mistake' and kind in ('keep', 'relabel')) said using (sample_id, content_hash)
    where label_field = {field} and filed is not null and {wanted} order by sample_id"""
REVIEWS = pa.schema([
    ("brain_key", pa.string()),
    ("label_field", pa.string()),
    ("reviewed", pa.int64()),
    ("wrong", pa.int64()),
    ("expected", pa.float64()),
    ("shift", pa.float64()),
    ("deviation", pa.float64()),
])  # fmt: skip
# The probability as reviews moved its odds.
SHIFT = "exp(if(given is null, 0, coalesce(shift, 0)))"
MOVED = f"probability * {SHIFT} / (1 - probability + probability * {SHIFT})"
DOUBTED = f"""
    select sample_id as subject_id, sample_id, null as object_id, if(given is null, 'missing_label', 'label_mistake') as issue,
        if(label_field = 'ground_truth', '', label_field || '/') || coalesce(model, 'neighbors') as source, score, is_issue,
        json_object('label_field', label_field, 'model', model, 'given', if(given is null, null, [given]),
            'suggested', [suggested], 'given_probability', given_probability, 'confidence', suggested_probability,
            'threshold', threshold, 'by_predictions', by_predictions, 'by_neighbors', by_neighbors, 'by_builtin', by_builtin,
            'neighbors_labelled', neighbors_labelled, 'neighbors_suggested', neighbors_suggested, 'probability', {MOVED},
            'deviation', coalesce(deviation, {label_noise.DEVIATION}), 'partner', partner) as evidence
    from label_issues left join label_reviews using (brain_key, label_field)
    where brain_key = {{default}} and score is not null and (given is not null or label_field in ({COMPLETE}))"""
# All that a row is judged by; it is judged anew when this is another, whichever of it changed, came or went. Marks are
# hashed twice: of two plain hashes that swap their last value the exclusive or stays.
STATES = """
    select sample_id, {field} as label_field, hash(any_value(label), bit_xor(mark)) as inputs from (
        select sample_id, mark from ({predicted})
        union all
        select sample_id, mark from ({builtin})
        union all
        select sample_id, hash(hash(place, neighbor_id, distance, label)) from ({nearest})
    ) left join ({given}) using (sample_id) where {wanted} group by sample_id"""


@dataclass(frozen=True)
class _Field:
    """A field of labels that is judged, with the queries that tell what is known of it.

    Attributes
    ----------
    name : str
    classes, models : list of str
    is_fitted : bool
        Whether the builtin model speaks of it.
    given, predicted, nearest, builtin : str
    among : str
        Condition of the lists of neighbours that count.
    """

    name: str
    classes: list[str]
    models: list[str]
    is_fitted: bool
    given: str
    predicted: str
    nearest: str
    builtin: str
    among: str


@dataclass(frozen=True)
class _Inputs:
    """What some samples are judged by.

    Attributes
    ----------
    samples : pyarrow.Array of str
    given : (n,) int64, -1 where there is no label
    predicted : (n, c) float64, NaN where no model speaks
    models : pyarrow.Array of str
        The model that speaks, ``*`` for several, NULL for none.
    builtin : (n, c) float64, NaN where the builtin model does not speak
    distances : (n, k) float64, NaN where there are fewer neighbours
    labels, places : (n, k) int64
        Class of each neighbour, and its place in ``neighbors``; -1 where there is none.
    neighbors : pyarrow.Array of str
    """

    samples: pa.Array
    given: NDArray[np.int64]
    predicted: NDArray[np.float64]
    models: pa.Array
    builtin: NDArray[np.float64]
    distances: NDArray[np.float64]
    labels: NDArray[np.int64]
    places: NDArray[np.int64]
    neighbors: pa.Array

    @property
    def votes(self) -> NDArray[np.float64]:
        return method.neighbor_votes(self.distances, self.labels, self.predicted.shape[1])


def _inputs(update: Update) -> Iterator[Slice]:
    """Yield the fields' samples of which anything is known, with a digest of all that they are judged by."""
    note_strangers(update, "class_overlaps")
    for field in _fields(update):
        when = Fitting(_size(update, field))
        calibration = calibrated(update, _calibration_name(field), partial(_fit, update, field), (0.5, {}), when)
        context = json.dumps([field.name, field.classes, calibration.evidence], default=str)
        query = STATES.format(
            wanted=_wanted(update),
            field=literal(field.name),
            given=field.given,
            predicted=field.predicted,
            nearest=field.nearest,
            builtin=field.builtin,
        )
        batch = max(CELLS // len(field.classes), 1)
        yield Slice(query, context, (field, calibration), batch, narrow=True)


def _wanted(update: Update) -> str:
    """Return the SQL condition of the samples that are judged."""
    where = update.run.settings["where"]
    return f"sample_id in (select sample_id from sample_facts where {where})" if where else "true"


def _fields(update: Update) -> Iterator[_Field]:
    """Yield the fields that hold one label per sample and have classes to choose between."""
    names = "select label_field from ground_truth group by 1 having not bool_or(multilabel) order by 1"
    for name in update.column(names):
        queries = _queries(update, literal(name))
        classes = update.column(CLASSES.format(**queries))
        if len(classes) > 1:
            models = update.column(f"select distinct model from ({queries['predicted']}) order by 1")
            is_fitted = update.value(f"select count(*) > 0 from ({queries['builtin']})")
            yield _Field(name, classes, models, is_fitted, **queries)


def _queries(update: Update, field: str) -> dict[str, str]:
    settings = update.run.settings["LabelIssueSettings"]
    models = ", ".join(literal(model) for model in settings["models"])
    among = f"brain_key = {literal(update.run.settings['similarity'])}"
    conditions = {"predictions": f"model in ({models})" if models else "true", "neighbors": among, "builtin": "true"}
    asked = {view: wanted if settings["views"] in ("both", view) else "false" for view, wanted in conditions.items()}
    given = GIVEN.format(field=field)
    return {
        "given": given,
        "predicted": PREDICTED.format(field=field, models=asked["predictions"]),
        "nearest": NEAREST.format(among=asked["neighbors"], given=given),
        "among": asked["neighbors"],
        "builtin": BUILTIN.format(field=field, wanted=asked["builtin"]),
    }


def _calibration_name(field: _Field) -> str:
    return " ".join(["label_mistake", field.name, *field.models, *(["builtin"] if field.is_fitted else [])])


def _fitting(update: Update, field: _Field) -> str:
    """Return the query of the labelled samples that a calibration may look at."""
    seen = (
        field.predicted
        if field.models
        else f"{field.builtin} union all select sample_id, null, null from ({field.nearest})"
    )
    return f"select sample_id from ({field.given}) semi join ({seen}) using (sample_id) where {_wanted(update)}"


def _size(update: Update, field: _Field) -> int:
    return int(update.dataset.store.value(f"select count(*) from ({_fitting(update, field)})"))


def _fit(update: Update, field: _Field) -> tuple[float, Mapping[str, Any]]:
    """Return weights and thresholds; of many samples, the content chooses those that are looked at."""
    limit = min(MOST_FITTED, max(CELLS // len(field.classes), 1))
    chosen = update.query(f"""
        select sample_id from ({_fitting(update, field)}) join samples using (sample_id)
        order by md5(content_hash), sample_id limit {limit}""")
    inputs = _read(update, field, chosen.column(0).combine_chunks())
    found = method.calibrate(inputs.given, inputs.predicted if field.models else None, inputs.votes, inputs.builtin)
    thresholds = {name: row.tolist() for name, row in zip(VIEW_SETS, found.thresholds, strict=True)}
    weights = dict(zip(VIEWS, found.weights.tolist(), strict=True))
    noise = {"noise": vars(found.noise)} if found.noise else {}
    evidence = {"fitted_on": len(inputs.samples), "classes": field.classes, "weights": weights, **noise}
    return float(found.thresholds[method.BOTH].mean()), {**evidence, "thresholds": thresholds}


def _fitted(calibration: Calibration, classes: list[str]) -> LabelCalibration:
    """Return a stored calibration for the classes of now; one that was not there then has the default threshold."""
    found, default = calibration.evidence, LabelCalibration.default(len(classes))
    if "thresholds" not in found:
        return default
    places = {name: place for place, name in enumerate(found["classes"])}
    known = [place for place, name in enumerate(classes) if name in places]
    thresholds = np.array(list(found["thresholds"].values()))
    default.thresholds[:, known] = thresholds[:, [places[classes[place]] for place in known]]
    return LabelCalibration(np.array(list(found["weights"].values())), default.thresholds, _noise(found, classes))


def _noise(evidence: Mapping[str, Any], classes: list[str]) -> LabelNoise | None:
    """Return the stored noise for the classes of now."""
    if "noise" not in evidence:
        return None
    numbers = {name: number for number, name in enumerate(classes)}
    now = [numbers.get(name) for name in evidence["classes"]]
    moves = [(now[true], now[label], count) for true, label, count in evidence["noise"]["moves"]]
    kept = [(true, label, count) for true, label, count in moves if true is not None and label is not None]
    return LabelNoise(evidence["noise"]["share"], evidence["noise"]["temperature"], kept)


def _read(update: Update, field: _Field, samples: pa.Array) -> _Inputs:
    """Return what ``samples`` are judged by."""
    connection = update.dataset.store.connection
    codes = pa.array(np.arange(len(field.classes)))
    connection.register("class_codes", pa.table({"label": pa.array(field.classes, pa.string()), "code": codes}))
    connection.register("asked", pa.table({"sample_id": samples, "place": pa.array(np.arange(len(samples)))}))
    given = np.full(len(samples), NONE)
    rows = update.query(
        f"select place, code from asked join ({field.given}) using (sample_id) join class_codes using (label)"
    )
    given[rows.column("place").to_numpy()] = rows.column("code").to_numpy()
    predicted, models = _predictions(update, field, given)
    builtin = _builtin(update, field, given)
    return _Inputs(samples, given, predicted, models, builtin, *_nearest(update, field, len(samples)))


def _nearest(
    update: Update, field: _Field, count: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], pa.Array]:
    """Return of the labelled neighbours of those that are asked for: distances, classes, places among their names, and these."""
    import pyarrow.compute as pc

    # The lists are taken apart here: joined in the database, those of all images might be laid out for some of them.
    lists = update.streamed(f"""
        select place, neighbor_ids, distances from neighbors join asked on subject_id = sample_id where {field.among}""")
    labelled = update.query(f"select sample_id, code from ({field.given}) join class_codes using (label)")
    names, distance = (lists.column(name).combine_chunks() for name in ("neighbor_ids", "distances"))
    found = pc.index_in(names.flatten(), value_set=labelled.column("sample_id").combine_chunks())
    rows = np.repeat(lists.column("place").to_numpy(), pc.list_value_length(names).to_numpy(zero_copy_only=False))
    voting = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
    rank = slots(rows[voting], count)
    voting, rank = voting[rank < NEIGHBORS], rank[rank < NEIGHBORS]
    shape = (count, int(rank.max(initial=-1)) + 1)
    distances, labels, places = np.full(shape, np.nan), np.full(shape, NONE), np.full(shape, NONE)
    cells = rows[voting], rank
    distances[cells] = distance.flatten().to_numpy()[voting]
    labels[cells] = labelled.column("code").to_numpy()[found.fill_null(0).to_numpy()[voting]]
    places[cells] = voting
    return distances, labels, places, names.flatten()


def _predictions(update: Update, field: _Field, given: NDArray[np.int64]) -> tuple[NDArray[np.float64], pa.Array]:
    """Return what the models together say of the samples that are asked for, and which model does."""
    orders = _class_orders(update, field)
    rows = update.query(f"""
        select place, model, code, confidence, logits, coalesce(class_order, {NONE}) as class_order
        from asked join ({field.predicted}) using (sample_id) join class_codes using (label)
            left join class_orders using (source, file)
        order by place, model""")
    places, ordered = rows.column("place").to_numpy(), rows.column("class_order").to_numpy()
    found = method.from_confidence(
        rows.column("code").to_numpy(), rows.column("confidence").to_numpy(), len(field.classes)
    )
    usable = np.ones(rows.num_rows, bool)
    for number, order in enumerate(orders):
        members = np.flatnonzero(ordered == number)
        for chosen, logits in logit_matrices(rows.column("logits").take(pa.array(members))):
            if logits.shape[1] == len(order):
                one = members[chosen]
                found[one], usable[one] = _placed(logits, np.array(order), (given[places[one]], len(field.classes)))
    joined = method.pooled(found[usable], places[usable], len(given))
    return joined, _model_names(rows.column("model").combine_chunks(), places, usable, len(given))


def _builtin(update: Update, field: _Field, given: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what the builtin model says of the samples that are asked for."""
    found = np.full((len(given), len(field.classes)), np.nan)
    rows = update.query(f"select place, logits from asked join ({field.builtin}) using (sample_id)")
    if rows.num_rows:
        query = "select classes from probes where fold = 0 and label_field = ?"
        numbers = {name: number for number, name in enumerate(field.classes)}
        order = np.array([numbers.get(name, NONE) for name in update.value(query, [field.name])])
        places, logits = rows.column("place").to_numpy(), next(logit_matrices(rows.column("logits")))[1]
        spread, usable = _placed(logits[:, order != NONE], order[order != NONE], (given[places], len(field.classes)))
        found[places[usable]] = np.log(np.maximum(spread[usable], method.FLOOR))
    return found


def _class_orders(update: Update, field: _Field) -> list[tuple[int, ...]]:
    """Return the class of each column of scores, for each order that occurs, and register which file has which."""
    numbers = {name: number for number, name in enumerate(field.classes)}
    query = f"""
        select source, file, classes from input_files where role = 'predictions' and classes is not null
            and (source, file) in (select (source, file) from ({field.predicted}))"""
    files = [
        (source, file, tuple(numbers[name] for name in classes))
        for source, file, classes in update.dataset.store.rows(query)
    ]
    orders = list(dict.fromkeys(order for _, _, order in files))
    rows = [{"source": source, "file": file, "class_order": orders.index(order)} for source, file, order in files]
    update.dataset.store.connection.register("class_orders", pa.Table.from_pylist(rows, CLASS_ORDERS))
    return orders


def _placed(
    logits: NDArray[np.float64], order: NDArray[np.int64], asked: tuple[NDArray[np.int64], int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return probabilities of all classes, and which rows know the given class: the others say nothing of it."""
    given, classes = asked
    spread = np.zeros((len(logits), classes))
    spread[:, order] = softmax(logits)
    return spread, np.isin(given, order) | (given == NONE)


def _model_names(models: pa.Array, places: NDArray[np.int64], usable: NDArray[np.bool_], size: int) -> pa.Array:
    import pyarrow.compute as pc

    rows = np.flatnonzero(usable)
    count = np.bincount(places[rows], minlength=size)
    last = np.zeros(size, np.int64)
    last[places[rows]] = rows
    names = models.take(pa.array(last, mask=count == 0))
    return pc.if_else(pa.array(count > 1), SEVERAL, names)


def judge_labels(update: Update, states: pa.Table, given: tuple[_Field, Calibration]) -> pa.Table:
    """Return the rows of ``label_issues`` of some samples."""
    field, calibration = given
    inputs = _read(update, field, states.column("sample_id").combine_chunks())
    fitted = _fitted(calibration, field.classes)
    found = method.label_issues(inputs.given, inputs.predicted, inputs.votes, fitted, inputs.builtin)
    names = pa.array(field.classes, pa.string())
    known = found.view != method.NO_VIEW
    agreeing = (inputs.labels == found.suggested[:, None]) & (inputs.labels != NONE)
    columns = {
        "brain_key": pa.repeat(pa.scalar(update.run.brain_key), states.num_rows),
        "sample_id": inputs.samples,
        "label_field": states.column("label_field"),
        "model": inputs.models,
        "given": names.take(pa.array(inputs.given, mask=inputs.given == NONE)),
        "suggested": names.take(pa.array(found.suggested, mask=found.suggested == NONE)),
        "is_issue": found.is_issue,
        "threshold": pa.array(fitted.thresholds[found.view, found.suggested], mask=~known),
        "neighbors_labelled": (inputs.labels != NONE).sum(axis=1).astype(np.int32),
        "neighbors_suggested": agreeing.sum(axis=1).astype(np.int32),
        "partner": _partners(inputs, agreeing),
        "probability": pa.array(found.score, mask=np.isnan(found.score) | (fitted.noise is None)),
        "inputs": states.column("inputs"),
    }
    return pa.table({**columns, **_opinions(found)})


def compare_with_reviews(update: Update) -> None:
    """Store by how much the odds of labels being wrong were off, as reviewers found: an input of what is published."""
    rows = [row for field in _fields(update) for row in _reviewed(update, field)]
    update.commit(update.replace("label_reviews", pa.Table.from_pylist(rows, REVIEWS)))


def _reviewed(update: Update, field: _Field) -> Iterator[dict[str, Any]]:
    import pyarrow.compute as pc

    rows = update.query(REVIEWED.format(field=literal(field.name), wanted=_wanted(update)))
    stored = stored_calibration(update, _calibration_name(field))
    fitted = _fitted(stored, field.classes) if stored else None
    if not rows.num_rows or fitted is None or fitted.noise is None:
        return
    inputs = _read(update, field, rows.column("sample_id").combine_chunks())
    filed = pc.index_in(rows.column("filed"), pa.array(field.classes)).fill_null(NONE).to_numpy().astype(np.int64)
    score = method.label_issues(filed, inputs.predicted, inputs.votes, fitted, inputs.builtin).score
    known = ~np.isnan(score) & (filed != NONE)
    wrong = rows.column("wrong").to_numpy(zero_copy_only=False).astype(bool)[known]
    shift = label_noise.shift_of(score[known], wrong)
    counts = {"reviewed": len(wrong), "wrong": int(wrong.sum()), "expected": float(score[known].sum())}
    own = {"brain_key": update.run.brain_key, "label_field": field.name}
    yield {**own, **counts, "shift": shift.mean, "deviation": shift.deviation}


def _opinions(found: LabelIssues) -> dict[str, pa.Array]:
    """Return scores and opinions, NULL where there is none."""
    scores = ("score", "given_probability", "suggested_probability")
    opinions = {
        name: pa.array(getattr(found, name), mask=~method.has_view(found.view, place))
        for place, name in enumerate(VIEWS)
    }
    return {name: pa.array(getattr(found, name), from_pandas=True) for name in scores} | opinions


def _partners(inputs: _Inputs, agreeing: NDArray[np.bool_]) -> pa.Array:
    """Return the nearest neighbour that bears the suggested class."""
    found: NDArray[np.bool_] = np.asarray(agreeing.any(axis=1))
    if not found.any():
        return pa.nulls(len(found), pa.string())
    first = inputs.places[np.arange(len(found)), agreeing.argmax(axis=1)]
    return inputs.neighbors.take(pa.array(first, mask=~found))


def _runs(dataset: Dataset) -> list[MethodRun]:
    return [_run(dataset, run) for run in runs_of(dataset, "label_issues", "label_issues")]


def _run(dataset: Dataset, run: RunSettings) -> MethodRun:
    section = with_parameters(dataset.settings.label_issues, run)
    settings = section_settings(section, dataset.settings.calibration)
    return MethodRun(run.brain_key, {"similarity": run.similarity, "where": run.where, **settings})


def _say(evidence: Evidence, labels: str, partner: str) -> str:
    given, suggested = joined(evidence.get("given")) or labels, joined(evidence.get("suggested"))
    if not suggested:
        return ""
    said = f"Labelled “{given}”" if given else "No label"
    return f"{said}, {_who(evidence)} “{suggested}”{sure(evidence)}{_alike(evidence)}."


def _who(evidence: Evidence) -> str:
    """Say whose word the suggestion is: a model's, or without one that of look-alikes and the model fitted to labels."""
    model = evidence.get("model")
    if model is None:
        fitted, alike = evidence.get("by_builtin"), evidence.get("by_neighbors")
        return (
            "look-alikes bear"
            if not fitted
            else "the builtin model and look-alikes see"
            if alike
            else "the builtin model sees"
        )
    return "models see" if model == "*" else f"{model} sees"


def _alike(evidence: Evidence) -> str:
    """Say how many of the labelled neighbours bear the suggested class."""
    labelled, suggested = evidence.get("neighbors_labelled"), evidence.get("neighbors_suggested")
    return f"; so do {suggested} of the {labelled} most alike" if labelled and suggested else ""


LABEL_MISTAKE = Issue(
    "label_mistake",
    30,
    "Label mistakes",
    "The label is not what the image shows, as models and look-alikes see it.",
    "Look at the surest first: relabel them or keep them as they are.",
    _say,
    relabels=True,
)
MISSING_LABEL = Issue(
    "missing_label",
    40,
    "Missing labels",
    "The image shows a class that its labels leave out.",
    "Add the label where it is right.",
    _say,
    relabels=True,
)

LABEL_ISSUES = Signal(
    name="label_issues",
    description="Labels that are probably wrong or missing, with the class they should be: models that did not train on the"
    " sample, the labels of its nearest neighbours, and a small model that is fitted to the other labels are weighed against"
    " each other. Each works alone.",
    group="labels",
    reads=(
        "ground_truth",
        "predictions",
        "prediction_rows",
        "input_files",
        "builtin_predictions",
        "probes",
        "neighbors",
        "samples",
        "media",
        "decisions",
        "moves",
    ),
    writes=("label_issues", "label_reviews"),
    version="3",
    update=PerSubject("label_issues", ("sample_id", "label_field"), _inputs, judge_labels, compare_with_reviews),
    runs=_runs,
    options=frozenset({"parameters", "similarity", "where"}),
    parameters=lambda settings: settings.label_issues,
    checks=(
        Check(
            "no_verdict_without_a_sample",
            "select count(*) from label_issues anti join samples using (sample_id)",
            "No verdict is left of a sample that is gone.",
        ),
        Check(
            "every_label_is_that_of_the_sample",
            "select count(*) from label_issues left join ground_truth using (sample_id, label_field)"
            " where given is distinct from labels[1]",
            "Each verdict is about the current label.",
        ),
    ),
    publishes=(
        Publication(
            "label_issues",
            f"""
            select brain_key, sample_id as subject_id, sample_id, null::varchar as object_id, label_field, model, given,
                suggested, score, is_issue, given_probability, suggested_probability, threshold, by_predictions, by_neighbors,
                by_builtin, neighbors_labelled, neighbors_suggested, {MOVED} as probability
            from label_issues left join label_reviews using (brain_key, label_field)
            where score is not null order by brain_key, label_field, score desc, sample_id""",
            {
                "brain_key": "The run.",
                "subject_id": "The sample.",
                "sample_id": "The sample.",
                "object_id": "NULL: labels of whole images are meant.",
                "label_field": "The field of labels.",
                "model": "The model whose prediction counts; * for several together, NULL for none.",
                "given": "The label; NULL where there is none.",
                "suggested": "The likeliest class other than the label.",
                "score": "Probability that the label is wrong; while too few are labelled to tell, that the suggested class is"
                " right if it or the label is; without a label, the probability of the suggested class.",
                "is_issue": "Whether the label is likely enough wrong (.4); without a label, whether a class is there with the"
                " confidence that is usual for it.",
                "given_probability": "Probability of the label.",
                "suggested_probability": "Probability of the suggested class.",
                "threshold": "Probability from which the suggested class is taken to be there.",
                "by_predictions": "Whether the models alone prefer the suggested class; NULL where they say nothing.",
                "by_neighbors": "Whether the neighbours alone prefer the suggested class; NULL where they say nothing.",
                "by_builtin": "Whether the builtin model alone prefers the suggested class; NULL where it says nothing.",
                "neighbors_labelled": "Nearest neighbours that have a label: those that vote.",
                "neighbors_suggested": "Those among them that bear the suggested class.",
                "probability": "The score where it is calibrated, so that over many labels it adds up to those that are wrong,"
                " moved by what reviewers found; NULL while too few are labelled.",
            },
        ),
    ),
    issues=(
        IssueQuery(
            DOUBTED,
            (LABEL_MISTAKE, MISSING_LABEL),
        ),
    ),
    metrics={
        "labels_doubted": "select count(*) from label_issues where brain_key = {key} and is_issue and given is not null"
    },
    chart=Sheet(
        "the surest mistakes",
        "select sample_id from label_issues where brain_key = {default} and is_issue order by score desc, sample_id",
    ),
    view={"tab": "queue", "issue": LABEL_MISTAKE.name},
)
