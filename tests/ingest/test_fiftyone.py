"""A dataset that FiftyOne exported, from its folder into the tables: samples, tags, splits, fields and vectors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_assets.app.declaring import declaration
from brain_assets.resources.errors import BrainError
from brain_assets.resources.fiftyone_samples import array_of
from brain_assets.resources.label_formats.fiftyone_dataset import packed
from brain_assets.resources.models.embedding_precomputed import load_vectors
from brain_assets.resources.settings.configuration import file_state
from tests.workshop import Workshop, write_pictures

STEPS = ("samples", "media", "embeddings", "ground_truth", "predictions", "objects", "published")


def exported(folder: Path) -> Path:
    """Write what FiftyOne would export of four pictures, and beside them one that is none of the samples."""
    write_pictures(folder / "data", range(4))
    write_pictures(folder / "fields" / "mask", [9])
    cat: dict[str, Any] = {"_cls": "Classification", "label": "cat"}
    box: dict[str, Any] = {"_cls": "Detection", "label": "cat", "bounding_box": [0.1, 0.1, 0.5, 0.5]}
    fields = {
        "resnet": cat | {"confidence": 0.75, "logits": packed(np.array([1.5, 0.5]))}, "other": [0.5, 0.25, 1],
        "boxes": {"_cls": "Detections", "detections": [box]},
        "yolo": {"_cls": "Detections", "detections": [box | {"confidence": 0.5}]},
    }  # fmt: skip
    samples = [
        {"filepath": f"data/{place:05}.png", "tags": ["night", "validation" if place else "train"], **fields,
         "ground_truth": cat | {"label": "cat" if place else "dog"}, "vector": packed(np.array([1, place], np.float64))}
        for place in range(4)
    ]  # fmt: skip
    path = folder / "samples.json"
    path.write_text(json.dumps({"samples": samples}))
    (folder / "metadata.json").write_text(json.dumps({"sample_fields": [], "default_classes": ["cat", "dog"]}))
    return path


def test_all_of_it_arrives(tmp_path: Path) -> None:
    path = exported(tmp_path / "set")
    made = Workshop(
        tmp_path / "home", path, "pets", split_from="column", embeddings={"model": f"precomputed:{path}#vector"},
        labels=[{"uri": str(path)}, {"uri": str(path), "field": "boxes"}],
        predictions=[{"uri": str(path), "model": "resnet"}, {"uri": str(path), "model": "yolo"}],
    )  # fmt: skip
    made.run(STEPS)
    rows = made.rows("select filepath, split, tags from samples order by 1")
    assert rows[:2] == [("00000.png", "train", ["night", "train"]), ("00001.png", "val", ["night", "validation"])]
    assert len(rows) == 4
    labels = "select labels, count(*) from ground_truth where label_field = 'ground_truth' group by 1 order by 1"
    assert made.rows(labels) == [(["cat"], 3), (["dog"], 1)]
    assert made.rows("select distinct model, label, confidence, logits from predictions") == [
        ("resnet", "cat", 0.75, [1.5, 0.5])
    ]
    objects = "select source, label_field, count(*), any_value(x) from objects group by all order by all"
    assert made.rows(objects) == [("ground_truth", "boxes", 4, 0.1), ("yolo", "ground_truth", 4, 0.1)]
    assert made.rows("select reason, detail from rejected_rows") == []
    vectors = "select vector from embeddings join samples using (sample_id) order by filepath"
    assert [list(row[0]) for row in made.rows(vectors)] == [[1, place] for place in range(4)]


def test_vectors_are_declared_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = exported(tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    for name in ("set/samples.json#vector", f"{path}#vector"):
        tree = declaration({"media": "set/samples.json", "model": f"precomputed:{name}"})
        assert tree["embeddings"] == {"model": f"precomputed:{path}#vector"}
        # What it was is how a change of the file is noticed.
        assert file_state(f"precomputed:{path}#vector") == file_state(f"precomputed:{path}")


def test_the_field_of_vectors_is_said_where_there_are_several(tmp_path: Path) -> None:
    path = exported(tmp_path)
    found = load_vectors(f"{path}#other")
    assert (found.keys[0], found.matrix.shape) == (str(tmp_path / "data" / "00000.png"), (4, 3))
    for name in (str(path), f"{path}#none"):
        with pytest.raises(BrainError, match="fields of vectors: other, vector") as raised:
            load_vectors(name)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [None, 5, "!", "AAAA", {"$binary": {"base64": "AAAA"}}, {"$binary": 5}])
def test_what_is_no_array_is_an_error(value: object) -> None:
    with pytest.raises(ValueError, match="array"):
        array_of(value)
