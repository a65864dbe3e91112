"""Vectors at the edge: few, equal, zero or not finite, in splits of which one has a single sample."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_assets.app.api import DatasetReader
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.resources.errors import ConfigurationError, MissingError
from tests.workshop import Workshop, assert_equals_rebuild, encoded, picture, write_pictures

ASSETS = (
    "samples", "media", "ground_truth", "objects", "exact_duplicates", "embeddings", "similarity", "uniqueness",
    "near_duplicates", "leaks", "outliers", "representativeness", "selections", "visualization", "issues",
    "health", "published",
)  # fmt: skip
FITTED = (
    "samples",
    "media",
    "embeddings",
    "similarity",
    "outliers",
    "representativeness",
    "visualization",
    "published",
)
TO_NEIGHBORS = ("samples", "media", "embeddings", "similarity")
RUNS = [
    {"brain_key": "lowered", "method": "representativeness", "parameters": {"method": "cluster-center-downweight"}},
    {"brain_key": "peer", "method": "uniqueness", "parameters": {"mode": "compat"}},
    {"brain_key": "axes", "method": "visualization", "parameters": {"method": "pca"}},
    *(
        {"brain_key": name.replace("-", "_"), "method": "selections", "parameters": {"method": name, "count": 3}}
        for name in ("unique", "k-center", "facility-location")
    ),
]


def cloud(count: int, dimensions: int = 8) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, dimensions))


def with_rows(rows: dict[int, float]) -> np.ndarray:
    vectors = cloud(7)
    for row, value in rows.items():
        vectors[row] = value
    return vectors


ODD = {
    "none": cloud(0),
    "one": cloud(1),
    "three": cloud(3),
    "four": cloud(4),
    "nineteen": cloud(19),
    "all identical": np.repeat(cloud(1), 19, axis=0),
    "one cluster": 1 + 1e-3 * cloud(19),
    "some zero": with_rows({0: 0.0, 6: 0.0}),
    "all zero": np.zeros((6, 8)),
    "some not finite": with_rows({0: np.nan, 3: np.inf}),
    "none finite": np.full((3, 8), np.nan),
}

# As odd as others: no more vectors than none that are finite, few as one and three are, equal as those that are identical.
ALIKE = {"none", "four", "nineteen", "one cluster", "all zero"}


def make(root: Path, vectors: np.ndarray, home: str = "home", **settings: object) -> Workshop:
    """Write pictures with these vectors, the last one alone in the split test, and declare them."""
    names = [f"train/{number:05}.png" for number in range(len(vectors) - 1)] + ["test/last.png"] * (len(vectors) > 0)
    if not (root / "media").exists():
        write_pictures(root / "media" / "train", range(len(vectors) - 1))
        for name in names[-1:]:
            (root / "media" / "test").mkdir()
            (root / "media" / name).write_bytes(encoded(picture(1000)))
    np.savez(root / "vectors.npz", filepath=np.array(names, np.str_), vectors=vectors)
    declared = {"model": f"precomputed:{root / 'vectors.npz'}"}
    return Workshop(root / home, root / "media", split_from="folder", embeddings=declared, **settings)


def count(workshop: Workshop, table: str, condition: str = "true") -> int:
    return int(workshop.rows(f"select count(*) from {table} where {condition}")[0][0])


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ALIKE)) for name in ODD])
def test_every_signal_is_defined(tmp_path: Path, name: str) -> None:
    finite = int(np.isfinite(ODD[name]).all(axis=1).sum())
    workshop = make(tmp_path, ODD[name], runs=RUNS, calibration={"min_samples": 10})
    workshop.run(ASSETS)
    assert count(workshop, "neighbors") == finite * min(20, max(finite - 1, 0))
    assert count(workshop, "neighbors", "not isfinite(distance)") == 0
    assert count(workshop, "uniqueness", "uniqueness between 0 and 1") == 2 * finite
    assert count(workshop, "representativeness", "representativeness > 0 and representativeness <= 1") == 2 * finite
    assert count(workshop, "outliers", "outlier_score between 0 and 1 and not is_outlier") == finite
    assert count(workshop, "visualization", "isfinite(x) and isfinite(y)") == 2 * finite
    assert count(workshop, "selections") == 3 * min(3, finite)
    assert workshop.wrong(ASSETS) == {}
    again = workshop.run(ASSETS)
    assert {name: report.failed for name, report in again.items() if report.failed} == {}
    assert again["published"].notes["written"] == ""
    with DatasetReader(workshop.name, str(workshop.home.root)) as reader:
        for found in (reader.find_duplicates(), reader.find_duplicates(0.1, by="embedding")):
            assert len(found.unique_ids) + len(found.duplicate_ids) == finite
        assert len(reader.find_unique(2).unique_ids) == min(2, finite)
        assert reader.leaks().fetchall() == []
        if not finite:
            with pytest.raises(MissingError, match="no vectors are published"):
                reader.similar(np.ones(8))
        else:
            assert len(reader.similar(np.ones(8), k=99).fetchall()) == finite
            assert reader.similar(np.ones(8), where="split = 'nowhere'").fetchall() == []


def test_identical_vectors_are_as_typical_and_as_common_as_can_be(tmp_path: Path) -> None:
    workshop = make(tmp_path, ODD["all identical"])
    workshop.run((*TO_NEIGHBORS, "uniqueness", "representativeness", "published"))
    both = "uniqueness join representativeness using (sample_id)"
    assert workshop.rows(f"select distinct uniqueness, representativeness from {both}") == [(0.0, 1.0)]


def test_a_copy_in_a_split_of_one_sample_is_a_leak(tmp_path: Path) -> None:
    workshop = make(tmp_path, cloud(3))
    (tmp_path / "media" / "test" / "last.png").write_bytes(encoded(picture(1)))
    workshop.run((*TO_NEIGHBORS, "exact_duplicates", "near_duplicates", "leaks", "published"))
    assert workshop.rows("select split, partner_split, kind from leaks order by all") == [
        ("test", "train", "exact"),
        ("train", "test", "exact"),
    ]


def test_the_peers_clusters_need_samples(tmp_path: Path) -> None:
    steps = (*TO_NEIGHBORS, "representativeness", "published")
    workshop = make(tmp_path, cloud(19), representativeness={"mode": "compat"})
    with pytest.raises(ConfigurationError, match="mode compat needs at least 20 samples with a vector, there are 19"):
        workshop.run(steps)
    make(tmp_path, cloud(19), representativeness={"mode": "compat", "clusters": 5})
    workshop.run(steps)
    assert count(workshop, "representativeness", "representativeness between 0 and 1") == 19


def test_vectors_of_another_length_have_clusters_of_their_own(tmp_path: Path) -> None:
    workshop = make(tmp_path, cloud(12, 8))
    workshop.run(FITTED)
    make(tmp_path, cloud(12, 5))
    workshop.run(FITTED)
    assert count(workshop, "visualization", "isfinite(x) and isfinite(y)") == 12
    rebuild = make(tmp_path, cloud(12, 5), "rebuild")
    rebuild.run(FITTED)
    assert_equals_rebuild(workshop, rebuild)


def test_another_metric_has_a_cut_of_its_own(tmp_path: Path) -> None:
    """A cut fitted to cosine distances would make all samples outliers, or none, by euclidean ones."""
    steps = (*TO_NEIGHBORS, "outliers", "published")
    settings = {"calibration": {"min_samples": 10}}
    workshop = make(tmp_path, 10 * cloud(30), **settings)
    workshop.run(steps)
    far = settings | {"similarity": {"metric": "euclidean"}}
    make(tmp_path, 10 * cloud(30), **far)
    workshop.run(steps)
    rebuild = make(tmp_path, 10 * cloud(30), "rebuild", **far)
    rebuild.run(steps)
    assert_equals_rebuild(workshop, rebuild)
    assert workshop.rows("select min(cut) > 2 from outliers") == [(True,)]


def test_what_was_fitted_to_vectors_is_fitted_anew_once_half_of_them_are_others(tmp_path: Path) -> None:
    steps = (*TO_NEIGHBORS, "outliers", "representativeness", "published")
    settings: dict[str, Any] = {"calibration": {"min_samples": 10}, "representativeness": {"clusters": 2}}
    before, after = cloud(30), 5 + cloud(60)[30:]
    workshop = make(tmp_path, before, **settings)
    workshop.run(steps)
    fits = fitted(workshop)
    make(tmp_path, np.concatenate([after[:14], before[14:]]), **settings)
    workshop.run(steps)
    assert fitted(workshop) == fits
    make(tmp_path, np.concatenate([after[:15], before[15:]]), **settings)
    workshop.run(steps)
    rebuild = make(tmp_path, np.concatenate([after[:15], before[15:]]), "rebuild", **settings)
    rebuild.run(steps)
    assert fitted(workshop) == fitted(rebuild) != fits
    assert_equals_rebuild(workshop, rebuild)


def fitted(workshop: Workshop) -> list[object]:
    """Return the centres, and the cut of outliers."""
    with open_dataset(workshop.home, workshop.name, Opening("look", "test")) as dataset:
        centers = dataset.store.rows("select cluster, center from cluster_centers order by all")
        return [centers, dataset.store.rows("select value from calibrations where issue = 'outlier'")]
