"""Vectors kept in an index outside of the store, such as a server that a team runs already, for whoever searches there.

The collection bears a stamp: whose it is, of what vectors, and its generation. One that bears the generation that the store
remembers is as the last run left it, and only what changed is sent; one that was wiped, left half-written by a run that was
killed, or restored from elsewhere, is filled again; one that is not ours is never touched.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from brain_assets.incremental.runs import similarity_runs, with_parameters
from brain_assets.incremental.signal import Check, MethodRun, Signal, Table, Whole
from brain_assets.incremental.update import Update, literal
from brain_assets.incremental.vectors import taking_part, unit_rows
from brain_assets.methods.similarity.queries import distances_between
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.settings.configuration import RunSettings
from brain_assets.resources.store.store import Merge, Store
from brain_assets.resources.vector_indexes.door import Collection, Matrix, Place, opened

BATCH = 1000
# Subjects whose answers are compared with their exact neighbours.
AUDITED = 50
EQUAL = 1e-5
NAME = "vector_indexes"


@dataclass(frozen=True)
class Stamp:
    """What a collection says of itself: whose it is, of what vectors, and how often it was changed."""

    owner: str
    vectors: str
    generation: int
    writing: bool = False

    def __str__(self) -> str:
        return f"brain_assets {self.owner} {self.vectors} {self.generation}{' writing' if self.writing else ''}"


@dataclass(frozen=True)
class Sent:
    """How many vectors went to the index, how many were deleted there, and whether everything was sent."""

    put: int
    deleted: int
    whole: bool


def update_vector_index(update: Update) -> Iterator[Merge]:
    """Send what changed to the index, or everything where it is not as the last run left it, and audit its answers."""
    place, known = _place(update), _generation(update)
    if place is None:
        yield update.drop(NAME)
        return
    fresh = f"select subject_id, model_version, input_key from {_vectors(update)}"
    update.fresh(fresh)
    held = Stamp(_owner(update.dataset, update.run.brain_key), _shape(update, place), known)
    after = Stamp(held.owner, held.vectors, known + 1)
    with opened(place) as collection:
        sent = _send(update, place, collection, held, after)
        recall = _recall(update, place, collection)
        count = collection.count()
    _drop_former(update, place)
    update.notes |= {"vectors sent": sent.put, "vectors deleted": sent.deleted, "recall": recall}
    yield update.replace(NAME, _row(update, place, count, recall, after.generation))


def _place(update: Update) -> Place | None:
    """Return where the run's vectors are kept; None where there are none yet."""
    settings = dict(update.run.settings["place"])
    width = update.value(f"select len(vector) from {_vectors(update)} limit 1")
    return None if width is None else Place(width=width, **settings)


def _vectors(update: Update) -> str:
    return (
        f"embeddings join vectors using (model_version, input_key) where {taking_part(update)} and vector is not null"
    )


def _drop_former(update: Update, place: Place) -> None:
    """Drop the collection that the run kept before its settings named another."""
    query = "select settings from watermarks where asset = ? and brain_key = ?"
    for text in update.column(query, list(update.owner)):
        former = Place(width=place.width, **json.loads(text)["place"])
        if (former.backend, former.collection, former.url) != (place.backend, place.collection, place.url):
            _drop(former)


def _generation(update: Update) -> int:
    return int(update.value(f"select max(generation) from {NAME} where brain_key = {update.key}") or 0)


def _owner(dataset: Dataset, brain_key: str) -> str:
    return _digest(str(dataset.paths.folder.resolve()), brain_key)


def _shape(update: Update, place: Place) -> str:
    version = update.value(f"select min(model_version) from {_vectors(update)}")
    return _digest(str(version), place.metric, str(place.width), str(sorted(place.options.items())))


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def _send(update: Update, place: Place, collection: Collection, held: Stamp, after: Stamp) -> Sent:
    stamp, count = collection.stamp(), update.value("select count(*) from present")
    _refuse_what_is_not_ours(place, collection, held, stamp)
    writing = str(Stamp(after.owner, after.vectors, after.generation, writing=True))
    if stamp is None or stamp.split(" ")[2:3] != [held.vectors]:
        collection.create(writing)
        put = _put(update, place, collection, "present")
        collection.mark(str(after))
        return Sent(put, 0, whole=True)
    is_as_left = stamp == str(held) and not update.anew
    gone = update.column(GONE, list(update.owner)) if is_as_left else _strays(update, collection)
    if not is_as_left or gone or update.value("select count(*) from outdated"):
        collection.mark(writing)
    put = _put(update, place, collection, "outdated" if is_as_left else "present")
    _delete(collection, gone)
    if is_as_left and collection.count() != count:
        put, gone = _put(update, place, collection, "present"), _strays(update, collection)
        _delete(collection, gone)
    collection.mark(str(after))
    return Sent(put, len(gone), whole=not is_as_left)


GONE = "select subject from seen where asset = ? and brain_key = ? and subject not in (select subject from present)"


def _refuse_what_is_not_ours(place: Place, collection: Collection, held: Stamp, stamp: str | None) -> None:
    if stamp is None or stamp.split(" ")[:2] == ["brain_assets", held.owner]:
        return
    whose = "another dataset" if stamp.startswith("brain_assets ") else "somebody else"
    raise ConfigurationError(
        f"{place} belongs to {whose}, and stays as it is: name another one by similarity.{place.backend}.collection"
    )


def _put(update: Update, place: Place, collection: Collection, chosen: str) -> int:
    """Send the vectors of the subjects in a table of the comparison; return how many there are."""
    query = f"select subject_id, vector from {_vectors(update)} and subject_id in (select subject from {chosen})"
    sent = 0
    for batch in update.dataset.store.stream(query, BATCH):
        collection.put(batch.column("subject_id").to_pylist(), _sendable(place, _matrix(batch.column("vector"))))
        sent += batch.num_rows
    return sent


def _matrix(vectors: pa.Array) -> Matrix:
    flat: Matrix = vectors.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return flat.reshape(len(vectors), -1)


def _sendable(place: Place, matrix: Matrix) -> Matrix:
    return unit_rows(matrix) if place.metric == "cosine" else matrix


def _strays(update: Update, collection: Collection) -> list[str]:
    """Return what the collection holds beyond what it should."""
    wanted = set(update.column("select subject from present"))
    return [one for batch in collection.ids() for one in batch if one not in wanted]


def _delete(collection: Collection, ids: list[str]) -> None:
    for first in range(0, len(ids), BATCH):
        collection.delete(ids[first : first + BATCH])


def _recall(update: Update, place: Place, collection: Collection) -> float | None:
    """Return which share of the exact nearest neighbours of some subjects the index finds; equal distances count as found."""
    rows = update.query(f"""
        select subject_id, neighbor_ids, distances[-1] as farthest from neighbors
        where brain_key = {update.similarity} and len(neighbor_ids) > 0 order by md5(subject_id) limit {AUDITED}""")
    shares = [_found(update, place, collection, row) for row in rows.to_pylist()]
    return float(np.mean(shares)) if shares else None


def _found(update: Update, place: Place, collection: Collection, row: Mapping[str, Any]) -> float:
    subject, expected = row["subject_id"], set(row["neighbor_ids"])
    vector = _of(update, [subject])
    answers = collection.search(_sendable(place, vector)[0], min(len(expected) + 1, update.value(PRESENT)))
    found = [one for one in answers if one != subject][: len(expected)]
    others = [one for one in found if one not in expected]
    equal = 0
    if others:
        between = distances_between(vector, _of(update, others), place.metric)[0]
        equal = int((between <= row["farthest"] + EQUAL * max(1, abs(row["farthest"]))).sum())
    return (len(found) - len(others) + equal) / len(expected)


PRESENT = "select count(*) from present"


def _of(update: Update, ids: list[str]) -> Matrix:
    query = f"select vector from {_vectors(update)} and subject_id in (select unnest(?::varchar[])) order by subject_id"
    return _matrix(update.query(query, [ids]).column("vector").combine_chunks())


def _row(update: Update, place: Place, count: int, recall: float | None, generation: int) -> pa.Table:
    settings = update.run.settings
    return pa.table({
        "similarity": [settings["similarity"]],
        "embeddings": [settings["embeddings"]],
        "backend": [place.backend],
        "collection": [place.collection],
        "url": pa.array([place.url], pa.string()),
        "metric": [place.metric],
        "vectors": pa.array([count], pa.int64()),
        "recall": pa.array([recall], pa.float64()),
        "generation": pa.array([generation], pa.int64()),
    })  # fmt: skip


def _runs(dataset: Dataset) -> list[MethodRun]:
    sections = [(run, with_parameters(dataset.settings.similarity, run)) for run in similarity_runs(dataset.settings)]
    return [_run(dataset, run, section) for run, section in sections if section.backend != "exact"]


def _run(dataset: Dataset, run: RunSettings, section: Any) -> MethodRun:
    key, index = f"{run.brain_key}_index", section.index
    place = {
        "backend": section.backend,
        "collection": index.collection or _named(dataset, key),
        "metric": section.metric,
        "folder": str(dataset.paths.folder / "indexes"),
        "url": index.url,
        "options": index.options,
    }
    read = {"embeddings": run.embeddings, "similarity": run.brain_key, "where": run.where}
    return MethodRun(key, {**read, "k": section.k, "place": place})


def _named(dataset: Dataset, key: str) -> str:
    """Return a name that every backend takes, and that no other dataset on a server has."""
    readable = re.sub("[^a-z0-9]+", "_", f"{dataset.paths.name}_{key}".lower()).strip("_")[:36]
    return f"brain_{readable}_{_owner(dataset, key)[:8]}"


def _stamp_of(dataset: Dataset, run: MethodRun) -> str:
    """Return the stamp that the run's collection bears now, or why it cannot be had."""
    try:
        with opened(Place(width=1, **run.settings["place"])) as collection:
            stamp = collection.stamp()
            return f"{stamp} {collection.count() if stamp else 0}"
    except BrainError as error:
        return str(error)


def drop_indexes(store: Store, brain_key: str | None = None) -> None:
    """Drop the collections of one run, or of all, that a dataset keeps outside; what cannot be reached is told and left."""
    chosen = f" and brain_key = {literal(brain_key)}" if brain_key else ""
    for (text,) in store.rows(f"select settings from watermarks where asset = '{NAME}'{chosen}"):
        _drop(Place(width=1, **json.loads(text)["place"]))


def _drop(place: Place) -> None:
    try:
        with opened(place) as collection:
            collection.drop()
    except BrainError as error:
        logging.getLogger("brain").warning(f"{place} is left behind: {error}")


VECTOR_INDEXES = Signal(
    name=NAME,
    description="Vectors in an index outside of the store, such as Qdrant, Milvus or PostgreSQL: only what changed is sent, and a"
    " sample of its answers is compared with the exact neighbours. Only where similarity.backend names one.",
    group="similarity",
    reads=("embeddings", "vectors", "neighbors", "samples", "media"),
    update=Whole(update_vector_index),
    runs=_runs,
    outside=_stamp_of,
    retire=lambda dataset, brain_key: drop_indexes(dataset.store, brain_key),
    tables=(
        Table(
            NAME,
            {
                "similarity": ("varchar", "The run of neighbours that it belongs to."),
                "embeddings": ("varchar", "The run whose vectors it holds."),
                "backend": ("varchar", "Who keeps it."),
                "collection": ("varchar", "Its name there."),
                "url": ("varchar", "Its address; NULL for a folder of the dataset."),
                "metric": ("varchar", "The distance that it searches by."),
                "vectors": ("bigint", "Vectors that it holds."),
                "recall": (
                    "double",
                    f"Share of the exact nearest neighbours of {AUDITED} subjects that it finds; NULL with fewer than two.",
                ),
                "generation": ("bigint", "How often it was changed."),
            },
            ("similarity",),
        ),
    ),
    checks=(
        Check(
            "every_vector_is_in_its_index",
            f"select count(*) from {NAME} join (select brain_key as similarity, count(*) as expected from neighbors"
            " group by brain_key) using (similarity) where vectors != expected",
            "An index holds as many vectors as there are subjects with neighbours.",
        ),
    ),
    metrics={"vector_index_recall": f"select coalesce(min(recall), 1) from {NAME}"},
)
