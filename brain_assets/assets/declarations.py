"""What a dataset's declaration may name: methods, runs, and numbers for gates. Checked before a run does anything."""

import difflib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from brain_assets.answers.contract import read_contract
from brain_assets.answers.gates import ISSUE
from brain_assets.assets import catalog
from brain_assets.incremental.runs import similarity_runs, with_parameters
from brain_assets.resources.errors import ConfigurationError, SourceError
from brain_assets.resources.label_formats.input_files import IN_PATHS
from brain_assets.resources.settings.configuration import DatasetSettings, RunSettings
from brain_assets.resources.store.store import wrong_condition
from brain_assets.signals.registry import ISSUES

# Methods that read both neighbours and vectors, and those that are about images alone.
OF_BOTH = {"near_duplicates", "selections", "visualization"}
OF_IMAGES = {"label_issues", "leaks"}
# Methods for which objects may stand where images do.
OF_OBJECTS = {
    "object_embeddings",
    "similarity",
    "uniqueness",
    "outliers",
    "near_duplicates",
    "representativeness",
    "selections",
    "visualization",
}


def check_declaration(settings: DatasetSettings) -> None:
    """Refuse runs and gates that name what there is not.

    Raises
    ------
    ConfigurationError
        If a run's key is taken, its method or what it reads does not exist, or a gate's metric is unknown.
    """
    for gate in settings.gates:
        _known(f"gate on {gate.metric!r}", "metric", gate.metric, metrics(settings))
    if settings.contract is not None:
        for metric in read_contract(settings.contract).health:
            _known(f"limit of the contract on {metric!r}", "metric", metric, metrics(settings))
    for run in settings.runs:
        _check_run(run, settings)


def check_inputs(settings: DatasetSettings) -> None:
    """Refuse models, labels and predictions that are not there, for whoever declares or looks at a dataset.

    Raises
    ------
    ConfigurationError, MissingError
        If a model's scheme is unknown, or its file is gone.
    SourceError
        If labels or predictions lie nowhere.
    """
    from brain_assets.resources.models.embedding_models import check_model

    for model in [settings.embeddings.model, *(run.model for run in settings.runs if run.model)]:
        check_model(model)
    for uri in [*(one.uri for one in settings.labels), *(one.uri for one in settings.predictions)]:
        if uri not in IN_PATHS and not Path(uri).expanduser().exists():
            raise SourceError(f"no labels or predictions at {uri}: give a file or a folder")


def metrics(settings: DatasetSettings) -> set[str]:
    """Return the names of all numbers of a dataset's health; those of a declared run end with its key."""
    of_runs = {
        f"{name}.{run.brain_key}"
        for run in settings.runs
        if run.method in catalog.BY_NAME
        for name, query in catalog.BY_NAME[run.method].metrics.items()
        if "{key}" in query
    }
    plain = {name for signal in catalog.ALL for name in signal.metrics}
    return of_runs | plain | {ISSUE + issue for issue in ISSUES}


def default_keys() -> set[str]:
    """Return the brain keys that no declared run may have: those of the default runs."""
    return {signal.name for signal in catalog.ALL} | {
        publication.table for signal in catalog.ALL for publication in signal.publishes
    }


def _added_keys(settings: DatasetSettings) -> set[str]:
    """Return the keys of runs of neighbours that are there for the ``where`` of others."""
    declared = {run.brain_key for run in settings.runs if run.method == "similarity"}
    return {run.brain_key for run in similarity_runs(settings)} - declared


def _check_run(run: RunSettings, settings: DatasetSettings) -> None:
    runs = settings.runs
    name = f"run {run.brain_key!r}"
    if Counter(other.brain_key for other in runs)[run.brain_key] > 1:
        raise ConfigurationError(f"dataset.yaml: {name} is declared twice: give each run a brain_key of its own")
    if run.brain_key in default_keys() | _added_keys(settings):
        raise ConfigurationError(f"dataset.yaml: {name}: that key belongs to a default run, choose another brain_key")
    _known(name, "method", run.method, {signal.name for signal in catalog.ALL if signal.options})
    _check_options(run, settings)
    vectors = {"embeddings"} | ({"object_embeddings"} if run.method in OF_OBJECTS else set())
    for default, method, wanted, makers in (
        ("embeddings", "embeddings", run.embeddings, vectors),
        ("neighbors", "similarity", run.similarity, {"similarity"}),
    ):
        known = {default} | {other.brain_key for other in runs if other.method in makers}
        _known(name, f"run of {method}", wanted, known)
    _check_crops(run, settings)
    _check_subjects(run, settings)


def _check_crops(run: RunSettings, settings: DatasetSettings) -> None:
    """Refuse crops that no model would embed."""
    of_others = {other.brain_key for other in settings.runs if other.method == "object_embeddings"}
    if run.method != "object_embeddings" or run.embeddings in of_others:
        return
    if (run.model or settings.embeddings.model).startswith("precomputed:"):
        raise ConfigurationError(
            f"dataset.yaml: run {run.brain_key!r}: given vectors are of whole images: name a model that embeds crops"
        )


def _check_options(run: RunSettings, settings: DatasetSettings) -> None:
    """Refuse what a run says and its method does not use, wrong parameters, and a condition that is not SQL over samples."""
    given = run.model_fields_set - {"brain_key", "method"}
    unused = sorted(given - catalog.BY_NAME[run.method].options)
    if unused:
        raise ConfigurationError(
            f"dataset.yaml: run {run.brain_key!r}: {run.method} does not use {unused[0]!r}: take it out, or choose another method"
        )
    if run.where is not None and (reason := wrong_condition(run.where)):
        raise ConfigurationError(f"dataset.yaml: run {run.brain_key!r}: where: {reason}")
    if run.parameters and (section := catalog.BY_NAME[run.method].parameters):
        with_parameters(section(settings), run)


def _check_subjects(run: RunSettings, settings: DatasetSettings) -> None:
    """Refuse neighbours of other subjects than the run's own: objects of images, or images of objects."""
    near = {other.brain_key: other.embeddings for other in settings.runs}
    theirs = settings.objects_of(near.get(run.similarity, "embeddings"))
    own = settings.objects_of(run.embeddings)
    wrong = own != theirs if run.method in OF_BOTH else theirs is not None and run.method in OF_IMAGES
    if wrong:
        hint = f"name as similarity a run of similarity with embeddings: {run.embeddings}"
        raise ConfigurationError(
            f"dataset.yaml: run {run.brain_key!r}: the neighbours of {run.similarity!r} are not of its subjects; {hint}"
        )


def _known(where: str, what: str, word: str, known: Iterable[str]) -> None:
    if word in (names := sorted(known)):
        return
    near = difflib.get_close_matches(word, names, 1, 0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(names)}"
    raise ConfigurationError(f"dataset.yaml: {where}: unknown {what} {word!r}; {hint}")
