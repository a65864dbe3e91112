"""Where the data begin: what lies outside of the service, as assets that nobody here makes, each with a version of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.data_version import (
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    extract_data_version_from_entry,
)

from brain_assets.assets.place import Place
from brain_assets.ingest.reviews import state_of
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.label_formats.input_files import list_labels, list_predictions
from brain_assets.resources.settings.configuration import DatasetSettings, model_uris, models_state
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.store.events import Events

GROUP = "sources"


@dataclass(frozen=True)
class Source:
    """Something outside that signals are derived from.

    Attributes
    ----------
    name, description : str
    readers : tuple of str
        The signals that read it.
    state : callable
        Returns what changes when it does, from the settings and files of a dataset; None where only listing it tells.
    addresses : callable
        Returns where it lies.
    kinds : tuple of str
    """

    name: str
    description: str
    readers: tuple[str, ...]
    state: Callable[[DatasetSettings, DatasetPaths], str] | None
    addresses: Callable[[DatasetSettings, DatasetPaths], Sequence[str]]
    kinds: tuple[str, ...] = ("file",)


IMAGES = Source(
    "source_images",
    "The images as they lie in folders, archives, lists or object stores. Nothing here is written or moved.",
    ("samples",),
    None,
    lambda settings, _: settings.media_addresses,
)
SOURCES = (
    IMAGES,
    Source(
        "label_files",
        "Files of labels, in whatever format people have them; class folders are part of the images.",
        ("samples", "ground_truth", "objects"),
        lambda settings, paths: list_labels(settings, paths).state,
        lambda settings, _: [one.uri for one in settings.labels],
    ),
    Source(
        "prediction_files",
        "Files that models' predictions are dropped into.",
        ("predictions", "objects"),
        lambda settings, paths: list_predictions(settings, paths).state,
        lambda settings, paths: [one.uri for one in settings.predictions] or [str(paths.predictions)],
    ),
    Source(
        "embedding_models",
        "The models that turn images into vectors: those that the dataset's settings name, and the files behind them.",
        ("media", "embeddings", "object_embeddings"),
        lambda settings, _: models_state(settings),
        lambda settings, _: model_uris(settings),
        ("onnx",),
    ),
    Source(
        "review_page",
        "What people said on the review page: tags, drops and new labels, in the order in which they were said.",
        ("reviews",),
        lambda _, paths: state_of(Events(paths.events)) or "nothing",
        lambda _, paths: [str(paths.events)],
        ("sqlite",),
    ),
)


def sources_of(signal: str) -> list[Source]:
    """Return what a signal reads from outside."""
    return [source for source in SOURCES if signal in source.readers]


def external_assets(place: Place) -> list[dg.AssetSpec]:
    """Return the sources as assets that Dagster knows and does not make."""
    return [
        dg.AssetSpec(
            place.key(source.name),
            description=source.description,
            group_name=place.group or GROUP,
            kinds=set(source.kinds),
            partitions_def=place.partitions,
            tags={"brain/role": "source"},
        )
        for source in SOURCES
    ]


def states(settings: DatasetSettings, paths: DatasetPaths, images: str) -> dict[str, str]:
    """Return the state of every source by its name, given that of the images, which only a listing tells."""
    return {source.name: source.state(settings, paths) if source.state else images for source in SOURCES}


def observation(
    place: Place, dataset: str, name: str, state: str, addresses: Sequence[str]
) -> dg.AssetObservation | dg.AssetMaterialization:
    """Return the event that says in which state a source was found.

    Of partitions of what it does not make Dagster goes by observations, of such assets as a whole by materializations.
    """
    metadata: dict[str, dg.MetadataValue] = {}
    if addresses:
        first = addresses[0]
        metadata["dagster/uri"] = dg.MetadataValue.text(first if "://" in first else f"file://{first}")
    if len(addresses) > 1:
        metadata["addresses"] = dg.MetadataValue.json(list(addresses))
    kind = dg.AssetMaterialization if place.dataset else dg.AssetObservation
    return kind(
        place.key(name),
        partition=place.partition_of(dataset),
        metadata=metadata,
        tags={DATA_VERSION_TAG: state, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"},
    )


def observe(context: dg.AssetExecutionContext, place: Place, signal: str, dataset: Dataset, images: str | None) -> None:
    """Tell Dagster in which state the sources were that an asset has just read.

    An asset is then stale when one of them is found in another state, and not when it is found as it was read.
    """
    step = context.get_step_execution_context()
    for source, state in _read(signal, dataset, images):
        key, partition = place.key(source.name), place.partition_of(dataset.paths.name)
        known = context.instance.get_latest_data_version_record(key, partition_key=partition)
        version = known and extract_data_version_from_entry(known.event_log_entry)
        if version is None or version.value != state:
            addresses = source.addresses(dataset.settings, dataset.paths)
            context.log_event(observation(place, dataset.paths.name, source.name, state, addresses))
        # Dagster has looked before the step, which would name an older state as the one that was read.
        step.wipe_input_asset_version_info(key)


def _read(signal: str, dataset: Dataset, images: str | None) -> Iterator[tuple[Source, str]]:
    for source in sources_of(signal):
        state = source.state(dataset.settings, dataset.paths) if source.state else images
        if state is not None:
            yield source, state


def changed(known: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Return the names of sources that were found in another state than is known."""
    return [name for name, state in found.items() if known.get(name) != state]
