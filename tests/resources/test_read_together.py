"""Files of an image each that are read together say what each says by itself."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brain_assets.resources.label_formats.annotations import GROUND_TRUTH, LABEL_TABLES, Annotations, Together
from brain_assets.resources.label_formats.door import MANY, read_together, recognise
from brain_assets.resources.label_formats.gathered import gathered
from brain_assets.resources.label_formats.input_files import InputFile, list_labels
from brain_assets.resources.label_formats.yolo import Yolo
from brain_assets.resources.settings.configuration import DatasetSettings, LabelSettings
from brain_assets.resources.settings.home import DatasetPaths

NUMBERS = [
    "0",
    "1",
    ".5",
    "0.25",
    "-.1",
    "1.5",
    "2",
    "2.0",
    "7",
    "1e-1",
    "+.5",
    "nan",
    "1e999",
    "1-1",
    "x",
    "0.0",
    "01",
]
LINES = st.lists(st.sampled_from(NUMBERS), min_size=0, max_size=12).map(" ".join)
USUAL = st.sampled_from(
    ["0 .5 .5 .25 .2", "1 .5 .5 .2 .2 .9", "1.0 .1 .1 .4 .1 .3 .5", "0 .1 .1 .4 .1 .3 .5 .9", "0 .5 .5 .2 .2 .1 .1 2"]
)
BREAKS = st.sampled_from(["\n", "\r\n", "\n\n", "\r", "\t\n", "\x0b"])
TEXTS = st.lists(st.one_of(USUAL, LINES) | st.tuples(USUAL, BREAKS).map("".join), max_size=4).map("\n".join)
NAMES = [
    None,
    "names: [cat, dog]",
    "names: {0: cat, 1: ''}",
    "names: [cat, dog]\nkpt_shape: [1, 3]",
    "names: ['1.0', x]",
    "names: [",
]


def files_of(folder: Path, names: str | None, texts: list[str]) -> tuple[InputFile, ...]:
    (folder / "labels").mkdir(parents=True)
    for number, text in enumerate(texts):
        (folder / "labels" / f"{number}.b.txt").write_bytes(text.encode())
    if names is not None:
        (folder / "data.yaml").write_text(names)
    given = DatasetSettings(media="-", labels=[LabelSettings(uri=str(folder / "labels"))])
    return list_labels(given, DatasetPaths(folder)).files


def rows_together(files: tuple[InputFile, ...]) -> tuple[dict[str, list[str]], list[InputFile]]:
    """Return the rows of the files that are read together, and which these are."""
    return rows_of([one for _, one in read_together(files)])


def rows_of(together: Sequence[Together]) -> tuple[dict[str, list[str]], list[InputFile]]:
    found = [(one, one.tables(GROUND_TRUTH, LABEL_TABLES)) for one in together]
    rows = {name: [str(row) for _, one in found for row in one[name].to_pylist()] for name in LABEL_TABLES}
    return {name: sorted(one) for name, one in rows.items()}, [file for one, _ in found for file in one.files]


def rows_alone(files: list[InputFile]) -> dict[str, list[str]]:
    found = [recognise(file).read().readings(file, GROUND_TRUTH, LABEL_TABLES) for file in files]
    assert not [one.rejected for tables in found for one in tables.values() if one.rejected]
    return {name: sorted(str(row) for one in found for row in one[name].table.to_pylist()) for name in LABEL_TABLES}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(NAMES), st.lists(TEXTS, min_size=MANY, max_size=MANY + 2))
def test_what_is_read_together_is_what_each_file_says(
    tmp_path_factory: pytest.TempPathFactory, names: str | None, texts: list[str]
) -> None:
    files = files_of(tmp_path_factory.mktemp("set"), names, texts)
    rows, known = rows_together(files)
    assert rows == rows_alone(known)


@pytest.mark.parametrize("names", NAMES[:4])
def test_usual_texts_are_read_together_and_odd_ones_alone(tmp_path: Path, names: str | None) -> None:
    usual = [
        "0 .5 .5 .25 .2\n",
        "",
        "1 .5 .5 .2 .2 .9\r\n\r\n0 .5 .5 .2 .2\n",
        *["0 .5 .5 .1 .1 .5 .5 2\n" if names == NAMES[3] else "\n"] * MANY,
    ]
    odd = [
        "0 .5 .5 .25",
        "0 .5 .5 .2 1-1",
        "cat .5 .5 .2 .2",
        "0 .5 .5 .2 .2 1.5",
        "0 5 5 2 2",
        "0 .5 .5 .2 .2\r1 .5 .5 .2 .2",
        "9" * 400,
    ]
    files = [one for one in files_of(tmp_path, names, [*usual, *odd]) if one.suffix == ".txt"]
    _, known = rows_of(Yolo().read_together(files))
    assert {file.name for file in known} == {f"{number}.b.txt" for number in range(len(usual))}
    (tmp_path / "labels" / "0.b.txt").unlink()
    assert len(rows_of(Yolo().read_together(files))[1]) == len(usual) - 1


def test_what_is_called_like_a_list_is_looked_at(tmp_path: Path) -> None:
    files = files_of(tmp_path, None, ["0 .5 .5 .25 .2"] * MANY)
    for name in ("classes", "train", "README", "Val"):
        (tmp_path / "labels" / f"{name}.txt").write_text("0 .5 .5 .25 .2")
    given = DatasetSettings(media="-", labels=[LabelSettings(uri=str(tmp_path / "labels"))])
    files = list_labels(given, DatasetPaths(tmp_path)).files
    assert len(rows_of(Yolo().read_together(files))[1]) == MANY
    rows, known = rows_together(files)
    assert rows == rows_alone(known)


BOX = "<object><name>{}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{}</xmax><ymax>9</ymax></bndbox></object>"
SHAPE = {"label": "cat", "shape_type": "rectangle", "points": [[1, 2], [3, 4]]}
OUTLINE = {"label": 7, "shape_type": "polygon", "points": [[1, 2], [3, 4], [0, 4]]}
CAR = "Car 0 0 0 1 2 30 40 1 1 1 0 0 9 0"
FIELD = "1 1 9 1 9 9 1 9 field"
# Of each format texts that are read with others, and texts that are not: they have something to be listed, or labels.
PER_IMAGE = {
    ".xml": (
        ["<annotation/>", f"<annotation>{BOX.format('cat', 8)}{BOX.format('dog', 6)}</annotation>"],
        [f"<annotation>{BOX.format('cat', 8)}{BOX.format('', 8)}</annotation>", "<annotation>", "<other/>", ""],
    ),
    ".json": (
        [json.dumps({"imageWidth": 9, "shapes": shapes}) for shapes in ([], [SHAPE], [OUTLINE, SHAPE])],
        [json.dumps({"shapes": [SHAPE | {"shape_type": "star"}]}), json.dumps({"shapes": [], "flags": {"x": True}}), "["],
    ),
    ".txt": (
        [CAR, f"{CAR}\n\n{CAR} .5", f"gsd:.1\n{FIELD}\n{FIELD} 1", FIELD, "0 .5 .5 .2 .2"],
        [f"{CAR}\n{CAR}\nCar 1", f"{FIELD}\n{FIELD}\n1 2", "some words"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("suffix", PER_IMAGE)
def test_files_of_an_image_each_are_read_one_by_one_into_one_table(tmp_path: Path, suffix: str) -> None:
    usual, odd = PER_IMAGE[suffix]
    texts = [*usual, *odd, *usual * MANY]
    (tmp_path / "labels").mkdir()
    for number, text in enumerate(texts):
        (tmp_path / "labels" / f"{number}{suffix}").write_text(text)
    given = DatasetSettings(media="-", labels=[LabelSettings(uri=str(tmp_path / "labels"))])
    files = list_labels(given, DatasetPaths(tmp_path)).files
    rows, known = rows_together(files)
    assert len(known) == len(texts) - len(odd)
    assert rows == rows_alone(known)


def test_a_value_that_no_column_holds_costs_its_own_file(tmp_path: Path) -> None:
    def said(label: object) -> Annotations:
        found = Annotations()
        found.add_image(keys[0], keys)
        found.add(1, {"keys": keys, "image_id": keys[0], "label": label, "box": [0, 0, 1, 1]})
        return found

    keys = ["a"]
    files = [InputFile(0, f"{number}", tmp_path, "auto", "x", None, 0, 0, 0) for number in range(9)]
    [*parts] = gathered((file, said(object() if file.name == "4" else "cat")) for file in files)
    assert [file.name for one in parts for file in one.files] == [*"01235678"]
