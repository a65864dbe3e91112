"""WebDataset: tar files of images, each with what is known of it beside, under one key."""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from brain_assets.resources.label_formats.annotations import (
    Annotations,
    Row,
    Unusable,
    entries_of,
    nan_of,
)
from brain_assets.resources.label_formats.class_names import ClassNames, names_above
from brain_assets.resources.label_formats.content import Content, text_of
from brain_assets.resources.label_formats.labelled import Labelled, LabelledImage, inside, pixels
from brain_assets.resources.local_files import open_local
from brain_assets.resources.media.archives import SEPARATOR
from brain_assets.resources.media.candidates import IMAGE_SUFFIXES
from brain_assets.resources.tabular import WHOLE_FILE, Rejected

SHARD = 1000
"""Images of a tar file."""
SUFFIXES = (".tar", ".tar.gz", ".tgz")
CLASS, WORDS = ".cls", ".json"
OBJECTS = "objects"
NAMES = ("labels", "label", "class", "class_name", "category", "cls")
LOOKED_AT = 20
MOST_BYTES = 1 << 24
"""Of what is said of an image; more is no description of one."""


@dataclass
class _Parts:
    """What a tar file holds under one key: its image's name, what is said of it, and which other parts there are."""

    image: str = ""
    said: dict[str, bytes] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)


class WebDataset:
    """Shards of up to a thousand images, with the class of each in ``.cls``, or classes and objects in ``.json``."""

    name = "webdataset"
    title = "WebDataset"
    suffixes = frozenset({".tar", ".gz", ".tgz"})
    per_image = False
    holds = frozenset({"labels", "several", "boxes", "outlines", "crowds", "splits", "tags"})
    packs = True

    def sniff(self, content: Content) -> bool:
        """Tell whether a file is called like a tar file."""
        return content.path.name.lower().endswith(SUFFIXES)

    def read(self, content: Content) -> Annotations:
        """Return what is said of the images in a tar file; they are samples where the file is among the media, too."""
        found, classes = Annotations(), names_above(content.path)
        with open_local(content.path) as file, closing(tarfile.open(fileobj=file, mode="r:*")) as tar:
            samples = _samples(tar)
        here = content.path.absolute().as_posix()
        told = [(one, f"{here}{SEPARATOR}{one.image}") for one in samples.values() if one.image]
        objects: list[tuple[str, Any]] = []
        found.each(enumerate(told, 1), lambda line, one: objects.extend(_add(found, line, one, classes)))
        found.each(enumerate(objects, 1), lambda line, one: _add_object(found, line, *one))
        if not any(one.said for one, _ in told):
            found.rejected.append(Rejected(WHOLE_FILE, "no_label", _what([one for one, _ in told])))
        return found

    def place(self, image: LabelledImage, folder: str) -> str:
        """Return the key of an image in its tar file: dots end a key."""
        path = PurePosixPath(*inside(folder, image))
        return (
            "/".join([*filter(None, [folder]), path.with_suffix("").as_posix().replace(".", "_")]) + path.suffix.lower()
        )

    def write(self, target: Path, dataset: Labelled) -> None:
        """Write SPLIT-000000.tar and so on: the image, .json, and .cls with the number of its class in classes.txt."""
        for split, members in dataset.by_split():
            for start in range(0, len(members), SHARD):
                path = target / f"{split or 'all'}-{start // SHARD:06}.tar"
                with tarfile.open(path, "w") as tar:
                    for image in members[start : start + SHARD]:
                        _pack(tar, image, dataset)
        (target / "classes.txt").write_text("".join(f"{name}\n" for name in dataset.classes), "utf-8")


def says_of_images(path: Path) -> bool:
    """Tell by the first members of an archive whether it is a tar file in which classes stand beside images."""
    if not path.name.lower().endswith(SUFFIXES):
        return False
    try:
        with open_local(path) as file, closing(tarfile.open(fileobj=file, mode="r:*")) as tar:
            return any(member.name.endswith((CLASS, WORDS)) for member in islice(tar, LOOKED_AT))
    except (OSError, tarfile.TarError, EOFError, ValueError):
        return False


def _samples(tar: tarfile.TarFile) -> Mapping[str, _Parts]:
    """Return what is under each key: a path up to the first dot of its name."""
    found: dict[str, _Parts] = {}
    for member in tar:
        folder, slash, bare = member.name.rpartition("/")
        key, dot, suffix = bare.partition(".")
        if not member.isfile() or not key or not dot:
            continue
        parts, suffix = found.setdefault(f"{folder}{slash}{key}", _Parts()), f".{suffix.lower()}"
        if suffix in IMAGE_SUFFIXES:
            parts.image = parts.image or member.name.removeprefix("./")
        elif suffix in {CLASS, WORDS} and member.size <= MOST_BYTES and (part := tar.extractfile(member)):
            parts.said[suffix] = part.read()
        else:
            parts.others.add(suffix)
    return found


def _what(samples: Sequence[_Parts]) -> str:
    """Return in a few words what a file holds in which nobody says anything of an image."""
    if not samples:
        return "no images are in it"
    others = sorted({suffix for one in samples for suffix in one.others})
    return f"beside images are {', '.join(others) or 'no other parts'}; classes are read from {CLASS} and {WORDS}"


def _add(found: Annotations, line: int, sample: tuple[_Parts, str], classes: ClassNames) -> Iterator[tuple[str, Any]]:
    """Add the classes of an image, and yield what is said of its objects."""
    one, address = sample
    tree = json.loads(one.said[WORDS]) if WORDS in one.said else {}
    tree = tree if isinstance(tree, dict) else {}
    if one.said.keys() == {WORDS} and not tree.keys() & {*NAMES, OBJECTS}:
        raise Unusable("no_label", f"JSON with {', '.join(map(str, list(tree)[:8])) or 'nothing in it'}")
    given = next((tree[name] for name in NAMES if tree.get(name) not in (None, [], "")), None)
    if given is None and CLASS in one.said:
        given = one.said[CLASS].decode("utf-8", "replace").strip()
    labels = [_class(label, classes) for label in (given if isinstance(given, list) else [given]) if label is not None]
    if labels:
        found.add_label(line, address, labels)
    if tree.get(OBJECTS) is not None:
        found.add_image(address, [address], (tree.get("width"), tree.get("height")))
        yield from ((address, entry) for entry in entries_of(tree[OBJECTS]))


def _class(label: Any, classes: ClassNames) -> str:
    text = text_of(label).strip()
    return classes.names.get(text, text)


def _add_object(found: Annotations, line: int, address: str, one: Any) -> None:
    if not isinstance(one, dict):
        raise Unusable("unreadable", f"a {type(one).__name__} instead of an object")
    box = [nan_of(value) for value in entries_of(one.get("bbox"))]
    rings = [[float(value) for value in ring] for ring in one.get("segmentation") or []]
    label = next((text_of(one[name]).strip() for name in ("label", "category") if one.get(name) is not None), "")
    row: Row = {"keys": [address], "image_id": address, "label": label, "box": box, "iscrowd": bool(one.get("iscrowd"))}
    found.add(line, row | ({"polygon": rings} if rings else {}))


def _pack(tar: tarfile.TarFile, image: LabelledImage, dataset: Labelled) -> None:
    data = dataset.read(image)
    if data is None:
        return
    parts = {PurePosixPath(image.path).suffix: data, ".json": json.dumps(_packed(image), ensure_ascii=False).encode()}
    if len(image.labels) == 1:
        parts[".cls"] = str(dataset.classes.index(image.labels[0])).encode()
    for suffix, content in parts.items():
        member = tarfile.TarInfo(image.stem + suffix)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


def _packed(image: LabelledImage) -> Row:
    row: Row = {"filepath": image.filepath, "labels": image.labels, "tags": image.tags, "split": image.split}
    row |= {"width": image.width, "height": image.height}
    if image.objects is not None:
        row["objects"] = [
            {"label": one.label, "bbox": pixels(one.box, image), "segmentation": one.sized(image.width, image.height) or None,
             "iscrowd": int(one.crowd)}
            for one in image.objects
        ]  # fmt: skip
    return row
