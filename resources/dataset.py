"""One dataset, opened to be brought up to date: its settings, store, source and previews, under its lock."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from brain_assets.resources.errors import naming_full_disk
from brain_assets.resources.limits import Limits
from brain_assets.resources.machine import keep_freed_memory
from brain_assets.resources.media.media_source import MediaSource, open_media
from brain_assets.resources.settings.configuration import DatasetSettings, ServiceSettings, load_dataset, load_service
from brain_assets.resources.settings.home import DatasetPaths, Home
from brain_assets.resources.settings.private import private_files
from brain_assets.resources.settings.remembered import require_whole
from brain_assets.resources.store import locks
from brain_assets.resources.store.previews import PreviewPack
from brain_assets.resources.store.store import Merge, Store

if TYPE_CHECKING:
    from brain_assets.resources.engines.door import Engine
    from brain_assets.resources.models.embedding_models import EmbeddingModel

PREVIEW_PACK, FIRST_PACK = "previews", "previews.pack"


def limits_of(settings: DatasetSettings) -> Limits:
    """Return what decoding one file of a dataset may cost."""
    decoding = settings.decoding
    return Limits(decoding.max_pixels, decoding.max_bytes, decoding.timeout, decoding.max_memory)


@dataclass
class Dataset:
    """What a run works with.

    Attributes
    ----------
    home : Home
    paths : DatasetPaths
    settings : DatasetSettings
    settings_digest : str
        Names the settings that the run works with.
    service : ServiceSettings
    store : Store
    run_id : str
        Stamps every row that the run writes.
    selected : frozenset of str
        Names of the assets that this run brings up to date.
    """

    home: Home
    paths: DatasetPaths
    settings: DatasetSettings
    settings_digest: str
    service: ServiceSettings
    store: Store
    run_id: str
    selected: frozenset[str]
    models: dict[str, "EmbeddingModel"] = field(default_factory=dict)

    @cached_property
    def source(self) -> MediaSource:
        """Where the images lie."""
        return open_media(self.settings, self.limits)

    @cached_property
    def engine(self) -> "Engine":
        """Who carries the heavy work."""
        from brain_assets.resources.engines.door import engine

        return engine(self.settings.engine)

    @property
    def limits(self) -> Limits:
        """What decoding one file may cost."""
        return limits_of(self.settings)

    @cached_property
    def previews(self) -> PreviewPack:
        """Small pictures of all contents."""
        return PreviewPack(self.paths.folder / self.preview_pack)

    @property
    def preview_pack(self) -> str:
        """Name of the file in the dataset's folder that holds the previews; another one after it was compacted."""
        return str(self.store.fact(PREVIEW_PACK) or FIRST_PACK)

    def model(self, uri: str) -> "EmbeddingModel":
        """Return an embedding model, loaded once per run; the dataset keeps the runtime it was loaded in."""
        from brain_assets.resources.models.embedding_models import load_model

        if uri not in self.models:
            device, runtime = self.settings.embeddings.device, self._runtime(uri)
            model = load_model(uri, device=device, runtime=runtime, cache=self.home.cache)
            self._remember(_runtime_fact(uri), model.runtime)
            self.models[uri] = model
        return self.models[uri]

    def embeds_pictures(self, uri: str) -> bool:
        """Return whether a model looks at pictures; vectors that are given are looked up."""
        from brain_assets.resources.models.embedding_models import PRECOMPUTED

        return not uri.startswith(f"{PRECOMPUTED}:")

    def model_version(self, uri: str) -> str:
        """Return what names the model's vectors, without loading it."""
        from brain_assets.resources.models.embedding_models import model_version

        device = self.settings.embeddings.device
        return model_version(uri, device=device, runtime=self._runtime(uri), cache=self.home.cache)

    def _runtime(self, uri: str) -> str | None:
        """Return the runtime to use: as configured, else the one the dataset began with, unless a GPU is asked for."""
        wanted = self.settings.embeddings
        if wanted.runtime or (wanted.device or "cpu") != "cpu":
            return wanted.runtime
        remembered: str | None = self.store.fact(_runtime_fact(uri))
        return remembered

    @property
    def runtimes(self) -> dict[str, str]:
        """The runtime of every model that the dataset began with."""
        prefix = _runtime_fact("")
        rows = self.store.rows("select name, value from facts where starts_with(name, ?) order by name", [prefix])
        return {name.removeprefix(prefix): json.loads(value) for name, value in rows}

    def _remember(self, name: str, value: str) -> None:
        if self.store.fact(name) != value:
            with self.store.write(self.run_id, "embeddings") as transaction:
                transaction.merge(fact(name, value))

    def close(self) -> None:
        """Let go of all files."""
        if "previews" in self.__dict__:
            self.previews.close()
        self.store.close()


def fact(name: str, value: str) -> Merge:
    """Return the merge that has the store remember a value."""
    return Merge("facts", pa.table({"name": [name], "value": [json.dumps(value)]}))


def _runtime_fact(uri: str) -> str:
    return f"runtime of {uri}"


@dataclass(frozen=True)
class Opening:
    """How a dataset is opened.

    Attributes
    ----------
    run_id, purpose : str
        Who opens it; ``purpose`` is shown to those who wait.
    selected : frozenset of str
        Names of the assets that will be brought up to date.
    arguments : mapping of str to str
        Run-time settings, dotted key to YAML value.
    waiting : callable, optional
        Told once who is waited for.
    """

    run_id: str
    purpose: str
    selected: frozenset[str] = frozenset()
    arguments: Mapping[str, str] = field(default_factory=dict)
    waiting: Callable[[str], None] | None = None


@contextmanager
def open_dataset(home: Home, name: str, opening: Opening) -> Iterator[Dataset]:
    """Hold a dataset for a run, from its first to its last step.

    Raises
    ------
    MissingError
        If there is no such dataset.
    ConfigurationError
        If one of its settings is wrong.
    LockedError
        If another run holds it for longer than ``lock_timeout``.
    """
    keep_freed_memory()
    paths = home.existing(name)
    service = load_service(home.settings).settings
    with (
        private_files(home.root),
        naming_full_disk(paths.folder),
        locks.exclusive(paths.lock, opening.purpose, timeout=service.lock_timeout, waiting=opening.waiting),
    ):
        # Only now, as the dataset may have been changed or removed while we waited.
        require_whole(home.existing(name))
        configuration = load_dataset(paths.config, opening.arguments)
        settings, digest = configuration.settings, configuration.digest
        may_grow = "memory" not in service.model_fields_set
        store = Store(paths.store, service.memory, service.spill, may_grow=may_grow)
        dataset = Dataset(home, paths, settings, digest, service, store, opening.run_id, opening.selected)
        try:
            _note_killed(store, opening)
            yield dataset
        finally:
            dataset.close()


def _note_killed(store: Store, opening: Opening) -> None:
    """Mark as failed what is said to be running: whoever ran it held the dataset, as we do now."""
    if store.value("select count(*) from runs where state = 'running'"):
        with store.write(opening.run_id, opening.purpose) as transaction:
            transaction.execute("update runs set state = 'failed', error = 'killed' where state = 'running'")
            transaction.mark("runs")
