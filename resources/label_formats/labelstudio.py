"""Label Studio: a JSON list of tasks, lengths in percent of the image; its full and its minimal export."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from brain_assets.resources.label_formats.annotations import (
    Annotations,
    Row,
    Unusable,
    ellipse,
    entries_of,
    names_of,
    nan_of,
    number_of,
    rotated,
)
from brain_assets.resources.label_formats.content import Content, text_of
from brain_assets.resources.label_formats.labelled import DIGITS, InOneFolder, Labelled, LabelledImage, LabelledObject

UPLOADED = re.compile(r"^[0-9a-f]{8}-")
PICTURE = re.compile(r"\.(jpe?g|png|bmp|webp|tiff?|gif|heic|avif|jp2|jxl)$", re.IGNORECASE)
LABELS = re.compile("^[a-z]*labels$")


class LabelStudio(InOneFolder):
    """Rectangles, polygons and ellipses that people drew in Label Studio."""

    name = "labelstudio"
    title = "Label Studio JSON"
    suffixes = frozenset({".json"})
    per_image = False

    def sniff(self, content: Content) -> bool:
        """Tell whether a file begins with a task."""
        tree = content.json
        first = tree[0] if isinstance(tree, list) and tree else None
        return isinstance(first, dict) and (
            isinstance(first.get("data"), dict) or bool({"annotator", "annotation_id", "lead_time"} & first.keys())
        )

    def read(self, content: Content) -> Annotations:
        """Return what it says; a task without regions is an image without objects."""
        found, images = Annotations(), dict[str, list[str]]()
        entries = enumerate(_regions(content.json, found, images), 1)
        found.each(entries, lambda line, one: _add(found, line, *one))
        return found

    holds = frozenset({"boxes", "outlines", "labels", "several"})

    def write(self, target: Path, dataset: Labelled) -> None:
        """Write tasks.json; the folder is what Label Studio must serve as local files."""
        tasks = [_task(number, image) for number, image in enumerate(dataset.images, 1)]
        (target / "tasks.json").write_text(json.dumps(tasks, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _task(number: int, image: LabelledImage) -> Row:
    task: Row = {"id": number, "data": {"image": f"/data/local-files/?d={quote(image.path)}"}, "annotations": []}
    size = {"original_width": image.width, "original_height": image.height, "image_rotation": 0}
    drawn = [region_of(one, f"{image.sample_id[:8]}-{place}", size) for place, one in enumerate(image.objects or [])]
    if image.labels:
        chosen = {"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": image.labels}}
        drawn.append({"id": f"{image.sample_id[:8]}-c", **chosen})
    if image.objects is not None or image.labels:
        task["annotations"] = [{"id": number, "result": drawn}]
    return task


def region_of(one: LabelledObject, name: str, size: Row) -> Row:
    """Return an object as a region of this name in an image whose ``original_width`` and so on are given."""
    region: Row = {"id": name, "from_name": "label", "to_name": "image", **size}
    if one.rings:
        ring = [round(value * 100, DIGITS) for value in one.ring()]
        points = [list(point) for point in zip(ring[0::2], ring[1::2], strict=True)]
        return region | {
            "type": "polygonlabels",
            "value": {"points": points, "closed": True, "polygonlabels": [one.label]},
        }
    place = dict(zip(("x", "y", "width", "height"), (round(value * 100, DIGITS) for value in one.box), strict=True))
    return region | {"type": "rectanglelabels", "value": {**place, "rotation": 0, "rectanglelabels": [one.label]}}


def _regions(tasks: Any, found: Annotations, images: dict[str, list[str]]) -> Iterator[tuple[Any, Row]]:
    """Yield what was drawn, with its image."""
    for place, task in enumerate(entries_of(tasks), 1):
        try:
            name = _image(task)
            drawn = list(drawn_in(task))
        except Exception as error:  # noqa: BLE001 - one odd task costs itself only
            yield error, {"image_id": f"task {place}"}
            continue
        if name not in images:
            images[name] = _names(name)
            sizes = [(one.get("original_width"), one.get("original_height")) for one in drawn if isinstance(one, dict)]
            found.add_image(name, images[name], sizes[0] if sizes else (None, None))
        for one in drawn:
            yield one, {"image_id": name, "keys": images[name]}


def _image(task: Mapping[str, Any]) -> str:
    """Return the address of a task's image: under whatever name, it is the first that looks like a picture."""
    data = task.get("data", task)
    texts = [value for value in data.values() if isinstance(value, str)]
    pictures = [text for text in texts if PICTURE.search(urlsplit(text).path) or PICTURE.search(text)]
    named = data.get("image") or data.get("img") or next(iter(pictures), "")
    if not named:
        raise Unusable("no_key", "no image among the task's data")
    return text_of(named)


def _names(address: str) -> list[str]:
    """Return what may name an image: its path, served or uploaded, and its name before it was uploaded."""
    parts = urlsplit(address.replace("\\", "/"))
    path = parse_qs(parts.query).get("d", [parts.path])[0]
    path = unquote(path).lstrip("/") if parts.scheme or parts.query or path.startswith("/data/") else unquote(path)
    bare = path.rsplit("/", 1)[-1]
    uploaded = UPLOADED.sub("", bare)
    return names_of(path) + ([f"//{uploaded}"] if uploaded != bare else [])


def drawn_in(task: Mapping[str, Any]) -> Iterator[Any]:
    """Yield a task's regions: of several annotators the one who is marked as right, else the last who did not skip it."""
    given = task.get("annotations", task.get("completions"))
    if given is None:
        lists = (value for value in task.values() if isinstance(value, list))
        yield from (one for one in chain.from_iterable(lists) if isinstance(one, dict) and "original_width" in one)
        return
    if not given and (predicted := [one for one in task.get("predictions") or [] if one.get("result")]):
        count = sum(len(one["result"]) for one in predicted)
        yield Unusable("not_reviewed", f"{count} regions that a model predicted, and none by a person")
    done = [one for one in given if not one.get("was_cancelled")]
    chosen = [one for one in done if one.get("ground_truth")] or done[-1:]
    for other in done:
        if other is not chosen[0]:
            yield Unusable("other_annotator", f"annotation {other.get('id')}: another of the same task is used")
    for one in chosen[:1]:
        yield from one.get("result") or []


def _add(found: Annotations, line: int, region: Any, image: Row) -> None:
    """Add an object, or the classes that were chosen for the whole image."""
    if choices := choices_of(region):
        found.add_label(line, image["keys"][0], choices)
    else:
        found.add(line, object_of(region, image))


def choices_of(region: Any) -> list[str]:
    """Return the classes that a region chooses for the whole image; empty where it is a part of it."""
    choices = region.get("value", region).get("choices") if isinstance(region, dict) else None
    return [text_of(one).strip() for one in choices] if isinstance(choices, list) else []


def object_of(region: Any, image: Row) -> Row:
    """Return a region as the row of an object; raises Unusable where it is none."""
    if isinstance(region, Unusable):
        raise region
    if isinstance(region, Exception):
        raise Unusable("unreadable", f"{image['image_id']}: {region}")
    value = region.get("value", region)
    labels = next((found for key, found in value.items() if LABELS.match(key) and isinstance(found, list)), [])
    if not labels:
        raise Unusable("shape", f"a {region.get('type', 'region')} is no labelled region of the image")
    return image | {
        "label": text_of(labels[0]).strip(),
        "confidence": number_of(region.get("score")),
        **_shape(value, region),
    }


def _shape(value: Mapping[str, Any], region: Mapping[str, Any]) -> Row:
    """Return a region as parts of the image's sides; what is turned is so in pixels."""
    wide, high = (number_of(region.get(f"original_{side}")) or 100.0 for side in ("width", "height"))
    degrees = number_of(value.get("rotation")) or 0.0
    if isinstance(points := value.get("points"), list):
        return {"relative": True, "polygon": [[float(part) / 100 for point in points for part in point[:2]]]}
    if "radiusX" in value:
        x, y, across, down = (nan_of(value.get(name)) / 100 for name in ("x", "y", "radiusX", "radiusY"))
        ring = ellipse((x * wide, y * high), (across * wide, down * high), degrees)
        return {"relative": True, "polygon": [_relative(ring, wide, high)]}
    if "rle" in value:
        raise Unusable("mask", "brush strokes are not read: export COCO or PNG masks from Label Studio's converter")
    x, y, width, height = (nan_of(value.get(name)) / 100 for name in ("x", "y", "width", "height"))
    if not degrees % 360:
        return {"relative": True, "box": [x, y, width, height]}
    # A rectangle is turned about its upper left corner.
    corners = rotated([x * wide, y * high, width * wide, height * high], degrees, (x * wide, y * high))
    return {"relative": True, "polygon": [_relative(corners, wide, high)]}


def _relative(ring: list[float], width: float, height: float) -> list[float]:
    return [value / (height if place % 2 else width) for place, value in enumerate(ring)]
