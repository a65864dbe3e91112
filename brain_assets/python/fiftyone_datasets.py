"""FiftyOne datasets in and out: read as datasets here, and given back what was found so that its App shows it."""

import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from brain_assets.app.api import DatasetReader
from brain_assets.app.declaring import undeclared
from brain_assets.app.views import OF_MODELS
from brain_assets.python.datasets import GIVEN, add, is_fiftyone, set_values
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.fiftyone_samples import FILE, SPLIT_TAGS
from brain_assets.resources.label_formats.content import Content
from brain_assets.resources.label_formats.fiftyone_dataset import CLASSES, KINDS, FiftyOneDataset
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import Home

GROUND_TRUTH = "ground_truth"
SAID = "fiftyone"
FIELD_OF_ISSUES = "issues"
# What is written of each sample: the field there, and the table, column and rows that it comes from.
SCORES = (
    ("uniqueness", "uniqueness", "uniqueness", "brain_key = 'uniqueness' and object_id is null"),
    ("representativeness", "representativeness", "representativeness", "brain_key = 'representativeness'"),
    ("outlier_score", "outliers", "outlier_score", "brain_key = 'outliers'"),
    ("hardness", "hardness", "hardness", OF_MODELS.format(table="hardness")),
    *(
        (column, "mistakenness", column, OF_MODELS.format(table="mistakenness"))
        for column in ("mistakenness", "possible_missing", "possible_spurious")
    ),
)
OBJECT_SCORES = ("mistakenness", "mistakenness_loc", "possible_missing", "possible_spurious")
ISSUES = """
    select sample_id, issue, max(score) from issues where is_issue group by all order by sample_id, 3 desc, issue"""
TAGS = "select subject_id, list(distinct tag order by tag) from tags where is_current group by all"
# Of several models the one that is surest that something is wrong.
OF_OBJECTS = """
    select sample_id, source, label, x, y, width, height, max(judged.mistakenness), max(judged.mistakenness_loc),
        coalesce(bool_or(judged.possible_missing), false), coalesce(bool_or(judged.possible_spurious), false)
    from objects join object_mistakenness judged using (sample_id, object_id, source) group by all"""


def from_fiftyone(
    samples: Any,
    name: str | None = None,
    *,
    labels: Sequence[str] | None = None,
    predictions: Sequence[str] | None = None,
    embeddings: str | None = None,
    home: str | None = None,
    **settings: Any,
) -> DatasetReader:
    """Return a dataset of FiftyOne as one here; its media stay where they are. Once more, it is brought up to date.

    Parameters
    ----------
    samples : fiftyone.Dataset or view
        Of a view the dataset that it is of is taken, and the view's samples of that.
    name : str, optional
        What it is called here; by default as there.
    labels, predictions : sequence of str, optional
        The fields that hold labels, and those that hold a model's predictions; by default those without confidences, and those
        with.
    embeddings : str, optional
        Field of vectors that take the place of a model's.
    home : str, optional
    **settings
        As for `add`.

    Returns
    -------
    DatasetReader
        A view, where ``samples`` are one.

    Raises
    ------
    BrainError
        In one line, if it is no dataset of images, a field is not there, or the name is another dataset's.
    """
    source = _whole(samples)
    called = name or re.sub(r"[^A-Za-z0-9_.-]+", "_", source.name).strip("_.-")[:60] or "fiftyone"
    place = Home.default(home)
    known = called in place.names()
    folder = (place.paths(called) if known else undeclared(place, called)).folder / GIVEN / SAID
    if known and not folder.is_dir():
        raise ConfigurationError(f"{called} is another dataset here: give a name, from_fiftyone(samples, name=...)")
    path = _write(source, folder)
    inputs = _inputs(path, labels, predictions)
    if known:
        reader = DatasetReader(called, home)
        _declare_again(place, called, inputs | settings)
    else:
        model = {"model": f"precomputed:{path}#{embeddings}"} if embeddings else {}
        splits = {"split_from": "column"} if set(source.distinct("tags")) & set(SPLIT_TAGS) else {}
        reader = add(called, path, home=home, **{**inputs, **model, **splits, **settings})
    return reader if samples is source else _view(reader, samples)


def to_fiftyone(
    samples: Any,
    into: Any = None,
    *,
    prefix: str = "",
    issues: str = FIELD_OF_ISSUES,
    views: bool = True,
    brain_runs: bool = True,
) -> Any:
    """Write what was found into a dataset of FiftyOne, for its App to show, and return it.

    Scores become fields of the samples (``uniqueness``, ``representativeness``, ``outlier_score``, ``hardness``,
    ``mistakenness``) and of their objects; issues become classifications with their score as confidence; what people tagged
    here becomes tags there; maps and vectors become brain runs, so that its panel of embeddings and its search by similarity
    work.

    Parameters
    ----------
    samples : DatasetReader, View or str
        The dataset here.
    into : fiftyone.Dataset, view or str, optional
        What is written into; a new dataset of the same name by default, with labels and predictions as they are here. Samples are
        found by the paths of their files.
    prefix : str
        Before the names of fields and brain runs.
    issues : str
        The field of issues.
    views : bool
        Whether a view is saved for each issue.
    brain_runs : bool
        Whether maps and vectors are written.

    Raises
    ------
    BrainError
        In one line, if FiftyOne is not installed, or no sample is in both.
    """
    reader = DatasetReader(samples) if isinstance(samples, str) else samples
    target = _target(reader, into)
    places = dict(zip(target.values("filepath"), target.values("id"), strict=True))
    located = reader.sql("select sample_id, uri from samples").fetchall()
    ids = {sample: places[uri] for sample, uri in located if uri in places}
    if not ids:
        raise BrainError(f"no file of {reader.name} is one of {target.name}, such as {_example(located, places)}")
    _write_scores(reader, target, ids, prefix)
    _write_issues(reader, target, ids, issues, views=views)
    _write_tags(reader, target, ids)
    _write_objects(reader, target, ids, prefix)
    if brain_runs:
        _write_brain(reader, target, ids, prefix)
    return target


def _fiftyone(module: str = "") -> Any:
    try:
        return import_module(f"fiftyone{module}")
    except ImportError as error:
        raise MissingError(f"FiftyOne is not installed ({error}): pip install fiftyone") from None


def _dataset(samples: Any) -> Any:
    """Return the dataset that a view is of, a dataset as it is."""
    return _fiftyone().load_dataset(samples.dataset_name) if hasattr(samples, "dataset_name") else samples


def _whole(samples: Any) -> Any:
    """Return the dataset that a view is of; raises ConfigurationError where it is none of images."""
    if not is_fiftyone(samples):
        raise ConfigurationError(f"a dataset or view of FiftyOne is expected, not {type(samples).__name__}")
    source = _dataset(samples)
    if source.media_type != "image":
        raise ConfigurationError(
            f"{source.name} is a dataset of {source.media_type or 'nothing yet'}, not of images: videos are added by"
            " brain.add(NAME, FOLDER, frames=1)"
        )
    return source


def _write(source: Any, folder: Path) -> Path:
    """Write samples.json of a dataset without its media; the same content leaves the file as it was."""
    draft = folder.with_name(f"{folder.name}.draft")
    kept = [name for name, field in source.get_field_schema().items() if _is_kept(field)]
    types = _fiftyone().types
    source.select_fields(kept).export(
        export_dir=str(draft), dataset_type=types.FiftyOneDataset, export_media=False, overwrite=True, progress=False
    )
    folder.mkdir(parents=True, exist_ok=True)
    for path in draft.iterdir():
        target = folder / path.name
        if path.is_file() and not (target.is_file() and _content(target) == _content(path)):
            path.replace(target)
    shutil.rmtree(draft)
    return folder / FILE


def _content(path: Path) -> Any:
    """Return what a file says, without the times of its writing."""
    tree = json.loads(path.read_bytes())
    samples = tree.get("samples")
    return samples if samples is not None else tree.get("classes"), tree.get("default_classes")


def _is_kept(field: Any) -> bool:
    """Tell whether a field is one of labels, or of vectors."""
    kind = getattr(field, "document_type", None)
    return (kind.__name__ in KINDS) if kind else type(field).__name__ in {"VectorField", "ArrayField"}


def _inputs(path: Path, labels: Sequence[str] | None, predictions: Sequence[str] | None) -> dict[str, Any]:
    """Return labels and predictions as declared; a model's are about the field of labels that is of their kind."""
    content = Content(path)
    fields, kinds = FiftyOneDataset().fields(content), _kinds(content)
    if unknown := [one for one in (*(labels or ()), *(predictions or ())) if one not in fields]:
        raise ConfigurationError(f"there is no field of labels {unknown[0]!r} (fields: {', '.join(fields) or 'none'})")
    said = [name for name, role in fields.items() if role == "labels"] if labels is None else list(labels)
    models = [name for name, role in fields.items() if role == "predictions"] if predictions is None else predictions
    alone = len(said) == 1
    entry = {"uri": str(path), "format": FiftyOneDataset.name}
    about = {kinds[name]: GROUND_TRUTH if alone else name for name in reversed(said)}
    return {
        "labels": [entry | ({} if alone else {"field": name}) for name in said] or None,
        "predictions": [
            entry | {"model": name, "field": about.get(kinds[name], GROUND_TRUTH)}
            for name in models
            if name not in said
        ]
        or None,
    }


def _kinds(content: Content) -> dict[str, bool]:
    """Return of each field of labels whether it is about whole images."""
    return {
        name: said["_cls"] in CLASSES
        for sample in content.json["samples"]
        for name, said in sample.items()
        if isinstance(said, dict) and said.get("_cls") in KINDS
    }


def _declare_again(home: Home, name: str, settings: Mapping[str, Any]) -> None:
    """Declare what is other than it was."""
    settled = load_dataset(home.paths(name).config).settings
    for role in ("labels", "predictions"):
        entries = settings.get(role) or []
        known = [one.model_dump(exclude_defaults=True) for one in getattr(settled, role)]
        wanted = [
            {key: value for key, value in one.items() if (key, value) != ("field", GROUND_TRUTH)} for one in entries
        ]
        if known != wanted:
            set_values(name, {role: entries}, str(home.root))
    others = {key: value for key, value in settings.items() if key not in {"labels", "predictions"}}
    if others:
        set_values(name, others, str(home.root))


def _view(reader: DatasetReader, samples: Any) -> DatasetReader:
    from brain_assets.python.computing import bring

    bring(reader, "samples")
    known = {uri: sample for sample, uri in reader.sql("select sample_id, uri from samples").fetchall()}
    return reader.select([known[path] for path in samples.values("filepath") if path in known], ordered=True)


def _target(reader: DatasetReader, into: Any) -> Any:
    fiftyone = _fiftyone()
    if isinstance(into, str) and not fiftyone.dataset_exists(into):
        raise MissingError(
            f"FiftyOne has no dataset {into!r} (datasets: {', '.join(fiftyone.list_datasets()) or 'none'})"
        )
    if into is not None:
        return fiftyone.load_dataset(into) if isinstance(into, str) else into
    try:
        made = fiftyone.Dataset(reader.name, persistent=True)
    except ValueError as error:
        told = " ".join(str(error).split())
        raise ConfigurationError(f"FiftyOne: {told}; say which, to_fiftyone(samples, NAME)") from None
    made.add_samples(list(_samples(reader, fiftyone)), progress=False)
    return made


def _samples(reader: DatasetReader, fiftyone: Any) -> Iterable[Any]:
    """Yield the samples of a new dataset with labels and predictions; objects of a field of classes have one of their own."""
    fields: dict[str, dict[str, Any]] = defaultdict(dict)
    for field, sample, labels in _rows(
        reader, "ground_truth", "select label_field, sample_id, labels from ground_truth"
    ):
        named = [fiftyone.Classification(label=one) for one in labels or () if one]
        if named:
            fields[sample][field] = named[0] if len(labels) == 1 else fiftyone.Classifications(classifications=named)
    of_models = """
        select model, sample_id, list((label, confidence) order by position), any_value(logits) from predictions
        where model != 'builtin' group by all"""
    for model, sample, said, logits in _rows(reader, "predictions", of_models):
        named = [fiftyone.Classification(label=label, confidence=sure, logits=logits) for label, sure in said]
        fields[sample][model] = named[0] if len(named) == 1 else fiftyone.Classifications(classifications=named)
    for field, sample, boxes in _objects(reader, fiftyone):
        own = f"{field}_objects" if field in fields[sample] else field
        fields[sample][own] = fiftyone.Detections(detections=boxes)
    for sample, uri, split, tags in reader.sql(
        "select sample_id, uri, split, tags from samples order by uri"
    ).fetchall():
        yield fiftyone.Sample(
            filepath=uri, tags=list(dict.fromkeys([*([split] if split else []), *(tags or [])])), **fields[sample]
        )


def _objects(reader: DatasetReader, fiftyone: Any) -> Iterable[tuple[str, str, list[Any]]]:
    query = f"""
        select if(source = '{GROUND_TRUTH}', label_field, source), sample_id, label, [x, y, width, height], confidence, iscrowd
        from objects order by sample_id, y, x, object_id"""
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for field, sample, label, box, confidence, crowd in _rows(reader, "objects", query):
        more = {"confidence": confidence} if confidence is not None else {"iscrowd": bool(crowd)}
        found[field, sample].append(fiftyone.Detection(label=label, bounding_box=box, **more))
    return [(field, sample, boxes) for (field, sample), boxes in found.items()]


def _rows(reader: DatasetReader, table: str, query: str) -> list[Any]:
    """Return the rows of a query, none where its table was never made."""
    try:
        reader.table(table)
    except MissingError:
        return []
    return reader.sql(query).fetchall()


def _example(located: Sequence[tuple[str, str]], places: Mapping[str, str]) -> str:
    return f"{next((uri for _, uri in located), 'none')} here, {next(iter(places), 'none')} there"


def _write_scores(reader: DatasetReader, target: Any, ids: Mapping[str, str], prefix: str) -> None:
    for field, table, column, condition in SCORES:
        rows = _rows(reader, table, f"select sample_id, avg({column}) from {table} where {condition} group by 1")
        kind = int if column.startswith("possible_") else float
        values = {ids[sample]: kind(value) for sample, value in rows if sample in ids and value is not None}
        if values:
            target.set_values(prefix + field, values, key_field="id")


def _write_issues(reader: DatasetReader, target: Any, ids: Mapping[str, str], field: str, *, views: bool) -> None:
    """Write which issues each sample has; one that has none any more keeps none."""
    fiftyone, found = _fiftyone(), defaultdict(list)
    counts = Counter[str]()
    for sample, issue, score in _rows(reader, "issues", ISSUES):
        if sample in ids:
            found[ids[sample]].append(fiftyone.Classification(label=issue, confidence=score))
            counts[issue] += 1
    values = {one: fiftyone.Classifications(classifications=found[one]) for one in ids.values()}
    target.set_values(field, values, key_field="id")
    if not views:
        return
    dataset, expression = _dataset(target), fiftyone.ViewField("label")
    for issue in counts:
        dataset.save_view(f"{field}: {issue}", dataset.filter_labels(field, expression == issue), overwrite=True)


def _write_tags(reader: DatasetReader, target: Any, ids: Mapping[str, str]) -> None:
    """Add the tags that people gave here to those that are there."""
    given = {ids[subject]: tags for subject, tags in _rows(reader, "tags", TAGS) if subject in ids}
    if given:
        known = dict(zip(target.values("id"), target.values("tags"), strict=True))
        together = {one: list(dict.fromkeys([*(known[one] or []), *tags])) for one, tags in given.items()}
        target.set_values("tags", together, key_field="id")


def _write_objects(reader: DatasetReader, target: Any, ids: Mapping[str, str], prefix: str) -> None:
    """Write how objects were judged to the labels that have their class and box."""
    judged: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for sample, _, label, *values in _rows(reader, "object_mistakenness", OF_OBJECTS):
        if sample in ids:
            judged[(ids[sample], label, *(round(value, 5) for value in values[:4]))] = tuple(values[4:])
    if not judged:
        return
    for field, schema in target.get_field_schema().items():
        inner = KINDS.get(getattr(getattr(schema, "document_type", None), "__name__", ""))
        if inner == "detections":
            _write_field_of_objects(target, field, judged, prefix)


def _write_field_of_objects(target: Any, field: str, judged: Mapping[Any, Any], prefix: str) -> None:
    path = f"{field}.detections"
    columns = [target.values(f"{path}.{name}") for name in ("label", "bounding_box")]
    found = [
        [
            judged.get((one, label, *(round(value, 5) for value in box)))
            for label, box in zip(labels or (), boxes or (), strict=True)
        ]
        for one, labels, boxes in zip(target.values("id"), *columns, strict=True)
    ]
    if not any(one for boxes in found for one in boxes):
        return
    for place, name in enumerate(OBJECT_SCORES):
        target.set_values(f"{path}.{prefix}{name}", [[one and one[place] for one in boxes] for boxes in found])


def _write_brain(reader: DatasetReader, target: Any, ids: Mapping[str, str], prefix: str) -> None:
    """Make brain runs of the maps and vectors of whole images."""
    brain = _fiftyone(".brain")
    order = {one: place for place, one in enumerate(target.values("id"))}
    maps = "select brain_key, sample_id, [x, y, z] from visualization where object_id is null"
    vectors = "select brain_key, sample_id, vector from embeddings where object_id is null"
    for key, rows in _by_key(_rows(reader, "visualization", maps), ids, order).items():
        points = {one: [value for value in row if value is not None] for one, row in rows.items()}
        _replace(target, prefix + key)
        view = target.select(list(points), ordered=True)
        brain.compute_visualization(
            view, points=_matrix(points.values()), brain_key=prefix + key, verbose=False, progress=False
        )
    for key, rows in _by_key(_rows(reader, "embeddings", vectors), ids, order).items():
        named = f"{prefix}{'similarity' if key == 'embeddings' else key}"
        _replace(target, named)
        view, matrix = target.select(list(rows), ordered=True), _matrix(rows.values())
        brain.compute_similarity(view, embeddings=matrix, brain_key=named, backend="sklearn", progress=False)


def _by_key(rows: Iterable[Any], ids: Mapping[str, str], order: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Return the rows of each run by the id there, in the order there."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    known = [(order[ids[sample]], key, ids[sample], row) for key, sample, row in rows if sample in ids]
    for _, key, one, row in sorted(known, key=lambda entry: entry[:2]):
        found[key][one] = row
    return found


def _matrix(rows: Iterable[Any]) -> Any:
    import numpy as np

    return np.array(list(rows), np.float32)


def _replace(target: Any, key: str) -> None:
    if target.has_brain_run(key):
        target.delete_brain_run(key)
