"""Answers to "was this picture ever seen?": by the datasets of the home, or in files of fingerprints that were taken in."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from brain_assets.ledger import entries
from brain_assets.ledger.looking import MATCHES, ORIENTATIONS, UNKNOWN, Pictures, rows_of, seen
from brain_assets.methods.duplicates.fingerprints import CODE_WORDS, vector_codes
from brain_assets.resources.errors import BrainError
from brain_assets.resources.media.listing import content_hash
from brain_assets.resources.settings.configuration import DatasetSettings, load_dataset
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.publishing import manifest

if TYPE_CHECKING:
    from brain_assets.resources.decoding.decoding import Decoded
    from brain_assets.resources.models.embedding_models import EmbeddingModel

Load = Callable[..., "EmbeddingModel"]
# Pictures that are decoded and embedded together, and what is told of each entry about one.
TOGETHER = 32
MOST_TOLD = 3
GIVEN = "precomputed:"


@dataclass(frozen=True)
class Sighting:
    """Where a picture was seen.

    Attributes
    ----------
    source, source_kind : str
        A dataset of the home, or a file that was taken in: dataset or file.
    name : str or None
        Path of the image there.
    splits, former_splits : sequence of str
        The splits that it is in there, and those that it was in before.
    present : bool
        Whether it is there now.
    match : {"bytes", "hash", "vector"}
        By what it is the same.
    hash_bits, code_bits : int or None
        Bits of 64 and of 128 in which perceptual hashes and codes of vectors differ; None where they cannot be compared.
    first_seen, dropped_at : datetime or None
    dropped_by : str or None
        Who dropped it there.
    """

    source: str
    source_kind: str
    name: str | None
    splits: Sequence[str]
    former_splits: Sequence[str]
    present: bool
    match: str
    hash_bits: int | None
    code_bits: int | None
    first_seen: datetime | None
    dropped_at: datetime | None
    dropped_by: str | None

    def __str__(self) -> str:
        how = {"bytes": "the same bytes as", "hash": "the same picture as", "vector": "probably an edit of"}[self.match]
        splits = [*self.splits, *(f"formerly {one}" for one in self.former_splits)]
        told = f"{how} {self.name or 'one'} in {self.source}" + (f" ({', '.join(splits)})" if splits else "")
        if self.dropped_at:
            return f"{told}, which {self.dropped_by} dropped on {self.dropped_at:%Y-%m-%d}"
        return told if self.present else f"{told}, which is gone"


@dataclass(frozen=True)
class Answer:
    """What is known of a picture.

    Attributes
    ----------
    picture : str
        Its name.
    error : str or None
        Why it could not be decoded; its bytes are looked for all the same.
    seen : sequence of Sighting
        The nearest first; files that were taken in before datasets where both are as near.
    """

    picture: str
    error: str | None
    seen: Sequence[Sighting]

    def as_json(self) -> dict[str, Any]:
        """Return it as values that JSON has."""
        return {
            "picture": self.picture,
            "error": self.error,
            "seen": [{name: _plain(value) for name, value in asdict(one).items()} for one in self.seen],
        }


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


class Lookout:
    """Answers whether pictures were seen, and keeps the ledger mapped and a model loaded between questions.

    Parameters
    ----------
    home : Home
    load : callable, optional
        Loads a model, as `load_model` does.
    """

    def __init__(self, home: Home, load: Load | None = None) -> None:
        self.home, self._load = home, load
        self._known: dict[tuple[str, str], entries.Entry] = {}
        self._lock = threading.Lock()

    def look(self, pictures: Iterable[tuple[str, bytes]]) -> Iterator[Answer]:
        """Yield an answer for each picture, given by a name and the bytes of its file."""
        with self._lock:
            waiting = iter(pictures)
            while group := list(islice(waiting, TOGETHER)):
                yield from self._answers(group)

    @property
    def missing(self) -> list[str]:
        """Datasets that the ledger knows nothing of, as no run has taken their fingerprints yet."""
        return [name for name in self.home.names() if entries.find(self.home, "dataset", name) is None]

    def _entries(self) -> list[entries.Entry]:
        """Return the entries as they are now; what is mapped already stays so."""
        now = entries.entries(self.home)
        kept = [self._known.get((one.kind, one.name)) for one in now]
        found = [old if old and old.version == new.version else new for old, new in zip(kept, now, strict=True)]
        self._known = {(one.kind, one.name): one for one in found}
        return found

    def _answers(self, group: Sequence[tuple[str, bytes]]) -> list[Answer]:
        rows = self._decoded([data for _, data in group])
        sought = self._sought([data for _, data in group], rows)
        told: list[list[tuple[float, Sighting]]] = [[] for _ in group]
        for entry in self._entries():
            for place, far, sighting in _sightings(entry, sought):
                told[place].append((far, sighting))
        ordered = [[one for _, one in sorted(found, key=lambda pair: pair[0])] for found in told]
        return [Answer(name, row.error, found) for (name, _), row, found in zip(group, rows, ordered, strict=True)]

    def _decoded(self, files: Sequence[bytes]) -> "list[Decoded]":
        from brain_assets.resources.decoding.decoding import DecodeJob, Decoder

        spec = self._model.input if self._model else None
        jobs = [DecodeJob(str(place), lambda data=data: data) for place, data in enumerate(files)]  # type: ignore[misc]
        with Decoder(inputs=[spec] if spec else [], threads=1) as decoder:
            return sorted(decoder.decode(jobs), key=lambda row: int(row.key))

    def _sought(self, files: Sequence[bytes], rows: "Sequence[Decoded]") -> Pictures:
        hashes, codes = (np.zeros((len(rows), width), np.uint64) for width in (ORIENTATIONS, CODE_WORDS))
        good = [place for place, row in enumerate(rows) if row.status == "ok"]
        for place in good:
            row = rows[place]
            hashes[place] = [row.phash or 0, row.phash_mirrored or 0, *(row.phash_turned or ())]
        model = self._model
        if model and model.input and good:
            vectors = model.embed(np.stack([rows[place].inputs[model.input.name] for place in good]))
            sound = np.isfinite(vectors).all(axis=1)
            codes[np.array(good)[sound]] = vector_codes(vectors[sound])
        return Pictures([content_hash(data) for data in files], hashes, codes, model.version if model else None)

    @cached_property
    def _model(self) -> "EmbeddingModel | None":
        """The model of most datasets of the home, in the runtime that their vectors came from; None where all were given."""
        from brain_assets.resources.models.embedding_models import load_model

        settings = {name: one for name in self.home.names() if (one := _settings_of(self.home, name))}
        uris = Counter(one.embeddings.model for one in settings.values())
        chosen = next((uri for uri, _ in uris.most_common() if not uri.startswith(GIVEN)), None)
        if chosen is None and settings:
            return None
        uri = chosen or DatasetSettings.model_fields["embeddings"].get_default(call_default_factory=True).model
        owner = next((name for name, one in settings.items() if one.embeddings.model == uri), None)
        device = settings[owner].embeddings.device if owner else None
        runtime = _runtime(self.home, owner, settings[owner], uri) if owner else None
        return (self._load or load_model)(uri, device=device, runtime=runtime, cache=self.home.cache)


def _runtime(home: Home, name: str, settings: DatasetSettings, uri: str) -> str | None:
    """Return the runtime that a dataset's vectors came from, whatever this machine would choose today."""
    if settings.embeddings.runtime or (settings.embeddings.device or "cpu") != "cpu":
        return settings.embeddings.runtime
    facts = (manifest(home.paths(name).published) or {}).get("facts", {})
    found: str | None = facts.get("runtimes", {}).get(uri)
    return found


def _settings_of(home: Home, name: str) -> DatasetSettings | None:
    """Return a dataset's settings; one whose declaration is broken is told of elsewhere."""
    try:
        return load_dataset(home.paths(name).config).settings
    except BrainError:
        return None


def _sightings(entry: entries.Entry, sought: Pictures) -> Iterator[tuple[int, float, Sighting]]:
    """Yield place, distance and sighting for the nearest rows of an entry."""
    found = seen(entry, sought)
    before = np.searchsorted(found.picture, found.picture)
    nearest = found.where(np.arange(len(found.picture)) - before < MOST_TOLD)
    columns = (getattr(nearest, name).tolist() for name in ("picture", "match", "hash_bits", "code_bits"))
    for (place, match, *bits), row in zip(
        zip(*columns, strict=True), rows_of(entry, nearest.row.tolist()), strict=True
    ):
        hash_bits, code_bits = (None if one == UNKNOWN else one for one in bits)
        kept = {
            name: row[name] for name in ("name", "splits", "former_splits", "first_seen", "dropped_at", "dropped_by")
        }
        kept |= {"present": bool(row["present"])}
        sighting = Sighting(
            entry.name, entry.kind, match=MATCHES[match], hash_bits=hash_bits, code_bits=code_bits, **kept
        )
        yield place, match + (64 if hash_bits is None else hash_bits) / 65, sighting
