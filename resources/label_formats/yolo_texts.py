"""YOLO's texts, thousands in one pass; any that is unusual is left to be read by itself, which names every fault."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.resources.label_formats.annotations import Row, Together, Unusable, named_or, names_beside
from brain_assets.resources.label_formats.class_names import ClassNames, names_above
from brain_assets.resources.label_formats.input_files import InputFile
from brain_assets.resources.label_formats.number_lines import NumberLines, is_plain, number_lines
from brain_assets.resources.label_formats.yolo_lines import (
    MOST_OUTSIDE,
    VISIBLE,
    Shape,
    class_of,
    layout_of,
    may_end_in_track,
)
from brain_assets.resources.local_files import bytes_of_sized

AT_ONCE = 4096
LARGEST = 1 << 18
"""Bytes of a text that is read with others: so many of them stay below the 2 GiB that one array of texts holds."""
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Given(NamedTuple):
    """Files and what is in them: two lists, as a hundred thousand pairs would keep the garbage collector busy."""

    files: list[InputFile]
    texts: list[bytes]

    def halves(self) -> tuple["Given", ...]:
        """Return both halves; nothing of what cannot be halved."""
        half = len(self.files) // 2
        return (
            (Given(self.files[:half], self.texts[:half]), Given(self.files[half:], self.texts[half:])) if half else ()
        )


class Folder(NamedTuple):
    """What holds of all texts of a folder: the names of classes, and what the names of images begin with."""

    classes: ClassNames
    beginnings: Sequence[str]


def read_together(files: Sequence[InputFile]) -> list[Together]:
    """Return what texts of one folder say of their images; those that are not plain lines of objects are left out.

    Parameters
    ----------
    files : sequence of InputFile
        Of one address and one folder, each called ``*.txt``.
    """
    path = files[0].path.with_name("-.txt")
    try:
        classes = names_above(path)
    except ValueError:
        return []
    folder = Folder(classes, [name[:-1] for name in names_beside(path)])
    blocks = (files[start : start + AT_ONCE] for start in range(0, len(files), AT_ONCE))
    return [one for block in blocks for one in _parsed(_plain(block), folder) if one.files]


def _plain(files: Sequence[InputFile]) -> Given:
    """Return those texts that are nothing but numbers, if small."""
    found = Given([], [])
    for file in files:
        if file.size > LARGEST:
            continue
        try:
            text = bytes_of_sized(file.path, file.size)
        except OSError:
            continue
        # It may have grown since it was listed.
        if len(text) <= LARGEST and is_plain(text):
            found.files.append(file)
            found.texts.append(text)
    return found


def _parsed(given: Given, folder: Folder) -> list[Together]:
    """Return what texts say; where one has a word that is no number, or an odd name, by halves, until it stands alone."""
    try:
        return [_together(given, folder)]
    except ValueError:
        return [one for part in given.halves() for one in _parsed(part, folder)]


def _together(given: Given, folder: Folder) -> Together:
    lines = number_lines(given.texts)
    found = _Found.of(lines, folder.classes)
    odd = np.zeros(len(given.files), bool)
    odd[lines.text[found.wrong]] = True
    files = [file for file, is_odd in zip(given.files, odd.tolist(), strict=True) if not is_odd]
    place = np.cumsum(~odd) - 1
    rows = found.rows(place[lines.text])
    return _of_files(files, rows.filter(pa.array(~odd[lines.text])) if odd.any() else rows, folder)


@dataclass(frozen=True)
class _Found:
    """What lines say of objects.

    Attributes
    ----------
    lines : NumberLines
        n of them.
    box : (4, n) float64
        Left, top, width and height, as parts of the image's sides.
    outlines : pyarrow.ListArray
        Of each line, a list of one ring; NULL where it has a box.
    confidence : (n,) float64
        NaN where there is none.
    classes : list of dict
        Rows of all classes, each once; empty where a class is not among the names.
    codes : (n,) int64
        The class of each line.
    wrong : (n,) bool
        Whether a line cannot be understood without looking at it.
    """

    lines: NumberLines
    box: Floats
    outlines: pa.ListArray
    confidence: Floats
    classes: Sequence[Row]
    codes: NDArray[np.int64]
    wrong: Mask

    @classmethod
    def of(cls, lines: NumberLines, names: ClassNames) -> "_Found":
        classes, codes = _classes(lines.words, names)
        outlined, sure, wrong = _layouts(lines, names.keypoints)
        last = lines.values[lines.first + lines.size - 1]
        confidence = np.where(sure, last, np.nan)
        box, outlines, outermost = _places(lines, outlined)
        unknown = np.array([not one for one in classes], bool)[codes]
        wrong |= unknown | (confidence < 0) | (confidence > 1) | ~(outermost <= MOST_OUTSIDE)
        return cls(lines, box, outlines, confidence, classes, codes, wrong)

    def rows(self, text: NDArray[np.int64]) -> pa.Table:
        """Return the objects, with the positions of their texts."""
        named = {name: pa.array([one.get(name) for one in self.classes], pa.string()) for name in ("category", "label")}
        columns = {name: values.take(pa.array(self.codes)) for name, values in named.items()}
        confidence = pa.array(self.confidence, mask=np.isnan(self.confidence))
        box = dict(zip(("x", "y", "width", "height"), self.box, strict=True))
        columns |= {"confidence": confidence, "polygon": self.outlines, **box}
        return pa.table({"text": text, "line": self.lines.line, "code": self.codes, **columns})


def _classes(words: pa.Array, names: ClassNames) -> tuple[list[Row], NDArray[np.int64]]:
    """Return the rows of all classes, empty for one that is not among the names, and the class of each line."""
    coded = words.dictionary_encode()
    # A class may be written in several ways, as 1 and 1.0.
    found: dict[str | None, Row] = {}
    written = [found.setdefault(row.get("category"), row) for row in _known(coded.dictionary.to_pylist(), names)]
    place = {category: code for code, category in enumerate(found)}
    codes = np.array([place[row.get("category")] for row in written], np.int64)
    return list(found.values()), codes[coded.indices.to_numpy()]


def _known(words: Sequence[str], names: ClassNames) -> Iterator[Row]:
    for word in words:
        try:
            yield class_of(word, names)
        except Unusable:
            yield {}


def _layouts(lines: NumberLines, shape: Shape | None) -> tuple[Mask, Mask, Mask]:
    """Return which lines have an outline, which a confidence, and which are to be looked at."""
    sizes, code = np.unique(lines.size - 1, return_inverse=True)
    layouts = [layout_of(size, shape) for size in sizes.tolist()]
    outlined, sure = (np.array([bool(one and one[place]) for one in layouts], bool)[code] for place in (0, 1))
    unknown = np.array([one is None for one in layouts], bool)[code]
    may_track = np.array([may_end_in_track(size, shape) for size in sizes.tolist()], bool)[code]
    numbers = lines.values.copy()
    numbers[lines.first] = 0  # Classes may be any.
    tracked = may_track & (numbers[lines.first + lines.size - 1] > 1)
    # Where no file states how keypoints are written, this one tells them from outlines.
    odd = ~np.isfinite(numbers) | ((numbers == VISIBLE) if shape is None else False)
    odd_lines = np.logical_or.reduceat(odd, lines.first) if len(lines.first) else np.zeros(0, bool)
    return outlined, sure, unknown | tracked | odd_lines


def _places(lines: NumberLines, outlined: Mask) -> tuple[Floats, pa.ListArray, Floats]:
    """Return the boxes of all lines, their outlines, and how far from 0 each reaches."""
    at = np.minimum(lines.first[None] + np.arange(1, 5)[:, None], len(lines.values) - 1)
    across, down, width, height = lines.values[at]
    with np.errstate(all="ignore"):
        box = np.stack([across - width / 2, down - height / 2, width, height])
    outermost = np.abs(box).max(axis=0)
    sizes = np.where(outlined, (lines.size - 1) // 2 * 2, 0)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    ring = lines.values[np.repeat(lines.first + 1 - bounds[:-1], sizes) + np.arange(bounds[-1])]
    if len(ring):
        start = bounds[:-1][outlined]
        outermost[outlined] = np.maximum.reduceat(np.abs(ring), start)
        least, most = ([by.reduceat(ring[side::2], start // 2) for side in (0, 1)] for by in (np.minimum, np.maximum))
        box[:, outlined] = [*least, most[0] - least[0], most[1] - least[1]]
    rings = pa.ListArray.from_arrays(pa.array(bounds[np.append(outlined, True)], pa.int32()), ring)
    counts = np.concatenate([[0], np.cumsum(outlined)])
    return box, pa.ListArray.from_arrays(pa.array(counts, pa.int32()), rings, mask=pa.array(~outlined)), outermost


def _of_files(files: Sequence[InputFile], rows: pa.Table, folder: Folder) -> Together:
    import pyarrow.compute as pc

    stems = pa.array([file.name.rpartition("/")[2][:-4] for file in files], pa.string())
    called = [pc.binary_join_element_wise(start, stems, "") for start in folder.beginnings]
    # Names one after the other of each file, out of those of all files one after the other.
    order = np.arange(len(called) * len(files)).reshape(len(called), -1).T.ravel()
    starts = pa.array(np.arange(0, len(order) + 1, len(called), dtype=np.int32))
    keys = pa.ListArray.from_arrays(starts, pa.concat_arrays(called).take(pa.array(order)))
    text, whole = rows["text"].combine_chunks(), np.ones(len(files))
    flags = {"relative": pa.array(np.ones(len(text), bool)), "iscrowd": pa.array(np.zeros(len(text), bool))}
    columns = {name: rows[name] for name in rows.column_names if name != "code"}
    objects = pa.table({**columns, "keys": keys.take(text), "image_id": called[0].take(text), **flags})
    images = {"text": np.arange(len(files)), "image_id": called[0], "keys": keys, "width": whole, "height": whole}
    return Together(files, (objects, pa.table(images), _categories(rows)))


def _categories(rows: pa.Table) -> pa.Table:
    """Return the classes that each text uses: of these, what models find takes the names that their own numbers have."""
    code = rows["code"].to_numpy()
    one_each = rows["text"].to_numpy() * (code.max(initial=0) + 1) + code
    used = rows.select(["text", "category", "label"]).take(np.unique(one_each, return_index=True)[1])
    return used.drop_columns("label").append_column("name", named_or(used["label"], used["category"]))
