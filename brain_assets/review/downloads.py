"""What is selected on the page, as a file to take along: paths, a table, or COCO with the boxes as reviewed."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa

from brain_assets.resources.label_formats.coco import category_entries, identities, image_entry, numbers_of, shape_entry
from brain_assets.resources.label_formats.labelled import LabelledObject
from brain_assets.resources.store.events import Events
from brain_assets.review.columns import columns, values_of
from brain_assets.review.corrections import boxes_of
from brain_assets.review.refusal import Refused
from brain_assets.review.reviews import Selection, ids_of, images_of
from brain_assets.review.sets import Frame, OpenSet, quote
from brain_assets.review.subjects import Row, fetch

Form = Literal["paths", "csv", "coco"]
# The columns of a table, where the dataset has them.
COLUMNS: dict[Frame, tuple[str, ...]] = {
    "images": ("split", "label", "prediction", "confidence", "issues", "tags", "decision"),
    "objects": (
        "label", "source", "confidence", "x", "y", "width", "height", "prediction", "issues", "tags", "decision",
    ),
}  # fmt: skip
SEPARATOR = ";"


def download(opened: OpenSet, selection: Selection, form: Form, events: Events) -> bytes:
    """Return a selection as a file, in UTF-8.

    Parameters
    ----------
    opened : OpenSet
    selection : Selection
    form : str
        ``paths``: the path of each image in a line. ``csv``: a row for each image or object, of several values the words
        between semicolons. ``coco``: the images with their labelled boxes, as reviewers left them.
    events : Events

    Raises
    ------
    Refused
        422 where nothing is selected, or COCO is asked of what has no objects.
    """
    ids = ids_of(opened, selection)
    if form == "csv":
        return _table(opened, selection.frame, ids)
    images = images_of(opened, ids) if selection.frame == "objects" else ids
    if form == "coco":
        return _coco(opened, images, events)
    # A name may hold the end of a line, which lists of paths have percent-encoded.
    lines = (row["filepath"].replace("\r", "%0D").replace("\n", "%0A") for row in _images(opened, images))
    return "".join(f"{line}\n" for line in lines).encode()


def _images(opened: OpenSet, ids: Sequence[str]) -> list[Row]:
    """Return id, path and size of images, by path."""
    sizes = ", ".join(name if opened.has("samples", name) else f"null as {name}" for name in ("width", "height"))
    return fetch(
        opened,
        f"""
        select sample_id, filepath, {sizes} from samples
        where sample_id in (select unnest(?::varchar[])) order by filepath""",
        [list(ids)],
    )


def _table(opened: OpenSet, frame: Frame, ids: Sequence[str]) -> bytes:
    known = columns(opened, frame)
    names = [name for name in COLUMNS[frame] if name in known]
    joins = " ".join(
        f"left join {values_of(opened, frame, known[name])} as {quote(f'of {name}')} using (position)" for name in names
    )
    values = "".join(f", {quote(f'of {name}')}.value as {quote(name)}" for name in names)
    own = "object_id" if frame == "objects" else "sample_id"
    image = f"join {opened.frame('images')} image on image.position = subject.sample_at" if frame == "objects" else ""
    path = "image.subject_id as sample_id, image.filepath" if frame == "objects" else "subject.filepath"
    cursor = opened.cursor()
    cursor.register("chosen", pa.table({"position": pa.array(opened.positions(frame, ids), pa.int64())}))
    found = cursor.execute(
        f"select subject.subject_id as {own}, {path}{values} from {opened.frame(frame)} subject"
        f" join chosen using (position) {image} {joins} order by filepath, {own}"
    )
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column[0] for column in found.description or ()])
    writer.writerows([_cell(value) for value in row] for row in found.fetchall())
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    return SEPARATOR.join(map(str, value)) if isinstance(value, list) else value


def _coco(opened: OpenSet, ids: Sequence[str], events: Events) -> bytes:
    if "objects" not in opened.frames():
        raise Refused(422, "there are no objects: COCO holds boxes, take a table of these images")
    images = _images(opened, ids)
    places = numbers_of([(row["sample_id"], None) for row in images])
    # An image that cannot be read has no size: it is listed, and its boxes have no place in pixels.
    sizes = {row["sample_id"]: (row["width"], row["height"]) for row in images if row["width"] and row["height"]}
    objects = list(_labelled(boxes_of(opened, list(sizes), events, most=None)))
    classes = numbers_of([(name, None) for name in sorted({one.label for _, one in objects})])
    numbers = identities(one.object_id for _, one in objects)
    content = {
        "images": [
            image_entry(places[row["sample_id"]], row["filepath"], sizes[row["sample_id"]])
            if row["sample_id"] in sizes
            else {"id": places[row["sample_id"]], "file_name": row["filepath"]}
            for row in images
        ],
        "annotations": [
            {"id": number, "image_id": places[sample], "category_id": classes[one.label]}
            | shape_entry(one, sizes[sample])
            for number, (sample, one) in zip(numbers, objects, strict=True)
        ],
        "categories": category_entries(classes),
    }
    return f"{json.dumps(content, ensure_ascii=False)}\n".encode()


def _labelled(boxes: dict[str, list[Row]]) -> Iterator[tuple[str, LabelledObject]]:
    """Yield the labels among boxes, each with its image: not what models found, nor what a reviewer took away."""
    for sample, found in boxes.items():
        for one in found:
            if one["source"] == "ground_truth" and one["label"] and not one.get("dropped"):
                box = (one["x"], one["y"], one["width"], one["height"])
                yield sample, LabelledObject(one["label"], box, one.get("polygon") or None, object_id=one["object_id"])
