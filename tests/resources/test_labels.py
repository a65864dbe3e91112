"""Label files in all formats, with everything that can be wrong with a row."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from brain_assets.resources.label_formats.input_files import InputFile
from brain_assets.resources.label_formats.labels import LABEL_ROWS
from brain_assets.resources.label_formats.tables import read_table_file
from brain_assets.resources.tabular import Reading


def input_file(path: Path, field: str = "ground_truth", model: str | None = None) -> InputFile:
    return InputFile(0, path.name, path, "auto", field, model, 0, 0, 0)


def read(path: Path, classes: tuple[str, ...] = (), field: str = "ground_truth") -> Reading:
    return read_table_file(input_file(path, field), path.suffix[1:], "labels", classes)["label_rows"]


def labels(reading: Reading) -> dict[str, list[str]]:
    return dict(zip(*(reading.table.column(name).to_pylist() for name in ("key", "labels")), strict=True))


def reasons(reading: Reading) -> list[tuple[int, str]]:
    return sorted((one.line, one.reason) for one in reading.rejected)


def write(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [",".join(rows[0]), *(",".join(_cell(value) for value in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    return path


def _cell(value: object) -> str:
    return ";".join(value) if isinstance(value, list) else str(value)


FORMATS = pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])


@FORMATS
def test_single_labels(tmp_path: Path, suffix: str) -> None:
    found = read(
        write(tmp_path / f"a.{suffix}", [{"filepath": "./x.png", "label": "007"}, {"filepath": "y.png", "label": "b"}])
    )
    assert labels(found) == {"x.png": ["007"], "y.png": ["b"]}
    assert found.table.schema == LABEL_ROWS
    assert found.rejected == []


@FORMATS
def test_several_labels_per_sample(tmp_path: Path, suffix: str) -> None:
    rows = [{"sample_id": "1", "labels": ["a", "b"]}, {"sample_id": "2", "labels": ["c"]}]
    found = read(write(tmp_path / f"a.{suffix}", rows))
    assert labels(found) == {"1": ["a", "b"], "2": ["c"]}
    assert set(found.table.column("multilabel").to_pylist()) == {True}


@FORMATS
def test_a_row_that_cannot_be_used_is_named_by_its_line_and_the_rest_goes_on(tmp_path: Path, suffix: str) -> None:
    names = ["x.png", "y.png", "x.png", "z.png", ""]
    rows = [{"filepath": name, "label": label} for name, label in zip(names, ["a", "bird", "b", "", "a"], strict=True)]
    found = read(write(tmp_path / f"a.{suffix}", rows), ("a", "b"))
    first = 2 if suffix == "csv" else 1
    assert labels(found) == {"x.png": ["b"]}
    wrong = ["duplicate", "unknown_class", "no_label", "no_key"]
    assert reasons(found) == [(first + row, reason) for row, reason in zip((0, 1, 3, 4), wrong, strict=True)]


def test_lines_of_a_csv_stay_right_behind_a_row_with_too_few_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\ufefffilepath,label\nx.png\ny.png,\nz.png,a\n", "utf-8")
    assert reasons(read(path)) == [(2, "columns"), (3, "no_label")]
    assert read(path).table.column("line").to_pylist() == [4]


def test_broken_lines_and_mixed_types_of_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"filepath": "x", "label": 3}\n{bad\n\n{"filepath": "y", "label": "cat"}\n[1]\n')
    assert labels(read(path)) == {"x": ["3"], "y": ["cat"]}
    assert reasons(read(path)) == [(2, "unreadable"), (5, "unreadable")]


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe", b"color,shape\nred,round\n", b"filepath,color\nx.png,red\n"])
@FORMATS
def test_a_file_that_says_nothing_is_one_rejected_row(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    found = read(path)
    assert found.table.num_rows == 0
    assert {one.line for one in found.rejected} <= {0, 1, 2}
    assert found.rejected


def test_a_field_is_read_from_the_column_of_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [{"filepath": "x", "label": "cat", "color": "red"}])
    assert labels(read(path, field="color")) == {"x": ["red"]}
    assert labels(read(path, field="kind")) == {"x": ["cat"]}
