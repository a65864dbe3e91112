"""What every vector index owes, whoever keeps it."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from brain_assets.methods.similarity.queries import distances_between
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.vector_indexes.door import Place, UnreachableIndexError, backend, opened, within
from tests.vector_indexes.conftest import FILES, SERVERS, SPOKEN

MEMBERS = (*FILES, *SERVERS, *SPOKEN)
WIDTH = 16
COUNT = 300
VECTORS = np.random.default_rng(3).normal(size=(COUNT, WIDTH)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
# Ids as they come: of samples and of objects.
IDS = [f"{row:032x}" + ("", f"-{row:08x}")[row % 2] for row in range(COUNT)]


def nearest(ids: list[str], vectors: np.ndarray, query: np.ndarray, k: int, metric: str = "cosine") -> list[str]:
    order = np.argsort(distances_between(query[None], vectors, metric)[0], kind="stable")
    return [ids[row] for row in order[:k]]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_collection_is_filled_changed_searched_and_dropped(member: str, place_of: Callable[..., Place]) -> None:
    place = place_of(member)
    with opened(place) as collection:
        assert collection.stamp() is None
        collection.create("one")
        assert (collection.stamp(), collection.count(), list(collection.search(VECTORS[0], 3))) == ("one", 0, [])
        collection.put(IDS[:200], VECTORS[:200])
        collection.mark("two")
    with opened(place) as collection:
        assert (collection.stamp(), collection.count()) == ("two", 200)
        assert sorted(one for batch in collection.ids() for one in batch) == sorted(IDS[:200])
        assert list(collection.search(VECTORS[250], 20)) == nearest(IDS[:200], VECTORS[:200], VECTORS[250], 20)
        # Replaced, deleted (one of them twice), added: in one go, and seen at once.
        collection.put(IDS[:10], VECTORS[290:])
        collection.put(IDS[200:210], VECTORS[200:210])
        collection.delete(IDS[10:20])
        collection.delete([IDS[10], "nobody"])
        collection.mark("three")
        ids = IDS[:10] + IDS[20:210]
        vectors = np.concatenate([VECTORS[290:], VECTORS[20:210]])
        assert collection.count() == len(ids)
        for query in VECTORS[[0, 50, 295]]:
            assert list(collection.search(query, 20)) == nearest(ids, vectors, query, 20)
        assert sorted(collection.search(VECTORS[0], 1000)) == sorted(ids)
    with opened(place) as collection:
        assert (collection.stamp(), collection.is_exact) == ("three", member != "pinecone")
        assert list(collection.search(VECTORS[295], 5)) == nearest(ids, vectors, VECTORS[295], 5)
        collection.drop()
        assert collection.stamp() is None
        collection.drop()


def test_inverted_lists_of_faiss_forget_and_are_kept(place_of: Callable[..., Place]) -> None:
    place = replace(place_of("faiss"), options={"factory": "IVF4,Flat", "nprobe": 4})
    with opened(place) as collection:
        collection.create("one")
        collection.put(IDS[:200], VECTORS[:200])
        collection.put(IDS[:10], VECTORS[290:])
        collection.delete(IDS[10:20])
        collection.mark("two")
    ids, vectors = IDS[:10] + IDS[20:200], np.concatenate([VECTORS[290:], VECTORS[20:200]])
    with opened(place) as collection:
        collection.delete([IDS[20], "nobody"])
        collection.put(IDS[20:21], VECTORS[20:21])
        assert (collection.count(), collection.is_exact) == (len(ids), False)
        for query in VECTORS[[0, 50, 295]]:
            assert list(collection.search(query, 20)) == nearest(ids, vectors, query, 20)


def test_an_index_of_pgvector_is_made_when_its_vectors_are_there(place_of: Callable[..., Place]) -> None:
    place = replace(place_of("pgvector"), options={"index": "hnsw", "m": 8})
    with opened(place) as collection:
        for stamp in ("one", "two"):
            collection.create(stamp)
            collection.put(IDS, VECTORS)
            assert _indexes(place) == 1
            for again in ("filled", "changed"):
                collection.mark(again)
                assert _indexes(place) == 2
        collection.put(IDS[:10], VECTORS[290:])
        assert list(collection.search(VECTORS[295], 1)) in ([IDS[5]], [IDS[295]])
        collection.drop()


def test_milvus_searches_what_a_server_that_was_started_anew_has_not_in_memory(place_of: Callable[..., Place]) -> None:
    place = place_of("milvus")
    with opened(place) as collection:
        collection.create("one")
        collection.put(IDS, VECTORS)
        collection.mark("two")
        collection.client.release_collection(place.collection)
    with opened(place) as collection:
        assert list(collection.search(VECTORS[7], 1)) == [IDS[7]]
        collection.client.release_collection(place.collection)
    with opened(place) as collection:
        assert collection.count() == COUNT
        assert sum(len(batch) for batch in collection.ids()) == COUNT


def _indexes(place: Place) -> int:
    import psycopg

    with psycopg.connect(str(place.url)) as connection:
        found = connection.execute("select count(*) from pg_indexes where tablename = %s", [place.collection])
        return int(found.fetchone()[0])


@pytest.mark.parametrize("member", MEMBERS)
def test_collections_of_one_server_do_not_mix_and_are_made_anew(member: str, place_of: Callable[..., Place]) -> None:
    first = place_of(member)
    # Of Pinecone one index, of one width, holds all collections.
    other = WIDTH if member == "pinecone" else 8
    second = replace(first, collection=first.collection + "_x", width=other)
    for place, width in ((first, WIDTH), (second, other)):
        with opened(place) as collection:
            collection.create("a")
            collection.put(IDS[:50], VECTORS[:50, :width])
            collection.mark("b")
    with opened(second) as collection:
        collection.create("anew")
        assert (collection.stamp(), collection.count()) == ("anew", 0)
        collection.drop()
    with opened(first) as collection:
        assert (collection.stamp(), collection.count()) == ("b", 50)
        collection.drop()


@pytest.mark.parametrize(
    ("member", "metric"),
    [(member, metric) for member in MEMBERS for metric in ("euclidean", "dotproduct", "manhattan")],
)
def test_each_metric_that_a_member_has_is_the_one_of_that_name(
    member: str, metric: str, place_of: Callable[..., Place]
) -> None:
    if metric not in backend(member).metrics:
        with pytest.raises(ConfigurationError, match=f"has no metric '{metric}': use one of cosine"):
            backend(member, metric)
        return
    if (member, metric) == ("pgvector", "manhattan"):
        pytest.skip("the extension that the package brings is older than this operator")
    ids, vectors = IDS[:60], VECTORS[:60] * np.linspace(0.5, 2, 60, dtype=np.float32)[:, None]
    with opened(place_of(member, metric)) as collection:
        collection.create("one")
        collection.put(ids, vectors)
        collection.mark("two")
        found = list(collection.search(vectors[7], 10))
        collection.drop()
    assert found == nearest(ids, vectors, vectors[7], 10, metric)


def test_everything_within_a_radius_is_found_by_growing_searches(place_of: Callable[..., Place]) -> None:
    def distances(ids: list[str]) -> np.ndarray:
        return distances_between(VECTORS[:1], VECTORS[[IDS.index(one) for one in ids]])[0]

    everything = distances(IDS)
    with opened(place_of("sklearn")) as collection:
        collection.create("one")
        collection.put(IDS, VECTORS)
        for radius in (0.0, 0.7, 1.0, 3.0):
            found = within(collection, VECTORS[0], distances, radius, 10_000)
            assert sorted(found) == sorted(one for one, far in zip(IDS, everything, strict=True) if far <= radius)


def test_what_cannot_be_reached_or_is_not_there_is_told_in_one_line() -> None:
    place = Place("redis", "brain_x", WIDTH, "cosine", "/nowhere", "redis://127.0.0.1:1")
    told = re.escape("redis collection 'brain_x' at redis://127.0.0.1:1 does not answer")
    with pytest.raises(UnreachableIndexError, match=told), opened(place) as collection:
        collection.stamp()
    with pytest.raises(ConfigurationError, match=r"no_such:Thing cannot be loaded: No module named 'no_such'"):
        backend("no_such:Thing")
    with pytest.raises(ConfigurationError, match="is no VectorIndex but a str"):
        backend("tests.vector_indexes.test_members:IDS_TEXT")


IDS_TEXT = "no index"
