"""The peers' calls: what their users do with them, what they give back, and that they stay current."""

import json
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import brain_assets as brain
from brain_assets.app.api import DatasetReader
from brain_assets.app.directly import bring_directly
from brain_assets.assets import catalog
from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.settings.configuration import load_dataset
from tests.workshop import TINY, write_archive, write_pictures

GOLDEN = Path(__file__).parent.parent / "golden" / "seed7"
LABELLED = ("reviews", "samples", "media", "ground_truth", "predictions", "objects", "published")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        # Runs from Python set both for the rest of the process.
        patch.setenv("BRAIN_HOME", str(root))
        patch.setenv("DAGSTER_HOME", str(root / "dagster"))
        yield root


@pytest.fixture(scope="module")
def media(home: Path) -> Path:
    folder = home / "media"
    paths = write_pictures(folder / "train", range(24))
    write_pictures(folder / "test", range(24, 30))
    shutil.copy(paths[0], folder / "test" / "leaked.png")
    shutil.copy(paths[1], folder / "train" / "copy.png")
    rows = [f"{path.relative_to(folder)},{'ab'[number % 2]}" for number, path in enumerate(paths)]
    (home / "labels.csv").write_text("\n".join(["filepath,label", *rows]))
    said = [f"{row},{0.5 + 0.01 * number:.2f}" for number, row in enumerate(rows)]
    (home / "judge.csv").write_text("\n".join(["filepath,label,confidence", *said]))
    return folder


@pytest.fixture(scope="module")
def pets(home: Path, media: Path) -> DatasetReader:
    inputs = {"labels": home / "labels.csv", "predictions": [home / "judge.csv"]}
    pets = brain.add("pets", media, **inputs, split_from="folder", model=TINY)
    update(pets)
    return pets


def update(dataset: DatasetReader, assets: Collection[str] = catalog.BY_NAME) -> None:
    bring_directly(dataset.home, dataset.name, assets, "test")


def test_datasets_are_declared_listed_changed_and_removed(home: Path, media: Path) -> None:
    files = sorted(str(path) for path in media.rglob("*.png"))[:3]
    said = {"outliers": {"percentile": 5}, "embeddings.device": "cpu", "similarity.metric": "euclidean"}
    few = brain.add("few", files, model=TINY, similarity={"exact_limit": 99}, **said)
    declared = load_dataset(few.paths.config).settings
    assert (declared.similarity.metric, declared.similarity.exact_limit) == ("euclidean", 99)
    assert (declared.embeddings.model, declared.outliers.percentile) == (TINY, 5)
    assert said["outliers"] == {"percentile": 5}
    with pytest.raises(ConfigurationError, match=r"limit\.x: limit is a value"):
        brain.add("wrong", files, limit=3, **{"limit.x": 3})
    assert "few" in brain.list()
    assert brain.status("few")["state"] == "nothing published yet"
    assert repr(few) == "<dataset few: nothing published yet>"
    brain.set("few", {"similarity.k": 7}, limit=2)
    settings = load_dataset(few.paths.config).settings
    assert (settings.similarity.k, settings.limit, len(settings.media_addresses)) == (7, 2, 1)
    brain.remove("few")
    assert "few" not in brain.list()
    with pytest.raises(ConfigurationError, match="media is empty"):
        brain.add("none", [])


def test_a_folder_or_an_archive_alone_is_looked_at_as_the_command_does(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    members = {f"{split}/{name}/0.png": b"" for split in ("train", "val") for name in ("cat", "dog")}
    for path in members:
        (tmp_path / "set" / path).parent.mkdir(parents=True)
        (tmp_path / "set" / path).touch()
    (tmp_path / "set" / "notes.csv").write_text("image_id,age\n0,5\n")
    for place in (tmp_path / "set", write_archive(tmp_path / "set.zip", members)):
        added = brain.add(f"looked_at_{place.suffix[1:]}", str(place), model=TINY)
        settings = load_dataset(added.paths.config).settings
        assert (settings.split_from, [one.uri for one in settings.labels]) == ("folder", ["folder"])
    assert "left out: notes.csv: it names images" in caplog.text
    by_path = brain.dataset(tmp_path / "set.zip")
    assert by_path.name == "looked_at_zip"
    # It is declared by its path when it is first asked for.
    brain.remove("looked_at_zip")
    found = [brain.dataset(str(tmp_path / "set.zip")) for _ in range(2)]
    assert found[0].name == found[1].name
    assert load_dataset(found[0].paths.config).settings.labels[0].uri == "folder"
    plain = brain.add("looked_at_not", tmp_path / "set", split_from="none", model=TINY)
    assert not load_dataset(plain.paths.config).settings.labels


def test_a_frame_and_a_coco_file_in_memory_are_datasets(home: Path, media: Path) -> None:
    files = sorted(str(path) for path in media.rglob("*.png"))[:3]
    frame = pd.DataFrame({"filepath": files, "label": ["x", "y", "x"], "split": ["train", "val", "val"]})
    framed = brain.add("framed", frame, model=TINY)
    update(framed, LABELLED)
    assert framed.sql("select split, labels from samples join ground_truth using (sample_id) order by filepath").fetchall() == [
        ("train", ["x"]), ("val", ["y"]), ("val", ["x"]),
    ]  # fmt: skip
    image = {"id": 1, "file_name": Path(files[0]).name, "width": 20, "height": 16}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 5, 5]}
    coco = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "eye"}]}
    boxed = brain.add("boxed", files, labels=coco, model=TINY)
    update(boxed, LABELLED)
    assert boxed.sql("select label from objects").fetchall() == [("eye",)]


def test_uniqueness_of_a_dataset_is_the_run_that_there_is(pets: DatasetReader) -> None:
    found = brain.compute_uniqueness("pets", batch_size=16, num_workers=4, progress=False)
    assert found.brain_key == "uniqueness"
    assert max(found.values.values()) == 1
    assert found.sort().values("uniqueness") == sorted(found.values.values())
    assert not load_dataset(pets.paths.config).settings.runs
    assert "data:image" in found._repr_html_()


def test_a_call_on_a_view_is_a_run_that_stays_current(pets: DatasetReader, media: Path) -> None:
    train = pets.where("split = 'train'")
    found = brain.compute_uniqueness(train, "train_uniqueness")
    assert len(found.values) == 25
    assert [(run.brain_key, run.where) for run in load_dataset(pets.paths.config).settings.runs] == [
        ("train_uniqueness", "split = 'train'")
    ]
    write_pictures(media / "train", [90])
    update(pets)
    late = pets.sql("select count(*) from uniqueness where brain_key = 'train_uniqueness'").fetchall()
    assert late == [(26,)]
    again = brain.compute_uniqueness(train, "train_uniqueness")
    assert again.brain_key == "train_uniqueness"


def test_vectors_of_ones_own(pets: DatasetReader) -> None:
    ids = pets.where("true").ids
    vectors = np.random.default_rng(3).normal(size=(len(ids), 5))
    given = brain.compute_uniqueness(pets, "by_matrix", embeddings=vectors)
    mapped = brain.compute_uniqueness(pets, "by_mapping", embeddings=dict(zip(ids, vectors, strict=True)))
    assert given.values == pytest.approx(mapped.values)
    index = brain.compute_similarity(pets, embeddings="by_matrix_vectors")
    assert (index.total_index_size, index.index_size, index.missing_size) == (len(ids), len(ids), 0)
    matrix, names, objects = index.get_embeddings(ids[:2])
    assert objects is None
    np.testing.assert_allclose(matrix, vectors[[ids.index(one) for one in names]], rtol=1e-6)
    with pytest.raises(ConfigurationError, match="samples and 2 vectors"):
        brain.compute_uniqueness(pets, "few", embeddings=vectors[:2])


def test_an_index_is_asked_by_id_by_vector_and_within_a_view(pets: DatasetReader) -> None:
    index = brain.compute_similarity(pets)
    one = index.sample_ids[0]
    ordered = index.sort_by_similarity(one, k=5)
    assert ordered.ids[0] == one
    assert len(ordered) == 5
    assert index.sort_by_similarity(one, reverse=True).ids[-1] == one
    vector = index.get_embeddings([one])[0][0]
    assert index.distances(vector, k=1).fetchall()[0][4] == pytest.approx(0, abs=1e-6)
    inside = brain.compute_similarity(pets.where("split = 'test'"))
    assert inside.index_size < inside.total_index_size
    assert {row["split"] for row in inside.sort_by_similarity(one)} == {"test"}
    manhattan = brain.compute_similarity(pets, metric="l1", brain_key="by_l1")
    assert manhattan.metric == "manhattan"
    for wrong in ({"backend": "no_such"}, {"url": "http://127.0.0.1:1"}, {"no_such": 1}):
        with pytest.raises(ConfigurationError):
            brain.compute_similarity(pets, **wrong)


def test_vectors_are_kept_by_a_backend_and_other_methods_name_its_index(pets: DatasetReader) -> None:
    kept = brain.compute_similarity(pets, brain_key="kept", backend="sklearn")
    assert pets.sql("select backend, recall from vector_indexes").fetchall() == [("sklearn", 1.0)]
    one = kept.sample_ids[0]
    assert kept.sort_by_similarity(one, k=4).ids == brain.compute_similarity(pets).sort_by_similarity(one, k=4).ids
    named = brain.compute_uniqueness(pets, "by_index", similarity_index="kept")
    assert named.values == pytest.approx(brain.compute_uniqueness(pets).values)
    assert {run.brain_key: run.similarity for run in load_dataset(pets.paths.config).settings.runs}[
        "by_index"
    ] == "kept"


def test_settings_of_all_datasets_are_set_in_code(pets: DatasetReader, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIMILARITY_K", "SIMILARITY_BACKEND", "VISUALIZATION_SEED"):
        # Whatever is set below is gone afterwards.
        monkeypatch.setenv(f"BRAIN_{name}", "")
        monkeypatch.delenv(f"BRAIN_{name}")
    config, default = brain.brain_config, load_dataset(pets.paths.config).settings.similarity.k
    config.default_similarity_backend = "sklearn"
    config["similarity.k"] = default + 1
    assert config.changed == {"similarity.k": default + 1, "similarity.backend": "sklearn"}
    assert load_dataset(pets.paths.config).settings.similarity.k == default + 1
    del config["similarity.k"]
    assert load_dataset(pets.paths.config).settings.similarity.k == default
    file = pets.paths.folder / "brain.json"
    file.write_text(
        json.dumps({"similarity": {"k": 7, "backend": "exact"}, "visualization.seed": config["visualization.seed"]})
    )
    config.load(file)
    assert (config["similarity.k"], config.default_similarity_backend) == (7, "exact")
    for wrong in (
        lambda: config.update({"similarity.k": 0}),
        lambda: config.update({"no.such": 1}),
        lambda: config.load(__file__),
    ):
        with pytest.raises(ConfigurationError):
            wrong()
    with pytest.raises(KeyError):
        config["no.such"]
    assert config["similarity.k"] == 7


def test_near_duplicates_are_found_at_any_threshold(pets: DatasetReader) -> None:
    index = brain.compute_near_duplicates(pets)
    assert len(index.duplicate_ids) == 2
    assert {len(near) for near in index.neighbors_map.values()} == {1}
    view = index.duplicates_view(type_field="kind", id_field="of", dist_field="far", sort_by="count", reverse=True)
    assert [row[3] for row in view.fetchall()] == ["nearest", "duplicate"] * 2
    assert {"kind", "of", "far"} <= set(view.columns)
    index.find_duplicates(fraction=0.5)
    assert len(index.unique_ids) == len(index.unique_view())
    index.find_unique(4)
    assert len(index.unique_ids) == 4
    with pytest.raises(ConfigurationError, match="call find_duplicates"):
        _ = index.duplicate_ids
    assert "<svg" in index.plot_distances(20).html
    brain.compute_visualization(pets)
    assert "circle" in index.visualize_unique().html
    index.find_duplicates(thresh=0.01)
    assert "<line" in index.visualize_duplicates().html


def test_exact_duplicates(pets: DatasetReader) -> None:
    found = brain.compute_exact_duplicates(pets)
    assert sorted(len(others) for others in found.values()) == [1, 1]
    assert brain.compute_exact_duplicates(pets, pixels=False) == found
    assert len(brain.compute_exact_duplicates(pets.where("split = 'train'"))) == 1


def test_leaks_between_splits_tags_views_and_columns(pets: DatasetReader, tmp_path: Path) -> None:
    leaks = brain.compute_leaky_splits(pets, splits="split")
    assert {row["filepath"] for row in leaks.leaks_view()} == {"test/leaked.png", "train/00000.png"}
    assert set(leaks.split_views) == {"train", "test"}
    assert len(leaks.no_leaks_view(pets.where("split = 'test'"))) == 6
    assert [row["filepath"] for row in leaks.leaks_for_sample("test/leaked.png")] == [
        "test/leaked.png",
        "train/00000.png",
    ]
    views = {"old": pets.where("filepath = 'train/00001.png'"), "new": pets.where("filepath = 'train/copy.png'")}
    assert len(brain.compute_leaky_splits(pets, views).leak_ids) == 2
    assert len(brain.compute_leaky_splits(pets, "filepath").leak_ids) == 4
    assert "data:image" in leaks._repr_html_()
    assert leaks.tag_leaks("leaky") == 2


def test_maps(pets: DatasetReader) -> None:
    flat = brain.compute_visualization(pets, brain_key="flat", method="pca", num_dims=3)
    assert flat.points.shape == (flat.index_size, 3)
    spread = brain.compute_visualization(pets, brain_key="spread", method="tsne", max_iters=250, perplexity=4, seed=3)
    assert np.isfinite(spread.points).all()
    assert set(flat.values("split")) == {"train", "test"}
    assert "circle" in flat.visualize("split").html
    ids = pets.where("true").ids
    manual = brain.compute_visualization(pets, points=dict.fromkeys(ids, (1.0, 2.0)), brain_key="drawn")
    assert (manual.points == (1, 2)).all()
    with pytest.raises(ConfigurationError, match="points must be"):
        brain.compute_visualization(pets, points=np.zeros((2, 2)), brain_key="wrong")


def test_labels_are_judged_by_a_model(pets: DatasetReader) -> None:
    found = brain.compute_mistakenness(pets, "judge", label_field="ground_truth")
    assert {"possible_missing", "possible_spurious"} <= set(found.relation().columns)
    assert min(one for one in found.values.values() if one is not None) >= 0
    assert found.sort(reverse=True).ids[0] == max(found.values, key=lambda one: found.values[one] or 0)
    with pytest.raises(ConfigurationError, match="models: "):
        brain.compute_hardness(pets, "nobody")
    # The only model is the mean over models, and what a view says of a sample.
    assert brain.compute_mistakenness(pets).values == pytest.approx(found.values, nan_ok=True)
    assert brain.compute_hardness(pets).values == brain.compute_hardness(pets, "judge").values
    least = pets.where("mistakenness is not null").sort_by("mistakenness").first()
    assert least is not None
    assert least["mistakenness"] == min(one for one in found.values.values() if one is not None)


def test_runs_are_listed_loaded_renamed_and_deleted_by_the_names_that_people_know(pets: DatasetReader) -> None:
    train = pets.where("split = 'train'")
    scores = brain.compute_uniqueness(train, "kept_train").values
    assert "kept_train" in brain.list_brain_runs(pets, method="uniqueness")
    assert not brain.has_brain_run(pets, "nothing")
    info = brain.get_brain_info(pets, "kept_train")
    assert (info.method, info.state, info.timestamp is None) == ("uniqueness", "done", False)
    assert brain.load_brain_results(pets, "kept_train").values == scores
    assert brain.load_brain_view(pets, "kept_train").ids == train.ids
    assert (
        brain.load_brain_results(pets, "neighbors").index_size
        == brain.load_brain_results(pets, "embeddings").index_size
    )
    assert len(brain.load_brain_results(pets, "visualization").points) == len(pets.where("true").ids)
    brain.rename_brain_run(pets, "kept_train", "of_train")
    assert brain.load_brain_results(pets, "of_train").values == scores
    brain.delete_brain_run(pets, "of_train")
    with pytest.raises(BrainError):
        brain.load_brain_results(pets, "of_train")


def test_what_cannot_be_read_is_left_out_or_an_error(home: Path) -> None:
    folder = home / "broken"
    write_pictures(folder, range(3))
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    brain.add("broken", folder, model=TINY)
    assert len(brain.compute_uniqueness("broken").values) == 3
    with pytest.raises(BrainError, match=r"1 samples cannot be read, such as bad\.png"):
        brain.compute_uniqueness("broken", skip_failures=False)


def test_samples_are_what_they_say(home: Path) -> None:
    for wrong in (3, home / "nowhere"):
        with pytest.raises(ConfigurationError):
            brain.compute_uniqueness(wrong)


@pytest.mark.slow
def test_compat_mode_gives_the_peers_numbers(home: Path) -> None:
    inputs = np.load(GOLDEN / "inputs.npz")
    outputs: dict[str, Any] = json.loads((GOLDEN / "outputs.json").read_text())
    write_pictures(home / "golden", range(500))
    golden = brain.add("golden", home / "golden", model=TINY)
    unique = brain.compute_uniqueness(golden, "unique", embeddings=inputs["embeddings"], mode="compat")
    ids = golden.where("true").ids
    np.testing.assert_allclose([unique.values[one] for one in ids], outputs["uniqueness.embeddings"], atol=1e-5)
    typical = brain.compute_representativeness(golden, "typical", embeddings=inputs["embeddings"], mode="compat")
    expected = outputs["representativeness.cluster-center"]
    np.testing.assert_allclose([typical.values[one] for one in ids], expected, atol=1e-5)
