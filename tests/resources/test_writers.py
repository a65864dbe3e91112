"""What is written is read back as it was: one suite over all formats of annotations that write."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brain_assets.methods.labels.objects import fill_rings, mask_rings
from brain_assets.resources.label_formats.annotations import Annotations
from brain_assets.resources.label_formats.door import formats, recognise, writers
from brain_assets.resources.label_formats.labelled import Labelled, LabelledImage, LabelledObject, unique_paths
from tests.resources.formats import file_of

SHARED = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WRITING = sorted(writers().keys() & formats().keys())
WIDTH, HEIGHT = 60, 40
NAMES = ["cat", "dog", "no", "1", "größe & <co>", "a b"]
# What several files of a folder say of an image may be shown in a list of its own: they name it by this.
TOLERANCE = 2e-6


def rings_of(mask: np.ndarray) -> list[list[float]]:
    return [(ring / [WIDTH, HEIGHT]).ravel().tolist() for ring in mask_rings(mask)]


@st.composite
def objects(draw: st.DrawFn, *, outlined: bool) -> LabelledObject:
    left, top = draw(st.integers(0, WIDTH - 4)), draw(st.integers(0, HEIGHT - 4))
    right, bottom = draw(st.integers(left + 3, WIDTH)), draw(st.integers(top + 3, HEIGHT))
    box = (left / WIDTH, top / HEIGHT, (right - left) / WIDTH, (bottom - top) / HEIGHT)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    if draw(st.booleans()):
        mask[top + 1 : bottom - 1, left + 1 : right - 1] = False
    rings = rings_of(mask) if outlined else None
    return LabelledObject(
        draw(st.sampled_from(NAMES)), box, rings, False, draw(st.text("0123456789abcdef", min_size=20, max_size=20))
    )


@st.composite
def datasets(draw: st.DrawFn) -> list[LabelledImage]:
    outlined = draw(st.booleans())
    paths = draw(
        st.lists(
            st.sampled_from(["a.jpg", "train/a.jpg", "b/a.png", "b/a.jpg", "x.y.jpg", "images/é.jpg"]),
            min_size=1,
            unique=True,
        )
    )
    return [
        LabelledImage(
            path, path, WIDTH, HEIGHT, draw(st.sampled_from([None, "train", "val"])),
            objects=draw(st.none() | st.lists(objects(outlined=outlined), max_size=3)),
            number=draw(st.none() | st.sampled_from(["7", "8", "x"])),
        )
        for path in paths
    ]  # fmt: skip


def write(name: str, images: list[LabelledImage], folder: Path) -> Labelled:
    writer = writers()[name]
    folder.mkdir()
    split = any(image.split for image in images)
    unique_paths(images, [writer.place(image, (image.split or "unsplit") if split else "") for image in images])
    for image in images:
        (folder / image.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / image.path).write_bytes(b"")
    dataset = Labelled(images, NAMES, {"dog": "17", "cat": "3"}, lambda _: b"")
    writer.write(folder, dataset)
    return dataset


def read(folder: Path) -> Annotations:
    """Return what all files of a folder say, as a dataset with this folder of labels reads them."""
    found = Annotations()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in {".json", ".xml", ".txt", ".yaml", ".tar"}:
            said = recognise(file_of(path)).read()
            found.objects += said.objects
            found.images += said.images
            found.rejected += said.rejected
    return found


def named(row: dict[str, Any], images: list[LabelledImage], folder: Path) -> LabelledImage:
    """Return the image that a row's first fitting name means."""
    for key in row["keys"]:
        bare = key.removeprefix("//")
        if "!/" in bare:
            bare = f"{folder}/{bare.partition('!/')[2]}"
        paths = [str(folder / image.path) for image in images]
        rooted = [image.path.partition("/")[2] for image in images]
        tails = [path if path.endswith(f"/{bare}") else "" for path in paths]
        for names in (paths, [path.rpartition(".")[0] for path in paths], rooted, tails):
            wanted = bare if names is not tails else max(tails, key=bool)
            if wanted and wanted in names:
                return images[names.index(wanted)]
    raise AssertionError(row["keys"])


def placed(row: dict[str, Any]) -> tuple[float, ...]:
    sides = (1, 1) if row["relative"] else (WIDTH, HEIGHT)
    return tuple(row[name] / sides[place % 2] for place, name in enumerate(("x", "y", "width", "height")))


def mask_of(row: dict[str, Any]) -> np.ndarray:
    sides = (WIDTH, HEIGHT) if row["relative"] else (1, 1)
    return fill_rings([np.reshape(ring, (-1, 2)) * sides for ring in row["polygon"]], HEIGHT, WIDTH)


def own_mask(one: LabelledObject) -> np.ndarray:
    return fill_rings([np.reshape(ring, (-1, 2)) for ring in one.sized(WIDTH, HEIGHT)], HEIGHT, WIDTH)


def test_these_write() -> None:
    assert WRITING == ["coco", "cvat", "fiftyone", "fiftyone-dataset", "labelstudio", "voc", "webdataset", "yolo"]


@pytest.mark.parametrize("name", WRITING)
@SHARED
@given(images=datasets())
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, images: list[LabelledImage]
) -> None:
    folder = tmp_path_factory.mktemp(name) / "out"
    write(name, images, folder)
    found = read(folder)
    assert found.rejected == []
    spoken_of = {image.path for image in images if image.objects is not None}
    assert {named(row, images, folder).path for row in found.images} >= spoken_of
    expected = [(image.path, one) for image in images for one in image.objects or []]
    read_back = [(named(row, images, folder).path, row) for row in found.objects]
    assert len(read_back) == len(expected)
    order = lambda path, label, box: (path, label, [round(value, 4) for value in box])  # noqa: E731
    expected.sort(key=lambda one: order(one[0], one[1].label, one[1].box))
    read_back.sort(key=lambda one: order(one[0], one[1]["label"], placed(one[1])))
    for (path, one), (own, row) in zip(expected, read_back, strict=True):
        assert (own, row["label"]) == (path, one.label)
        assert placed(row) == pytest.approx(one.box, abs=TOLERANCE)
    if "outlines" in writers()[name].holds:
        ours = sorted(own_mask(one).tobytes() for _, one in expected if one.rings)
        assert sorted(mask_of(row).tobytes() for _, row in read_back if row.get("polygon")) == ours


def test_coco_numbers_stay_and_come_once(tmp_path: Path) -> None:
    one = LabelledObject("dog", (0.1, 0.1, 0.5, 0.5), None, True, "0" * 20)
    images = [
        LabelledImage(f"{n}.jpg", f"{n}.jpg", WIDTH, HEIGHT, split, objects=[one], number="7")
        for n, split in enumerate(["val", "train"])
    ]
    write("coco", images, tmp_path / "out")
    found = read(tmp_path / "out")
    assert {row["image_id"] for row in found.images} == {"7", "8"}
    assert [(row["iscrowd"], row["category"]) for row in found.objects] == [(True, "17")] * 2
    assert len({row["annotation"] for row in found.objects}) == 2


def test_yolo_writes_boxes_where_not_all_objects_have_outlines(tmp_path: Path) -> None:
    ring = [0.1, 0.1, 0.5, 0.1, 0.5, 0.5]
    ones = [LabelledObject("cat", (0.1, 0.1, 0.4, 0.4), [ring]), LabelledObject("dog", (0.2, 0.2, 0.1, 0.1))]
    write("yolo", [LabelledImage("a", "a.jpg", WIDTH, HEIGHT, objects=ones)], tmp_path / "out")
    assert {len(line.split()) for line in (tmp_path / "out" / "labels" / "a.txt").read_text().splitlines()} == {5}
