"""Prediction files: classes, confidences, logits and probabilities, and what can be wrong with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from brain_assets.resources.label_formats.predictions import PREDICTION_ROWS
from brain_assets.resources.label_formats.tables import read_table_file
from brain_assets.resources.tabular import Reading
from tests.resources.test_labels import FORMATS, input_file, reasons

CLASSES = ("cat", "dog", "owl")


def read(path: Path, rows: list[dict[str, Any]], classes: tuple[str, ...] = CLASSES) -> Reading:
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [",".join(rows[0]), *(",".join(_cell(value) for value in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    return read_table_file(input_file(path), path.suffix[1:], "predictions", classes)["prediction_rows"]


def _cell(value: object) -> str:
    return f'"{value}"' if isinstance(value, list) else "" if value is None else str(value)


def row(found: Reading, position: int = 0) -> dict[str, Any]:
    return found.table.slice(position, 1).to_pylist()[0]


@FORMATS
def test_logits_give_label_and_confidence(tmp_path: Path, suffix: str) -> None:
    found = read(tmp_path / f"m.{suffix}", [{"filepath": "x", "logits": [1.0, 3.0, 0.5]}])
    assert found.table.schema == PREDICTION_ROWS
    one = row(found)
    assert (one["model"], one["label_field"], one["labels"]) == ("m", "ground_truth", ["dog"])
    logits = np.array([1.0, 3.0, 0.5])
    assert one["confidences"] == pytest.approx([np.exp(3.0) / np.exp(logits).sum()])
    assert one["logits"] == pytest.approx(logits)
    assert not one["is_probability"]


@FORMATS
def test_what_is_given_stands(tmp_path: Path, suffix: str) -> None:
    given = {"sample_id": "s", "label": "owl", "confidence": 0.25, "model": "net", "logits": [1, 2, 3]}
    one = row(read(tmp_path / f"m.{suffix}", [given]))
    assert (one["key"], one["labels"], one["confidences"], one["model"]) == ("s", ["owl"], [0.25], "net")


@FORMATS
def test_probabilities_become_logarithms(tmp_path: Path, suffix: str) -> None:
    found = read(tmp_path / f"m.{suffix}", [{"filepath": "x", "probabilities": [0.0, 0.25, 0.75]}])
    one = row(found)
    assert one["is_probability"]
    assert one["labels"] == ["owl"]
    assert one["confidences"] == pytest.approx([0.75])
    assert np.exp(one["logits"]) == pytest.approx([0.0, 0.25, 0.75])


@FORMATS
def test_rows_that_cannot_be_used(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"filepath": name, "label": label, "confidence": confidence, "logits": logits}
        for name, label, confidence, logits in [
            ("a", "cat", 0.5, [1.0, 2.0, 3.0]),
            ("b", "cat", 0.5, [1.0, 2.0]),
            ("c", "cat", 0.5, [1.0, 2.0, float("nan")]),
            ("d", "bird", 0.5, [1.0, 2.0, 3.0]),
            ("e", "cat", 1.5, [1.0, 2.0, 3.0]),
            ("a", "dog", 0.5, [1.0, 2.0, 3.0]),
            ("f", None, None, None),
        ]
    ]
    found = read(tmp_path / f"m.{suffix}", rows)
    wrong = ["duplicate", "logits_length", "logits_not_finite", "unknown_class", "confidence", "no_label"]
    first = 2 if suffix == "csv" else 1
    assert reasons(found) == [(first + row, reason) for row, reason in zip((0, 1, 2, 3, 4, 6), wrong, strict=True)]
    assert found.table.num_rows == 1
    assert row(found)["labels"] == ["dog"]


@pytest.mark.parametrize("values", [[0.5, 0.2, 0.1], [1.5, -0.5, 0.0], [0.5, float("nan"), 0.5]])
def test_probabilities_that_are_none_are_rejected(tmp_path: Path, values: list[float]) -> None:
    found = read(tmp_path / "m.parquet", [{"filepath": "x", "probabilities": values}])
    assert found.table.num_rows == 0
    assert len(found.rejected) == 1


def test_several_classes_with_one_confidence_each(tmp_path: Path) -> None:
    rows = [
        {"filepath": "x", "labels": ["cat", "dog"], "confidences": [0.9, 0.8]},
        {"filepath": "y", "labels": [], "confidences": []},
        {"filepath": "z", "labels": ["cat"], "confidences": [0.9, 0.8]},
    ]
    for suffix in ("parquet", "jsonl"):
        found = read(tmp_path / f"m.{suffix}", rows)
        assert [(one["labels"], one["confidences"]) for one in found.table.to_pylist()] == [
            (["cat", "dog"], [0.9, 0.8]),
            ([], []),
        ]
        assert reasons(found) == [(3, "confidence")]


def test_the_files_own_classes_come_before_the_datasets(tmp_path: Path) -> None:
    found = read(tmp_path / "m.jsonl", [{"filepath": "x", "logits": [0, 5], "classes": ["no", "yes"]}])
    assert found.classes == ["no", "yes"]
    assert row(found)["labels"] == ["yes"]


def test_without_known_classes_the_commonest_length_is_right(tmp_path: Path) -> None:
    rows = [{"filepath": name, "label": "a", "logits": [0.0] * size} for name, size in (("x", 3), ("y", 2), ("z", 3))]
    found = read(tmp_path / "m.parquet", rows, ())
    assert found.table.column("key").to_pylist() == ["x", "z"]


def test_lists_without_scores_are_of_the_wrong_length(tmp_path: Path) -> None:
    found = read(tmp_path / "m.parquet", [{"filepath": "x", "label": "a", "logits": []}], ())
    assert reasons(found) == [(1, "logits_length")]


def test_when_a_prediction_was_made(tmp_path: Path) -> None:
    for suffix in ("csv", "jsonl", "parquet"):
        rows = [{"filepath": "x", "label": "cat", "created_at": "2024-05-01T12:00:00Z"}]
        made = row(read(tmp_path / f"m.{suffix}", rows))["created_at"]
        assert made.isoformat() == "2024-05-01T12:00:00"
