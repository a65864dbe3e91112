"""What every family of methods owes: the order of rows changes nothing, the last bit of inputs next to nothing."""

from collections.abc import Callable

import numpy as np
import pytest

from brain_assets.methods.duplicates.duplicates import Pairs, find_duplicates, greedy_cover
from brain_assets.methods.duplicates.leaks import find_leaks, leaky, splits_from_labels
from brain_assets.methods.images.quality_measures import COLUMNS
from brain_assets.methods.images.quality_rules import calibrate as calibrate_quality
from brain_assets.methods.images.quality_rules import judge
from brain_assets.methods.labels.detectors import DetectorProfile
from brain_assets.methods.labels.hardness import hardness, softmax
from brain_assets.methods.labels.label_issues import calibrate as calibrate_labels
from brain_assets.methods.labels.label_issues import label_issues
from brain_assets.methods.labels.mistakenness import certainty
from brain_assets.methods.labels.object_mistakenness import object_scores
from brain_assets.methods.labels.objects import Objects
from brain_assets.methods.similarity.outliers import body_of, calibrate, outlier_score, remoteness
from brain_assets.methods.similarity.queries import Query, distances_between, sort_by_similarity
from brain_assets.methods.similarity.representativeness import assign, centrality
from brain_assets.methods.similarity.selections import Selection, k_center, most_unique
from brain_assets.methods.similarity.similarity import build_graph, normalize
from brain_assets.methods.similarity.uniqueness import uniqueness
from brain_assets.methods.similarity.visualization import fit_pca, project
from tests.methods.ties import assert_same_order, nudged, shuffled

COUNT = 120
# Each vector stands three times: equals in every ranking.
VECTORS = np.repeat(np.random.default_rng(0).normal(size=(COUNT // 3, 8)), 3, axis=0).astype(np.float32)
SPLITS = np.array(["train", "test", "val"])[np.arange(COUNT) % 3]


def pairs_of(vectors: np.ndarray) -> Pairs:
    first, second = np.triu_indices(COUNT, 1)
    return Pairs(first, second, np.abs(vectors[first] - vectors[second]).sum(axis=1).astype(np.float64))


def graph_of(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return build_graph(normalize(vectors), ids, width=6).distances


def kept(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return greedy_cover(pairs_of(vectors).within(4.0), ids).keep


def kept_share(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return find_duplicates(pairs_of(vectors), ids, fraction=0.4).cover.keep


def leaks_of(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    splits = splits_from_labels(SPLITS[ids].tolist())
    return leaky(find_leaks(pairs_of(vectors).within(4.0), np.arange(COUNT), splits), COUNT)


def unique(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return uniqueness(build_graph(normalize(vectors), ids, width=6).distances[:, :3])


def central(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return centrality(assign(vectors, np.eye(4, 8, dtype=np.float32)).distance)


def outliers_of(vectors: np.ndarray, _: np.ndarray) -> np.ndarray:
    between = distances_between(vectors, vectors)
    apart = between + np.diag(np.full(len(between), np.inf))
    raw = remoteness(apart, body_of(between))
    return outlier_score(raw, calibrate(raw, between))


def doubted(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Three rows each have one vector, whose first numbers are logits, and one label."""
    labels = ids // 3 % 4
    predicted = np.log(softmax(vectors[:, :4]))
    return label_issues(labels, predicted, None, calibrate_labels(labels, predicted, None)).score


def flawed(vectors: np.ndarray, _: np.ndarray) -> np.ndarray:
    columns = {name: np.abs(vectors[:, place % 8]).astype(float) for place, name in enumerate(COLUMNS)}
    verdicts = judge(columns, calibrate_quality(columns, min_samples=50))
    return np.stack([verdicts[name].score for name in sorted(verdicts)], axis=1)


def chosen(selection: Selection, ids: np.ndarray) -> np.ndarray:
    """Return which rows were chosen, of equals none in particular: the value that each stands for."""
    taken = np.zeros(len(ids))
    taken[selection.position] = 1
    return np.bincount(ids // 3, taken)[ids // 3]


def spread(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return chosen(k_center(vectors, 20), ids)


def between_two(vectors: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Of two centres that mirror each other each vector of the plane between them is equally near: the first counts."""
    flat = vectors * (np.arange(8) > 0)
    return assign(flat, np.array([[1], [-1]]) * np.eye(8)[:1] + vectors[:1] * 0 + 3 * (np.arange(8) > 0)).cluster


def placed(vectors: np.ndarray, _: np.ndarray) -> np.ndarray:
    return project(vectors, fit_pca(VECTORS))


def boxes_of(vectors: np.ndarray, ids: np.ndarray) -> tuple[Objects, Objects]:
    """Return two labels and two predictions of each image, whose boxes are the vector's numbers."""
    numbers = np.abs(vectors).astype(np.float64)
    boxes = np.concatenate([numbers[:, :4], numbers[:, 4:]], axis=1).reshape(-1, 4) + 0.5
    offsets, classes = np.arange(0, 2 * COUNT + 1, 2), np.repeat(ids // 3, 2) + np.tile([0, 1], COUNT)
    confidence = np.repeat(numbers[:, 0] / (1 + numbers[:, 0]), 2) * np.tile([1, 0.5], COUNT)
    shifted = boxes + np.repeat(numbers[:, 2:3], 2, axis=0) * [0.2, 0.2, 0, 0]
    return Objects(boxes, classes % 4, offsets), Objects(shifted, (classes + 1) % 4, offsets, confidence)


def of_objects(vectors: np.ndarray, ids: np.ndarray) -> np.ndarray:
    found = object_scores(*boxes_of(vectors, ids), DetectorProfile.default(4))
    scores = [found.mistakenness, found.mistakenness_loc, found.spurious_score, found.missing_score]
    return np.stack([*scores, found.matches.label_iou, found.matches.prediction_iou], axis=1).reshape(COUNT, -1)


FAMILIES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "similarity": graph_of,
    "duplicates": kept,
    "a share of duplicates": kept_share,
    "leaks": leaks_of,
    "uniqueness": unique,
    "representativeness": central,
    "outliers": outliers_of,
    "hardness": lambda vectors, _: hardness(vectors),
    "mistakenness": lambda vectors, _: certainty(vectors),
    "label issues": doubted,
    "image quality": flawed,
    "k-center": spread,
    "a vector between two centres": between_two,
    "objects": of_objects,
    "visualization": placed,
}
SCORES = (
    "similarity", "uniqueness", "representativeness", "outliers", "hardness", "mistakenness", "label issues", "image quality",
    "k-center", "a vector between two centres", "objects", "visualization",
)  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_the_order_of_rows_changes_nothing(family: str) -> None:
    """A row's place is told by its id; ties are broken by it, not by where the row stands."""
    ids = np.arange(COUNT)
    expected = FAMILIES[family](VECTORS, ids)
    for seed in range(3):
        order = shuffled(COUNT, seed)
        np.testing.assert_array_equal(FAMILIES[family](VECTORS[order], ids[order]), expected[order])


@pytest.mark.parametrize("family", SCORES)
def test_the_last_bit_changes_next_to_nothing(family: str) -> None:
    """Within single precision: a distance of unit vectors has an error of some 1e-7."""
    expected = FAMILIES[family](VECTORS, np.arange(COUNT))
    for seed in range(3):
        found = FAMILIES[family](nudged(VECTORS, seed), np.arange(COUNT))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_last_bit_moves_no_answer_but_among_equals() -> None:
    rows, _ = sort_by_similarity(VECTORS, Query(rows=[5], k=50))
    key = distances_between(VECTORS[5:6], VECTORS)[0]
    assert (np.diff(rows.reshape(-1)[:3]) > 0).all()
    for seed in range(3):
        found, _ = sort_by_similarity(nudged(VECTORS, seed), Query(rows=[5], k=50))
        assert_same_order(found, rows, key, tolerance=1e-6)


def test_the_most_unique_of_equals_stand_by_position() -> None:
    position = most_unique(np.repeat([0.1, 0.9, 0.5], 40), 120).position
    assert position.tolist() == [*range(40, 80), *range(80, 120), *range(40)]
