"""Runs of a dataset by the names that FiftyOne's users know: list, look at, load, rename and delete them."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from brain_assets.app.api import DatasetReader
from brain_assets.app.views import View
from brain_assets.incremental.update import literal
from brain_assets.python.datasets import Samples, reader_of, whole
from brain_assets.python.results import Scores, SimilarityIndex, VisualizationResults
from brain_assets.resources.errors import MissingError
from brain_assets.resources.settings.configuration import load_dataset

SCORED = {"uniqueness": "uniqueness", "representativeness": "representativeness", "outliers": "outlier_score"}
INDEXED = ("similarity", "embeddings", "object_embeddings", "near_duplicates")
# What computing declares for a run that needs it, in the order in which it may be deleted.
HELPERS = ("neighbors", "means", "vectors", "crops")
OWN_VECTORS, OWN_NEIGHBORS = "embeddings", "neighbors"


@dataclass(frozen=True)
class BrainInfo:
    """What is recorded of a run.

    Attributes
    ----------
    key, method, state : str
    timestamp : datetime
        When it was last started.
    config : dict
        What it was configured with.
    version : str or None
        Of its code.
    """

    key: str
    method: str
    state: str
    timestamp: datetime | None
    config: dict[str, Any]
    version: str | None


def list_brain_runs(samples: Samples, type: str | None = None, method: str | None = None, **config: Any) -> list[str]:
    """Return the keys of all runs, or of those of a method and with these values in their configuration.

    Parameters
    ----------
    samples : DatasetReader, View, str, Path or frame
    type, method : str, optional
        Both name the method, such as ``similarity``.
    **config
        Values of its configuration, such as ``metric="euclidean"``.
    """
    rows = whole(reader_of(samples)).runs(type or method, **config)
    return [key for (key,) in rows.project("brain_key").order("brain_key").fetchall()]


def has_brain_run(samples: Samples, brain_key: str) -> bool:
    """Tell whether there is a run of this key."""
    return brain_key in list_brain_runs(samples)


def get_brain_info(samples: Samples, brain_key: str) -> BrainInfo:
    """Return what is recorded of a run; raises MissingError where there is none."""
    rows = whole(reader_of(samples)).run_history(brain_key).limit(1)
    row = dict(zip(rows.columns, rows.fetchall()[0], strict=True))
    config = json.loads(row["config"]) if isinstance(row["config"], str) else dict(row["config"] or {})
    return BrainInfo(brain_key, row["method"], row["state"], row["started_at"], config, row["code_version"])


def load_brain_view(samples: Samples, brain_key: str) -> View:
    """Return the samples that a run is of; raises MissingError where there is none."""
    reader = whole(reader_of(samples))
    get_brain_info(reader, brain_key)
    return reader.where(_declared(reader, brain_key).get("where") or "true")


def load_brain_results(samples: Samples, brain_key: str) -> Any:
    """Return what a run found: scores, an index or a map; of other methods the rows of their table.

    Raises
    ------
    MissingError
        If there is no such run.
    """
    reader = reader_of(samples)
    method, declared = get_brain_info(reader, brain_key).method, _declared(whole(reader), brain_key)
    if method in SCORED:
        return Scores(reader, brain_key, method, SCORED[method], f"brain_key = {literal(brain_key)}")
    if method == "visualization":
        return VisualizationResults(reader, brain_key)
    if method in INDEXED:
        return _index(reader, brain_key, method, declared)
    return reader.table(method)


def rename_brain_run(samples: Samples, brain_key: str, new_brain_key: str) -> None:
    """Rename a declared run, with its rows, record and calibrations; raises BrainError."""
    whole(reader_of(samples)).rename_run(brain_key, new_brain_key)


def delete_brain_run(samples: Samples, brain_key: str) -> None:
    """Delete a declared run, with its rows, record and calibrations, and what was declared for it alone; raises BrainError."""
    reader = whole(reader_of(samples))
    reader.delete_run(brain_key)
    # Neighbours go before the vectors that they are of.
    for helper in (f"{brain_key}_{kind}" for kind in HELPERS):
        runs = {run.brain_key: run for run in load_dataset(reader.paths.config).settings.runs}
        read = {key for run in runs.values() for key in (run.embeddings, run.similarity)}
        if helper in runs and helper not in read:
            reader.delete_run(helper)


def delete_brain_runs(samples: Samples) -> None:
    """Delete all declared runs; those that every dataset has stay."""
    reader = whole(reader_of(samples))
    # What others read goes after them.
    for run in reversed(load_dataset(reader.paths.config).settings.runs):
        reader.delete_run(run.brain_key)


def _declared(reader: DatasetReader, brain_key: str) -> dict[str, Any]:
    """Return what the dataset's file says of a run; nothing of one that every dataset has."""
    runs = {run.brain_key: run for run in load_dataset(reader.paths.config).settings.runs}
    return runs[brain_key].model_dump() if brain_key in runs else {}


def _index(reader: DatasetReader, brain_key: str, method: str, declared: dict[str, Any]) -> SimilarityIndex:
    runs = {run.brain_key: run for run in load_dataset(reader.paths.config).settings.runs}
    if method in {"embeddings", "object_embeddings"}:
        own = next(
            (key for key, run in runs.items() if run.method == "similarity" and run.embeddings == brain_key), None
        )
        neighbors = OWN_NEIGHBORS if brain_key == OWN_VECTORS else own
        if neighbors is None:
            raise MissingError(f"no run of similarity is over the vectors of {brain_key}: compute_similarity makes one")
        vectors = brain_key
    else:
        neighbors = brain_key if method == "similarity" else declared.get("similarity") or OWN_NEIGHBORS
        vectors = (runs[neighbors].embeddings if neighbors in runs else None) or OWN_VECTORS
    metric = runs[neighbors].parameters.get("metric", "cosine") if neighbors in runs else "cosine"
    return SimilarityIndex(reader, vectors, neighbors, metric)
