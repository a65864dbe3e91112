"""What FiftyOne Brain's documentation shows, on data of our own whose answers are known."""

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest

import brain_assets as fob
from brain_assets.app.api import DatasetReader
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.models import embedding_models
from brain_assets.resources.settings.configuration import load_dataset
from tests.python.zoo import (
    ANGLES,
    BOXED,
    LONE,
    MISLABELLED,
    OVERLOOKED,
    TWIN,
    TWINNED,
    distance,
    make_zoo,
)
from tests.workshop import TINY


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatasetReader]:
    root = tmp_path_factory.mktemp("zoo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAIN_HOME", str(root / "home"))
        patch.setenv("DAGSTER_HOME", str(root / "home" / "dagster"))
        with make_zoo(root) as zoo:
            fob.compute_similarity(zoo)
            yield zoo


def paths(dataset: DatasetReader, ids: list[str]) -> list[str]:
    return dataset.select(ids, ordered=True).values("filepath")


def test_uniqueness_ranks_a_dataset(dataset: DatasetReader) -> None:
    found = fob.compute_uniqueness(dataset)
    ranked = found.sort(reverse=True)
    assert ranked.first()["filepath"] == LONE
    # What is there twice is least unique, and sorted to the end.
    assert set(ranked.values("filepath")[-2:]) == {TWIN, TWINNED}
    assert dataset.sort_by("uniqueness", reverse=True).limit(3).ids == ranked.limit(3).ids


def test_uniqueness_of_regions_of_interest(dataset: DatasetReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(embedding_models.LIBRARIES, "open_clip", ("no_such_library", "open-clip"))
    boxed = dataset.where("sample_id in (select sample_id from objects where source = 'ground_truth')")
    assert set(boxed.values("filepath")) == set(BOXED)
    with pytest.raises(MissingError, match="no_such_library is not installed"):
        fob.compute_uniqueness(dataset, roi_field="boxes", model="open_clip:ViT-B-32/openai", force_square=True)
    # What could not be computed is not declared, and keeps nothing else from being computed.
    assert not load_dataset(dataset.paths.config).settings.runs
    assert len(fob.compute_uniqueness(dataset).values) == len(ANGLES) + 1


def test_representativeness_finds_what_is_typical(dataset: DatasetReader) -> None:
    found = fob.compute_representativeness(dataset, "typical", method="cluster-center-downweight")
    assert len(found.values) == len(ANGLES) + 1
    assert all(0 <= one <= 1 for one in found.values.values())


def test_mistakes_of_classification(dataset: DatasetReader) -> None:
    found = fob.compute_mistakenness(dataset, "logits", label_field="ground_truth", use_logits=True)
    assert found.sort(reverse=True).first()["filepath"] == MISLABELLED
    by_confidence = fob.compute_mistakenness(dataset, "sure", label_field="ground_truth", use_logits=False)
    assert by_confidence.sort(reverse=True).first()["filepath"] == MISLABELLED
    for model, wanted in (("logits", False), ("sure", True)):
        with pytest.raises(ConfigurationError, match=f"use_logits={wanted}"):
            fob.compute_mistakenness(dataset, model, label_field="ground_truth", use_logits=wanted)


def test_mistakes_of_detection(dataset: DatasetReader) -> None:
    names = {"missing_field": "overlooked", "spurious_field": "invented"}
    found = fob.compute_mistakenness(dataset, "detector", label_field="boxes", **names)
    rows = {row[0]: row[1:] for row in found.relation().project("filepath, overlooked, invented").fetchall()}
    assert rows == {path: (1, 0) if path == OVERLOOKED else (0, 0) for path in BOXED}
    with pytest.raises(ConfigurationError, match=r"copy_missing: .*export_objects"):
        fob.compute_mistakenness(dataset, "detector", label_field="boxes", copy_missing=True)
    target = dataset.paths.folder / "completed.json"
    dataset.export_objects(target, field="boxes", missing_objects=True)
    assert len(json.loads(target.read_text())["annotations"]) == len(BOXED) + 1


def test_hardness_is_the_entropy_of_logits(dataset: DatasetReader) -> None:
    found = fob.compute_hardness(dataset, "logits", hardness_field="how_hard")
    assert found.sort(reverse=True).first()["filepath"] == LONE
    assert max(one for one in found.values.values() if one is not None) == pytest.approx(math.log(3))


def test_a_dataset_is_sorted_by_similarity(dataset: DatasetReader) -> None:
    index = fob.compute_similarity(dataset, brain_key="img_sim")
    query = dataset.where(f"filepath = '{TWINNED}'").ids[0]
    view = dataset.sort_by_similarity(query, k=5, brain_key="img_sim")
    assert set(view.values("filepath")[:2]) == {TWIN, TWINNED}
    assert view.values("filepath")[2:] == [f"train/cat/0000{number}.png" for number in (1, 2, 3)]
    assert index.sort_by_similarity(query, k=5).ids == view.ids
    farthest = dataset.sort_by_similarity(query, k=1, reverse=True).first()
    assert farthest["filepath"] == min(ANGLES, key=lambda path: math.cos(math.radians(ANGLES[path])))
    dogs = dataset.where("filepath like '%/dog/%'")
    assert dogs.sort_by_similarity(query, brain_key="img_sim").first()["filepath"] == "train/dog/00010.png"
    between = dataset.sort_by_similarity(np.array([math.cos(math.radians(45)), math.sin(math.radians(45))]), k=1)
    assert between.values("filepath") == ["train/cat/00007.png"]
    far = index.distances([query, dogs.ids[0]], k=1, aggregation="post-min").fetchall()
    assert far[0][4] == pytest.approx(0, abs=1e-6)


def test_an_index_is_found_again_by_its_key(dataset: DatasetReader) -> None:
    made = fob.compute_similarity(dataset, brain_key="kept_sim", metric="euclidean")
    assert "kept_sim" in fob.list_brain_runs(dataset, type="similarity", metric="euclidean")
    loaded = fob.load_brain_results(dataset, "kept_sim")
    assert (loaded.metric, loaded.total_index_size) == ("euclidean", made.total_index_size)
    assert fob.get_brain_info(dataset, "kept_sim").method == "similarity"
    assert len(fob.load_brain_view(dataset, "kept_sim")) == len(ANGLES) + 1
    with pytest.raises(ConfigurationError, match="follows the samples by itself"):
        fob.compute_similarity(dataset, brain_key="empty", embeddings=False)
    fob.rename_brain_run(dataset, "kept_sim", "same_sim")
    fob.delete_brain_run(dataset, "same_sim")
    assert not fob.has_brain_run(dataset, "same_sim")


def test_what_was_declared_for_a_run_alone_goes_with_it(dataset: DatasetReader) -> None:
    vectors = np.random.default_rng(0).normal(size=(len(ANGLES) + 1, 4))
    fob.compute_similarity(dataset, embeddings=vectors, brain_key="own_sim")
    fob.compute_visualization(dataset, similarity_index="own_sim", brain_key="of_own", method="pca")
    assert {"own_sim", "own_sim_vectors", "of_own"} <= set(fob.list_brain_runs(dataset))
    fob.delete_brain_run(dataset, "of_own")
    fob.delete_brain_run(dataset, "own_sim")
    assert "own_sim_vectors" not in fob.list_brain_runs(dataset)


def test_near_duplicates_at_thresholds_and_shares(dataset: DatasetReader) -> None:
    index = fob.compute_near_duplicates(dataset, threshold=0.02, skip_failures=True, batch_size=4)
    # All of a kind are within seven degrees, but for the lone bird.
    assert len(index.unique_ids) == 4
    assert index.thresh == 0.02
    assert LONE in paths(dataset, index.unique_ids)
    index.find_duplicates(thresh=distance("train/cat/00000.png", "train/cat/00001.png") * 1.01)
    assert {len(near) for near in index.neighbors_map.values()} <= {1, 2, 3}
    index.find_duplicates(fraction=0.5)
    assert len(index.duplicate_ids) == (len(ANGLES) + 1) // 2
    index.find_unique(4)
    assert {path.split("/")[1] for path in paths(dataset, index.unique_ids)} == {"bird", "cat", "dog"}
    assert len(index.unique_view()) == 4


def test_near_duplicates_by_vectors_of_ones_own(dataset: DatasetReader) -> None:
    vectors = np.eye(len(ANGLES) + 1)
    index = fob.compute_near_duplicates(dataset, threshold=0.5, embeddings=vectors)
    # No two of these are alike, but equal bytes are copies whatever vectors say.
    assert paths(dataset, index.duplicate_ids) in ([TWIN], [TWINNED])
    with pytest.raises(ConfigurationError, match="need a threshold"):
        fob.compute_near_duplicates(dataset, embeddings=vectors)
    with pytest.raises(ConfigurationError, match="need a threshold"):
        fob.compute_leaky_splits(dataset, splits=["train", "test"], embeddings=vectors)
    leaks = fob.compute_leaky_splits(dataset, splits=["train", "test"], embeddings=vectors, threshold=0.5)
    assert sorted(leaks.leaks_view().values("filepath")) == [TWIN, TWINNED]


def test_exact_duplicates(dataset: DatasetReader) -> None:
    found = fob.compute_exact_duplicates(dataset, num_workers=2, skip_failures=True, progress=False)
    [(kept, others)] = found.items()
    assert sorted(paths(dataset, [kept, *others])) == [TWIN, TWINNED]


def test_leaks_between_splits(dataset: DatasetReader) -> None:
    leaks = fob.compute_leaky_splits(dataset, splits=["training", "test"])
    with pytest.raises(MissingError, match=r"no sample has the tag 'training' .*splits: test, train"):
        fob.compute_leaky_splits(dataset, splits=["training", "holdout"])
    assert sorted(leaks.leaks_view().values("filepath")) == [TWIN, TWINNED]
    assert TWIN not in leaks.no_leaks_view(leaks.split_views["test"]).values("filepath")
    assert leaks.leaks_for_sample(TWIN).values("filepath") == [TWIN, TWINNED]
    views = {"cats": dataset.where("filepath like '%/cat/%'"), "dogs": dataset.where("filepath like '%/dog/%'")}
    assert not fob.compute_leaky_splits(dataset, splits=views).leak_ids
    assert leaks.tag_leaks("leaks") == 2


def test_what_is_tagged_is_matched(dataset: DatasetReader) -> None:
    least = fob.compute_uniqueness(dataset).sort().limit(3)
    assert (least.tag_samples("dup"), least.tag_samples("dup")) == (3, 0)
    assert set(dataset.match_tags("dup").ids) == set(least.ids)
    assert len(dataset.match_tags("dup", bool=False)) == len(ANGLES) + 1 - 3
    assert dataset.untag_samples("dup") == 3
    assert len(dataset.match_tags("dup")) == 0


def test_maps_by_method_points_and_patches(dataset: DatasetReader) -> None:
    flat = fob.compute_visualization(
        dataset, brain_key="img_viz", method="pca", num_dims=2, seed=51, verbose=True, create_index=True
    )
    assert flat.points.shape == (len(ANGLES) + 1, 2)
    solid = fob.compute_visualization(
        dataset, brain_key="deep_viz", method="tsne", num_dims=3, perplexity=4, max_iters=250
    )
    assert solid.points.shape[1] == 3
    drawn = fob.compute_visualization(dataset, brain_key="drawn", points=np.arange(2 * len(flat.points)).reshape(-1, 2))
    assert drawn.index_size == len(flat.points)
    places = np.arange(2.0 * len(BOXED)).reshape(-1, 2)
    with pytest.raises(ConfigurationError, match="name a model that embeds crops"):
        fob.compute_visualization(dataset, patches_field="boxes", brain_key="eyes", points=places)
    eyes = fob.compute_visualization(dataset, patches_field="boxes", brain_key="eyes", points=places, model=TINY)
    np.testing.assert_array_equal(eyes.points, places)
    assert (eyes.index_size, len(eyes.label_ids or [])) == (len(BOXED), len(BOXED))
    with pytest.raises(ConfigurationError, match="points_field: "):
        fob.compute_visualization(dataset, brain_key="img_viz", points_field="point")
    # What lies in a part of a map is a view, as a lasso's selection is.
    right = [one for one, (x, _) in zip(flat.sample_ids, flat.points, strict=True) if x > 0]
    assert 0 < len(dataset.select(right)) < len(flat.points)
    assert "<svg" in flat.visualize(labels="label").html


def test_what_notebooks_show(dataset: DatasetReader) -> None:
    shown = fob.compute_uniqueness(dataset)._repr_html_()
    assert "<h3>uniqueness of 24 samples, run uniqueness: lowest and highest</h3>" in shown
    index = fob.compute_near_duplicates(dataset, threshold=0.02)
    # What was found is drawn on a map that is made afterwards.
    points = fob.compute_visualization(dataset, brain_key="later", points=np.eye(len(ANGLES) + 1)[:, :2] * 9)
    assert index.visualize_duplicates(points).html.count("<circle") == len(ANGLES) + 1
    assert "<text" in index.plot_distances().html
    index.find_unique(3)
    assert "unique" in index.visualize_unique(points).html
    few = fob.add("few", dataset.where("true").limit(2).df(), home=str(dataset.home.root))
    assert few._repr_html_() == "<h3>dataset few: nothing published yet</h3>"


def test_unknown_parameters_and_models_are_one_line(dataset: DatasetReader) -> None:
    for wrong in ({"no_such": 1}, {"model": "no_such_model"}, {"model_kwargs": {"device": "cpu"}}):
        with pytest.raises(BrainError) as raised:
            fob.compute_uniqueness(dataset, "wrong", **wrong)
        assert "\n" not in str(raised.value)
