"""FiftyOne itself reads what is written, and gives and takes datasets; it needs an environment of its own: make test-fiftyone."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import brain_assets as brain
from brain_assets.app.api import DatasetReader
from brain_assets.app.directly import bring_directly
from brain_assets.assets import catalog
from brain_assets.resources.errors import ConfigurationError
from tests.workshop import TINY, write_pictures

DEFAULT = "brain_key = 'uniqueness'"
WITHOUT = "FiftyOne and its database are not here: make test-fiftyone"


@pytest.fixture(scope="module")
def fo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return FiftyOne with a database of its own."""
    root = tmp_path_factory.mktemp("fiftyone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIFTYONE_DO_NOT_TRACK", "1")
        patch.setenv("FIFTYONE_DATABASE_DIR", str(root / "database"))
        patch.setenv("BRAIN_HOME", str(root / "home"))
        patch.setenv("DAGSTER_HOME", str(root / "home" / "dagster"))
        fiftyone = pytest.importorskip("fiftyone", reason=WITHOUT)
        try:
            fiftyone.list_datasets()
        except Exception:  # noqa: BLE001 - whatever keeps a database from starting
            pytest.skip(WITHOUT)
        yield fiftyone


@pytest.fixture(scope="module")
def pets(fo: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a dataset of theirs with labels, predictions and vectors, a wrong label and a copy in another split."""
    paths = write_pictures(tmp_path_factory.mktemp("media"), range(24))
    shutil.copy(paths[0], paths[23])
    dataset = fo.Dataset("our pets")
    box = {"label": "cat", "bounding_box": [0.1, 0.2, 0.3, 0.4]}
    for place, path in enumerate(paths):
        sample = fo.Sample(str(path), tags=["train" if place < 16 else "test"], vector=np.array([1.0, place]))
        sample["animal"] = fo.Classification(label="dog" if place == 3 else "cat")
        sample["resnet"] = fo.Classification(label="cat", confidence=0.9, logits=np.log([0.9, 0.1]))
        mask = np.ones((4, 4), bool)
        sample["boxes"] = fo.Detections(
            detections=[fo.Detection(**box, mask=mask), fo.Detection(**box | {"label": "dog"})]
        )
        sample["yolo"] = fo.Detections(detections=[fo.Detection(**box, confidence=0.75)])
        dataset.add_sample(sample)
    return dataset


@pytest.fixture(scope="module")
def ours(pets: Any) -> DatasetReader:
    ours = brain.from_fiftyone(pets, model=TINY)
    bring_directly(ours.home, ours.name, catalog.BY_NAME, "test")
    return ours


def test_a_dataset_comes_in(ours: DatasetReader, pets: Any) -> None:
    assert ours.name == "our_pets"
    rows = "select split, tags, count(*) from samples group by all order by all"
    assert ours.sql(rows).fetchall() == [("test", ["test"], 8), ("train", ["train"], 16)]
    assert ours.sql("select label_field, count(*) from ground_truth group by 1").fetchall() == [("animal", 24)]
    objects = "select label_field, source, count(*), count(polygon) from objects group by all order by all"
    assert ours.sql(objects).fetchall() == [("boxes", "ground_truth", 48, 24), ("boxes", "yolo", 24, 0)]
    assert ours.sql("select count(*) from rejected_rows").fetchall() == [(0,)]
    view = brain.compute_uniqueness(pets.match_tags("train"), "of_train")
    assert len(view.values) == 16
    again = brain.from_fiftyone(pets)
    assert again.paths.config.read_text() == ours.paths.config.read_text()
    vectors = brain.from_fiftyone(pets, "vectors", embeddings="vector", labels=["animal"], predictions=[])
    assert "samples.json#vector" in vectors.paths.config.read_text()
    with pytest.raises(ConfigurationError, match="no field of labels 'none'"):
        brain.from_fiftyone(pets, "wrong", labels=["none"])


def test_what_was_found_goes_back(ours: DatasetReader, pets: Any) -> None:
    told = brain.to_fiftyone(ours, pets)
    assert told is pets
    counts = dict(ours.sql("select issue, count(distinct sample_id) from issues where is_issue group by 1").fetchall())
    assert pets.count_values("issues.classifications.label") == counts
    assert {"leak", "exact_duplicate"} <= counts.keys()
    leaks = pets.load_saved_view("issues: leak")
    assert sorted(Path(path).stem for path in leaks.values("filepath")) == ["00000", "00023"]
    scores = dict(
        ours.sql(f"select uri, uniqueness from uniqueness join samples using (sample_id) where {DEFAULT}").fetchall()
    )
    assert dict(zip(*pets.values(["filepath", "uniqueness"]), strict=True)) == pytest.approx(scores)
    assert pets.sort_by("mistakenness", reverse=True).first().animal.label == "dog"
    assert pets.bounds("boxes.detections.mistakenness")[1] > 0
    assert len(pets.load_brain_results("visualization").points) == 24
    nearest = pets.sort_by_similarity(pets.first().id, k=2, brain_key="similarity").values("filepath")
    assert [Path(path).stem for path in nearest] == ["00000", "00023"]
    brain.to_fiftyone(ours, pets.take(5), prefix="b_", brain_runs=False)
    assert pets.count("b_uniqueness") == 5


def test_a_dataset_of_ours_becomes_one_of_theirs(ours: DatasetReader, fo: Any) -> None:
    with pytest.raises(ConfigurationError, match="to_fiftyone"):
        brain.to_fiftyone(ours)
    fo.load_dataset("our pets").name = "theirs"
    made = brain.to_fiftyone(ours, brain_runs=False)
    assert made.count_sample_tags() == {"train": 16, "test": 8}
    assert made.count_values("animal.label") == {"cat": 23, "dog": 1}
    assert made.count("boxes.detections") == 48
    assert made.count("yolo.detections") == 24
    assert made.first().resnet.confidence == 0.9


def test_an_exported_folder_opens_there(ours: DatasetReader, fo: Any, tmp_path: Path) -> None:
    told = ours.export(
        tmp_path / "out", "fiftyone-dataset", field="boxes", retain=["exact_duplicate", "near_duplicate", "leak"]
    )
    made = fo.Dataset.from_dir(str(tmp_path / "out"), dataset_type=fo.types.FiftyOneDataset, name="exported")
    assert (len(made), made.count("ground_truth.detections")) == (told.images, told.objects)
    # Ids, which decide on the order, are other ones each time.
    masks = [one.mask for one in made.first().ground_truth.detections if one.mask is not None]
    assert [mask.all() for mask in masks] == [True]
    made.export(str(tmp_path / "back"), dataset_type=fo.types.FiftyOneDataset, export_media=False)
    path = tmp_path / "back" / "samples.json"
    back = brain.add("back", path, labels=path, model=TINY)
    back.materialize(["samples", "media", "reviews", "ground_truth", "predictions", "objects", "published"])
    counted = "select label, count(*), count(polygon) from objects {} group by 1 order by 1"
    wanted = ours.sql(counted.format("where label_field = 'boxes' and source = 'ground_truth'")).fetchall()
    assert back.sql(counted.format("")).fetchall() == wanted
