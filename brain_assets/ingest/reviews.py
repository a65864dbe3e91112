"""What people said on the review page, taken in: tags, decisions and corrections, with their full history."""

import json
import logging
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import pyarrow as pa

from brain_assets.incremental.signal import Check, Publication, Signal, Whole
from brain_assets.incremental.update import Update
from brain_assets.resources.errors import SourceError
from brain_assets.resources.store.event_backup import back_up
from brain_assets.resources.store.events import PAIR_KINDS, Events, Said
from brain_assets.resources.store.store import Merge

REVIEW_STATE = "review_state"
BATCH = 50_000
MOMENT = pa.timestamp("us", "UTC")
COMMON = [
    ("event_id", pa.int64()),
    ("subject_id", pa.string()),
    ("content_hash", pa.string()),
    ("said_by", pa.string()),
    ("said_at", MOMENT),
    ("undone_at", MOMENT),
]
TAGS = pa.schema([*COMMON, ("tag", pa.string()), ("present", pa.bool_())])
DECISIONS = pa.schema(
    [*COMMON, ("decision_id", pa.string()), ("kind", pa.string()), ("value", pa.string()), ("issue", pa.string())]
)
PAIRS = pa.schema([
    ("event_id", pa.int64()),
    ("first_content", pa.string()),
    ("second_content", pa.string()),
    ("kind", pa.string()),
    ("said_by", pa.string()),
    ("said_at", MOMENT),
    ("undone_at", MOMENT),
])  # fmt: skip


def update_reviews(update: Update) -> Iterator[Merge]:
    """Take in the events that are new, and those that were taken back since; all of them where the store is another."""
    events = Events(update.dataset.paths.events)
    known = str(update.dataset.store.fact(REVIEW_STATE) or "")
    try:
        _keep_copy(update, events)
        state = state_of(events)
        seen = _still_there(events, known) if update.since >= 0 else 0
        if state == known and (seen or not state):
            return
        rows = _tables(events.said(seen, _number(state)))
    except (sqlite3.DatabaseError, ValueError) as error:
        name = update.dataset.paths.name
        raise SourceError(
            f"{events.path} cannot be read: {error}; 'brain doctor {name} --repair' puts back its backup"
        ) from None
    update.notes["said"] = sum(table.num_rows for table in rows.values())
    for name, table in rows.items():
        yield Merge(name, table, within=None if seen else "true")
    yield Merge("facts", pa.table({"name": [REVIEW_STATE], "value": [json.dumps(state)]}))


def _keep_copy(update: Update, events: Events) -> None:
    """Append to the backup what is new, and tell where the store does not hold any more what its backup does."""
    aside = back_up(events, Events(update.dataset.paths.events_backup))
    if aside:
        told = f"{events.path} holds less than it did: what was said until then is kept in {aside}"
        update.notes["reviews are gone"] = told
        logging.getLogger("brain").warning(
            f"{told}; 'brain doctor {update.dataset.paths.name}' tells how to have it back"
        )


def state_of(events: Events) -> str:
    """Return what names all that was said: number and time of the last event, or nothing where nothing was said."""
    last = events.last()
    return f"{last} {events.at(last)}" if last else ""


def _still_there(events: Events, state: str) -> int:
    """Return the number of the last event that was taken in, 0 where the page's store does not hold it any more."""
    number = _number(state)
    return number if number and f"{number} {events.at(number)}" == state else 0


def _number(state: str) -> int:
    return int(state.partition(" ")[0] or 0)


def _tables(said: Iterator[Said]) -> dict[str, pa.Table]:
    """Return the rows of tags, decisions and pairs; batch by batch, as one event may be about a million images."""
    tags, decisions = [TAGS.empty_table()], [DECISIONS.empty_table()]
    pairs: dict[tuple[Any, ...], dict[str, Any]] = {}
    while batch := list(islice(said, BATCH)):
        tags.append(_table([_tag(one) for one in batch if one.kind in ("tag", "untag")], TAGS))
        decisions.append(_table([_decision(one) for one in batch if one.kind not in ("tag", "untag")], DECISIONS))
        pairs |= {tuple(pair.values())[:3]: pair for one in batch if one.kind in PAIR_KINDS for pair in _pairs(one)}
    return {
        "said_tags": pa.concat_tables(tags),
        "decisions": pa.concat_tables(decisions),
        "said_pairs": _table(list(pairs.values()), PAIRS),
    }


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)


def _common(said: Said) -> dict[str, Any]:
    undone = said.undone_at and datetime.fromisoformat(said.undone_at)
    return {
        "event_id": said.event_id,
        "subject_id": said.subject_id,
        "content_hash": said.content_hash,
        "said_by": said.by,
        "said_at": datetime.fromisoformat(said.at),
        "undone_at": undone,
    }


def _tag(said: Said) -> dict[str, Any]:
    return _common(said) | {"tag": said.value, "present": said.kind == "tag"}


def _decision(said: Said) -> dict[str, Any]:
    names = {"decision_id": f"{said.event_id}-{said.subject_id}", "kind": said.kind}
    return _common(said) | names | {"value": said.value, "issue": said.issue}


def _pairs(said: Said) -> Iterator[dict[str, Any]]:
    """Yield the pairs of contents that an event is about; each is told by both of its sides."""
    about = _common(said) | {"kind": said.kind}
    for partner in json.loads(said.value or "[]"):
        first, second = sorted((said.content_hash or "", partner))
        names = {"event_id": said.event_id, "first_content": first, "second_content": second}
        yield names | {name: about[name] for name in ("kind", "said_by", "said_at", "undone_at")}


def holding(kind: str) -> str:
    """Return the query of the decisions of a kind that hold: subject_id, content_hash, value and event_id.

    A decision holds while it was not taken back, no later one on the same matter took its place (of keep, confirm and
    drop, or of two labels, the last counts), and the subject has the content that it was made on. Whether it has, is for
    the reader to ask, who knows the content.
    """
    return f"select subject_id, content_hash, value, event_id from last_decisions where kind = '{kind}'"


REVIEWS = Signal(
    name="reviews",
    description="What people entered on the review page: tags, and decisions to keep, drop, confirm, relabel, draw or move, with"
    " who, when and the content they were made on. What is dropped leaves all signals, new labels and boxes win over the"
    " files', pairs that are no copies are not found again, until it is undone.",
    group="reviews",
    reads=(),
    writes=("said_tags", "decisions", "said_pairs"),
    update=Whole(update_reviews),
    always=True,
    kinds=("python", "sqlite", "duckdb"),
    checks=(
        Check(
            "every_new_label_has_a_name",
            "select count(*) from decisions where kind = 'relabel' and coalesce(trim(value), '') = ''",
            "No relabel is empty.",
        ),
    ),
    publishes=(
        Publication(
            "tags",
            """
            select subject_id, tag, said_by as tagged_by, said_at as tagged_at, content_hash,
                content_hash is not distinct from contents.now as is_current, said_by as "by", said_at as "at"
            from (
                select * from borne_tags where undone_at is null
                qualify row_number() over (partition by subject_id, tag order by event_id desc, said_of) = 1
            ) left join (select subject_id, content_hash as now, true as there from subject_contents) contents using (subject_id)
            where present
            qualify there or (said_of = subject_id and not coalesce(bool_or(there) over (partition by event_id, said_of), false))
            order by tag, subject_id""",
            {
                "subject_id": "The image or object.",
                "tag": "The tag.",
                "tagged_by": "Who tagged it.",
                "tagged_at": "When.",
                "content_hash": "The content that was looked at.",
                "is_current": "Whether the subject still has that content.",
                "by": "Former name of `tagged_by`, until version 0.3.",
                "at": "Former name of `tagged_at`, until version 0.3.",
            },
        ),
        Publication(
            "tag_history",
            """
            select event_id, subject_id, tag, present, content_hash, said_by as tagged_by, said_at as tagged_at, undone_at,
                said_by as "by", said_at as "at"
            from said_tags order by event_id, subject_id""",
            {
                "event_id": "Number of the event on the review page.",
                "subject_id": "The image or object.",
                "tag": "The tag.",
                "present": "Whether it was put on, or taken off.",
                "content_hash": "The content that was looked at.",
                "tagged_by": "Who put it on, or took it off.",
                "tagged_at": "When.",
                "undone_at": "When it was undone; NULL while it was not.",
                "by": "Former name of `tagged_by`, until version 0.3.",
                "at": "Former name of `tagged_at`, until version 0.3.",
            },
        ),
        Publication(
            "decisions",
            """
            select decision_id, subject_id, borne.content_hash, kind, value, issue, said_by as decided_by,
                said_at as decided_at, undone_at,
                ((decision_id, subject_id) in (select (decision_id, subject_id) from last_decisions)
                    or event_id in (select event_id from decided_pairs))
                    and borne.content_hash is not distinct from contents.content_hash as holds, said_of,
                said_by as "by", said_at as "at"
            from borne_decisions borne left join (select *, true as present from subject_contents) contents
                using (subject_id)
            qualify present or (said_of = subject_id and not coalesce(bool_or(present) over (partition by decision_id), false))
            order by event_id, subject_id""",
            {
                "decision_id": "Names the decision.",
                "subject_id": "The image or object.",
                "content_hash": "The content that it was made on; it says nothing of another content under the same id.",
                "kind": "keep (nothing is wrong), drop, confirm (it is so; what a model found becomes a label), relabel, draw (a"
                " new object), reshape (another box); not_copy and same_scene of pairs.",
                "value": "The new label of a relabel; class, box and outline as JSON of what was drawn, moved or confirmed; the"
                " contents of the partners of a pair.",
                "issue": "The queue in which it was made.",
                "decided_by": "Who made it.",
                "decided_at": "When.",
                "undone_at": "When it was undone; NULL while it was not.",
                "holds": "Whether it counts now: not undone, the last word on its matter (keep, confirm or drop; label;"
                " box; a pair), and the subject has the content it was made on.",
                "said_of": "The subject as it was called then; another one where the file was renamed since.",
                "by": "Former name of `decided_by`, until version 0.3.",
                "at": "Former name of `decided_at`, until version 0.3.",
            },
        ),
    ),
    metrics={
        "reviewed": "select count(distinct subject_id) from last_decisions",
        "dropped": "select count(*) from samples where dropped",
    },
)
