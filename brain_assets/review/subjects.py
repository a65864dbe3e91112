"""What the grid, the detail panel, the queues and the groups show of each subject."""

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

from brain_assets.review.columns import columns
from brain_assets.review.events import Events, standing
from brain_assets.review.sets import Frame, OpenSet, quote

Row = dict[str, Any]
MOST_BOXES = 200
AMONG = "(select unnest(?::varchar[]))"
BOX = "sample_id, object_id, label, source, confidence, x, y, width, height"


def fetch(opened: OpenSet, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
    """Return the rows of a query by column name, fit for JSON."""
    cursor = opened.cursor().execute(query, list(parameters))
    names = [column[0] for column in cursor.description or ()]
    return [{name: plain(value) for name, value in zip(names, row, strict=True)} for row in cursor.fetchall()]


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it; what is not finite becomes None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value if isinstance(value, (str, int, float, bool, type(None), dict)) else str(value)


def rows_at(opened: OpenSet, frame: Frame, positions: Sequence[int], events: Events) -> list[Row]:
    """Return what the grid shows of the subjects at some positions, in their order."""
    frame_rows = fetch(
        opened,
        f"select * from {opened.frame(frame)} where position in (select unnest(?::integer[]))",
        [list(positions)],
    )
    described = describe(opened, frame, [row["subject_id"] for row in frame_rows], events)
    by_position = {row["position"]: row | described.get(row["subject_id"], {}) for row in frame_rows}
    return [by_position[position] for position in positions if position in by_position]


def describe(opened: OpenSet, frame: Frame, subjects: Sequence[str], events: Events) -> dict[str, Row]:
    """Return what a card shows, per subject id; ids that this set does not know are left out."""
    ids = list(dict.fromkeys(subjects))
    found = {row["subject_id"]: row for row in fetch(opened, _cards(opened, frame), [ids])}
    for part in (_given(opened, frame, ids), _flagged(opened, frame, ids)):
        for row in part:
            found[row.pop("subject_id")].update(row)
    _add_boxes(opened, found)
    _add_reviews(opened, found, events)
    return found


def _cards(opened: OpenSet, frame: Frame) -> str:
    wanted = [name for name in ("filepath", "status", "error", "content_hash", "split") if opened.has("samples", name)]
    shown = ", ".join(f"s.{quote(name)}" for name in wanted)
    if frame == "images":
        return f"select sample_id as subject_id, sample_id, {shown} from samples s where sample_id in {AMONG}"
    return f"""
        select o.object_id as subject_id, s.sample_id, o.object_id, o.label, o.source, {shown}
        from objects o join samples s using (sample_id) where o.object_id in {AMONG}
    """


def _given(opened: OpenSet, frame: Frame, ids: list[str]) -> list[Row]:
    """Return the default labels and predictions of images."""
    known = columns(opened, frame)
    wanted = [known[name] for name in ("label", "prediction", "confidence") if name in known and frame == "images"]
    found: dict[str, Row] = {}
    for column in wanted:
        query = f"select subject_id, value as {quote(column.name)} from ({column.relation})"
        for row in fetch(opened, f"{query} where subject_id in {AMONG}", [ids]):
            found.setdefault(row["subject_id"], {}).update(row)
    return list(found.values())


def _flagged(opened: OpenSet, frame: Frame, ids: list[str]) -> list[Row]:
    column = columns(opened, frame).get("issues")
    if column is None:
        return []
    query = f"select subject_id, value as issues from ({column.relation}) where value is not null"
    return fetch(opened, f"{query} and subject_id in {AMONG}", [ids])


def _add_boxes(opened: OpenSet, cards: dict[str, Row]) -> None:
    if not opened.has("objects", "object_id"):
        return
    samples = list({row["sample_id"] for row in cards.values()})
    boxes: dict[str, list[Row]] = {}
    for row in fetch(
        opened,
        f"select {BOX} from objects where sample_id in {AMONG} order by object_id",
        [samples],
    ):
        boxes.setdefault(row.pop("sample_id"), []).append(row)
    for row in cards.values():
        row["boxes"] = boxes.get(row["sample_id"], [])[:MOST_BOXES]


def _add_reviews(opened: OpenSet, cards: dict[str, Row], events: Events) -> None:
    said = {(state.subject_id, state.tag): state.present for state in events.tags(list(cards))}
    published = []
    if opened.has("tags", "subject_id", "tag"):
        published = fetch(opened, f"select subject_id, tag from tags where subject_id in {AMONG}", [list(cards)])
    for row in published:
        said.setdefault((row["subject_id"], row["tag"]), True)
    for (subject, tag), present in sorted(said.items()):
        if present:
            cards[subject].setdefault("tags", []).append(tag)
    for subject, aspects in standing(events.decisions(list(cards))).items():
        current = cards[subject].get("content_hash")
        holding = {name: decision for name, decision in aspects.items() if decision.content_hash == current}
        cards[subject]["decided"] = {
            name: {"kind": d.kind, "value": d.value, "by": d.by, "at": d.at} for name, d in holding.items()
        }
