"""Corrections of labels: objects drawn, moved, renamed, removed or confirmed, and how images look with them before a run."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brain_assets.resources.label_formats.annotations import GROUND_TRUTH
from brain_assets.resources.store.events import ASPECTS, Decision, Event, Events, Subject, standing
from brain_assets.review.columns import columns
from brain_assets.review.refusal import Refused
from brain_assets.review.sets import OpenSet

Row = dict[str, Any]
MOST_BOXES = 200
SHAPE = ("x", "y", "width", "height", "polygon")
"""What a reshape says of an object."""
AMONG = "(select unnest(?::varchar[]))"
# Two boxes of one class that overlap so much are one object.
SAME_OBJECT = 0.5


@dataclass(frozen=True)
class Corrected:
    """One correction of an image's objects, as it is asked for.

    Attributes
    ----------
    sample_id : str
        The image.
    kind : str
        draw, reshape, relabel, drop, keep or confirm.
    object_id : str, optional
        The object; a drawn one gets an id.
    label : str, optional
        The class of what is drawn, relabelled, or confirmed under another name.
    shape : mapping, optional
        Box and outline of what is drawn or reshaped.
    like : str, optional
        The object whose shape is taken instead.
    """

    sample_id: str
    kind: Any
    object_id: str | None = None
    label: str | None = None
    shape: Mapping[str, Any] | None = None
    like: str | None = None


def correct(opened: OpenSet, asked: Corrected, said: Event, events: Events) -> tuple[int, str]:
    """Note a correction; return the event and the object that it is about.

    Parameters
    ----------
    opened : OpenSet
    asked : Corrected
    said : Event
        Who says it, and in which queue; kind and value are those of the correction.
    events : Events

    Raises
    ------
    Refused
        404 where image or object are unknown; 422 where something is missing, or a prediction would be changed.
    """
    content = _content(opened, asked.sample_id)
    boxes = {box["object_id"]: box for box in boxes_of(opened, [asked.sample_id], events, None)[asked.sample_id]}
    value: str | None
    if asked.kind == "draw":
        object_id = asked.sample_id + secrets.token_hex(6)
        value = _drawn(opened, asked, list(boxes.values()))
    else:
        object_id = asked.object_id or ""
        if object_id not in boxes:
            raise Refused(404, "this image has no such object; reload the page")
        value = _changed(asked, boxes[object_id], boxes)
    event = Event(asked.kind, said.by, value, said.issue)
    return events.append(event, [(object_id, content)]), object_id


def _content(opened: OpenSet, sample_id: str) -> str | None:
    (position,) = opened.positions("images", [sample_id])
    row = opened.cursor().execute(f"select content_hash from {opened.frame('images')} where position = ?", [position])
    for (content,) in row.fetchall():
        return str(content) if content is not None else None
    raise Refused(404, "there is no such image")


def _drawn(opened: OpenSet, asked: Corrected, boxes: Sequence[Row]) -> str:
    if not asked.label or not asked.shape:
        raise Refused(422, "a new object needs a class and a box")
    fields = [box["label_field"] for box in boxes if box["source"] == GROUND_TRUTH and box.get("label_field")]
    return shape_value({"label": asked.label, "label_field": fields[0] if fields else usual_field(opened)}, asked.shape)


def usual_field(opened: OpenSet) -> str:
    """Return the field of most labels of objects."""
    if not opened.has("objects", "label_field"):
        return GROUND_TRUTH
    query = "select label_field from objects where source = 'ground_truth' group by 1 order by count(*) desc, 1 limit 1"
    found = opened.cursor().execute(query).fetchone()
    return str(found[0]) if found else GROUND_TRUTH


def _changed(asked: Corrected, box: Row, boxes: Mapping[str, Row]) -> str | None:
    """Return what is said of an object that is there."""
    if asked.kind == "confirm":
        return None if box["source"] == GROUND_TRUTH else found_value(box, asked.label)
    if asked.kind in ("keep", "drop"):
        return None
    if box["source"] != GROUND_TRUTH:
        raise Refused(422, "only labels can be changed, not what a model found: confirm it first")
    if asked.kind == "relabel":
        if not asked.label:
            raise Refused(422, "relabel needs a class")
        return asked.label
    shape = boxes.get(asked.like, {}) if asked.like else asked.shape
    if not shape:
        raise Refused(422, "a new box is needed, or an object whose box is taken")
    return shape_value({}, shape)


def found_value(box: Row, label: str | None = None) -> str:
    """Return what a model found as a reviewer's word for it, complete, so that it stands without the model."""
    known = {
        "label": label or box["label"],
        "label_field": box.get("label_field") or GROUND_TRUTH,
        "model": box["source"],
    }
    return shape_value(known, box)


def shape_value(known: Row, shape: Mapping[str, Any]) -> str:
    """Return what is known of an object, with its box and outline, as the value of a word."""
    return json.dumps(known | {name: shape.get(name) for name in SHAPE})


# -- as images look with what was said -----------------------------------------------------------------------------------


def boxes_of(
    opened: OpenSet, samples: Sequence[str], events: Events, most: int | None = MOST_BOXES, *, outlines: bool = True
) -> dict[str, list[Row]]:
    """Return the boxes of images as reviewers left them, those included that no run has taken in yet.

    Each has object_id, label, source, confidence, box, where known label_field and outline; ``dropped`` where a reviewer
    took it away, and ``corrected`` where one changed or made it.
    """
    boxes: dict[str, list[Row]] = {sample: [] for sample in samples}
    for row in _published(opened, samples, outlines=outlines):
        boxes[row.pop("sample_id")].append(row)
    decisions: dict[str, list[Decision]] = {}
    width = {len(sample) for sample in samples}
    for decision in events.decisions_inside(samples):
        for size in width:
            if decision.subject_id[:size] in boxes and len(decision.subject_id) > size:
                decisions.setdefault(decision.subject_id[:size], []).append(decision)
    contents = _contents(opened, list(decisions))
    for sample, said in decisions.items():
        current = [one for one in said if one.content_hash == contents.get(sample)]
        boxes[sample] = corrected(boxes[sample], current, sample)
    return {sample: found if most is None else found[:most] for sample, found in boxes.items()}


def _published(opened: OpenSet, samples: Sequence[str], *, outlines: bool) -> list[Row]:
    if "objects" not in opened.frames():
        return []
    places = [place for place in opened.positions("images", samples) if place >= 0]
    query = f"""
        select i.subject_id as sample_id, o.subject_id as object_id, o.* exclude (position, subject_id, sample_at)
        from {opened.frame("objects")} o join {opened.frame("images")} i on i.position = o.sample_at
        where o.sample_at in (select unnest(?::integer[])) and o.x is not null order by o.position"""
    rows = _rows(opened, query, [places])
    names = [name for name in ("label_field", "polygon") if opened.has("objects", name)]
    if outlines and names and rows:
        more = _rows(
            opened, f"select object_id, {', '.join(names)} from objects where sample_id in {AMONG}", [list(samples)]
        )
        known = {row["object_id"]: row for row in more}
        rows = [row | known.get(row["object_id"], {}) for row in rows]
    return rows


def _rows(opened: OpenSet, query: str, parameters: Sequence[Any]) -> list[Row]:
    cursor = opened.cursor().execute(query, list(parameters))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _contents(opened: OpenSet, samples: Sequence[str]) -> dict[str, str | None]:
    if not samples:
        return {}
    places = opened.positions("images", samples)
    query = (
        f"select subject_id, content_hash from {opened.frame('images')} where position in (select unnest(?::integer[]))"
    )
    return dict(opened.cursor().execute(query, [places]).fetchall())


def corrected(boxes: Iterable[Row], decisions: Sequence[Decision], sample: str) -> list[Row]:
    """Return boxes with decisions laid over them, as the table ``objects`` will have them."""
    words = standing(decisions)
    made = _made(words, sample)
    # Whose making was taken back since it was published, is there no more.
    undone = _made(standing(one._replace(undone_at=None) for one in decisions), sample).keys() - made.keys()
    found = {box["object_id"]: box for box in boxes if box["object_id"] not in undone}
    for object_id, (box, _) in made.items():
        found.setdefault(object_id, box | {"object_id": object_id, "corrected": True})
    return [_with_words(box, words.get(key, {}), made.get(key, (None, 0))[1]) for key, box in found.items()]


def _made(words: Mapping[str, Mapping[str, Decision]], sample: str) -> dict[str, tuple[Row, int]]:
    """Return the labels that were drawn or confirmed, by id, with the event that made each."""
    found = {}
    for subject, aspects in words.items():
        if len(subject) > len(sample) and (drawn := aspects.get("made")):
            found[subject] = _box(drawn), number_of(drawn)
        if (fate := aspects.get("fate")) and fate.kind == "confirm" and fate.value:
            found[confirmed_id(subject, sample)] = _box(fate), number_of(fate)
    return found


def confirmed_id(object_id: str, sample: str) -> str:
    """Return the id of the label that is made of what a model found, as the store's ``confirmed_id`` does."""
    return sample + hashlib.md5(object_id.encode(), usedforsecurity=False).hexdigest()[:12]


def number_of(decision: Decision) -> int:
    """Return the number of the event that a decision was made in."""
    return int(decision.decision_id.partition("-")[0])


def _box(decision: Decision) -> Row:
    value = json.loads(decision.value or "{}")
    named = {name: value.get(name) for name in ("label", "label_field", *SHAPE)}
    return {**named, "source": GROUND_TRUTH, "confidence": None}


def _with_words(box: Row, words: Mapping[str, Decision], made: int) -> Row:
    is_label = box["source"] == GROUND_TRUTH
    if is_label and (label := words.get(ASPECTS["relabel"])):
        box = box | {"label": label.value, "corrected": True}
    if is_label and (shape := words.get(ASPECTS["reshape"])):
        box = box | {name: json.loads(shape.value or "{}").get(name) for name in SHAPE} | {"corrected": True}
    if (fate := words.get("fate")) and number_of(fate) > made:
        box = box | {"dropped": fate.kind == "drop", "fate": fate.kind}
    return box


# -- many at once --------------------------------------------------------------------------------------------------------


def approve(opened: OpenSet, ids: Sequence[str], event: Event, events: Events) -> tuple[int, int, int]:
    """Make labels of what models found; return the event, how many it is about, and how many were left out.

    Left out is what lies on a label of its class already, or on another that was approved with a higher confidence.
    """
    rows = _rows(
        opened,
        f"select object_id, sample_id from objects where source != 'ground_truth' and object_id in {AMONG}",
        [list(ids)],
    )
    samples = sorted({row["sample_id"] for row in rows})
    wanted = {row["object_id"] for row in rows}
    chosen: list[Subject] = []
    for start in range(0, len(samples), 500):
        some = samples[start : start + 500]
        contents = _contents(opened, some)
        for sample, boxes in boxes_of(opened, some, events, None).items():
            there = [box for box in boxes if box["source"] == GROUND_TRUTH and not box.get("dropped")]
            added = additional(there, boxes, wanted)
            chosen += [(box["object_id"], contents[sample], found_value(box)) for box in added]
    if not chosen:
        raise Refused(422, "nothing was found here that is not labelled yet")
    return events.append(event, chosen), len(chosen), len(wanted) - len(chosen)


def additional(there: Iterable[Row], boxes: Iterable[Row], wanted: set[str]) -> Iterator[Row]:
    """Yield those of an image's predictions that are not among what is there yet, the surest first, each object once."""
    known = list(there)
    asked = [box for box in boxes if box["object_id"] in wanted and box["source"] != GROUND_TRUTH]
    for box in sorted(asked, key=lambda one: (-(one["confidence"] or 0), one["object_id"])):
        if all(box["label"] != one["label"] or overlap(box, one) < SAME_OBJECT for one in known):
            known.append(box)
            yield box


def overlap(one: Row, other: Row) -> float:
    """Return the intersection of two boxes over their union, in [0, 1].

    >>> overlap({"x": 0, "y": 0, "width": 2, "height": 1}, {"x": 1, "y": 0, "width": 1, "height": 1})
    0.5
    """
    across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
    down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
    common = max(0.0, across) * max(0.0, down)
    both = one["width"] * one["height"] + other["width"] * other["height"] - common
    return float(common / both) if both else 0.0


def approve_labels(opened: OpenSet, ids: Sequence[str], event: Event, events: Events) -> tuple[int, int, int]:
    """Give images the classes that a model predicts; return the event, how many it is about, and how many had them."""
    prediction, label = (columns(opened, "images").get(name) for name in ("prediction", "label"))
    if prediction is None:
        raise Refused(422, "no model has predicted classes of images")
    given = f"({label.relation})" if label else "(select null::varchar as subject_id, null::varchar as value)"
    query = f"""
        select p.subject_id, s.content_hash, p.value from ({prediction.relation}) p
        join samples s on s.sample_id = p.subject_id left join {given} g using (subject_id)
        where p.subject_id in {AMONG} and p.value is not null and p.value::varchar is distinct from g.value::varchar
        order by all"""
    rows = opened.cursor().execute(query, [list(ids)]).fetchall()
    if not rows:
        raise Refused(422, "the labels are what is predicted already")
    return events.append(event, rows), len(rows), len(ids) - len(rows)


def say_of_pairs(opened: OpenSet, ids: Sequence[str], event: Event, events: Events) -> tuple[int, int]:
    """Note what images are to each other, each to each; return the event and of how many it is.

    It is said of their contents: it holds under other names, and for every later run.
    """
    contents = _contents(opened, ids)
    if -1 in opened.positions("images", ids) or len(ids) < 2:
        raise Refused(422, "two images or more are needed")
    different = {content for content in contents.values() if content}
    if len(different) < 2:
        raise Refused(422, "these are the same file twice: keep both or drop one")
    subjects: list[Subject] = [
        (one, content, json.dumps(sorted(different - {content}))) for one, content in contents.items() if content
    ]
    return events.append(event, subjects), len(subjects)


def decided_pairs(events: Events) -> dict[tuple[str, str], str]:
    """Return what was said of pairs of contents and holds: the kind, by the two contents in order."""
    found: dict[tuple[str, str], str] = {}
    for decision in events.pairs():
        if decision.undone_at is None:
            for partner in json.loads(decision.value or "[]"):
                first, second = sorted((decision.content_hash or "", partner))
                found[first, second] = decision.kind
    return found
