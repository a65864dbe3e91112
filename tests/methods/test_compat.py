"""The peer's similarity, duplicates and leaky splits: its recorded numbers, value by value."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_assets.methods.similarity.compat import (
    PeerIndex,
    centred_distances,
    peer_duplicates_view,
    peer_leaks,
    peer_leaks_for_sample,
    peer_splits,
)
from brain_assets.methods.similarity.queries import Query, samples_of_hits, upsert_vectors
from tests.methods.ties import assert_same_order, nudged

GOLDEN = Path(__file__).parent.parent / "golden" / "seed7"
INPUTS = dict(np.load(GOLDEN / "inputs.npz"))
OUTPUTS: dict[str, Any] = json.loads((GOLDEN / "outputs.json").read_text())
VECTORS, SPLIT = INPUTS["embeddings"], INPUTS["split"]
PATCHES = INPUTS["patch_embeddings"]
PATCH_IDS = [f"{sample}:{patch}" for sample, count in enumerate(INPUTS["npatch"]) for patch in range(count)]
ROI = np.stack([patches.mean(axis=0) for patches in np.split(PATCHES, np.cumsum(INPUTS["npatch"])[:-1])])


def names(prefix: str, *, without: str = "default_field") -> list[str]:
    return [name for name in OUTPUTS if name.startswith(prefix) and without not in name]


def metric_and_threshold(name: str) -> tuple[str, float]:
    _, metric, threshold = name.split(".", 2)
    return metric, float(threshold)


def assert_same_duplicates(found: Any, expected: dict[str, Any]) -> None:
    assert found.threshold == expected["thresh"]
    assert found.unique.tolist() == sorted(expected["unique"])
    assert found.duplicates.tolist() == expected["duplicates"]
    if expected["neighbors"] is None:
        assert found.neighbors is None
        return
    assert [row for row, _ in expected["neighbors"]] == list(found.neighbors)
    for row, group in expected["neighbors"]:
        assert [entry[0] for entry in found.neighbors[row]] == [entry[0] for entry in group]
        np.testing.assert_allclose([e[1] for e in found.neighbors[row]], [e[1] for e in group], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in names("near_duplicates.") if name[-1].isdigit()])
def test_near_duplicates(name: str) -> None:
    threshold = float(name.removeprefix("near_duplicates."))
    assert_same_duplicates(PeerIndex(VECTORS).find_duplicates(threshold), OUTPUTS[name])


@pytest.mark.parametrize(("name", "vectors"), [("default_field", VECTORS), ("roi", ROI)])
def test_near_duplicates_of_a_field_and_of_regions(name: str, vectors: np.ndarray) -> None:
    expected = OUTPUTS[f"near_duplicates.{name}"]
    assert_same_duplicates(PeerIndex(vectors).find_duplicates(expected["thresh"]), expected)


METRICS = ("euclidean", "manhattan", "cosine", "correlation", "chebyshev")


@pytest.mark.parametrize("name", [n for n in names("find_duplicates.") if n.split(".")[1] in METRICS])
def test_find_duplicates_in_each_metric(name: str) -> None:
    metric, threshold = metric_and_threshold(name)
    assert_same_duplicates(PeerIndex(VECTORS, metric).find_duplicates(threshold), OUTPUTS[name])


@pytest.mark.parametrize("name", names("find_duplicates.fraction."))
def test_find_duplicates_by_fraction(name: str) -> None:
    fraction = float(name.removeprefix("find_duplicates.fraction."))
    assert_same_duplicates(PeerIndex(VECTORS).find_duplicates(fraction=fraction), OUTPUTS[name])


def test_find_duplicates_by_fraction_from_a_first_guess() -> None:
    found = PeerIndex(VECTORS).find_duplicates(threshold=0.3, fraction=0.1)
    assert_same_duplicates(found, OUTPUTS["find_duplicates.fraction0.1_init0.3"])


def test_find_duplicates_in_a_view() -> None:
    found = PeerIndex(VECTORS).find_duplicates(0.1, view=np.arange(120))
    assert_same_duplicates(found, OUTPUTS["find_duplicates.view120.0.1"])


@pytest.mark.parametrize("name", names("find_unique."))
def test_find_unique(name: str) -> None:
    assert_same_duplicates(PeerIndex(VECTORS).find_unique(int(name.removeprefix("find_unique."))), OUTPUTS[name])


@pytest.mark.parametrize("name", names("duplicates_view."))
def test_duplicates_view(name: str) -> None:
    _, sort_by, reverse = name.split(".")
    found = PeerIndex(VECTORS).find_duplicates(0.1)
    view = peer_duplicates_view(found, sort_by, reverse=reverse == "True")
    expected = OUTPUTS[name]
    assert view.order.tolist() == expected["order"]
    assert view.kind.tolist() == expected["type"]
    assert view.nearest.tolist() == expected["nearest"]
    np.testing.assert_allclose(view.distance, expected["dist"], rtol=1e-6)


def test_unique_view_is_the_kept_samples_in_order() -> None:
    assert PeerIndex(VECTORS).find_duplicates(0.1).unique.tolist() == OUTPUTS["unique_view"]


def test_neighbours_and_the_distances_of_the_histogram() -> None:
    rows, distances = PeerIndex(VECTORS).kneighbors(4)
    matrix = centred_distances(VECTORS)
    for row, expected in enumerate(OUTPUTS["kneighbors.full.k4"]["inds"]):
        assert_same_order(rows[row], expected, np.nan_to_num(matrix[row], nan=np.inf))
    np.testing.assert_allclose(distances, OUTPUTS["kneighbors.full.k4"]["dists"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(distances[:, 0], OUTPUTS["plot_distances.nn1"], rtol=1e-9, atol=1e-12)


QUERIES: dict[str, Query] = {
    "id.k25": Query(rows=[5], k=25),
    "id.k25.reverse": Query(rows=[5], k=25, reverse=True),
    "vector.k25": Query(vectors=INPUTS["query_vec"], k=25),
    "ids3.mean.k25": Query(rows=[5, 99, 321], k=25),
    "ids3.post-mean.k25": Query(rows=[5, 99, 321], k=25, aggregation="post-mean"),
    "ids3.post-min.k25": Query(rows=[5, 99, 321], k=25, aggregation="post-min"),
    "ids3.post-max.k25": Query(rows=[5, 99, 321], k=25, aggregation="post-max"),
    "vectors3.post-min.k25": Query(vectors=INPUTS["query_vecs"], k=25, aggregation="post-min"),
}


def placed(rows: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Return the distance of every row of the index, inf where it is no answer."""
    key = np.full(len(VECTORS), np.inf)
    key[rows] = distances
    return key


def assert_same_hits(index: PeerIndex, query: Query, expected: dict[str, Any], view: np.ndarray | None = None) -> None:
    rows, distances = index.sort_by_similarity(query, view)
    np.testing.assert_allclose(distances, expected["dist"], rtol=1e-9, atol=1e-9)
    everyone, key = index.sort_by_similarity(replace(query, k=None), view)
    assert_same_order(rows, expected["order"], placed(everyone, key))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("name", QUERIES)
def test_sort_by_similarity_answers_otherwise_after_find_duplicates(metric: str, centred: bool, name: str) -> None:
    index = PeerIndex(VECTORS, metric)
    if centred:
        index.find_duplicates(0.1)
    expected = OUTPUTS[f"sim.{metric}.{'after_find_duplicates.' if centred else ''}{name}"]
    assert_same_hits(index, QUERIES[name], expected)


@pytest.mark.parametrize(
    ("name", "query", "view"),
    [
        ("sim.cosine.id.kNone", Query(rows=[5]), None),
        ("sim.cosine.id.view120.k25", Query(rows=[5], k=25), np.arange(120)),
        ("sim.cosine.id_outside_view.k25", Query(rows=[5], k=25), np.arange(200, 500)),
        ("sim.prompts2.mean.k25", Query(vectors=INPUTS["query_vecs"][:2], k=25), None),
    ],
)
def test_sort_by_similarity_in_views_and_by_prompts(name: str, query: Query, view: np.ndarray | None) -> None:
    assert_same_hits(PeerIndex(VECTORS), query, OUTPUTS[name], view)


@pytest.mark.parametrize("reverse", [False, True])
def test_equally_distant_answers_stand_by_position(reverse: bool) -> None:
    vectors = np.repeat(np.eye(4), 100, axis=0)[np.random.default_rng(0).permutation(400)]
    index = PeerIndex(vectors, "euclidean")
    rows, distances = index.sort_by_similarity(Query(rows=[0], k=350, reverse=reverse))
    same = np.flatnonzero(np.diff(distances) == 0)
    assert len(same) > 300
    assert (rows[same] < rows[same + 1]).all()
    np.testing.assert_array_equal(np.diff(index.kneighbors(90)[0], axis=1) > 0, True)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["ids3.post-max.k25", "id.k25", "vector.k25"])
def test_the_last_bit_moves_no_answer_but_among_equals(name: str, seed: int) -> None:
    assert_same_hits(PeerIndex(nudged(VECTORS, seed)), QUERIES[name], OUTPUTS[f"sim.cosine.{name}"])


def test_sort_by_similarity_of_patches() -> None:
    expected = OUTPUTS["sim.patches"]
    index = PeerIndex(PATCHES)
    rows, distances = index.sort_by_similarity(Query(rows=[PATCH_IDS.index(expected["query"])], k=20))
    assert [PATCH_IDS[row] for row in rows] == expected["order"]
    np.testing.assert_allclose(distances, expected["dist"], rtol=1e-9, atol=1e-12)
    samples = np.repeat(np.arange(len(INPUTS["npatch"])), INPUTS["npatch"])
    in_order = samples_of_hits(samples[rows]).tolist()
    assert in_order == expected["sample_order"]
    hits = set(rows.tolist())
    kept = [PATCH_IDS[row] for sample in in_order for row in np.flatnonzero(samples == sample) if row in hits]
    assert kept == expected["kept"]
    found = index.find_duplicates(expected["dup"]["thresh"])
    assert [PATCH_IDS[row] for row in found.unique] == expected["dup"]["unique"]
    assert not len(found.duplicates)


def test_a_query_changes_the_stored_vectors() -> None:
    index, expected = PeerIndex(VECTORS), OUTPUTS["index_mutation"]
    assert np.abs(index.stored.mean(axis=0)).mean() == pytest.approx(expected["mean_before"], rel=1e-9)
    index.find_duplicates(0.1)
    assert np.abs(index.stored.mean(axis=0)).mean() < 1e-14
    assert np.abs(index.stored - VECTORS).max() == pytest.approx(expected["max_abs_change"], rel=1e-9)


def test_an_index_is_edited() -> None:
    expected = OUTPUTS["index_edit"]
    index = {str(row): VECTORS[row] for row in range(100)}
    more = {str(row): VECTORS[row] + 1.0 for row in range(95, 120)}
    sizes = [len(index)]
    index = upsert_vectors(index, more, overwrite=True)
    sizes.append(len(index))
    first = index["95"]
    for row in range(10):
        del index[str(row)]
    assert [*sizes, len(index)] == expected["sizes"]
    np.testing.assert_allclose(first, expected["first"], rtol=1e-12)


def tags_of(split: np.ndarray) -> list[list[str]]:
    return [[name] if name else [] for name in split]


LEAKY = {
    "tags": ["train", "test", "val"],
    "tags2": ["train", "test"],
    "field": ["test", "train", "val"],
    "list_field": ["test", "train", "val"],
    "dict": ["a", "b"],
}


@pytest.mark.parametrize("name", names("leaky.", without="tag_leaks"))
def test_leaky_splits(name: str) -> None:
    kind, expected = name.split(".")[1], OUTPUTS[name]
    split_of = peer_splits(tags_of(SPLIT), LEAKY[kind])
    found = PeerIndex(VECTORS).find_duplicates(float(expected["thresh"]))
    leaks = peer_leaks(found, split_of).tolist()
    assert leaks == expected["leak_ids"] == expected["leaks_view"]
    assert [row for row in range(len(VECTORS)) if row not in set(leaks)] == expected["no_leaks"]
    for sample, answer in expected["for_sample"].items():
        assert_same_answer(lambda row: peer_leaks_for_sample(found, split_of, row).tolist(), int(sample), answer)


def assert_same_answer(ask: Callable[[int], list[int]], sample: int, answer: list[int] | str) -> None:
    if isinstance(answer, str):
        with pytest.raises(KeyError):
            ask(sample)
    else:
        assert ask(sample) == answer


def test_tagged_leaks() -> None:
    found = PeerIndex(VECTORS).find_duplicates(0.1)
    leaks = peer_leaks(found, peer_splits(tags_of(SPLIT), LEAKY["tags"]))
    assert sorted(set(leaks.tolist())) == OUTPUTS["leaky.tag_leaks.0.1"]


def test_above_the_limit_duplicates_agree_but_distances_change_their_meaning() -> None:
    small, large = PeerIndex(VECTORS), PeerIndex(VECTORS, limit=100)
    for threshold in (0.02, 0.1, 0.3):
        assert large.find_duplicates(threshold).unique.tolist() == small.find_duplicates(threshold).unique.tolist()
    (_, cosine), (_, euclidean) = small.kneighbors(4), large.kneighbors(4)
    np.testing.assert_allclose(np.sort(euclidean), np.sqrt(2 * np.sort(cosine)), rtol=1e-6, atol=1e-6)


def test_above_the_limit_an_id_query_is_answered_from_the_stored_vectors() -> None:
    rows, distances = PeerIndex(VECTORS, limit=100).sort_by_similarity(Query(rows=[5], k=3))
    other_rows, other = PeerIndex(VECTORS).sort_by_similarity(Query(vectors=VECTORS[5], k=3))
    assert rows.tolist() == other_rows.tolist()
    np.testing.assert_allclose(distances, other)


@pytest.mark.parametrize("limit", [0, 15_000])
def test_all_identical_vectors_end_the_search(limit: int) -> None:
    index = PeerIndex(np.ones((5, 3)), "euclidean", limit=limit)
    assert index.find_duplicates(0.1).unique.tolist() == [0]
    assert index.find_unique(3).unique.tolist() == [0]
