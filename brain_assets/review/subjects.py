"""What the grid, the detail panel, the queues and the groups show of each subject."""

import math
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from brain_assets.resources.store.events import Events, standing
from brain_assets.review import corrections
from brain_assets.review.columns import columns, values_of
from brain_assets.review.sets import CARD, Frame, OpenSet

Row = dict[str, Any]
AMONG = "(select unnest(?::varchar[]))"
AT = "(select unnest(?::integer[]))"


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


def cards_of(opened: OpenSet, frame: Frame, ids: Iterable[str], events: Events) -> dict[str, Row]:
    """Return what a card shows, per subject id; ids that this set does not know are left out."""
    positions = [position for position in opened.positions(frame, ids) if position >= 0]
    return {card["subject_id"]: card for card in cards_at(opened, frame, positions, events)}


def cards_at(opened: OpenSet, frame: Frame, positions: Sequence[int], events: Events) -> list[Row]:
    """Return what cards show of the subjects at some positions, in their order."""
    found = {card["position"]: card for card in fetch(opened, _card_query(opened, frame), [list(positions)])}
    for name in ("label", "prediction", "confidence", "issues"):
        _add_column(opened, frame, name, found)
    _add_boxes(opened, list(found.values()), events)
    _add_reviews(opened, {card["subject_id"]: card for card in found.values()}, events)
    return [found[position] for position in positions if position in found]


def _card_query(opened: OpenSet, frame: Frame) -> str:
    if frame == "images":
        return f"select *, subject_id as sample_id, position as sample_at from {opened.frame(frame)} where position in {AT}"
    return f"""
        select o.position, o.subject_id, o.subject_id as object_id, o.sample_at, o.source,
               s.subject_id as sample_id, {", ".join(CARD)}
        from {opened.frame(frame)} o join {opened.frame("images")} s on s.position = o.sample_at where o.position in {AT}
    """


def _add_column(opened: OpenSet, frame: Frame, name: str, cards: dict[int, Row]) -> None:
    column = columns(opened, frame).get(name)
    if column:
        query = f"select position, value from {values_of(opened, frame, column)} where position in {AT}"
        for row in fetch(opened, query, [list(cards)]):
            cards[row["position"]][name] = row["value"]


def _add_boxes(opened: OpenSet, cards: Sequence[Row], events: Events) -> None:
    """Give each card the boxes of its image, as reviewers left them."""
    samples = list(dict.fromkeys(card["sample_id"] for card in cards))
    boxes = corrections.boxes_of(opened, samples, events, outlines=False)
    for card in cards:
        if "objects" in opened.frames() or boxes[card["sample_id"]]:
            card["boxes"] = boxes[card["sample_id"]]


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
    for row in inherited(opened):
        if row["subject_id"] in cards:
            aspect = "label" if row["kind"] == "relabel" else "fate"
            told = {"kind": row["kind"], "value": row["value"], "by": row["decided_by"], "at": row["decided_at"]}
            cards[row["subject_id"]].setdefault("decided", {}).setdefault(aspect, told)


def inherited(opened: OpenSet) -> list[Row]:
    """Return the decisions that hold and were made under another name of the same file, which the page's store knows."""
    if not opened.has("decisions", "said_of", "holds"):
        return []
    with opened.lock:
        if "inherited" not in opened.memo:
            opened.memo["inherited"] = fetch(opened, "select * from decisions where holds and said_of != subject_id")
        found: list[Row] = opened.memo["inherited"]
    return found
