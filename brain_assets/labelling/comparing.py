"""What somebody did to an image in a label tool, as decisions: by what is different from how it was sent.

What they left as it was is not said again: so a correction that somebody else made meanwhile stands.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from brain_assets.resources.label_formats.annotations import GROUND_TRUTH
from brain_assets.resources.label_tools.door import Box, Content, Region
from brain_assets.resources.store.events import EventKind
from brain_assets.resources.store.label_tasks import Task
from brain_assets.review.corrections import confirmed_id, overlap, shape_value

Row = dict[str, Any]
# Tools keep lengths as parts of pixels on some screen: what differs by less than this part of the image was not moved.
MOVED = 0.002
# Of regions that the tool calls otherwise than they were sent, those that overlap so much are one.
SAME_REGION = 0.5
BOX = ("x", "y", "width", "height")


class Word(NamedTuple):
    """Something that is said of an image or an object by finished work."""

    kind: EventKind
    subject_id: str
    value: str | None = None


class Compared(NamedTuple):
    """What finished work says, what of it cannot be taken in, and the task as it stands there now."""

    words: Sequence[Word]
    unusable: Sequence[str]
    about: Mapping[str, Any]


def as_sent(region: Region, known: Mapping[str, Any]) -> Row:
    """Return a region as a task remembers it: as it stands there, with its ``object``, its ``source`` and ``label_field``."""
    place = {"name": region.name, "label": region.label, "box": list(region.box), "polygon": region.polygon}
    return {**place, **{name: known.get(name) for name in ("object", "source", "label_field")}}


def compare(task: Task, content: Content, unusable: Mapping[str, str]) -> Compared:
    """Return what finished work says.

    Of a label that was sent, another class is a ``relabel``, another place a ``reshape``, and that it is gone a ``drop``. What
    a model had found becomes a label by ``confirm``, or is no object by ``keep``: there is nothing missing. What is new
    is a ``draw``. A class of the whole image that was changed is a ``relabel``. A subject for which the image was sent and of
    which nothing is said was right: ``keep``.

    Parameters
    ----------
    task : Task
        As it was sent, or last taken in.
    content : Content
        What it holds now.
    unusable : mapping of str to str
        Regions that cannot be read, and why: they are left as they were.
    """
    about, words, faults = dict(task.about), list[Word](), [f"{name}: {why}" for name, why in unusable.items()]
    if content.regions is not None:
        regions = list(_apart(one for one in map(_within, content.regions) if one))
        faults += [f"{one.name}: its box has no area" for one in content.regions if not _within(one)]
        said, about["regions"] = _regions(task, regions, unusable)
        words += said
    if content.labels is not None and set(content.labels) != set(about.get("labels") or ()):
        fault = _label_fault(content.labels, several=bool(about.get("several")))
        if fault:
            faults.append(fault)
        else:
            words.append(Word("relabel", task.sample_id, ", ".join(content.labels)))
            about["labels"] = list(content.labels)
    told = {word.subject_id for word in words}
    words += [Word("keep", one) for one in about.get("flagged") or () if one not in told and not task.mark]
    return Compared(words, faults, about)


def _label_fault(labels: Sequence[str], *, several: bool) -> str:
    if not labels:
        return "the image's class was taken away, and no other was given"
    if len(labels) > 1 and not several:
        return f"several classes of one image ({', '.join(labels)}), where the dataset has one of each"
    return "a class with a comma in it" if several and any("," in one for one in labels) else ""


def _apart(regions: Iterable[Region]) -> Iterator[Region]:
    """Yield regions under names of their own: some tools let a copy keep that of what it was copied from."""
    seen = Counter[str]()
    for one in regions:
        seen[one.name] += 1
        yield one if seen[one.name] == 1 else replace(one, name=f"{one.name} ({seen[one.name]})")


def _within(region: Region) -> Region | None:
    """Return a region cut to its image; None where nothing is left."""
    x, y, width, height = region.box
    left, top, right, bottom = (min(max(value, 0.0), 1.0) for value in (x, y, x + width, y + height))
    if not (left < right and top < bottom):
        return None
    rings = region.polygon and [[min(max(value, 0.0), 1.0) for value in ring] for ring in region.polygon]
    return Region(region.name, region.label, (left, top, right - left, bottom - top), rings)


def _regions(task: Task, regions: Sequence[Region], unusable: Mapping[str, str]) -> tuple[list[Word], list[Row]]:
    """Return what is said of regions, and how they stand now; those that are gone are remembered as such."""
    sent: list[Row] = list(task.about.get("regions") or ())
    pairs = dict(_pairs(sent, regions))
    words, now = list[Word](), list[Row]()
    for place, known in enumerate(sent):
        region = next((one for one in regions if pairs.get(one.name) == place), None)
        if region is not None:
            said, stands = _changed(task, known, region)
        elif known.get("gone") or known["name"] in unusable:
            said, stands = [], known
        else:
            kind: EventKind = "drop" if known["source"] == GROUND_TRUTH else "keep"
            said, stands = [Word(kind, known["object"])], known | {"gone": True}
        words += said
        now.append(stands)
    for region in (one for one in regions if one.name not in pairs):
        drawn = _drawn(task, region)
        words.append(
            Word("draw", drawn["object"], _value(region, {"label": region.label, "label_field": drawn["label_field"]}))
        )
        now.append(drawn)
    return words, now


def _pairs(sent: Sequence[Row], regions: Sequence[Region]) -> Iterator[tuple[str, int]]:
    """Yield the name of each region with the place of the one that was sent: by name, else where it lies."""
    names = {one["name"]: place for place, one in enumerate(sent)}
    yield from ((one.name, names[one.name]) for one in regions if one.name in names)
    taken = {names[one.name] for one in regions if one.name in names}
    left = [
        (_alike(known, one), place, one.name)
        for one in regions if one.name not in names
        for place, known in enumerate(sent) if place not in taken and not known.get("gone")
    ]  # fmt: skip
    given: set[str] = set()
    for (_, common), place, name in sorted(left, key=lambda one: ([-part for part in one[0]], one[1:])):
        if common >= SAME_REGION and place not in taken and name not in given:
            taken.add(place)
            given.add(name)
            yield name, place


def _alike(known: Row, region: Region) -> tuple[bool, float]:
    boxes = (dict(zip(BOX, box, strict=True)) for box in (known["box"], region.box))
    return known["label"] == region.label, overlap(*boxes)


def _changed(task: Task, known: Row, region: Region) -> tuple[list[Word], Row]:
    """Return what is said of a region that was sent and is there, and how it stands now."""
    if known["source"] != GROUND_TRUTH:
        value = _value(region, {"label": region.label, "label_field": known["label_field"], "model": known["source"]})
        made = {"object": confirmed_id(known["object"], task.sample_id), "source": GROUND_TRUTH}
        return [Word("confirm", known["object"], value)], as_sent(region, known | made)
    words = [Word("confirm", known["object"])] if known.get("gone") else []
    if region.label != known["label"]:
        words.append(Word("relabel", known["object"], region.label))
    if moved := _moved(known, region):
        words.append(Word("reshape", known["object"], _value(region, {})))
    # What was not moved keeps its place to the last digit, so that many small moves do not pass unseen.
    stands = region if moved else Region(region.name, region.label, _box(known), known["polygon"])
    return words, as_sent(stands, known)


def _box(known: Row) -> Box:
    x, y, width, height = known["box"]
    return x, y, width, height


def _moved(known: Row, region: Region) -> bool:
    theirs = region.polygon or [list(region.box)]
    ours = (known["polygon"] if region.polygon else None) or [known["box"]]
    if [len(ring) for ring in ours] != [len(ring) for ring in theirs]:
        return True
    pairs = (pair for one, other in zip(ours, theirs, strict=True) for pair in zip(one, other, strict=True))
    return any(abs(one - other) > MOVED for one, other in pairs)


def _drawn(task: Task, region: Region) -> Row:
    """Return a new region with the id of its object: the same one, however often the work is taken in."""
    text = " ".join([*task.place, task.task, region.name])
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:12]
    known = {"object": task.sample_id + digest, "source": GROUND_TRUTH, "label_field": task.about.get("label_field")}
    return as_sent(region, known)


def _value(region: Region, known: Row) -> str:
    return shape_value(known, dict(zip(BOX, region.box, strict=True)) | {"polygon": region.polygon})
