"""One dataset, opened to be brought up to date: its settings, store, source and previews, under its lock."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from resources import locks
from resources.configuration import DatasetSettings, ServiceSettings, load_dataset, load_service
from resources.embedding_models import EmbeddingModel, load_model, model_version
from resources.home import DatasetPaths, Home
from resources.media_source import MediaSource, open_source
from resources.previews import PreviewPack
from resources.store import Store


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
    models: dict[str, EmbeddingModel] = field(default_factory=dict)

    @cached_property
    def source(self) -> MediaSource:
        """Where the images lie."""
        return open_source(self.settings.media, self.settings.split_from)

    @cached_property
    def previews(self) -> PreviewPack:
        """Small pictures of all contents."""
        return PreviewPack(self.paths.previews)

    def model(self, uri: str) -> EmbeddingModel:
        """Return an embedding model, loaded once per run."""
        if uri not in self.models:
            wanted = self.settings.embeddings
            self.models[uri] = load_model(uri, device=wanted.device, runtime=wanted.runtime, cache=self.home.cache)
        return self.models[uri]

    def model_version(self, uri: str) -> str:
        """Return what names the model's vectors, without loading it."""
        wanted = self.settings.embeddings
        return model_version(uri, device=wanted.device, runtime=wanted.runtime, cache=self.home.cache)


@dataclass(frozen=True)
class Opening:
    """How a dataset is opened.

    Attributes
    ----------
    run_id, purpose : str
        Who opens it; ``purpose`` is told to those who wait.
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
    paths = home.existing(name)
    service = load_service(home.settings).settings
    configuration = load_dataset(paths.config, opening.arguments)
    settings, digest = configuration.settings, configuration.digest
    with locks.exclusive(paths.lock, opening.purpose, timeout=service.lock_timeout, waiting=opening.waiting):
        store = Store(paths.store)
        try:
            yield Dataset(home, paths, settings, digest, service, store, opening.run_id, opening.selected)
        finally:
            store.close()
