"""Uniqueness: the documented rule, its odd sets, and the peer's numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brain_assets.methods.similarity.uniqueness import normalized, uniqueness, uniqueness_compat

GOLDEN = Path(__file__).parent.parent / "golden" / "seed7"


@pytest.fixture(scope="module")
def inputs() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN / "inputs.npz"))


@pytest.fixture(scope="module")
def outputs() -> dict[str, Any]:
    return json.loads((GOLDEN / "outputs.json").read_text())


def roi_vectors(inputs: dict[str, np.ndarray]) -> np.ndarray:
    regions = np.split(inputs["patch_embeddings"], np.cumsum(inputs["npatch"])[:-1])
    return np.stack([region.mean(axis=0) for region in regions])


def reference(distances: np.ndarray) -> list[float]:
    scores = []
    for row in distances:
        pairs = [(w, d) for w, d in zip((0.6, 0.3, 0.1), row[:3], strict=False) if np.isfinite(d)]
        scores.append(sum(w * d for w, d in pairs) / sum(w for w, _ in pairs) if pairs else np.nan)
    return scores


@given(
    arrays(np.float32, st.tuples(st.integers(0, 12), st.integers(1, 5)), elements=st.floats(0, 2, width=32)),
    st.data(),
)
def test_equals_the_formula_row_by_row(distances: np.ndarray, data: st.DataObject) -> None:
    distances = np.sort(distances, axis=1)
    for row in distances:
        row[data.draw(st.integers(0, len(row))) :] = data.draw(st.sampled_from([np.inf, np.nan]))
    np.testing.assert_allclose(uniqueness(distances), reference(distances), rtol=1e-6, atol=1e-12)


def test_two_identical_copies_alone_are_not_unique() -> None:
    two = np.array([[0, np.inf, np.inf], [0, np.nan, np.nan]], np.float32)
    assert uniqueness(two).tolist() == [0, 0]
    assert normalized(uniqueness(two)).tolist() == [0, 0]


def test_a_single_sample_has_no_neighbour_and_is_unique() -> None:
    raw = uniqueness(np.full((1, 3), np.inf, np.float32))
    assert np.isnan(raw).all()
    assert normalized(raw).tolist() == [1]


@pytest.mark.parametrize("shape", [(0, 3), (0, 0), (3, 0)])
def test_empty_sets(shape: tuple[int, int]) -> None:
    raw = uniqueness(np.empty(shape, np.float32))
    assert raw.shape == (shape[0],)
    assert normalized(raw).tolist() == [1] * shape[0]


def test_wrong_shape_is_one_clear_line() -> None:
    with pytest.raises(ValueError, match=r"shape \(n, k\), got \(3,\)"):
        uniqueness(np.zeros(3, np.float32))


@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 2)))
def test_normalized_has_maximum_one_unless_all_are_copies(raw: np.ndarray) -> None:
    scaled = normalized(raw)
    assert scaled.min() >= 0
    assert scaled.max() == (1 if raw.max() > 0 else 0)


def test_documented_rule_puts_copies_near_zero_where_the_peer_does_not(inputs: dict[str, np.ndarray]) -> None:
    vectors = inputs["embeddings"][:100]
    vectors = np.concatenate([vectors, vectors[:1]])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distances = 1 - unit @ unit.T
    np.fill_diagonal(distances, np.inf)
    nearest = np.sort(np.maximum(distances, 0), axis=1)[:, :3].astype(np.float32)
    ours = uniqueness(nearest)[0]
    assert ours == pytest.approx(0.3 * nearest[0, 1] + 0.1 * nearest[0, 2], abs=1e-6)
    assert normalized(uniqueness(nearest))[0] < 0.6 * uniqueness_compat(vectors)[0]


def test_four_samples_are_defined_where_the_peer_gives_nan(inputs: dict[str, np.ndarray]) -> None:
    distances = np.sort(np.random.default_rng(0).uniform(size=(4, 3)), axis=1).astype(np.float32)
    scores = normalized(uniqueness(distances))
    assert np.isfinite(scores).all()
    assert scores.max() == 1
    assert np.isnan(uniqueness_compat(inputs["embeddings"][:4])).all()


@pytest.mark.parametrize(
    ("case", "count", "metric"),
    [
        ("embeddings", 500, "cosine"),
        ("field", 500, "cosine"),
        ("subset37", 37, "cosine"),
        ("index_euclidean", 500, "euclidean"),
        ("n1", 1, "cosine"),
        ("n3", 3, "cosine"),
        ("n4", 4, "cosine"),
        ("n5", 5, "cosine"),
    ],
)
def test_compat_equals_the_peer(
    inputs: dict[str, np.ndarray], outputs: dict[str, Any], case: str, count: int, metric: str
) -> None:
    got = uniqueness_compat(inputs["embeddings"][:count], metric)
    np.testing.assert_allclose(got, outputs[f"uniqueness.{case}"], rtol=0, atol=1e-12)


def test_compat_equals_the_peer_on_regions_and_in_single_precision(
    inputs: dict[str, np.ndarray], outputs: dict[str, Any]
) -> None:
    np.testing.assert_allclose(uniqueness_compat(roi_vectors(inputs)), outputs["uniqueness.roi_dict"], atol=1e-12)
    single = uniqueness_compat(inputs["embeddings"].astype(np.float32))
    np.testing.assert_allclose(single, outputs["uniqueness.float32"], atol=1e-6)


def test_compat_leaves_its_input_alone_and_takes_copies(inputs: dict[str, np.ndarray]) -> None:
    vectors = inputs["embeddings"][:20].copy()
    uniqueness_compat(vectors)
    np.testing.assert_array_equal(vectors, inputs["embeddings"][:20])
    assert np.isnan(uniqueness_compat(np.ones((6, 4)), "euclidean")).all()
