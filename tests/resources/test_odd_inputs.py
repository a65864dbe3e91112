"""Whatever stands in a file of labels, predictions or samples costs itself only: no reader raises, hangs or grows."""

import json
import math
import os
import re
import signal
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brain_assets.answers.similar import read_vectors
from brain_assets.resources.errors import ConfigurationError, Refused, SourceError
from brain_assets.resources.label_formats.annotations import LABEL_TABLES, PREDICTION_TABLES, scored
from brain_assets.resources.label_formats.input_files import InputFile
from brain_assets.resources.label_formats.sample_columns import read_sample_columns
from brain_assets.resources.label_formats.tables import read_table_file
from brain_assets.resources.media.archives import list_members, read_member
from brain_assets.resources.media.data_yaml import read_data_yaml
from brain_assets.resources.media.listing import ITEM, LATEST_NS, Collector, Status
from brain_assets.resources.media.media_source import open_source, read_table
from brain_assets.resources.models.embedding_preprocessing import Sidecar
from brain_assets.resources.tabular import Rejected, is_deeply_nested
from tests.resources.formats import read_annotations

SHARED = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    """Fail what waits for ever, such as the opening of a pipe."""

    def late(*_: object) -> None:
        raise AssertionError("it takes too long")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def file_of(path: Path, field: str = "ground_truth") -> InputFile:
    return InputFile(0, path.name, path, "auto", field, "net", 0, 0, 0)


def written(path: Path, content: str | bytes) -> InputFile:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file_of(path)


def read_everything(path: Path, content: bytes) -> None:
    """Read a file as whatever it could be, as a run does."""
    file = written(path, content)
    form = file.suffix[1:]
    if form in {"csv", "jsonl", "parquet"}:
        read_table_file(file, form, "labels", [])
        read_table_file(file, form, "predictions", [])
        read_sample_columns([file])
        return
    kind = {"json": "coco", "xml": "voc", "txt": "yolo"}[form]
    read_annotations(file, kind).readings(file, "ground_truth", LABEL_TABLES)
    scored(read_annotations(file, kind), []).readings(file, "net", PREDICTION_TABLES)


# Files that say what no file should.


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    reading = read_table_file(
        written(tmp_path / "a.csv", "filepath,label,label\na.png,cat,dog\n"), "csv", "labels", []
    )["label_rows"]
    assert reading.rejected == [
        Rejected(0, "unreadable", "several columns are called label: rename or remove all but one")
    ]


def test_a_line_of_another_encoding_costs_itself(tmp_path: Path) -> None:
    lines = [b'{"filepath": "a.png", "label": "cat"}', b'{"filepath": "b.png", "label": "caf\xe9"}']
    reading = read_table_file(written(tmp_path / "a.jsonl", b"\n".join(lines)), "jsonl", "labels", [])["label_rows"]
    assert reading.table.column("key").to_pylist() == ["a.png"]
    assert [(one.line, one.reason) for one in reading.rejected] == [(2, "unreadable")]


@pytest.mark.parametrize("depth", [200, 5_000, 100_000])
def test_a_line_that_is_deeply_nested_costs_itself(tmp_path: Path, depth: int) -> None:
    lines = [
        '{"filepath": "a.png", "label": "cat"}',
        '{"filepath": "b.png", "label": ' + "[" * depth + "]" * depth + "}",
    ]
    reading = read_table_file(written(tmp_path / "a.jsonl", "\n".join(lines)), "jsonl", "labels", [])["label_rows"]
    assert "a.png" in reading.table.column("key").to_pylist()


def test_brackets_in_texts_are_no_nesting_but_of_their_line() -> None:
    assert not is_deeply_nested(b'{"a": "[[["}\n' * 1000)
    assert is_deeply_nested(b'{"a": 1}\n' + b"[" * 70)
    assert not is_deeply_nested(b"")


def test_a_number_too_large_for_any_column_costs_its_row(tmp_path: Path) -> None:
    lines = [
        f'{{"filepath": "a.png", "label": "cat", "confidence": {"9" * 400}}}',
        '{"filepath": "b.png", "label": "cat"}',
    ]
    reading = read_table_file(written(tmp_path / "net.jsonl", "\n".join(lines)), "jsonl", "predictions", [])[
        "prediction_rows"
    ]
    assert "b.png" in reading.table.column("key").to_pylist()


@pytest.mark.parametrize(
    ("text", "kept", "lost"),
    [
        ('filepath,label\na.png,cat\nb.png,"dog\nc.png,cat\nd.png,cat\n', ["a.png"], [3, 4, 5]),
        ('filepath,label\nb.png,"dog\nc.png,ca"t\nd.png,cat\n', ["d.png"], [2, 3]),
        ('\ufefffilepath,label\na.png,"cat, or\r\ndog"\r\nb.png,"say ""miau"""\r\n', ["a.png", "b.png"], []),
        ('filepath,label\na.png,5" cat\nb.png,dog\n', ["a.png", "b.png"], []),
    ],
)
def test_a_quote_that_is_not_closed_swallows_no_row(
    tmp_path: Path, text: str, kept: list[str], lost: list[int]
) -> None:
    reading = read_table_file(written(tmp_path / "a.csv", text), "csv", "labels", [])["label_rows"]
    assert reading.table.column("key").to_pylist() == kept
    assert [one.line for one in reading.rejected] == lost
    assert {one.reason for one in reading.rejected} <= {"quote"}
    assert all("\n" not in label for [label] in reading.table.column("labels").to_pylist()) or not lost


def test_brackets_without_end_are_no_coco(tmp_path: Path) -> None:
    found = read_annotations(written(tmp_path / "a.json", "[" * 100_000), "coco")
    assert [(one.line, one.reason) for one in found.rejected] == [(0, "unreadable")]


def coco(images: list[Any], annotations: list[Any], name: str = "cat") -> str:
    return json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": name}]})


@pytest.mark.parametrize("digits", [400, 6000])
def test_a_width_of_many_digits_is_no_width(tmp_path: Path, digits: int) -> None:
    text = coco(
        [{"id": 1, "file_name": "a.png", "width": 7777, "height": 3}],
        [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}],
    )
    found = read_annotations(written(tmp_path / "a.json", text.replace("7777", "1" + "0" * digits)), "coco")
    assert found.images[0]["width"] is None
    assert len(found.objects) == 1


def test_one_odd_annotation_costs_itself(tmp_path: Path) -> None:
    good = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}
    odd = [
        {**good, "segmentation": [[{}] * 6]},
        {**good, "bbox": 5},
        {**good, "image_id": {}},
        7,
        {**good, "segmentation": [["x"] * 6]},
    ]
    images = [{"id": 1, "file_name": "a.png"}, {"file_name": "without an id"}, 3, {"id": 2, "file_name": "\ud800.png"}]
    file = written(tmp_path / "a.json", coco(images, [*odd, good], "\ud800"))
    found = read_annotations(file, "coco")
    # An odd outline costs no more than itself.
    assert [row["line"] for row in found.objects] == [1, 5, 6]
    assert sorted(one.line for one in found.rejected) == [0, 0, 1, 2, 3, 4, 5]
    assert found.readings(file, "ground_truth", LABEL_TABLES)["label_objects"].table.num_rows == 3


def test_aliases_of_yaml_do_not_multiply(tmp_path: Path) -> None:
    levels = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 9)]
    (tmp_path / "data.yaml").write_text("\n".join(["a0: &a0 [x]", *levels, "names: [*a8]"]))
    found = read_annotations(written(tmp_path / "a.txt", "0 .5 .5 .1 .1\n"), "yolo")
    assert [(one.line, one.reason) for one in found.rejected] == [(0, "unreadable")]
    assert len(found.rejected[0].detail) <= 300
    with pytest.raises(SourceError, match="aliases"):
        read_data_yaml(tmp_path / "data.yaml")


# Anything at all.

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(["a.png", "cat", 1, "[1", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "name", "size", "counts", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
COLUMNS = [
    "filepath",
    "sample_id",
    "label",
    "labels",
    "confidence",
    "logits",
    "probabilities",
    "split",
    "tags",
    "model",
    "created_at",
]
ANNOTATION = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        [
            "image_id",
            "category_id",
            "bbox",
            "segmentation",
            "score",
            "id",
            "iscrowd",
            "logits",
            "file_name",
            "width",
            "name",
        ],
        JSON,
    ),
)


@SHARED
@given(rows=st.lists(st.dictionaries(st.sampled_from(COLUMNS), JSON, max_size=5), min_size=1, max_size=4))
def test_any_lines_of_json_are_read(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    read_everything(tmp_path / "net.jsonl", "\n".join(map(json.dumps, rows)).encode())


@SHARED
@given(
    images=st.lists(ANNOTATION | JSON, max_size=3),
    annotations=st.lists(ANNOTATION | JSON, max_size=4),
    plain=st.booleans(),
)
def test_any_annotations_are_read(tmp_path: Path, images: list[Any], annotations: list[Any], plain: bool) -> None:
    text = json.dumps(annotations) if plain else coco([{"id": 1, "file_name": "a.png"}, *images], annotations)
    read_everything(tmp_path / "a.json", text.encode())


@SHARED
@given(
    header=st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4),
    body=st.text(st.sampled_from('a,"\n\r;[]1.5\x00é'), max_size=40),
)
def test_any_csv_is_read(tmp_path: Path, header: list[str], body: str) -> None:
    read_everything(tmp_path / "net.csv", (",".join(header) + "\n" + body).encode())


@SHARED
@given(name=st.sampled_from(["a.csv", "a.jsonl", "a.parquet", "a.json", "a.xml", "a.txt"]), data=st.binary(max_size=60))
def test_any_bytes_are_read(tmp_path: Path, name: str, data: bytes) -> None:
    read_everything(tmp_path / name, data)


NUMBERS = st.integers(-(2**80), 2**80)


@given(entries=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=5))
def test_any_size_and_time_is_listed(entries: list[tuple[int, int, int]]) -> None:
    collector = Collector("/media", "none", lambda _: None)
    for number, (size, modified, touched) in enumerate(entries):
        collector.add(f"/media/{number}.png", Status(size, modified, touched))
    items = collector.listing().items
    assert items.schema == ITEM
    assert items.num_rows == len(entries)
    assert all(abs(one) <= LATEST_NS for one in items.column("modified_ns").to_pylist())


@SHARED
@given(
    mtimes=st.lists(st.sampled_from([2**34, -(2**34), 2**62, math.inf, math.nan, 0.5]), min_size=1, max_size=3),
    size=st.sampled_from([3, 2**62, 2**80, -512]),
)
def test_any_header_of_a_tar_is_a_row(tmp_path: Path, mtimes: list[float], size: int) -> None:
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        for number, mtime in enumerate(mtimes):
            file.write(tar_header(f"{number}.png", 3, mtime) + b"abc" + bytes(509))
        file.write(tar_header("last.png", size, 1) + b"abc" + bytes(509))
    found = list_members(str(path))
    assert {f"{number}.png" for number in range(len(mtimes))} <= {one.name for one in found.members}
    assert read_member(str(path), "0.png") == b"abc"


def tar_header(name: str, size: int, mtime: float) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = (size if 0 <= size < 8**11 else 3), mtime
    if isinstance(mtime, float):
        info.mtime, info.pax_headers = 0, {"mtime": str(mtime)}
        return info.tobuf(tarfile.PAX_FORMAT)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if not 0 <= size < 8**11:
        header[124:136] = bytes([0x80 if size >= 0 else 0xFF]) + (size % 256**11).to_bytes(11, "big")
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header)


@SHARED
@given(place=st.integers(0, 400), data=st.binary(min_size=1, max_size=12))
def test_any_damage_of_a_zip_is_a_row(tmp_path: Path, place: int, data: bytes) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a.png", "b.png"):
            archive.writestr(zipfile.ZipInfo(name, (2023, 11, 14, 22, 13, 20)), b"content " * 5)
    whole = bytearray(path.read_bytes())
    whole[place : place + len(data)] = data
    path.write_bytes(whole)
    for member in list_members(str(path)).members:
        try:
            read_member(str(path), member.name)
        except (OSError, Refused):
            continue


# What is no file is never opened.


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


def test_pipes_among_media_are_rows(tmp_path: Path) -> None:
    names = ["a.zip", "b.tar", "c.tar.gz", "d.jpg", "e.mp4"]
    for name in names:
        pipe(tmp_path / name)
    for source in (open_source(str(tmp_path)), open_source(str(tmp_path / "*"))):
        listing = source.list()
        errors = []
        for container in listing.containers:
            with pytest.raises(OSError, match="not a regular file"):
                container.items()
            errors.append(container.filepath)
        assert errors == names[:3] or sorted(errors) == names[:3]
        for uri in listing.items.column("uri").to_pylist():
            with pytest.raises(OSError, match="not a regular file"):
                source.read(uri)
        # A video of which no frames are taken is no sample.
        assert listing.left_out == {"videos": 1}
        assert len(errors) + listing.items.num_rows == len(names) - 1


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.json", "a.xml", "a.txt"])
def test_a_pipe_among_labels_is_a_rejected_file(tmp_path: Path, name: str) -> None:
    file = file_of(pipe(tmp_path / name))
    form = {"json": "coco", "xml": "voc", "txt": "yolo"}.get(file.suffix[1:])
    found = read_annotations(file, form) if form else read_table_file(file, file.suffix[1:], "labels", [])["label_rows"]
    assert [(one.line, one.reason) for one in found.rejected] == [(0, "unreadable")]
    assert "not a regular file" in found.rejected[0].detail


def test_a_pipe_beside_labels_is_not_waited_for(tmp_path: Path) -> None:
    pipe(tmp_path / "data.yaml")
    assert read_annotations(written(tmp_path / "a.txt", "0 .5 .5 .1 .1\n"), "yolo").rejected


def test_pipes_instead_of_vectors_points_and_sidecars_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a regular file"):
        read_vectors(pipe(tmp_path / "vector.npy"))
    with pytest.raises(SourceError, match=r"cannot be read as csv: .*not a regular file"):
        read_table(pipe(tmp_path / "points.csv"))
    pipe(tmp_path / "model.onnx.json")
    with pytest.raises(ConfigurationError, match="not a regular file"):
        Sidecar.beside(tmp_path / "model.onnx")


USERS_FILES = [
    "brain_assets/answers/similar.py", "brain_assets/signals/similarity/visualization.py",
    "resources/label_formats/content.py", "resources/label_formats/yolo.py", "resources/label_formats/input_files.py",
    "resources/label_formats/labels.py",
    "resources/label_formats/predictions.py", "resources/media/addresses.py", "resources/media/archives.py",
    "resources/media/media_source.py", "resources/media/video_frames.py", "resources/media/videos.py",
    "resources/models/embedding_cache.py", "resources/models/embedding_files.py", "resources/models/embedding_precomputed.py",
    "resources/models/embedding_preprocessing.py", "resources/tabular.py",
]  # fmt: skip
OPENS = re.compile(
    r"(?<![\w.])open\(|os\.open\(|(?<!note)\.read_text\(|\.read_bytes\(|(?<!temporary)\.open\(\"rb?\"|np\.load\(path"
    r"|(?:csv\.read_csv|parquet\.read_table|json\.read_json|ParquetFile|ElementTree\.parse)\((?:self\.)?path[,)]"
)


def test_what_a_user_names_is_opened_in_one_place() -> None:
    root = Path(__file__).parents[2]
    opened = {
        name: found
        for name in USERS_FILES
        if (found := [one for one in OPENS.findall((root / name).read_text("utf-8")) if "self.path" not in one])
    }
    assert opened == {}


def test_names_that_differ_by_their_unicode_form_are_two_samples_and_one_alone_keeps_its_id(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9.png", "cafe\u0301.png"
    alone = {}
    for name in (composed, decomposed):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(b"x")
        alone[name] = open_source(str(tmp_path / name)).list().items.column("sample_id").to_pylist()
    assert alone[composed] == alone[decomposed]
    both = tmp_path / "both"
    both.mkdir()
    for name in (decomposed, composed):
        (both / name).write_bytes(name.encode())
    items = open_source(str(both)).list().items
    ids = dict(zip(items.column("filepath").to_pylist(), items.column("sample_id").to_pylist(), strict=True))
    assert ids.keys() == {composed, decomposed}
    assert ids[composed] == alone[composed][0] != ids[decomposed]


def test_members_that_meet_files_of_their_name_are_samples_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.png", b"inside")
        archive.writestr("caf\u00e9.png", b"one")
        archive.writestr("cafe\u0301.png", b"other")
    (tmp_path / "a.zip!").mkdir()
    (tmp_path / "a.zip!" / "x.png").write_bytes(b"beside")
    items = open_source(str(tmp_path)).list().expanded()
    assert items.num_rows == 4
    assert len(set(items.column("sample_id").to_pylist())) == 4


def test_a_folder_deeper_than_any_path_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=at)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    listing = open_source(str(tmp_path)).list()
    errors = [one for one in listing.items.column("error").to_pylist() if one]
    assert errors == ["unsupported: the folder is deeper than any path can name"]
    assert listing.items.num_rows == 2
    assert listing.unreadable == []
