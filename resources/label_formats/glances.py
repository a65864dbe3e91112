"""What a table seems to hold, by its first rows: labels or predictions of images that are there, or why it is left out."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from brain_assets.resources.column_names import NAMES, plain
from brain_assets.resources.label_formats.columns import PREDICTED, PREFIXED, SURE, has_boxes, recognised
from brain_assets.resources.label_formats.input_files import Role
from brain_assets.resources.tabular import Rows, as_text, keys, numbers, read_beginning, texts

# So many names are compared with those of images, and of a column that nobody knows so many have to be some.
COMPARED, MOSTLY = 1000, 0.5
SCORES = frozenset({*PREDICTED, *NAMES["confidence"], *NAMES["confidences"], *NAMES["logits"], *NAMES["probabilities"]})
# What is shorter may begin anything.
SHORT = 6
# What tables are called that hold what a model says.
OF_A_MODEL = re.compile(r"(?:^|[^a-z])(?:preds?|predictions?|predicted|inference|logits|probs)(?:[^a-z]|$)")
# Columns of what is not read from tables, and why.
ELSEWHERE = {
    "encodedpixels": "masks as runs of pixels (EncodedPixels) are not read from tables: give pictures of masks or COCO's JSON",
    "region_shape_attributes": "regions of the VGG Image Annotator are read from its JSON: export that",
}
# The file that contests hand out to show how answers are to be written; what it says of images is made up.
TEMPLATE = "submission"
# What images are of, or come from, that makes those of one alike.
GROUPS = frozenset({
    "patient", "subject", "person", "participant", "case", "study", "lesion", "slide", "session", "sequence", "video", "clip",
    "scene", "camera", "site", "hospital", "location", "identity", "individual", "animal",
})  # fmt: skip
ROLES: tuple[Role, ...] = ("labels", "predictions")


@dataclass(frozen=True)
class Glance:
    """What a table seems to hold: labels, predictions, or neither and why; and which columns say what belongs together."""

    role: Role | None
    reason: str = ""
    groups: tuple[str, ...] = ()
    objects: bool = False
    labelled: bool = False
    aside: bool = False

    @property
    def roles(self) -> tuple[Role, ...]:
        """What it holds: of a model's predictions perhaps also the labels that they are compared with."""
        own: tuple[Role, ...] = (self.role,) if self.role else ()
        return (*own, "labels") if self.role == "predictions" and self.labelled else own


class Pictures:
    """The names of the images that there are, with and without their suffixes."""

    def __init__(self, filepaths: Iterable[str]) -> None:
        names = {_name(one) for one in filepaths}
        self._names = names | {os.path.splitext(name)[0] for name in names}

    def __contains__(self, name: str) -> bool:
        """Tell whether a name, with a suffix or without, means an image."""
        name = _name(name)
        return name in self._names or os.path.splitext(name)[0] in self._names

    def begin(self, name: str) -> bool:
        """Tell whether a name is that of an image, or of what it shares with others of it, and goes on behind a mark."""
        parts = re.split(r"(?=[_\-.])", _name(name))
        return any("".join(parts[:end]) in self._beginnings for end in range(1, len(parts)))

    @cached_property
    def _beginnings(self) -> set[str]:
        without = {name[: match.start()] for name in self._names if (match := re.search(r"_[^_]+$", name))}
        return {name for name in self._names | without if len(name) >= SHORT}

    def share_of(self, names: Sequence[str | None]) -> float:
        """Return which share of some names means an image."""
        given = [name for name in names[:COMPARED] if name]
        return sum(name in self for name in given) / max(len(given), 1)


def _name(filepath: str) -> str:
    """Return the last part of a path as names are compared."""
    return unicodedata.normalize("NFC", unquote(filepath.replace("\\", "/").rpartition("/")[2])).lower()


def glance_at(path: Path, pictures: Pictures) -> Glance | None:
    """Return what a table seems to hold; None where nothing in it has to do with images that are there.

    Parameters
    ----------
    path : Path
        Of a kind of table; of one that has rows in its text only the beginning is read.
    pictures : Pictures
        The images.
    """
    rows = read_beginning(path, path.suffix.lower().removeprefix("."))
    if not rows.lines.size:
        fault = next((one for one in rows.rejected if one.detail), None)
        return Glance(None, f"no row of it can be read: {fault.detail}") if fault else None
    of_a_model = _has_scores(rows) or _lists_scores(rows) or bool(OF_A_MODEL.search(path.stem.lower()))
    role: Role = "predictions" if of_a_model else "labels"
    try:
        known = recognised(rows, role, {})
    except ValueError as error:
        return Glance(None, str(error))
    if not {"filepath", "sample_id"} & set(known.table.column_names):
        return _unknown(rows, pictures)
    named, says = keys(known).to_pylist(), _says(known, rows)
    are_here = pictures.share_of(named) > 0
    if not says:
        return _without_classes(known, rows) if are_here else None
    if not are_here:
        return Glance(None, f"it names no image that is here, such as {next(filter(None, named), '')!r}")
    template = TEMPLATE in path.stem.lower()
    reason = "it is called like the template of answers to a contest, which holds no labels" if template else ""
    reason = reason or ("its classes are numbers with decimals, which are none" if _are_measures(known) else "")
    groups = _groups(rows) if role == "labels" else ()
    return Glance(None if reason else role, reason, groups, has_boxes(rows.table.column_names), _is_labelled(rows))


def _are_measures(known: Rows) -> bool:
    """Tell whether what should be a class is a quantity."""
    if "label" not in known.table.column_names:
        return False
    values, wrong = numbers(known.column("label"), len(known.lines))
    return bool(not wrong.any() and (values[~np.isnan(values)] % 1 != 0).mean() > MOSTLY)


def _without_classes(known: Rows, rows: Rows) -> Glance:
    """Return what to say of a table that names images and no classes: it may say in which split each is."""
    if "split" in known.table.column_names:
        return Glance("labels", aside=True)
    if why := next((ELSEWHERE[name] for name in map(plain, rows.table.column_names) if name in ELSEWHERE), ""):
        return Glance(None, why)
    return Glance(None, f"it names images, but no column is known to hold classes: {_columns(rows)}")


def _is_labelled(rows: Rows) -> bool:
    """Tell whether a table has a class beside the one that is called predicted."""
    names = {plain(name) for name in rows.table.column_names}
    return bool(names & {*PREDICTED}) and bool(names & {*NAMES["label"]} - {"name", "y"})


def _has_scores(rows: Rows) -> bool:
    names = [plain(name) for name in rows.table.column_names]
    # Open Images says of what people have seen that it is sure.
    scores = {name for place, name in enumerate(names) if name in SCORES and not _is_sure(rows, place)}
    return bool(scores) or any(sum(map(bool, map(one.match, names))) > 1 for one in PREFIXED.values())


def _lists_scores(rows: Rows) -> bool:
    """Tell whether what should be a class is a list of scores, or of classes with theirs, as dumps of classifiers have it."""
    classes = {*NAMES["label"], *NAMES["labels"]}
    pairs = zip(rows.table.column_names, rows.table.columns, strict=True)
    for column in (one.combine_chunks() for name, one in pairs if plain(name) in classes):
        inner = column.type.value_type if pa.types.is_list(column.type) else pa.null()
        if pa.types.is_floating(inner):
            values = column.flatten().drop_null().to_numpy(zero_copy_only=False)
            return bool((values % 1 != 0).any())
        if pa.types.is_struct(inner):
            return any(plain(inner.field(place).name) in SURE for place in range(inner.num_fields))
    return False


def _is_sure(rows: Rows, place: int) -> bool:
    if plain(rows.table.column_names[place]) not in NAMES["confidence"]:
        return False
    column = rows.table.column(place).combine_chunks()
    values = set(texts(as_text(column), len(column)).unique().to_pylist())
    return len(rows.table) > 1 and values <= {"0", "1", "0.0", "1.0", None}


def _says(known: Rows, rows: Rows) -> bool:
    """Tell whether rows say anything of the images that they name."""
    said = {"label", "labels", "logits", "probabilities"} & set(known.table.column_names)
    return bool(said) or has_boxes(rows.table.column_names)


def _unknown(rows: Rows, pictures: Pictures) -> Glance | None:
    """Return what to say of a table no column of which is known to name images: which one does, by its values."""
    for name, chunked in zip(rows.table.column_names, rows.table.columns, strict=True):
        column = chunked.combine_chunks()
        if (
            pa.types.is_string(column.type)
            and pictures.share_of(texts(as_text(column), len(column)).to_pylist()) > MOSTLY
        ):
            return Glance(None, f"its column {name!r} names images, which is not known by its name: {_columns(rows)}")
    return None


def _groups(rows: Rows) -> tuple[str, ...]:
    """Return the columns that name what several images are of, by their words: images of a patient must not lie in two splits."""
    called = [name for name in rows.table.column_names if plain(name).removesuffix("_id") in GROUPS]
    alone = [name for name in called if rows.table.column_names.count(name) == 1]
    return tuple(name for name in alone if _repeats(rows.table.column(name).combine_chunks()))


def _repeats(column: pa.Array) -> bool:
    values = texts(as_text(column), len(column))
    return 1 < len(values.unique()) < len(values)


def _columns(rows: Rows) -> str:
    named = ", ".join(rows.table.column_names[:8])
    return f"say columns: {{filepath: ..., label: ...}} of this file in dataset.yaml, out of {named}"
