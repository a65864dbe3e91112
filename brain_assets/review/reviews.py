"""Between the page and its store: who is meant by a selection, and what was said so far as columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.resources.store.events import Event, Events, Subject, standing
from brain_assets.review.refusal import Refused
from brain_assets.review.sets import Frame, OpenSet
from brain_assets.review.wire import positions_of

# What was decided under another name of the same file; the page's own store knows the rest.
INHERITED = """
insert into review_decisions select subject_id, kind, content_hash from decisions where holds and said_of != subject_id
qualify row_number() over (partition by subject_id order by decided_at desc) = 1
"""


@dataclass(frozen=True)
class Selection:
    """Who is meant: ``ids``, or ``bits`` over the positions of a frame (base64, lowest bit first)."""

    frame: Frame
    ids: list[str] | None = None
    bits: str | None = None


def record(opened: OpenSet, selection: Selection, event: Event, events: Events) -> tuple[int, int]:
    """Note what was said about a selection and its content; return the event and how many it is about.

    Raises
    ------
    Refused
        422 where nothing is selected, or where what a model found would be relabelled; 404 where an id is unknown.
    """
    chosen = _chosen(opened, selection)
    if not len(chosen):
        raise Refused(422, "nothing is selected")
    cursor = opened.cursor()
    cursor.register("chosen", pa.table({"position": chosen}))
    if event.kind == "relabel" and selection.frame == "objects":
        _refuse_what_models_found(opened, cursor)
    query = f"select subject_id, content_hash from ({contents(opened, selection.frame)}) join chosen using (position)"
    found = cursor.execute(f"{query} order by position")
    return events.append(event, _streamed(found)), len(chosen)


def _refuse_what_models_found(opened: OpenSet, cursor: Any) -> None:
    found = (
        f"select 1 from {opened.frame('objects')} join chosen using (position) where source != 'ground_truth' limit 1"
    )
    if cursor.execute(found).fetchone():
        raise Refused(422, "only labels can be changed, not what a model found")


def ids_of(opened: OpenSet, selection: Selection) -> list[str]:
    """Return the ids of a selection, ascending.

    Raises
    ------
    Refused
        422 where nothing is selected, 404 where an id is unknown.
    """
    chosen = _chosen(opened, selection)
    if not len(chosen):
        raise Refused(422, "nothing is selected")
    return [one.decode() for one in opened.ids(selection.frame)[chosen].tolist()]


def images_of(opened: OpenSet, objects: list[str]) -> list[str]:
    """Return the ids of the images that some objects are in, ascending."""
    held = opened.positions("objects", objects)
    cursor = opened.cursor()
    cursor.register("chosen", pa.table({"position": pa.array(held, pa.int64())}))
    query = f"""
        select distinct image.subject_id from {opened.frame("objects")} object join chosen using (position)
        join {opened.frame("images")} image on image.position = object.sample_at order by 1"""
    return [row[0] for row in cursor.execute(query).fetchall()]


def _streamed(cursor: Any) -> Iterator[Subject]:
    while rows := cursor.fetchmany(10_000):
        yield from rows


def _chosen(opened: OpenSet, selection: Selection) -> NDArray[np.int64]:
    if selection.bits is not None:
        return positions_of(selection.bits, opened.count(selection.frame))
    positions = opened.positions(selection.frame, dict.fromkeys(selection.ids or []))
    if -1 in positions:
        raise Refused(404, "an id is unknown to this version of the dataset; reload the page")
    return np.array(sorted(positions), np.int64)


def contents(opened: OpenSet, frame: Frame) -> str:
    """Return a query of position, subject_id and content_hash; an object has the content of its image."""
    if frame == "images":
        return f"select position, subject_id, content_hash from {opened.frame(frame)}"
    images = f"{opened.frame('images')} s on s.position = o.sample_at"
    return f"select o.position, o.subject_id, s.content_hash from {opened.frame(frame)} o join {images}"


def synchronise(opened: OpenSet, events: Events) -> None:
    """Bring the columns ``tags`` and ``decision`` of a set up to the last event, at the cost of what was said since."""
    with opened.lock:
        known, last = opened.memo.get("events", 0), events.last()
        cursor = opened.cursor()
        cursor.execute("begin transaction")
        if "events" not in opened.memo and opened.has("tags", "subject_id", "tag"):
            cursor.execute("insert into review_tags select distinct subject_id, tag from tags")
        if "events" not in opened.memo and opened.has("decisions", "said_of", "holds"):
            cursor.execute(INHERITED)
        if last > known:
            _take_in_tags(cursor, events, known)
            _take_in_decisions(cursor, events, known)
        cursor.execute("commit")
        opened.memo["events"] = last


def _take_in_tags(cursor: Any, events: Events, since: int) -> None:
    """Update ``review_tags``: the store has the last word on what it knows, the published table on the rest."""
    rows = [(state.subject_id, state.tag, state.present) for state in events.tags(since=since)]
    cursor.register("said", _table(rows, [("subject_id", pa.string()), ("tag", pa.string()), ("present", pa.bool_())]))
    cursor.execute(
        "delete from review_tags using said where review_tags.subject_id = said.subject_id and review_tags.tag = said.tag"
    )
    cursor.execute("insert into review_tags select subject_id, tag from said where present")


def _take_in_decisions(cursor: Any, events: Events, since: int) -> None:
    """Update ``review_decisions``: the last decision that stands on each subject."""
    decisions = events.decisions(since=since)
    latest = {
        subject: max(aspects.values(), key=lambda one: one.at) for subject, aspects in standing(decisions).items()
    }
    touched = sorted({decision.subject_id for decision in decisions})
    cursor.register("touched", _table([(subject,) for subject in touched], [("subject_id", pa.string())]))
    cursor.execute("delete from review_decisions where subject_id in (select subject_id from touched)")
    rows = [(subject, decision.kind, decision.content_hash) for subject, decision in latest.items()]
    columns = [("subject_id", pa.string()), ("kind", pa.string()), ("content_hash", pa.string())]
    cursor.register("decided", _table(rows, columns))
    cursor.execute("insert into review_decisions select * from decided")


def _table(rows: list[tuple[Any, ...]], columns: list[tuple[str, pa.DataType]]) -> pa.Table:
    turned: list[Any] = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in columns]
    return pa.table({name: pa.array(values, type_) for (name, type_), values in zip(columns, turned, strict=True)})
