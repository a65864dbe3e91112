"""Tables as people write them: separators, encodings, names of columns, scores, objects in cells, boxes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from brain_assets.resources.label_formats.input_files import InputFile, Role
from brain_assets.resources.label_formats.tables import read_table_file
from brain_assets.resources.tabular import READERS, Reading

CATS = ["cat", "dog"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def read(
    path: Path, content: str | bytes, role: Role = "labels", classes: Sequence[str] = (), **columns: str
) -> Mapping[str, Reading]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_file(path, role, classes, **columns)


def read_file(path: Path, role: Role = "labels", classes: Sequence[str] = (), **columns: str) -> Mapping[str, Reading]:
    file = InputFile(0, path.name, path, "auto", "ground_truth", None, 0, 0, 0, None, tuple(columns.items()))
    return read_table_file(file, path.suffix[1:], role, classes)


def labels(found: Mapping[str, Reading]) -> dict[str, list[str]]:
    table = found["label_rows"].table
    return dict(zip(table.column("key").to_pylist(), table.column("labels").to_pylist(), strict=True))


def said(found: Mapping[str, Reading]) -> list[tuple[Any, ...]]:
    """Return sample, label, rounded confidence and scores of each prediction."""
    rows = found["prediction_rows"].table.to_pylist()
    return [
        (row["key"], row["labels"][0], round(row["confidences"][0], 2), row["logits"] and len(row["logits"]))
        for row in rows
    ]


def boxes(found: Mapping[str, Reading]) -> list[tuple[Any, ...]]:
    (table,) = (one.table for name, one in found.items() if name.endswith("objects"))
    return [
        (row["keys"][0], row["label"], row["x"], row["y"], row["width"], row["height"]) for row in table.to_pylist()
    ]


def reasons(found: Mapping[str, Reading]) -> list[tuple[int, str]]:
    return [(one.line, one.reason) for reading in found.values() for one in reading.rejected]


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("a.csv", "File Name;Class\nx.jpg;Köln\ny.jpg;b,c\n", None),
        ("a.csv", "sep=|\nimage|label\nx.jpg|Köln\ny.jpg|b,c\n", None),
        ("a.tsv", "IMAGE_PATH\tCategory\nx.jpg\tKöln\ny.jpg\tb,c\n", None),
        ("a.csv", '\ufefffilename,target\nx.jpg,Köln\ny.jpg,"b,c"\n', None),
        ("a.csv", 'img,y\nx.jpg,Köln\ny.jpg,"b,c"\n'.encode("utf-16"), "UTF-16"),
        ("a.csv", 'img,y\nx.jpg,Köln\ny.jpg,"b,c"\n'.encode("cp1252"), "Windows-1252"),
        ("a.csv", 'img,y\nx.jpg,Köln\ny.jpg,"b,c"\n'.encode("utf-16-le"), "UTF-16"),
        ("a.csv", "# by me\n# in 2024\nimg;y\nx.jpg;Köln\ny.jpg;b,c\n", None),
        ("a.csv", 'x.jpg,Köln\ny.jpg,"b,c"\n', None),
        ("a.csv", "Köln;x.jpg\nb,c;y.jpg\n", None),
        ("a.csv", "My labels;\n;\nimg;y\nx.jpg;Köln\ny.jpg;b,c\n", None),
        ("a.csv", 'id,choice,image\n1,Köln,/data/upload/2/0123abcd-x.jpg\n2,"b,c",/data/local-files/?d=y.jpg\n', None),
        ("a.csv", ',class\nx.jpg,Köln\ny.jpg,"b,c"\n', None),
        ("a.json", '[{"image_id": "x.jpg", "class": "Köln"}, {"image_id": "y.jpg", "class": "b,c"}]', None),
        ("a.json", '{"image": "x.jpg", "y": "Köln"}\n{"image": "y.jpg", "y": "b,c"}\n', None),
        ("a.json", '{"x.jpg": "Köln", "y.jpg": {"label": "b,c"}}', None),
        ("a.json", '{"path": {"0": "x.jpg", "1": "y.jpg"}, "label": {"0": "Köln", "1": "b,c"}}', None),
        ("a.json", '{"path": ["x.jpg", "y.jpg"], "label": ["Köln", "b,c"]}', None),
        ("a.json", '{"columns": ["path", "label"], "data": [["x.jpg", "Köln"], ["y.jpg", "b,c"]]}', None),
        ("a.json", '{"labels": [["x.jpg", "Köln"], ["y.jpg", "b,c"]]}', None),
        ("a.jsonl", '{"image": "x.jpg", "label": {"name": "Köln", "id": 3}}\n{"image": "y.jpg", "label": {"name": "b,c"}}', None),
    ],
)  # fmt: skip
def test_one_table_in_many_spellings(root: Path, name: str, content: str | bytes, note: str | None) -> None:
    found = read(root / name, content)
    assert labels(found) == {"x.jpg": ["Köln"], "y.jpg": ["b,c"]}
    assert (reasons(found), found["label_rows"].note) == ([], note)


def test_a_byte_of_another_encoding_costs_no_other_line(root: Path) -> None:
    found = read(root / "a.csv", b"filepath,label\nx.jpg,K\xf6ln\ny.jpg,caf\xc3\xa9\nz.jpg,\x81\n")
    assert labels(found) == {"x.jpg": ["Köln"], "y.jpg": ["café"], "z.jpg": ["\x81"]}


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_columns_of_objects_are_taken_apart(root: Path, suffix: str) -> None:
    rows = [
        {"image": {"path": "x.jpg", "bytes": None}, "label": {"label": "cat", "confidence": 0.75}},
        {"image": {"path": "y.jpg", "bytes": None}, "label": None},
    ]
    path = root / f"a.{suffix}"
    if suffix == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    assert labels(read_file(path)) == {"x.jpg": ["cat"]}
    found = read_file(path, "predictions")
    assert said(found) == [("x.jpg", "cat", 0.75, None)]
    assert reasons(found) == [(2, "no_label")]


@pytest.mark.parametrize(
    ("content", "classes", "expected"),
    [
        ("filename,class,pred,logit_0,logit_1\nx.jpg,dog,cat,3,1\n", CATS, ("x.jpg", "cat", 0.88, 2)),
        ("Filename,Logit_0,Logit_1\nx.jpg,3,1\n", CATS, ("x.jpg", "cat", 0.88, 2)),
        ("image,prob_dog,prob_cat\nx.jpg,.25,.75\n", CATS, ("x.jpg", "cat", 0.75, 2)),
        ("image,prob_dog,prob_cat\nx.jpg,.25,.75\n", [], ("x.jpg", "cat", 0.75, 2)),
        ("image,cat,dog\nx.jpg,.25,.75\n", [], ("x.jpg", "dog", 0.75, 2)),
        ("image,prediction,score\nx.jpg,1.0,.75\n", CATS, ("x.jpg", "dog", 0.75, None)),
        ("image,label,score_cat,score_dog\nx.jpg,cat,-1,1\n", CATS, ("x.jpg", "cat", 0.88, 2)),
        ("image;prob_dog;prob_cat\nx.jpg;0,25;0,75\n", [], ("x.jpg", "cat", 0.75, 2)),
        ("image,label_0,label_1,prob_0,prob_1\nx.jpg,dog,cat,.6,.4\n", CATS, ("x.jpg", "dog", 0.6, None)),
        ('image,label,prob\nx.jpg,"[1, 0]","[0.6, 0.3]"\n', CATS, ("x.jpg", "dog", 0.6, None)),
        ("image,top5,scores\nx.jpg,\"['dog', 'cat']\",\"[0.6, 0.3]\"\n", CATS, ("x.jpg", "dog", 0.6, None)),
    ],
)
def test_scores_in_a_column_for_each_class(root: Path, content: str, classes: list[str], expected: tuple) -> None:
    found = read(root / "net.csv", content, "predictions", classes)
    assert (said(found), reasons(found)) == ([expected], [])


@pytest.mark.parametrize(
    ("content", "reasons_told", "kept"),
    [
        # What is no number must not pass for a row without scores.
        ("image,pred,prob_a,prob_b\nx.jpg,a,much,little\ny.jpg,a,.75,.25\n", [(2, "logits_not_finite")], ["y.jpg"]),
        # A comma before three digits may separate thousands.
        ("image;label;score\nx.jpg;a;1,024\ny.jpg;a;0,025\n", [(2, "confidence")], ["y.jpg"]),
        ("image,label\nx.jpg,a\nimage,label\ny.jpg,b\n", [(3, "header")], ["x.jpg", "y.jpg"]),
        ("x.jpg,1,2\n", [(0, "unreadable")], []),
    ],
)
def test_what_may_mean_something_else_is_told(
    root: Path, content: str, reasons_told: list[tuple[int, str]], kept: list[str]
) -> None:
    found = read(root / "net.csv", content, "predictions")
    assert (reasons(found), [row[0] for row in said(found)]) == (reasons_told, kept)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"image": "x.jpg", "label": '[{"x": 1, "rectanglelabels": ["cat"]}]'}, "export JSON instead of a table"),
        ({"image": "x.jpg", "labels": ["cat"], "boxes": [[1, 2, 3, 4]]}, "write a row for each object, with xmin"),
    ],
)
def test_objects_that_nobody_can_take_apart_are_no_classes(root: Path, row: dict[str, Any], said: str) -> None:
    for role in ("labels", "predictions"):
        found = read(root / "a.jsonl", json.dumps(row), role)
        (rejected,) = next(iter(found.values())).rejected
        assert (rejected.reason, said in rejected.detail) == ("unreadable", True)


def test_a_split_tells_images_of_one_name_apart(root: Path) -> None:
    found = read(root / "a.csv", "filename,label,split\n1.jpg,cat,train\n1.jpg,dog,val\n2.jpg,cow,train\n")
    assert labels(found) == {"train/1.jpg": ["cat"], "val/1.jpg": ["dog"], "2.jpg": ["cow"]}


def test_a_list_of_names_with_commas_has_no_title(root: Path) -> None:
    found = read(root / "a.csv", "filepath\na, b.jpg\nb, c.jpg\n")
    assert (reasons(found), labels(found)) == ([(2, "columns"), (3, "columns")], {})
    # Nor has one whose other columns nobody named.
    assert reasons(read(root / "a.csv", "filename,\nx.jpg,cat\ny.jpg,dog\n")) == [(0, "no_label")]


def test_classes_of_hugging_faces_datasets_have_their_names(root: Path) -> None:
    table = pa.table({"image": [{"path": "x.jpg"}, {"path": "y.jpg"}], "label": [1, -1]})
    feature = {"_type": "ClassLabel", "names": ["cat", "dog"]}
    said = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, "label": feature}}})}
    parquet.write_table(table.replace_schema_metadata(said), root / "a.parquet")
    found = read_file(root / "a.parquet")
    assert (labels(found), reasons(found)) == ({"x.jpg": ["dog"]}, [(2, "no_label")])


def test_boxes_of_a_file_without_names_of_columns(root: Path) -> None:
    """As keras-retinanet reads them, images without any among them."""
    found = read(root / "a.csv", "x.jpg,1,2,11,12,cat\ny.jpg,,,,,\n")
    assert boxes(found) == [("x.jpg", "cat", 1, 2, 10, 10)]
    assert reasons(found) == []


def test_scores_as_objects_and_lists_of_objects(root: Path) -> None:
    rows = [
        {"image": "x.jpg", "probabilities": {"cat": 0.9, "dog": 0.1}},
        {"image": "y.jpg", "probabilities": {"dog": 1}},
    ]
    found = read(root / "net.jsonl", "\n".join(map(json.dumps, rows)), "predictions")
    assert said(found) == [("x.jpg", "cat", 0.9, 2), ("y.jpg", "dog", 1.0, 2)]
    rows = [{"image": "x.jpg", "predictions": [{"label": "dog", "score": 0.1}, {"label": "cat", "score": 0.9}]}]
    found = read(root / "net.jsonl", "\n".join(map(json.dumps, rows)), "predictions")
    assert said(found) == [("x.jpg", "cat", 0.9, None)]


def test_ones_mark_classes(root: Path) -> None:
    assert labels(read(root / "a.csv", "image,MEL,NV\nx,1.0,0.0\ny,0,1\n")) == {"x": ["MEL"], "y": ["NV"]}
    assert labels(read(root / "a.csv", "image,a,b\nx,1,1\ny,0,0\n")) == {"x": ["a", "b"], "y": []}


def test_numbers_are_numbers_and_what_is_missing_is_missing(root: Path) -> None:
    parquet.write_table(pa.table({"path": ["a", "b", "c"], "label": [0.0, 1.0, float("nan")]}), root / "a.parquet")
    found = read_file(root / "a.parquet")
    assert (labels(found), reasons(found)) == ({"a": ["0"], "b": ["1"]}, [(3, "no_label")])
    found = read(root / "a.csv", "path,label\na,1.0\nb,nan\nc,None\nd,007\ne,none\n")
    assert labels(found) == {"a": ["1"], "d": ["007"], "e": ["none"]}
    assert labels(read(root / "a.csv", "path,label\na,1.0\nb,None\nc,dog\n", "labels", ["None", "dog"])) == {
        "a": ["dog"],
        "b": ["None"],
        "c": ["dog"],
    }


def test_the_dataset_says_what_columns_are_called(root: Path) -> None:
    found = read(root / "a.csv", "img_ref,label,diagnosis\nx,1,flu\n", filepath="img_ref", label="Diagnosis")
    assert labels(found) == {"x": ["flu"]}
    found = read(root / "a.csv", "img_ref,label\nx,1\n", filepath="imgs")
    assert found["label_rows"].rejected[0].detail == (
        "no column is called imgs, which the dataset declares as filepath; columns: img_ref, label"
    )
    found = read(root / "a.csv", "foo,label\nx,1\n")
    assert (
        found["label_rows"]
        .rejected[0]
        .detail.startswith("no column names the samples; columns: foo, label; understood")
    )


def test_a_column_twice_is_told(root: Path) -> None:
    found = read(root / "a.csv", "filepath,label,label\nx,1,2\n")
    assert found["label_rows"].rejected[0].detail == "several columns are called label: rename or remove all but one"
    assert labels(read(root / "a.csv", "filepath,label,note,note\nx,1,2,3\n")) == {"x": ["1"]}


ROBOFLOW = "filename,width,height,class,xmin,ymin,xmax,ymax\nx.jpg,640,480,cat,10,20,40,60\n"
OPEN_IMAGES = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf\nx,xclick,/m/1,1,0.125,0.5,0.25,0.5,1\n"
)
FASTDUP = "filename,label,col_x,row_y,width,height\nx.jpg,cat,10,20,30,40\ny.jpg,,,,,\n"


@pytest.mark.parametrize(
    ("content", "box", "size"),
    [
        (ROBOFLOW, ("x.jpg", "cat", 10, 20, 30, 40), (640, 480)),
        (OPEN_IMAGES, ("x", "/m/1", 0.125, 0.25, 0.375, 0.25), (None, None)),
        (FASTDUP, ("x.jpg", "cat", 10, 20, 30, 40), (None, None)),
        ('image_id,width,height,bbox\nx,640,480,"[10.0, 20, 30, 40]"\n', ("x", "object", 10, 20, 30, 40), (640, 480)),
        ("image,label,x,y,w,h,image_width,image_height\nx,cat,10,20,30,40,640,480\n", ("x", "cat", 10, 20, 30, 40), (640, 480)),
        ("image,label,x1,y1,x2,y2\nx,cat,10,20,40,60\n", ("x", "cat", 10, 20, 30, 40), (None, None)),
        ("image,label,x_center,y_center,width,height\nx,cat,.5,.5,.25,.5\n", ("x", "cat", 0.375, 0.25, 0.25, 0.5), (None, None)),
    ],
)  # fmt: skip
def test_boxes_in_columns(root: Path, content: str, box: tuple, size: tuple) -> None:
    found = read(root / "a.csv", content)
    assert (boxes(found), reasons(found)) == ([box], [])
    image = found["label_images"].table.to_pylist()[0]
    assert (image["width"], image["height"]) == size
    relative = found["label_objects"].table.column("relative").to_pylist()
    assert relative == [box[2] < 1]


def test_a_turned_box_keeps_its_corners(root: Path) -> None:
    found = read(root / "a.csv", "filename,label,x1,y1,x2,y2,x3,y3,x4,y4\nx,cat,10,0,20,10,10,20,0,10\n")
    assert boxes(found) == [("x", "cat", 0, 0, 20, 20)]
    assert found["label_objects"].table.column("polygon").to_pylist() == [[[10, 0, 20, 10, 10, 20, 0, 10]]]


def test_an_image_without_a_box_has_no_object_and_a_bad_box_costs_itself(root: Path) -> None:
    found = read(root / "a.csv", FASTDUP + "z.jpg,cat,1,x,3,4\nz.jpg,,1,2,3,4\n,cat,1,2,3,4\n")
    assert [row[0] for row in boxes(found)] == ["x.jpg"]
    assert found["label_images"].table.column("image_id").to_pylist() == ["x.jpg", "y.jpg", "z.jpg"]
    assert sorted(reasons(found)) == [(4, "box"), (5, "no_label"), (6, "no_key")]


def test_boxes_of_models_have_a_confidence(root: Path) -> None:
    content = "image,class,xmin,ymin,xmax,ymax,conf\nx,0,1,2,3,4,.5\nx,1,1,2,3,4,7\n"
    found = read(root / "net.csv", content, "predictions", CATS)
    assert boxes(found) == [("x", "cat", 1, 2, 2, 2)]
    assert (reasons(found), found["prediction_objects"].table.column("model").to_pylist()) == (
        [(3, "confidence")],
        ["net"],
    )


def test_objects_of_which_classes_or_boxes_are_left_over_are_told(root: Path) -> None:
    rows = [
        {"file_name": "x", "objects": {"bbox": [[1, 2, 3, 4]], "categories": [0, 1]}},
        {"file_name": "y", "objects": {"bbox": [[1, 2, 3, 4]], "categories": [1]}},
    ]
    found = read(root / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    assert reasons(found) == [(1, "objects")]
    assert found["label_objects"].table.num_rows == 2


def test_objects_of_an_image_in_one_cell(root: Path) -> None:
    rows = [
        {"file_name": "x", "objects": {"bbox": [[1, 2, 3, 4], [5, 6, 7, 8]], "categories": [0, 1]}},
        {"file_name": "y", "objects": {"bbox": [], "categories": []}},
    ]
    found = read(root / "metadata.jsonl", "\n".join(map(json.dumps, rows)), "labels", CATS)
    assert boxes(found) == [("x", "cat", 1, 2, 3, 4), ("x", "dog", 5, 6, 7, 8)]
    assert found["label_images"].table.column("image_id").to_pylist() == ["x", "y"]


def test_a_workbook(root: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="Excel files are read with the extra excel")
    book = openpyxl.Workbook()
    for row in (
        ["My labels", None],
        [],
        ["Image", "Class"],
        ["x.jpg", "cat"],
        ["", None],
        ["y.jpg", 1.0],
        [None],
        ["z.jpg"],
    ):
        book.active.append(row)
    book.save(root / "a.xlsx")
    found = read_file(root / "a.xlsx")
    assert (labels(found), reasons(found)) == ({"x.jpg": ["cat"], "y.jpg": ["1"]}, [(8, "no_label")])


# Anything at all.

NAMES = [
    "filepath", "image", "ID", "label", "Class", "labels", "pred", "score", "logit_0", "logit_1", "prob_a", "prob_b", "bbox",
    "xmin", "ymin", "xmax", "ymax", "x", "y", "width", "height", "objects", "probabilities", "split", "cat", "dog",
]  # fmt: skip
CELLS = st.sampled_from(["", "0", "1", "0.5", "nan", "-1", "x", "[1,2,3,4]", "a;b", "é", '"', "inf", "1e400", "{}"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.sampled_from(["", "a", "1.0", "nan"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "label", "score", "bbox"]), inner, max_size=3)
    ),
    max_leaves=6,
)
ANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_as_all(path: Path, content: bytes) -> None:
    for role in ("labels", "predictions"):
        for classes in ([], CATS):
            found = read(path, content, role, classes)
            assert all(isinstance(one, Reading) for one in found.values())


@ANY
@given(
    header=st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True),
    rows=st.lists(st.lists(CELLS, min_size=1, max_size=6), max_size=4),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-16", "latin-1"]),
)
def test_any_table_of_text_is_read(
    root: Path, header: list[str], rows: list[list[str]], separator: str, encoding: str
) -> None:
    lines = [separator.join(row) for row in ([*header], *rows)]
    read_as_all(root / "a.csv", "\n".join(lines).encode(encoding, "replace"))


@ANY
@given(rows=st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5), min_size=1, max_size=4))
def test_any_table_of_json_is_read(root: Path, rows: list[dict[str, Any]]) -> None:
    read_as_all(root / "a.jsonl", "\n".join(map(json.dumps, rows)).encode())
    read_as_all(root / "a.json", json.dumps(rows).encode())


@ANY
@given(content=st.binary(max_size=60), form=st.sampled_from(sorted(READERS)))
def test_any_bytes_are_read(root: Path, content: bytes, form: str) -> None:
    read_as_all(root / f"a.{form}", content)
