"""Everything that is known of one image or object, and why it was flagged."""

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from brain_assets.incremental.words import joined
from brain_assets.resources.store.events import Events
from brain_assets.review.columns import Column, columns
from brain_assets.review.corrections import boxes_of
from brain_assets.review.refusal import Refused
from brain_assets.review.sets import Frame, OpenSet
from brain_assets.review.subjects import AMONG, Row, cards_of, fetch
from brain_assets.signals.registry import issue_named

# So many subjects of which what is counted over all is remembered.
REMEMBERED = 200
POSSIBLE_ID = re.compile(r"[0-9a-f]{8,64}")


def detail(opened: OpenSet, subject: str, events: Events) -> Row:
    """Return everything that is known of one image or object.

    Raises
    ------
    Refused
        404 where this set does not know the id.
    """
    frame = frame_of(opened, subject)
    card = cards_of(opened, frame, [subject], events)[subject]
    issues = issues_of(opened, card)
    similar = neighbors_of(opened, subject)
    objects = {row["object_id"] for row in issues if row["object_id"]}
    partners = partners_of(opened, objects | partner_ids(issues) | {row["neighbor_id"] for row in similar}, events)
    known = partners | {subject: card}
    said = events.decisions_inside([card["sample_id"]])
    return {
        **card,
        "boxes": boxes_of(opened, [card["sample_id"]], events, None)[card["sample_id"]],
        "frame": frame,
        "signals": signals(opened, frame, subject),
        "issue_rows": [row | {"reason": reason(row, known)} for row in issues],
        "neighbors": similar,
        "neighbor_labels": neighbor_labels(opened, [row["neighbor_id"] for row in similar]),
        "partners": partners,
        "history": [one._asdict() for one in said if one.subject_id == subject or frame == "images"],
    }


def frame_of(opened: OpenSet, subject: str) -> Frame:
    """Return the kind of subject that an id names."""
    for frame in opened.frames():
        if opened.positions(frame, [subject]) != [-1]:
            return frame
    raise Refused(404, "this dataset has no image or object with that id")


def signals(opened: OpenSet, frame: Frame, subject: str) -> list[Row]:
    """Return what is known of a subject: name, group, kind, value, and the share of subjects with a lower number.

    It counts over all subjects, and nothing that reviewers say changes it: of the last subjects it is remembered.
    """
    with opened.lock:
        known: OrderedDict[str, list[Row]] = opened.memo.setdefault(f"signals of {frame}", OrderedDict())
        found = known.get(subject)
    if found is None:
        found = _signals(opened, frame, subject)
        with opened.lock:
            known[subject] = found
            if len(known) > REMEMBERED:
                known.popitem(last=False)
    return found


def _signals(opened: OpenSet, frame: Frame, subject: str) -> list[Row]:
    by_source: dict[str, list[Column]] = {}
    for column in columns(opened, frame).values():
        if column.group not in ("issues", "review"):
            by_source.setdefault(column.source, []).append(column)
    found = []
    for source, members in by_source.items():
        found += _signals_from(opened, source, members, subject)
    return found


def _signals_from(opened: OpenSet, source: str, members: list[Column], subject: str) -> list[Row]:
    values = ", ".join(f"{column.expression} as v{i}" for i, column in enumerate(members))
    own = fetch(opened, f"select {values} from ({source}) where subject_id = ?", [subject])
    if not own:
        return []
    numbers = [i for i, column in enumerate(members) if column.kind == "number" and own[0][f"v{i}"] is not None]
    shares: Row = {}
    if numbers:
        counted = ", ".join(f"count(*) filter (v{i} < ?) / nullif(count(v{i}), 0) as v{i}" for i in numbers)
        (shares,) = fetch(
            opened, f"select {counted} from (select {values} from ({source}))", [own[0][f"v{i}"] for i in numbers]
        )
    return [
        {
            "name": column.name,
            "group": column.group,
            "kind": column.kind,
            "value": own[0][f"v{i}"],
            "below": shares.get(f"v{i}"),
        }
        for i, column in enumerate(members)
        if own[0][f"v{i}"] is not None
    ]


def issues_of(opened: OpenSet, card: Row) -> list[Row]:
    """Return the rows of ``issues`` on a subject's image and all of its objects: its own first, then the most severe.

    Each has the run that found it and when, where these are published.
    """
    if not opened.has("issues", "issue"):
        return []
    found = "null as run_id, null as found_at"
    if opened.has("issues", "run_id") and opened.has("runs", "run_id", "finished_at"):
        found = "run_id, (select max(finished_at) from runs where runs.run_id = issues.run_id) as found_at"
    query = (
        f"select sample_id, object_id, issue, source, score, is_issue, evidence, {found} from issues where sample_id = ? "
        "order by coalesce(object_id, sample_id) = ? desc, is_issue desc, score desc, issue, object_id limit 200"
    )
    rows = fetch(opened, query, [card["sample_id"], card["subject_id"]])
    return [row | {"evidence": evidence(row["evidence"])} for row in rows]


def evidence(text: str | None) -> Row:
    """Return an issue's evidence; what is not a JSON object is kept under ``note``."""
    try:
        found = json.loads(text or "{}", parse_constant=lambda _: None)
    except ValueError:
        found = text
    return found if isinstance(found, dict) else {"note": found}


def reason(row: Row, known: Mapping[str, Row]) -> str:
    """Return why a subject was flagged, in a sentence; ``known`` has the cards of subjects by id."""
    subject = known.get(row["object_id"] or row["sample_id"], {})
    partner = known.get(str(row["evidence"].get("partner") or ""), {})
    return issue_named(row["issue"]).reason(
        row["evidence"], joined(subject.get("label")), str(partner.get("filepath") or "")
    )


def partner_ids(issues: Iterable[Row]) -> set[str]:
    """Return the words in the evidence of issues that may be the ids of partners; what is none is known to no set."""
    found: set[str] = set()
    for row in issues:
        for value in row["evidence"].values():
            words = value if isinstance(value, list) else [value]
            found.update(word for word in words if isinstance(word, str) and POSSIBLE_ID.fullmatch(word))
    return found


def partners_of(opened: OpenSet, ids: Iterable[str], events: Events) -> dict[str, Row]:
    """Return the cards of those ids that this set knows, images or objects."""
    found: dict[str, Row] = {}
    wanted = sorted(ids)
    for frame in opened.frames():
        found |= {subject: row | {"frame": frame} for subject, row in cards_of(opened, frame, wanted, events).items()}
    return found


def neighbors_of(opened: OpenSet, subject: str, brain_key: str | None = None) -> list[Row]:
    """Return the nearest neighbours of a subject in one run (by default the first), nearest first."""
    if not opened.has("neighbors", "neighbor_id"):
        return []
    own = "subject_id" if opened.has("neighbors", "subject_id") else "coalesce(object_id, sample_id)"
    rows = fetch(
        opened,
        f'select brain_key, neighbor_id, distance from neighbors where {own} = ? order by brain_key, "rank"',
        [subject],
    )
    key = brain_key or (rows[0]["brain_key"] if rows else None)
    return [row for row in rows if row["brain_key"] == key]


def neighbor_labels(opened: OpenSet, neighbors: list[str]) -> list[Row]:
    """Return the labels of some subjects with how many of them bear each, the commonest first."""
    column = columns(opened, "images").get("label")
    if column is None or not neighbors:
        return []
    value = "unnest(value)" if column.kind == "labels" else "value"
    labels = f"select {value} as label from ({column.relation}) where subject_id in {AMONG}"
    query = (
        f"select label, count(*) as count from ({labels}) where label is not null group by 1 order by 2 desc, 1 limit 9"
    )
    return fetch(opened, query, [neighbors])
