"""Declare and remove datasets."""

import logging
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from brain_assets.assets.declarations import check_declaration, check_inputs
from brain_assets.ingest.accounting import in_order, splits_told
from brain_assets.ingest.samples import source_told
from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.fiftyone_samples import file_and_field
from brain_assets.resources.label_formats.input_files import IN_PATHS
from brain_assets.resources.media.data_yaml import SUFFIXES, read_data_yaml
from brain_assets.resources.media.listing import Listing
from brain_assets.resources.media.media_source import open_media, open_source
from brain_assets.resources.settings import history, instance
from brain_assets.resources.settings.configuration import DatasetSettings, load_dataset
from brain_assets.resources.settings.home import DatasetPaths, Home, put_in_place
from brain_assets.resources.settings.validation import where, wrong
from brain_assets.resources.store import locks
from brain_assets.resources.store.store import Store
from brain_assets.signals.similarity.vector_indexes import drop_indexes

HEADER = """\
# Dataset {name}. Edit by hand: 'brain reference' explains every key, 'brain config {name}' shows what holds.
"""


def undeclared(home: Home, name: str) -> DatasetPaths:
    """Return where a dataset is to be declared; raises ConfigurationError where its name is wrong or taken."""
    paths = home.paths(name)
    if paths.config.exists():
        raise ConfigurationError(f"{name} exists already: edit {paths.config}, or remove it with 'brain remove {name}'")
    return paths


def declare(home: Home, name: str, **settings: Any) -> DatasetPaths:
    """Write a dataset's declaration and make it known to the service.

    Parameters
    ----------
    home : Home
    name : str
    **settings
        ``media``, one address or several, and whatever else differs from the defaults; None is left out. ``labels`` and
        ``predictions`` are addresses, each with its field or model before a ``=``, or as ``dataset.yaml`` has them;
        ``labels_format`` and ``predictions_format`` hold for all.

    Raises
    ------
    ConfigurationError
        If the name or a setting is wrong, or the dataset exists.
    SourceError
        If there are no such media, labels or predictions.
    """
    paths = undeclared(home, name)
    tree = declaration(settings)
    instance.prepare(home)
    write_declaration(paths, tree)
    add_partition(name)
    return paths


def declaration(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``dataset.yaml`` is to say, from settings as `declare` takes them; raises as it does."""
    tree = _nested({key: value for key, value in settings.items() if value is not None})
    if groups := tree.pop("groups", None):
        tree["groups"] = list(groups)
    given = tree["media"]
    media = [absolute(uri) for uri in ([given] if isinstance(given, str) else given)]
    tree["media"] = media if len(media) > 1 else media[0]
    _declare_data_yaml(tree, media)
    if (model := tree.pop("model", None)) is not None:
        tree["embeddings"] = {**tree.get("embeddings", {}), "model": _absolute_model(model)}
    tree |= inputs_of(tree)
    if classes := tree.pop("classes", None):
        names = classes.split(",") if isinstance(classes, str) else classes
        tree["classes"] = [name.strip() for name in names if name.strip()]
    _validate(tree)
    open_source(tree["media"], frames=tree.get("frames"))
    return tree


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of dotted keys in their sections."""
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        *sections, name = key.split(".")
        inside = tree
        for section in sections:
            if not isinstance(known := inside.get(section, {}), Mapping):
                raise ConfigurationError(f"{key}: {section} is a value, and no section")
            inside[section] = inside = dict(known)
        both = isinstance(value, Mapping) and isinstance(inside.get(name), Mapping)
        inside[name] = {**inside[name], **value} if both else value
    return tree


def write_declaration(paths: DatasetPaths, tree: Mapping[str, Any]) -> None:
    """Write ``dataset.yaml``, in one step; raises ConfigurationError where what is written would be wrong."""
    paths.predictions.mkdir(parents=True, exist_ok=True)
    draft = paths.config.with_suffix(".draft")
    try:
        text = yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True)
        draft.write_text(HEADER.format(name=paths.name) + text, "utf-8")
        load_dataset(draft)
        put_in_place(draft, paths.config)
    finally:
        draft.unlink(missing_ok=True)


def looked_at(paths: DatasetPaths, *, before: bool = True) -> list[str]:
    """Return what to tell whoever declared a dataset of local media: that they hold no image yet, or what is left out.

    What folders seem to say is told where nobody has looked ``before``.
    """
    from brain_assets.app.scanning import folders_told

    settings = load_dataset(paths.config).settings
    if any("://" in uri for uri in settings.media_addresses):
        return []
    listing = open_media(settings).list()
    told = [*_told_of_data_yaml(paths.name, settings, listing), *source_told(listing, settings)]
    if not before and not _is_data_yaml(settings.media_addresses):
        said = folders_told(listing.items.column("filepath").to_pylist(), settings)
        told += [f"{what}: brain {command.format(paths.name)}" for what, command in said]
    if listing.items.num_rows or listing.containers:
        return told
    named = ", ".join(settings.media_addresses)
    return [f"there are no images in {named} yet: they are taken in when they arrive, or check the path", *told]


def _told_of_data_yaml(name: str, settings: DatasetSettings, listing: Listing) -> list[str]:
    """Return what a ``data.yaml`` that is given as media leads to, and what a model has found that lies beside it."""
    from brain_assets.app.scanning import as_options, look_at

    if not _is_data_yaml(settings.media_addresses):
        return []
    (media,) = map(Path, settings.media_addresses)
    splits = Counter(split or "none" for split in listing.items.column("split").to_pylist())
    labels = ", ".join(os.path.relpath(one.uri, media.parent) for one in settings.labels)
    by_split = splits_told(in_order(splits), settings.split_from)
    told = f"{media}: {listing.items.num_rows} images; {by_split}; labels: {labels or 'none'}"
    found = look_at(media.parent).proposal(unsure=False) if not settings.predictions else {}
    beside = {key: value for key, value in found.items() if key.startswith("predictions")}
    return [told, *([f"predictions lie beside it: brain attach {name} {as_options(beside)}"] if beside else [])]


def _is_data_yaml(media: Sequence[str]) -> bool:
    return len(media) == 1 and Path(media[0]).suffix.lower() in SUFFIXES and Path(media[0]).is_file()


def remove(home: Home, name: str) -> None:
    """Remove a dataset with everything derived of it; raises LockedError while a run holds it."""
    paths = home.existing(name)
    instance.prepare(home)
    with locks.exclusive(paths.lock, "brain remove"):
        _drop_indexes(paths)
        shutil.rmtree(paths.folder)
    import dagster as dg

    from brain_assets.assets.place import PARTITION_TAG
    from brain_assets.sensors.slow_sources import LISTED_TAG

    with dg.DagsterInstance.get() as dagster_instance:
        dagster_instance.delete_dynamic_partition(instance.PARTITIONS, name)
        for tag in (PARTITION_TAG, LISTED_TAG):
            history.forget(dagster_instance, {tag: name})


def _drop_indexes(paths: DatasetPaths) -> None:
    """Drop what the dataset keeps on servers; a store that cannot be opened does not keep it from being removed."""
    if not paths.store.exists():
        return
    try:
        store = Store(paths.store)
    except BrainError as error:
        logging.getLogger("brain").warning(f"indexes that the dataset may have on servers are left behind: {error}")
        return
    drop_indexes(store)
    store.close()


def _declare_data_yaml(tree: dict[str, Any], media: Sequence[str]) -> None:
    """Take splits, labels and classes from a ``data.yaml`` that is given as media, where nothing else is said."""
    if not _is_data_yaml(media):
        return
    found = read_data_yaml(Path(media[0]))
    tree.setdefault("split_from", "column")
    if not tree.get("labels") and found.label_folders:
        tree["labels"], tree["labels_format"] = found.label_folders, tree.get("labels_format") or "yolo"


def inputs_of(tree: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
    """Take addresses of labels and predictions, as they are typed, out of ``tree`` and return them as settings."""
    found: dict[str, list[dict[str, str]]] = {}
    for role, owner in (("labels", "field"), ("predictions", "model")):
        given, form = tree.pop(role, None), tree.pop(f"{role}_format", None)
        if form and not given:
            raise ConfigurationError(f"{role}_format says how {role} are written, and there are none: give {role}, too")
        if given:
            found[role] = [_input(address, owner) | ({"format": form} if form else {}) for address in given]
    return found


def _input(address: str | Mapping[str, str], owner: str) -> dict[str, str]:
    if not isinstance(address, str):
        return dict(address)
    name, equals, uri = address.partition("=")
    if not equals or "/" in name or Path(address).exists():
        name, uri = "", address
    return {"uri": uri if uri in IN_PATHS else absolute(uri)} | ({owner: name} if name else {})


def _validate(tree: dict[str, Any]) -> None:
    try:
        settings = DatasetSettings.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(f"{where(first)}: {wrong(first)}") from None
    check_declaration(settings)
    check_inputs(settings)


def absolute(media: str) -> str:
    """Return an address so that it names the same wherever a run starts; raises ConfigurationError where it is empty."""
    if not media.strip():
        raise ConfigurationError("an address is empty: give a file, a folder or a URI")
    return media if "://" in media else str(Path(media).expanduser().absolute())


def _absolute_model(uri: str) -> str:
    """Return a model's URI so that it names the same file wherever a run starts."""
    scheme, _, target = uri.partition(":")
    path = Path(target).expanduser()
    there = target and Path(file_and_field(str(path))[0]).exists()
    return f"{scheme}:{path.absolute()}" if there else uri


def add_partition(name: str) -> None:
    """Make a dataset known to the service."""
    import dagster as dg

    with dg.DagsterInstance.get() as dagster_instance:
        dagster_instance.add_dynamic_partitions(instance.PARTITIONS, [name])
