"""What label files cost, of formats that have one for each image, beside reading their bytes alone.

Run as ``python -m tests.benchmarks.benchmark_label_files [images]``: that many texts of YOLO (100 000), a tenth of the other
formats, and the tenth of that, which shows whether a file costs the same however many there are. CPU seconds of one process from
the list of files to the rows that are stored; the ratio is to opening and reading the same files.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from brain_assets.resources.label_formats.annotations import GROUND_TRUTH, LABEL_TABLES, label_readings
from brain_assets.resources.label_formats.door import formats, read_together, recognise
from brain_assets.resources.label_formats.input_files import InputFile, list_labels
from brain_assets.resources.settings.configuration import DatasetSettings, LabelSettings
from brain_assets.resources.settings.home import DatasetPaths

CLASSES = [f"class{number}" for number in range(80)]
Boxes = Iterable[tuple[int, list[float]]]


def yolo(name: str, boxes: Boxes) -> str:
    return "".join(f"{number} {x + w / 2:.6f} {y + h / 2:.6f} {w:.6f} {h:.6f}\n" for number, (x, y, w, h) in boxes)


def outlines(name: str, boxes: Boxes) -> str:
    """Texts of YOLO with outlines of twelve points."""
    rings = ((number, np.tile([x, y, x + w, y + h], 6)) for number, (x, y, w, h) in boxes)
    return "".join(f"{number} {' '.join(f'{value:.6f}' for value in ring)}\n" for number, ring in rings)


def kitti(name: str, boxes: Boxes) -> str:
    return "".join(
        f"{CLASSES[number]} 0 0 0 {900 * x:.2f} {900 * y:.2f} {900 * (x + w):.2f} {900 * (y + h):.2f} 1 1 1 0 0 9 0\n"
        for number, (x, y, w, h) in boxes
    )


def dota(name: str, boxes: Boxes) -> str:
    return "".join(
        " ".join(f"{900 * value:.1f}" for value in (x, y, x + w, y, x + w, y + h, x, y + h)) + f" {CLASSES[number]} 0\n"
        for number, (x, y, w, h) in boxes
    )


def voc(name: str, boxes: Boxes) -> str:
    objects = "".join(
        f"<object><name>{CLASSES[number]}</name><bndbox><xmin>{900 * x:.0f}</xmin><ymin>{900 * y:.0f}</ymin>"
        f"<xmax>{900 * (x + w):.0f}</xmax><ymax>{900 * (y + h):.0f}</ymax></bndbox></object>\n"
        for number, (x, y, w, h) in boxes
    )
    return f"<annotation><filename>{name}.jpg</filename><size><width>900</width><height>900</height></size>{objects}</annotation>"


def labelme(name: str, boxes: Boxes) -> str:
    shapes = [
        {
            "label": CLASSES[number],
            "shape_type": "rectangle",
            "points": [[900 * x, 900 * y], [900 * (x + w), 900 * (y + h)]],
        }
        for number, (x, y, w, h) in boxes
    ]
    return json.dumps({"imagePath": f"{name}.jpg", "imageWidth": 900, "imageHeight": 900, "shapes": shapes})


WRITERS: dict[str, tuple[str, Callable[[str, Boxes], str]]] = {
    "yolo": ("txt", yolo),
    "yolo, outlines": ("txt", outlines),
    "kitti": ("txt", kitti),
    "dota": ("txt", dota),
    "voc": ("xml", voc),
    "labelme": ("json", labelme),
}


def written(folder: Path, form: str, images: int) -> None:
    """Write files of one to eleven objects each, and what names their classes."""
    suffix, write = WRITERS[form]
    random = np.random.default_rng(1)
    (folder / "labels").mkdir(parents=True)
    if form.startswith("yolo"):
        (folder / "data.yaml").write_text(f"names: {json.dumps(CLASSES)}\n")
    for number in range(images):
        size = int(random.integers(1, 12))
        boxes = zip(random.integers(0, 80, size).tolist(), (random.random((size, 4)) / 2).tolist(), strict=True)
        (folder / "labels" / f"{number:06}.{suffix}").write_text(write(f"{number:06}", boxes))


def read_all(files: Sequence[InputFile]) -> int:
    """Read files as a run does; return how many rows they have."""
    together = read_together(files)
    rows = sum(table.num_rows for _, one in together for table in one.tables(GROUND_TRUTH, LABEL_TABLES).values())
    known = {file.name for _, one in together for file in one.files}
    for file in files:
        if file.name not in known:
            said = recognise(file).read()
            found = said.readings(file, GROUND_TRUTH, LABEL_TABLES) | label_readings(said, file)
            rows += sum(one.table.num_rows for one in found.values())
    return rows


def read_bytes(files: Sequence[InputFile]) -> None:
    for file in files:
        with open(file.path, "rb") as handle:
            handle.read()


def cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def measured(form: str, images: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        written(root, form, images)
        settings = DatasetSettings(media="-", labels=[LabelSettings(uri=str(root / "labels"))])
        files = list_labels(settings, DatasetPaths(root)).files
        rounds = [(cpu(lambda: read_bytes(files)), cpu(lambda: read_all(files))) for _ in range(3)]
        bare, spent = (min(one) for one in zip(*rounds, strict=True))
        each = 1e6 * spent / images
        print(
            f"{form:15} {images:7} files {bare:8.2f} s bytes {spent:8.2f} s rows {each:7.0f} us each {spent / bare:7.2f} x"
        )


def main(images: int) -> None:
    formats()
    measured("yolo", images)
    for form in WRITERS:
        for size in (images // 100, images // 10):
            measured(form, size)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
