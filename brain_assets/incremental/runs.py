"""The runs of a dataset as a graph: which neighbours and vectors each of them reads."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from brain_assets.incremental.signal import MethodRun
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.settings.configuration import DatasetSettings, RunSettings, Section, SimilaritySettings
from brain_assets.resources.settings.validation import where, wrong

NEIGHBORS = "neighbors"
# These narrow the subjects themselves; the others see a part of a dataset through the neighbours within it.
NARROWED = frozenset({"similarity", "representativeness", "selections", "planned_splits"})

SectionT = TypeVar("SectionT", bound=Section)


def runs_of(dataset: Dataset, method: str, default: str | None = None) -> list[RunSettings]:
    """Return the default run of a method, where it has one, and those that dataset.yaml declares.

    Parameters
    ----------
    dataset : Dataset
    method : str
    default : str, optional
        Key of the default run.

    Returns
    -------
    list of RunSettings
        A run with a ``where`` of its own has as ``similarity`` a run of neighbours within just these samples: the declared
        one if that has the same condition, else one that is added for it.
    """
    own = [RunSettings(brain_key=default, method=method)] if default else []
    return [*own, *(_narrowed(dataset.settings, run) for run in declared_runs(dataset, method))]


def declared_runs(dataset: Dataset, method: str) -> list[RunSettings]:
    """Return the runs of a method that dataset.yaml declares beside the default one."""
    return [run for run in dataset.settings.runs if run.method == method]


def similarity_runs(settings: DatasetSettings) -> list[RunSettings]:
    """Return all runs of neighbours: the default one, those that are declared, and those added for a ``where``."""
    declared = [run for run in settings.runs if run.method == "similarity"]
    known = {run.brain_key for run in declared}
    added = [
        _within(settings, run)
        for run in settings.runs
        if _narrowed(settings, run).similarity not in {*known, NEIGHBORS}
    ]
    return [RunSettings(brain_key=NEIGHBORS, method="similarity"), *declared, *added]


def similarity_run(settings: DatasetSettings, brain_key: str) -> RunSettings:
    """Return the run of neighbours that has this key."""
    return next(run for run in similarity_runs(settings) if run.brain_key == brain_key)


def similarity_settings(settings: DatasetSettings, brain_key: str) -> SimilaritySettings:
    """Return what a run of neighbours is computed with."""
    return with_parameters(settings.similarity, similarity_run(settings, brain_key))


def conditions(settings: DatasetSettings) -> Sequence[tuple[str, str]]:
    """Return the ``where`` of every declared run that has one, with the run's key."""
    return [(run.brain_key, run.where) for run in settings.runs if run.where]


def model_of(dataset: Dataset, embeddings: str) -> str:
    """Return the model behind a run of vectors: what was fitted to another model's vectors says nothing of these."""
    runs = (*declared_runs(dataset, "embeddings"), *declared_runs(dataset, "object_embeddings"))
    return {run.brain_key: run.model for run in runs}.get(embeddings) or dataset.settings.embeddings.model


def with_parameters(section: SectionT, run: RunSettings) -> SectionT:
    """Return the dataset's settings of a method as one run has them.

    Raises
    ------
    ConfigurationError
        If a parameter is unknown or wrong.
    """
    try:
        return type(section).model_validate({**section.model_dump(), **run.parameters})
    except ValidationError as error:
        first = error.errors()[0]
        known = type(section).model_fields
        raise ConfigurationError(
            f"dataset.yaml: run {run.brain_key}: parameter {where(first)}: {wrong(first, known)}"
        ) from None


def _narrowed(settings: DatasetSettings, run: RunSettings) -> RunSettings:
    if not run.where or run.method in NARROWED or _named(settings, run.similarity).where == run.where:
        return run
    return run.model_copy(update={"similarity": f"{run.brain_key}_{NEIGHBORS}"})


def _within(settings: DatasetSettings, run: RunSettings) -> RunSettings:
    """Return the run of neighbours among the samples that both a run and the neighbours that it names look at."""
    source = _named(settings, run.similarity)
    where = f"({source.where}) and ({run.where})" if source.where else run.where
    return source.model_copy(update={"brain_key": f"{run.brain_key}_{NEIGHBORS}", "where": where})


def _named(settings: DatasetSettings, brain_key: str) -> RunSettings:
    declared = (run for run in settings.runs if run.method == "similarity" and run.brain_key == brain_key)
    return next(declared, RunSettings(brain_key=NEIGHBORS, method="similarity"))


def run_of_model(dataset: Dataset, brain_key: str, settings: Mapping[str, Any], uri: str) -> MethodRun:
    """Return a declared run of an embedding model; one whose model is not to be had fails alone, and when it is its turn."""
    try:
        return MethodRun(brain_key, settings, dataset.model_version(uri))
    except BrainError as error:
        return MethodRun(brain_key, settings, fault=str(error))
