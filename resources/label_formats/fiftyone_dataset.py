"""FiftyOneDataset: a folder of data/, samples.json and metadata.json, with any number of fields of labels of each sample."""

import base64
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.resources.fiftyone_samples import FILE, array_of, columns_of, path_of, samples_of
from brain_assets.resources.label_formats.annotations import (
    GROUND_TRUTH,
    SCORES,
    Annotations,
    Row,
    Unusable,
    entries_of,
    names_of,
    nan_of,
    number_of,
)
from brain_assets.resources.label_formats.content import Content, line_of, text_of
from brain_assets.resources.label_formats.input_files import Role
from brain_assets.resources.label_formats.labelled import (
    Labelled,
    LabelledImage,
    LabelledObject,
    inside,
    mask_of,
)
from brain_assets.resources.label_formats.masks import Rings, rings_of_mask, rings_of_png
from brain_assets.resources.local_files import bytes_of
from brain_assets.resources.tabular import Rejected

# A field's kind -> where its entries are; None where the field itself is one.
KINDS: dict[str, str | None] = {
    "Classification": None, "Classifications": "classifications", "Detection": None, "Detections": "detections",
    "Polyline": None, "Polylines": "polylines",
}  # fmt: skip
CLASSES = ("Classification", "Classifications")
METADATA = "metadata.json"
# What metadata.json says of a field: its type, that of its entries, and that of a label.
FIELDS = "fiftyone.core.fields."
LABELS = "fiftyone.core.labels."
VERSION = "1.0.0"
"""Of FiftyOne: whose form metadata.json has."""


class FiftyOneDataset:
    """All that a dataset of FiftyOne holds of images: of several fields each is one of labels, or a model's predictions."""

    name = "fiftyone-dataset"
    title = "FiftyOne dataset (samples.json)"
    suffixes = frozenset({".json"})
    per_image = False
    holds = frozenset({"labels", "several", "boxes", "outlines", "crowds", "splits", "tags"})
    packs = False

    def sniff(self, content: Content) -> bool:
        """Tell whether a file has a list of samples, or is what tells of their fields."""
        return _tells_of_fields(content.json) or bool(samples_of(content.json))

    def fields(self, content: Content) -> Mapping[str, Role]:
        """Return the fields of labels that can be read; those with confidences or logits are a model's."""
        found: dict[str, Role] = {}
        for sample in [] if _tells_of_fields(content.json) else samples_of(content.json):
            for name, said in sample.items() if isinstance(sample, dict) else ():
                if isinstance(said, dict) and said.get("_cls") in KINDS and found.get(name) != "predictions":
                    found[name] = "predictions" if any(map(_is_scored, _entries(said))) else "labels"
        return found

    def may_hold_columns(self, path: Path) -> bool:
        """Tell whether a file is called like that of the samples."""
        return path.name == FILE

    def columns(self, content: Content) -> Sequence[Row]:
        """Return the splits and tags of the samples."""
        return columns_of(content.json, content.path.parent)

    def read(self, content: Content) -> Annotations:
        """Return what the first field says; nothing where there is none."""
        name = next(iter(self.fields(content)), None)
        return self.read_field(content, name) if name else Annotations()

    def read_field(self, content: Content, name: str) -> Annotations:
        """Return what a field says; its entries are numbered through the file."""
        found, folder = Annotations(), content.path.parent
        entries: list[tuple[Row, Any]] = []
        for sample in samples_of(content.json):
            entries += _of_sample(found, folder, sample, name)
        adding = _Adding(found, folder, _classes(content.path, name))
        found.each(enumerate(entries, 1), lambda line, one: adding.add(line, *one))
        return found

    def place(self, image: LabelledImage, folder: str) -> str:
        """Return where an image stands: all of them in one folder, by a name that tells its folders."""
        del folder
        return f"data/{'_'.join(inside('', image))}"

    def write(self, target: Path, dataset: Labelled) -> None:
        """Write samples.json and metadata.json: objects are ``ground_truth``, classes of whole images then ``labels``."""
        labels = "labels" if dataset.has_objects else GROUND_TRUTH
        several = any(len(one.labels) > 1 for one in dataset.images)
        samples = [_sample(one, labels, several=several) for one in dataset.images]
        kinds = {GROUND_TRUTH: "Detections"} if dataset.has_objects else {}
        if any(one.labels for one in dataset.images):
            kinds[labels] = "Classifications" if several else "Classification"
        for name, content in ((FILE, {"samples": samples}), (METADATA, _metadata(target.name, kinds, dataset.classes))):
            (target / name).write_text(json.dumps(content, ensure_ascii=False) + "\n", "utf-8")


def _tells_of_fields(tree: Any) -> bool:
    return isinstance(tree, dict) and "sample_fields" in tree


def _entries(said: Mapping[str, Any]) -> list[Any]:
    inner = KINDS[said["_cls"]]
    entries = said.get(inner) if inner else [said]
    return entries if isinstance(entries, list) else []


def _is_scored(one: Any) -> bool:
    return isinstance(one, dict) and (one.get("confidence") is not None or one.get("logits") is not None)


def _of_sample(found: Annotations, folder: Path, sample: Any, name: str) -> Iterator[tuple[Row, Any]]:
    """Yield the entries of a sample's field with what names its image; one of objects may have none."""
    said = sample.get(name) if isinstance(sample, dict) else Unusable("unreadable", "a sample that is no object")
    if said is None:
        return
    if not isinstance(said, dict) or said.get("_cls") not in KINDS:
        yield {}, said if isinstance(said, Unusable) else Unusable("shape", f"{name} is no field of labels here")
        return
    try:
        keys = [path_of(sample, folder), *names_of(sample["filepath"].replace("\\", "/"))]
    except ValueError as error:
        yield {}, Unusable("no_key", str(error))
        return
    image: Row = {"image_id": text_of(_id(sample) or keys[0]), "keys": keys}
    if said["_cls"] not in CLASSES:
        size = sample.get("metadata") or {}
        found.add_image(image["image_id"], keys, (size.get("width"), size.get("height")))
    yield from ((image, {"_cls": said["_cls"].removesuffix("s"), **one}) for one in _entries(said))


def _id(one: Mapping[str, Any]) -> str | None:
    given = one.get("_id") or one.get("id")
    given = given.get("$oid") if isinstance(given, dict) else given
    return given if isinstance(given, str) else None


def _classes(path: Path, field: str) -> list[str]:
    """Return the classes of a field, the order of its logits, where metadata.json beside it tells them."""
    with suppress(OSError, ValueError, AttributeError, TypeError, RecursionError):
        tree = json.loads((path.parent / METADATA).read_bytes())
        named = tree.get("classes") or {}
        return [text_of(one) for one in entries_of(named.get(field) or tree.get("default_classes") or [])]
    return []


class _Adding:
    """Adds entries of a field to what a file says."""

    def __init__(self, found: Annotations, folder: Path, classes: Sequence[str]) -> None:
        self.found, self.folder, self.classes = found, folder, classes

    def add(self, line: int, image: Row, one: Any) -> None:
        """Add one entry, or raise why not."""
        if isinstance(one, Unusable):
            raise one
        label = one.get("label")
        if not isinstance(label, str) or not label.strip():
            raise Unusable("no_label")
        scores: Row = {"logits": _numbers(one["logits"])} if one.get("logits") is not None else {}
        if one["_cls"] == "Classification":
            said = {"confidence": number_of(one.get("confidence")), **scores}
            said |= {"classes": self.classes} if scores and self.classes else {}
            self.found.add_label(line, image["keys"][0], [label.strip()], **said)
            return
        shape = self._outlined(one) if one["_cls"] == "Polyline" else self._boxed(line, one)
        row = image | {"annotation": _id(one), "label": label.strip(), "relative": True, **shape}
        row |= {"confidence": number_of(one.get("confidence")), "iscrowd": bool(one.get("iscrowd"))}
        self.found.add(line, row | {"scores": {name: scores.get(name) for name in SCORES}})

    def _outlined(self, one: Mapping[str, Any]) -> Row:
        rings = [[float(value) for point in ring for value in point[:2]] for ring in entries_of(one.get("points"))]
        if not (one.get("closed") or one.get("filled")):
            raise Unusable("shape", "an open line encloses no object")
        if not rings or any(len(ring) < 6 for ring in rings):
            raise Unusable("polygon", "fewer than three points")
        return {"polygon": rings}

    def _boxed(self, line: int, one: Mapping[str, Any]) -> Row:
        """Return the box of an object, and its outline where it has a mask; one that cannot be used costs the outline alone."""
        box = [nan_of(value) for value in entries_of(one.get("bounding_box"))]
        if len(box) != 4 or not np.isfinite(box).all():
            return {"box": box}
        try:
            return {"box": box, "polygon": _placed(*found, box) if (found := self._mask(one)) else None}
        except Exception as error:  # noqa: BLE001 - a mask is anything
            self.found.rejected.append(Rejected(line, "mask", text_of(f"its box alone is used: {line_of(error)}")))
            return {"box": box}

    def _mask(self, one: Mapping[str, Any]) -> tuple[Rings, int, int] | None:
        """Return the outline of a mask that fills its box, in the mask's own pixels, with its width and height."""
        if one.get("mask") is not None:
            mask = array_of(one["mask"])
            if mask.ndim != 2 or not mask.size:
                raise ValueError(f"a mask of shape {mask.shape}")
            return rings_of_mask(mask.astype(bool)), mask.shape[1], mask.shape[0]
        if isinstance(path := one.get("mask_path"), str) and path:
            return _mask_of_file(self.folder / path.replace("\\", "/"))
        return None


def _placed(rings: Rings, width: int, height: int, box: Sequence[float]) -> Rings | None:
    """Return the outline of a mask in the picture that its box is a part of, None where it is empty."""
    scales = ((box[0], box[2] / width), (box[1], box[3] / height))
    return [
        [scales[place % 2][0] + value * scales[place % 2][1] for place, value in enumerate(ring)] for ring in rings
    ] or None


def _mask_of_file(path: Path) -> tuple[Rings, int, int]:
    from PIL import Image

    data = bytes_of(path)
    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        size = picture.size
    return rings_of_png(data, 0, 0), *size


def _numbers(value: Any) -> list[float]:
    return [float(one) for one in np.ravel(array_of(value))]


def _sample(image: LabelledImage, labels: str, *, several: bool) -> Row:
    tags = dict.fromkeys([*([image.split] if image.split else []), *image.tags])
    row: Row = {"_id": _oid(image.sample_id), "filepath": image.path, "tags": list(tags), "_media_type": "image"}
    row |= {"brain_id": image.sample_id, "_rand": _random(image.sample_id)}
    if image.width and image.height:
        row["metadata"] = {"_cls": "ImageMetadata", "width": image.width, "height": image.height}
    if image.objects is not None:
        boxes = [_detection(one, (image.width, image.height)) for one in image.objects]
        row[GROUND_TRUTH] = {"_cls": "Detections", "detections": boxes}
    if image.labels:
        said = [_label(name, f"{image.sample_id} {labels} {name}") for name in image.labels]
        row[labels] = {"_cls": "Classifications", "classifications": said} if several else said[0]
    return row


def _label(name: str, unique: str, kind: str = "Classification") -> Row:
    return {"_id": _oid(unique), "_cls": kind, "tags": [], "label": name}


def _detection(one: LabelledObject, size: tuple[int, int]) -> Row:
    box = [round(value, 8) for value in one.box]
    row = _label(one.label, one.object_id or f"{one.label} {box}", "Detection")
    row |= {"attributes": {}, "bounding_box": box, "iscrowd": one.crowd}
    return row | ({"mask": packed(_filled(one, size))} if one.rings and all(size) else {})


def _filled(one: LabelledObject, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of an object within its box, as many as it has in a picture of this width and height."""
    wide, high = (max(1, round(side * length)) for side, length in zip(size, one.box[2:], strict=True))
    scales = ((one.box[0], wide / one.box[2]), (one.box[1], high / one.box[3]))
    rings = [
        [(value - scales[place % 2][0]) * scales[place % 2][1] for place, value in enumerate(ring)]
        for ring in one.rings or []
    ]
    return mask_of(rings, wide, high)


def packed(array: NDArray[Any]) -> Row:
    """Return an array as FiftyOne writes it into JSON."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return {"$binary": {"base64": base64.b64encode(zlib.compress(content.getvalue(), 6)).decode(), "subType": "00"}}


def _random(unique: str) -> float:
    """Return a number in [0, 1) by which FiftyOne shuffles samples."""
    return int.from_bytes(hashlib.blake2b(unique.encode(), digest_size=6).digest()) / 2**48


def _oid(unique: str) -> Row:
    """Return an id as its database has them: 12 bytes, here those of a hash."""
    return {"$oid": hashlib.blake2b(unique.encode(), digest_size=12).hexdigest()}


def _metadata(name: str, kinds: Mapping[str, str], classes: Sequence[str]) -> Row:
    """Return what tells FiftyOne which fields there are; a later version of it migrates what it reads."""
    fields = [
        _field("id", "ObjectIdField", db_field="_id"),
        _field("filepath", "StringField"),
        _field("tags", "ListField", subfield=f"{FIELDS}StringField"),
        _field("metadata", "EmbeddedDocumentField", document="fiftyone.core.metadata.ImageMetadata"),
        _field("_media_type", "StringField"),
        _field("_rand", "FloatField"),
        _field("_dataset_id", "ObjectIdField"),
        _field("created_at", "DateTimeField", read_only=True),
        _field("last_modified_at", "DateTimeField", read_only=True),
        _field("brain_id", "StringField"),
        *(_field(one, "EmbeddedDocumentField", document=LABELS + kind) for one, kind in kinds.items()),
    ]
    return {
        "version": VERSION, "name": name, "media_type": "image", "sample_fields": fields,
        "classes": {field: list(classes) for field in kinds},
    }  # fmt: skip


def _field(
    name: str,
    kind: str,
    *,
    document: str | None = None,
    subfield: str | None = None,
    db_field: str = "",
    read_only: bool = False,
) -> Row:
    return {
        "name": name, "ftype": FIELDS + kind, "embedded_doc_type": document, "subfield": subfield, "fields": [],
        "db_field": db_field or name, "description": None, "info": None, "read_only": read_only,
    }  # fmt: skip
