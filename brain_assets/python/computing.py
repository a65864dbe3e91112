"""Compute what FiftyOne Brain computes, under its names: each call is a declared run that stays current afterwards."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from brain_assets.app import changing
from brain_assets.app.api import DatasetReader
from brain_assets.app.directly import bring_directly
from brain_assets.app.views import OF_MODELS, View
from brain_assets.assets import catalog
from brain_assets.incremental.update import literal
from brain_assets.python.datasets import GIVEN, Samples, reader_of, whole
from brain_assets.python.results import LeakySplits, Scores, SimilarityIndex, VisualizationResults, require
from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.media.splits import split_of
from brain_assets.resources.models.embedding_models import require_library
from brain_assets.resources.settings.configuration import BACKENDS, load_dataset

Mode = Literal["default", "compat"]
ANSWERS = ("issues", "health", "published")
METRICS = {"l1": "manhattan", "cityblock": "manhattan", "l2": "euclidean"}
# Of the peer's parameters these change nothing here: batches, workers and what a terminal shows follow from the machine, an
# index of places is its database's, and axes are the same by any solver.
MACHINE = ("batch_size", "num_workers", "progress", "verbose", "create_index", "svd_solver")
# These would change something, and are asked for in another way.
ELSEWHERE = {
    "model_kwargs": "a model is named with all that is asked of it, as in timm:NAME, or is a class of yours, python:MODULE:CLASS",
    "points_field": "places stand in the table visualization, by brain_key",
    "copy_missing": "files of labels are never written to; dataset.export_objects(PATH, missing_objects=True) writes one",
}
KNOWN = frozenset(
    {*MACHINE, *ELSEWHERE, "similarity_index", "roi_field", "patches_field", "embeddings", "model", "metric"}
    | {"alpha", "force_square", "backend", "url", "collection", "options"}
)


class Space:
    """The vectors and neighbours that a call is about, declared where they are not the dataset's own."""

    def __init__(self, samples: Samples, key: str, asked: Mapping[str, Any], index: str | None = None) -> None:
        _machine(asked)
        self.samples = reader_of(samples)
        self.dataset = whole(self.samples)
        self.key, self.index = key, index
        self.embeddings, self.neighbors = "embeddings", "neighbors"
        self.metric = METRICS.get(metric := asked.get("metric") or "cosine", metric)
        self.graph = ({} if self.metric == "cosine" else {"metric": self.metric}) | _kept_in(asked)
        self._choose(asked)
        if index and self.neighbors == "neighbors":
            self.neighbors = self._near(self.embeddings)

    def declare(self, method: str, brain_key: str, **entry: Any) -> str:
        """Declare a run and return its key."""
        said = {name: value for name, value in entry.items() if value not in (None, {})}
        changing.put_run(self.dataset.home, self.dataset.name, {"brain_key": brain_key, "method": method, **said})
        return brain_key

    def bring(self, *methods: str, key: str = "") -> None:
        """Bring methods up to date; what fails of others that were declared once is not the affair of who asks now."""
        bring(self.dataset, *methods, keys={key, self.embeddings, self.neighbors, f"{self.neighbors}_index"})

    @property
    def where(self) -> str | None:
        """The condition of a view, None of a whole dataset."""
        return self.samples.run_condition if isinstance(self.samples, View) else None

    @property
    def is_own(self) -> bool:
        """Whether it is the dataset's own vectors and neighbours."""
        return (self.embeddings, self.neighbors) == ("embeddings", "neighbors")

    def run(self, method: str, default: str, parameters: Mapping[str, Any], *, vectors: bool = False) -> str:
        """Have a run of a method, the default one where nothing differs from it, and bring it up to date."""
        plain = {name: value for name, value in parameters.items() if value is not None}
        same = self.key == default and self.is_own and not plain and self.where is None
        key = default
        if not same:
            key = self.key if self.key != default else f"{default}_run"
            read = {"similarity": self.neighbors} | (
                {"embeddings": self.embeddings} if vectors or plain.get("mode") else {}
            )
            entry = {} if self.is_own else read
            self.declare(method, key, where=self.where, parameters=plain, **entry)
        self.bring(method, key=key)
        return key

    def _choose(self, asked: Mapping[str, Any]) -> None:
        index = asked.get("similarity_index")
        if index is not None:
            self._of_index(index)
        elif region := asked.get("roi_field") or asked.get("patches_field"):
            self._of_objects(region, asked)
        elif (given := asked.get("embeddings")) is False:
            raise ConfigurationError("embeddings=False: an index is never empty, it follows the samples by itself")
        elif given is not None and not isinstance(given, str):
            self._of_vectors(given)
        elif isinstance(given, str):
            self.embeddings, self.neighbors = given, self._near(given)
        elif model := asked.get("model"):
            require_library(str(model))
            key = self.declare("embeddings", f"{self.key}_vectors", model=str(model))
            self.embeddings, self.neighbors = key, self._near(key)
        elif self.graph:
            self.neighbors = self._near("embeddings")

    def _of_index(self, index: Any) -> None:
        if isinstance(index, SimilarityIndex):
            self.embeddings, self.neighbors, self.metric = index.brain_key, index.neighbors_key, index.metric
            return
        runs = {run.brain_key: run for run in load_dataset(self.dataset.paths.config).settings.runs}
        # What `compute_similarity` was given as a key begins those of what it had to declare.
        index = next((one for one in (index, f"{index}_neighbors") if one in runs), index)
        if index not in {"neighbors", *runs}:
            raise ConfigurationError(f"there is no run {index!r} (runs: {', '.join(['neighbors', *runs])})")
        run = runs.get(index)
        if run and run.method != "similarity":
            self.embeddings, self.neighbors = index, self._near(index)
        else:
            self.embeddings, self.neighbors = (run.embeddings if run else "embeddings"), index
            self.metric = run.parameters.get("metric", "cosine") if run else "cosine"

    def _of_objects(self, field: str, asked: Mapping[str, Any]) -> None:
        """Declare the crops of a field's objects; for regions of interest, their mean in each image."""
        parameters = {"label_field": field} | {
            name: asked[name] for name in ("alpha", "force_square") if asked.get(name)
        }
        if model := asked.get("model"):
            require_library(str(model))
        key = self.declare("object_embeddings", f"{self.key}_crops", model=model and str(model), parameters=parameters)
        if asked.get("roi_field"):
            key = self.declare("object_embeddings", f"{self.key}_means", embeddings=key)
        self.embeddings, self.neighbors = key, self._near(key)

    def _of_vectors(self, given: Any) -> None:
        """Keep given vectors beside the dataset: a matrix in the order of the samples, or a vector by sample id."""
        if isinstance(given, Mapping):
            ids, rows = list(given), list(given.values())
        else:
            ids, rows = self._ids(), list(np.asarray(given))
        if len(ids) != len(rows):
            raise ConfigurationError(f"there are {len(ids)} samples and {len(rows)} vectors")
        path = self.dataset.paths.folder / GIVEN / f"{self.key}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.stem}.draft.npz")
        np.savez(draft, sample_id=np.array(ids, dtype=str), vectors=np.array(rows, np.float32))
        os.replace(draft, path)
        key = self.declare("embeddings", f"{self.key}_vectors", model=f"precomputed:{path}")
        self.embeddings, self.neighbors = key, self._near(key)

    def _ids(self) -> list[str]:
        """Return the ids of the samples, in the order of their paths or of the view."""
        if isinstance(self.samples, View):
            return self.samples.ids
        _known(self.dataset)
        return [row[0] for row in self.dataset.sql("select sample_id from samples order by filepath").fetchall()]

    def _near(self, embeddings: str) -> str:
        """Return the run of neighbours over some vectors, declared where there is none or it shall have a key of its own."""
        if self.index:
            return self.declare("similarity", self.index, embeddings=embeddings, parameters=self.graph)
        for run in load_dataset(self.dataset.paths.config).settings.runs:
            if (run.method, run.embeddings, run.where, run.parameters) == ("similarity", embeddings, None, self.graph):
                return run.brain_key
        return self.declare("similarity", f"{self.key}_neighbors", embeddings=embeddings, parameters=self.graph)


def _kept_in(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run of neighbours whose vectors a backend keeps, too."""
    backend = asked.get("backend")
    place = {name: asked[name] for name in ("url", "collection", "options") if asked.get(name) is not None}
    if backend in {None, "exact"}:
        if place:
            raise ConfigurationError(
                f"{next(iter(place))!r} says where a backend keeps vectors: name it, as in backend='qdrant'"
            )
        return {}
    section = backend if backend in BACKENDS else "other"
    return {"backend": backend} | ({section: place} if place else {})


def compute_uniqueness(
    samples: Samples,
    uniqueness_field: str = "uniqueness",
    *,
    mode: Mode | None = None,
    skip_failures: bool = True,
    **options: Any,
) -> Scores:
    """Score how much each sample differs from those most like it.

    Parameters
    ----------
    samples : DatasetReader, View, str, Path or frame
        A dataset or its name, a view, a folder, or a frame with a column ``filepath``.
    uniqueness_field : str
        Key of the run. With the usual one and nothing else said, it is the run that every dataset has.
    mode : {"default", "compat"}, optional
        ``compat``: FiftyOne Brain's own numbers.
    skip_failures : bool
        Whether samples that cannot be read are left out; otherwise they are an error.
    **options
        ``roi_field``, ``embeddings`` (array in the order of the paths, mapping of sample id to vector, or the key of a run),
        ``similarity_index`` (index or key), ``model``, ``force_square``, ``alpha``, ``metric``; ``batch_size``, ``num_workers``
        and ``progress`` are understood and change nothing, as numbers follow from neither.

    Returns
    -------
    Scores
        In (0, 1], 1 the most unique.
    """
    space = Space(samples, uniqueness_field, options)
    key = space.run("uniqueness", "uniqueness", {"mode": mode})
    return _scores(space.samples, key, "uniqueness", skip_failures=skip_failures)


def compute_representativeness(
    samples: Samples,
    representativeness_field: str = "representativeness",
    method: str = "cluster-center",
    *,
    mode: Mode | None = None,
    skip_failures: bool = True,
    **options: Any,
) -> Scores:
    """Score how typical each sample is of its cluster; parameters are those of `compute_uniqueness`.

    ``method`` is ``cluster-center`` or ``cluster-center-downweight``.
    """
    space = Space(samples, representativeness_field, options)
    parameters = {"mode": mode, "method": None if method == "cluster-center" else method}
    key = space.run("representativeness", "representativeness", parameters, vectors=True)
    return _scores(space.samples, key, "representativeness", skip_failures=skip_failures)


def compute_similarity(
    samples: Samples,
    patches_field: str | None = None,
    roi_field: str | None = None,
    embeddings: Any = None,
    brain_key: str | None = None,
    model: str | None = None,
    *,
    backend: str | None = None,
    **options: Any,
) -> SimilarityIndex:
    """Return an index that answers what is like what; it keeps current as samples arrive.

    Parameters
    ----------
    samples : DatasetReader, View, str, Path or frame
    patches_field, roi_field : str, optional
        Field whose objects are indexed each, or whose mean stands for each image.
    embeddings : array, mapping or str, optional
        As for `compute_uniqueness`.
    brain_key : str, optional
        Key of the index, by which it is loaded again; by default that which every dataset has, where nothing else is asked.
    model : str, optional
    backend : str, optional
        What keeps the vectors to be searched beside the published ones, such as ``qdrant``; ``exact`` for nothing else.
    **options
        ``metric`` (cosine, euclidean, dotproduct, manhattan), ``url``, ``collection`` and ``options`` of the backend, ``alpha``,
        ``force_square``, and as for `compute_uniqueness`.
    """
    asked = {
        "patches_field": patches_field,
        "roi_field": roi_field,
        "embeddings": embeddings,
        "model": model,
        "backend": backend,
        **options,
    }
    readable = asked.pop("skip_failures", True)
    space = Space(samples, brain_key or "similarity_index", asked, brain_key)
    space.bring("similarity", "object_embeddings", *(("vector_indexes",) if "backend" in space.graph else ()))
    _require_readable(space.samples, skip_failures=readable)
    return SimilarityIndex(space.samples, space.embeddings, space.neighbors, space.metric)


def compute_visualization(
    samples: Samples,
    patches_field: str | None = None,
    embeddings: Any = None,
    points: ArrayLike | Mapping[str, Sequence[float]] | None = None,
    brain_key: str = "visualization",
    num_dims: int | None = None,
    method: str | None = None,
    *,
    num_neighbors: int | None = None,
    min_dist: float | None = None,
    seed: int | None = None,
    perplexity: float | None = None,
    learning_rate: float | None = None,
    max_iters: int | None = None,
    pca_dims: int | None = None,
    umap: Mapping[str, Any] | None = None,
    **options: Any,
) -> VisualizationResults:
    """Return a map on which look-alikes are near each other; new samples join it without moving the others.

    Parameters
    ----------
    samples, embeddings, **options
        As for `compute_uniqueness`; ``patches_field`` makes a map of objects.
    points : array or mapping, optional
        Places that are known, in the order of the paths or by sample id; of objects in the order of their ids, or by these.
        The method is then ``manual``.
    brain_key : str
    num_dims : {2, 3}, optional
    method : {"umap", "tsne", "pca", "manual"}, optional
    num_neighbors, min_dist
        Of umap.
    seed : int, optional
    perplexity, learning_rate, max_iters, pca_dims
        Of tsne.
    umap : mapping, optional
        Further parameters by umap-learn's own names, such as ``{"spread": 2}``; umap-learn then makes the map.
    """
    readable = options.pop("skip_failures", True)
    space = Space(samples, brain_key, {"patches_field": patches_field, "embeddings": embeddings, **options})
    parameters: dict[str, Any] = {
        "method": method,
        "dimensions": num_dims,
        "n_neighbors": num_neighbors,
        "min_dist": min_dist,
        "seed": seed,
        "perplexity": perplexity,
        "learning_rate": learning_rate,
        "iterations": max_iters,
        "pca_dims": pca_dims,
    }
    if umap:
        parameters |= {"implementation": "umap-learn", "metric": options.get("metric"), "umap": dict(umap)}
    if points is not None:
        parameters |= {"method": "manual", "points": _points(space, points, of_objects=patches_field is not None)}
    key = space.run("visualization", "visualization", parameters, vectors=True)
    _require_readable(space.samples, skip_failures=readable)
    results = VisualizationResults(space.samples, key)
    require(results.relation(), f"the map {key} has no points: {space.samples!r} has no vectors")
    return results


def compute_exact_duplicates(
    samples: Samples,
    num_workers: int | None = None,
    *,
    skip_failures: bool = True,
    progress: Any = None,
    pixels: bool = True,
) -> dict[str, list[str]]:
    """Return the sample that is kept of each group of copies -> the others.

    Parameters
    ----------
    samples : DatasetReader, View, str, Path or frame
    num_workers, progress : optional
        Change nothing.
    skip_failures : bool
        Whether samples that cannot be read are left out; otherwise they are an error.
    pixels : bool
        Whether equal pixels in other bytes count, too.
    """
    del num_workers, progress
    space = Space(samples, "exact_duplicates", {})
    space.bring("exact_duplicates")
    _require_readable(space.samples, skip_failures=skip_failures)
    kind = "" if pixels else " where kind is null or kind = 'bytes'"
    rows = space.samples.sql(f"""
        select list(sample_id order by keep desc, sample_id) from exact_duplicates{kind}
        group by group_id having count(*) > 1 order by 1""").fetchall()
    return {first: others for ((first, *others),) in rows}


def compute_near_duplicates(samples: Samples, threshold: float | None = None, **options: Any) -> SimilarityIndex:
    """Find near duplicates and return the index that can be asked at other thresholds.

    Parameters
    ----------
    samples : DatasetReader, View, str, Path or frame
    threshold : float, optional
        Of 1 - cosine of the vectors, as FiftyOne Brain has it (its default is .2). By default the evidence of pixels decides
        for each pair, which tells copies from what merely looks alike; vectors other than the dataset's own need one.
    **options
        Whose vectors are compared, and ``skip_failures``, as for `compute_uniqueness`.
    """
    space = _compared(samples, "near_duplicates", threshold, options)
    space.bring("near_duplicates", "similarity", "object_embeddings")
    index = SimilarityIndex(space.samples, space.embeddings, space.neighbors, space.metric)
    index.find_duplicates(thresh=threshold)
    return index


def compute_leaky_splits(
    samples: Samples,
    splits: str | Sequence[str] | Mapping[str, Any] | None = None,
    threshold: float | None = None,
    **options: Any,
) -> LeakySplits:
    """Find copies that lie in two splits.

    Parameters
    ----------
    samples : DatasetReader, View, str, Path or frame
    splits : str, sequence of str, or mapping, optional
        A column of the samples (``split``, ``label``), each of whose values is a split; tags, or values of ``split``; or views,
        or ids, by name.
        By default the samples' own splits.
    threshold : float, optional
        By default the evidence for each pair decides; vectors other than the dataset's own need one, of their 1 - cosine.
    **options
        Whose vectors are compared, and ``skip_failures``, as for `compute_uniqueness`.
    """
    space = _compared(samples, "leaks", threshold, options)
    space.bring("leaks", "similarity", "object_embeddings")
    vectors = None if space.embeddings == "embeddings" else space.embeddings
    leaks = LeakySplits(space.samples, _splits(space.samples, splits), threshold, vectors)
    # Splits that are none are told now, and not when the result is looked at.
    leaks.leaks()
    return leaks


def _compared(samples: Samples, key: str, threshold: float | None, options: dict[str, Any]) -> Space:
    """Return the vectors by which copies are told; raises where they need a threshold and have none."""
    readable = options.pop("skip_failures", True)
    space = Space(samples, key, options)
    if threshold is None and space.embeddings != "embeddings":
        raise ConfigurationError("by these vectors, copies need a threshold of 1 - cosine, such as threshold=0.2")
    _known(space.dataset)
    _require_readable(space.samples, skip_failures=readable)
    return space


def compute_hardness(
    samples: Samples, label_field: str = "*", hardness_field: str = "hardness", **options: Any
) -> Scores:
    """Score how undecided a model is: the entropy of its logits, in nats.

    Parameters
    ----------
    samples : DatasetReader, View, str, Path or frame
    label_field : str
        The model, as its predictions are named; ``*`` is the mean over models.
    hardness_field : str
        Names the scores.
    """
    space = Space(samples, "hardness", options)
    space.bring("hardness")
    return _of_model(space.samples, hardness_field, "hardness", label_field)


def compute_mistakenness(
    samples: Samples,
    pred_field: str = "*",
    label_field: str = "ground_truth",
    mistakenness_field: str = "mistakenness",
    missing_field: str = "possible_missing",
    spurious_field: str = "possible_spurious",
    use_logits: bool | None = None,  # noqa: FBT001 - as people know it
    **options: Any,
) -> Scores:
    """Score how likely each label is wrong, given a model's predictions; boxes are in ``object_mistakenness``.

    Parameters
    ----------
    samples : DatasetReader, View, str, Path or frame
    pred_field : str
        The model, as its predictions are named; ``*`` is the mean over models.
    label_field : str
        The field of labels.
    mistakenness_field : str
        Names the scores.
    missing_field, spurious_field : str
        What the counts of missing and spurious objects are called in the relation of the result.
    use_logits : bool, optional
        Logits are used where predictions have any, else confidences; what cannot be so is an error.
    """
    space = Space(samples, "mistakenness", options)
    space.bring("mistakenness", "object_mistakenness")
    scores = _of_model(space.samples, mistakenness_field, "mistakenness", pred_field, label_field)
    if use_logits is not None:
        _require_logits(space.samples, pred_field, wanted=use_logits)
    names = {"possible_missing": missing_field, "possible_spurious": spurious_field}
    return replace(scores, names={column: name for column, name in names.items() if column != name})


def _require_logits(samples: DatasetReader, model: str, *, wanted: bool) -> None:
    of_model = "model not in ('*', 'builtin')" if model == "*" else f"model = {literal(model)}"
    query = f"select coalesce(bool_or(logits is not null), false) from predictions where {of_model}"
    if samples.sql(query).fetchall()[0][0] != wanted:
        raise ConfigurationError(
            f"use_logits=True: the predictions of {model} have no logits"
            if wanted
            else f"use_logits=False: the predictions of {model} have logits, which are used; attach them without"
        )


def bring(dataset: DatasetReader, *methods: str, keys: Collection[str] | None = None) -> None:
    """Bring what some methods read, and they, up to date, and publish it; raises where a run fails, or one of these runs."""
    wanted = set(methods) | set(ANSWERS)
    open_ = list(methods)
    while open_:
        for name in catalog.upstream(catalog.BY_NAME[open_.pop()]):
            if name not in wanted:
                wanted.add(name)
                open_.append(name)
    bring_directly(dataset.home, dataset.name, wanted, f"computing {', '.join(methods)}", keys)


def _known(dataset: DatasetReader) -> None:
    """List the samples of a dataset that was never looked at."""
    try:
        dataset.table("samples")
    except BrainError:
        bring(dataset, "samples")


def _machine(asked: Mapping[str, Any]) -> None:
    if unknown := sorted(set(asked) - KNOWN):
        known = ", ".join(sorted(KNOWN - set(MACHINE) - set(ELSEWHERE)))
        raise ConfigurationError(f"unknown parameter {unknown[0]!r} (known: {known})")
    for name, instead in ELSEWHERE.items():
        if asked.get(name):
            raise ConfigurationError(f"{name}: {instead}")


def _scores(samples: DatasetReader, key: str, table: str, *, skip_failures: bool) -> Scores:
    _require_readable(samples, skip_failures=skip_failures)
    return Scores(samples, key, table, table, f"brain_key = {literal(key)}")


def _require_readable(samples: DatasetReader, *, skip_failures: bool) -> None:
    if skip_failures:
        return
    rows = samples.sql("select filepath, error from samples where status = 'error' order by 1").fetchall()
    if rows:
        raise BrainError(f"{len(rows)} samples cannot be read, such as {rows[0][0]}: {rows[0][1]}")


def _of_model(samples: DatasetReader, field: str, table: str, model: str, label_field: str | None = None) -> Scores:
    models = [row[0] for row in samples.sql(f"select distinct model from {table} order by 1").fetchall()]
    if model not in {*models, "*"} or not models:
        raise ConfigurationError(
            f"no predictions of a model {model!r} are scored (models: {', '.join(models) or 'none'})"
        )
    named = f"label_field = {literal(label_field)}" if label_field else "true"
    if model == "*":
        columns = [one for one in samples.table(table).columns if one not in {"sample_id", "label_field", "model"}]
        mean = ", ".join(f"avg({one}) as {one}" for one in columns)
        rows = (
            f"(select sample_id, label_field, {mean} from {table} where {OF_MODELS.format(table=table)} group by all)"
        )
        return Scores(samples, field, rows, table, named)
    return Scores(samples, field, table, table, f"model = {literal(model)} and {named}")


def _points(space: Space, points: ArrayLike | Mapping[str, Sequence[float]], *, of_objects: bool) -> str:
    """Keep given places beside the dataset."""
    import pyarrow as pa
    from pyarrow import csv

    objects: list[str] = []
    if of_objects:
        space.bring("object_embeddings")
        objects = SimilarityIndex(space.samples, space.embeddings).label_ids or []
    if isinstance(points, Mapping):
        ids, matrix = list(points), np.array(list(points.values()), float)
    else:
        ids, matrix = objects or space._ids(), np.asarray(points, float)
    if matrix.ndim != 2 or len(matrix) != len(ids) or matrix.shape[1] not in {2, 3}:
        raise ConfigurationError(f"points must be {len(ids)} rows of 2 or 3 numbers, not of shape {matrix.shape}")
    columns = {name: matrix[:, place] for place, name in enumerate("xyz"[: matrix.shape[1]])}
    path = space.dataset.paths.folder / GIVEN / f"{space.key}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    csv.write_csv(pa.table({"object_id" if of_objects else "sample_id": ids, **columns}), path)
    return str(path)


def _splits(samples: DatasetReader, splits: Any) -> Mapping[str, Sequence[str]] | Sequence[str] | None:
    if splits is None or splits == "split":
        return None
    if isinstance(splits, Mapping):
        return {name: given.ids if isinstance(given, View) else list(given) for name, given in splits.items()}
    view = samples if isinstance(samples, View) else samples.where("true")
    if not isinstance(splits, str):
        names = list(splits)
        known = {row[0] for row in view.sql("select unnest(tags) from samples union select tag from tags").fetchall()}
        # What others tag is here a column of its own, in which a split has one name.
        if known & set(names) or not {split_of(name) for name in names} <= set(view.values("split")):
            return names
        return {name: view.where(f"split = {literal(str(split_of(name)))}").ids for name in names}
    rows = view.sql(f"select {splits}, list(sample_id) from samples where {splits} is not null group by 1").fetchall()
    return {str(value): ids for value, ids in rows}
