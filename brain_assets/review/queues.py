"""Work lists: the queue of an issue, groups of duplicates, and what is new since a run."""

from collections.abc import Iterable, Mapping

from brain_assets.resources.store.events import Events, standing
from brain_assets.review.corrections import decided_pairs
from brain_assets.review.detail import evidence, partner_ids, partners_of, reason
from brain_assets.review.refusal import Refused
from brain_assets.review.reviews import contents
from brain_assets.review.sets import OpenSet, literal
from brain_assets.review.subjects import AT, Row, fetch, inherited
from brain_assets.signals.duplicates.exact_duplicates import EXACT_DUPLICATE
from brain_assets.signals.duplicates.leaks import LEAK
from brain_assets.signals.duplicates.near_duplicates import NEAR_DUPLICATE
from brain_assets.signals.duplicates.shared_regions import shared_regions
from brain_assets.signals.labels.object_mistakenness import BAD_BOX, MISSING_OBJECT
from brain_assets.signals.registry import ISSUES, issue_named

PAGE = 200
BEGINNING = "beginning"
COUNTED = "select issue, count(distinct coalesce(object_id, sample_id)) as count from issues where is_issue"
# What is settled by a word on the pair, too.
OF_COPIES = {issue.name for issue in (EXACT_DUPLICATE, NEAR_DUPLICATE, LEAK)}
# The issue of every table of groups.
GROUPED = {issue.groups: issue.name for issue in ISSUES.values() if issue.groups}


def words(opened: OpenSet) -> dict[str, Row]:
    """Return the words for each issue, those that this set has and all that are known.

    Returns
    -------
    dict of str to dict
        title, meaning, advice, relabels, and the ``setting`` where it begins, None unless that is one number.
    """
    found = (
        {row["issue"] for row in fetch(opened, "select distinct issue from issues")}
        if opened.has("issues", "issue")
        else set()
    )
    named = [*ISSUES.values(), *(issue_named(name) for name in sorted(found - ISSUES.keys()))]
    expected = _expected(opened)
    return {
        one.name: {
            "title": one.title,
            "meaning": " ".join(part for part in (one.meaning, expected.get(one.name)) if part),
            "advice": one.advice,
            "relabels": one.relabels,
            "setting": one.cutoff.setting if one.cutoff else None,
        }
        for one in named
    }


def _expected(opened: OpenSet) -> dict[str, str]:
    """Return a sentence on how many of the flagged are right, for each issue that is calibrated."""
    if not opened.has("expected_issues", "issue"):
        return {}
    rows = fetch(opened, "select issue, flagged, expected, low, high from expected_issues where label is null")
    return {
        row["issue"]: f"Of {row['flagged']} about {row['expected']:.0f} are ({row['low']:.0f} to {row['high']:.0f})."
        for row in rows
    }


def queue(
    opened: OpenSet, issue: str, events: Events, *, offset: int = 0, reviewed: bool = False, below: bool = False
) -> Row:
    """Return a page of the subjects with an issue, the most severe first, with why each was flagged.

    Subjects that somebody has decided on are left out unless ``reviewed``; they come again when their content changes.
    With ``below`` these are the subjects below the threshold instead of the flagged ones.

    Returns
    -------
    dict
        ``total`` (of these), ``remaining``, ``below`` (all below the threshold), and ``items``: issue, score, is_issue, source,
        evidence, reason, subject, partners.
    """
    if not opened.has("issues", "issue"):
        raise Refused(404, "no issues are published yet")
    found = fetch(opened, QUEUE, [issue])
    rows = [row for row in found if row["is_issue"] != below]
    open_rows = rows if reviewed else _undecided(opened, rows, issue, events)
    page = open_rows[offset : offset + PAGE]
    for row in page:
        row["evidence"] = evidence(row["evidence"])
    return {
        "total": len(rows),
        "remaining": len(open_rows),
        "below": sum(not row["is_issue"] for row in found),
        "items": _with_subjects(opened, page, events),
    }


def undecided(opened: OpenSet, issue: str, events: Events) -> list[Row]:
    """Return the flagged subjects of an issue that nobody has decided on, the most severe first: subject_id, sample_id, ..."""
    rows = [row for row in fetch(opened, QUEUE, [issue]) if row["is_issue"]]
    return _undecided(opened, rows, issue, events)


def left(opened: OpenSet, issue: str, events: Events) -> int:
    """Return how many flagged subjects of an issue nobody has decided on."""
    return len(undecided(opened, issue, events))


# One item per subject: the worst of its rows.
QUEUE = """
select coalesce(object_id, sample_id) as subject_id, sample_id, object_id, issue, source, score, is_issue, evidence
from issues where issue = ?
qualify row_number() over (partition by coalesce(object_id, sample_id) order by is_issue desc, score desc, source) = 1
order by is_issue desc, score desc, subject_id
"""


def _undecided(opened: OpenSet, rows: list[Row], issue: str, events: Events) -> list[Row]:
    decisions = [decision for decision in events.decisions() if _settles(decision.kind, decision.issue, issue)]
    settled = {(subject, d.content_hash) for subject, aspects in standing(decisions).items() for d in aspects.values()}
    settled |= {
        (one["subject_id"], one["content_hash"])
        for one in inherited(opened)
        if _settles(one["kind"], one["issue"], issue)
    }
    pairs = decided_pairs(events) if issue in OF_COPIES else {}
    if not settled and not pairs:
        return rows
    partners = {row["subject_id"]: evidence(row["evidence"]).get("partner") for row in rows} if pairs else {}
    wanted = (
        {subject for subject, _ in settled} | set(partners) | {one for one in partners.values() if isinstance(one, str)}
    )
    contents = contents_of(opened, wanted)

    def is_settled(subject: str) -> bool:
        content, partner = contents.get(subject), contents.get(str(partners.get(subject)))
        return (subject, content) in settled or tuple(sorted((content or "", partner or ""))) in pairs

    return [row for row in rows if not is_settled(row["subject_id"])]


def _settles(kind: str, said_in: str | None, issue: str) -> bool:
    if kind == "reshape":
        return issue in {said_in, BAD_BOX.name}
    if kind == "confirm" and issue == MISSING_OBJECT.name:
        return True
    return kind == "drop" or said_in == issue or (kind == "relabel" and issue_named(issue).relabels)


def contents_of(opened: OpenSet, ids: Iterable[str]) -> dict[str, str | None]:
    """Return the content hash that each image, or the image of each object, has in this set."""
    wanted = list(ids)
    found: dict[str, str | None] = {}
    for frame in opened.frames():
        positions = [position for position in opened.positions(frame, wanted) if position >= 0]
        rows = fetch(
            opened,
            f"select subject_id, content_hash from ({contents(opened, frame)}) where position in {AT}",
            [positions],
        )
        found |= {row["subject_id"]: row["content_hash"] for row in rows}
    return found


def _with_subjects(opened: OpenSet, items: list[Row], events: Events) -> list[Row]:
    wanted = {item["subject_id"] for item in items}
    known = partners_of(opened, wanted | partner_ids(items), events)
    shared = _shared(opened, [(item["subject_id"], item["evidence"].get("partner")) for item in items])
    return [
        item
        | {
            "shared": shared.get((item["subject_id"], item["evidence"].get("partner"))),
            "reason": reason(item, known),
            "subject": known[item["subject_id"]],
            "partners": [known[i] for i in sorted(partner_ids([item])) if i in known],
        }
        for item in items
        if item["subject_id"] in known
    ]


def _shared(opened: OpenSet, pairs: Iterable[tuple[str, object]]) -> dict[tuple[str, object], Row]:
    """Return of pairs of images what both show: subject, partner (boxes), change."""
    if not opened.has("pairs", "region"):
        return {}
    named = [(subject, partner) for subject, partner in pairs if isinstance(partner, str)]
    found = shared_regions(lambda query, values: fetch(opened, query, values), named)
    return {pair: region._asdict() for pair, region in found.items()}


# -- groups of duplicates ----------------------------------------------------------------------


def group_tables(opened: OpenSet) -> list[Row]:
    """Return the runs that have groups: table, issue, brain_key, groups, members."""
    found: list[Row] = []
    for table, issue in GROUPED.items():
        if opened.has(table, "group_id"):
            key = "brain_key" if opened.has(table, "brain_key") else literal(table)
            counted = "count(distinct group_id) as groups, count(*) as members"
            query = f"select {key} as brain_key, {counted} from {table} group by 1 order by 1"
            found += [{"table": table, "issue": issue, **row} for row in fetch(opened, query)]
    return found


def groups(opened: OpenSet, table: str, brain_key: str, events: Events, *, offset: int = 0) -> Row:
    """Return a page of groups, the largest first, each with its members, the proposed keeper first."""
    if table not in GROUPED or not opened.has(table, "group_id"):
        raise Refused(404, "there are no such groups")
    about = f"brain_key = {literal(brain_key)}" if opened.has(table, "brain_key") else "true"
    member = "subject_id" if opened.has(table, "subject_id") else "sample_id"
    sizes = f"select group_id, count(*) as size from {table} where {about} group by 1"
    (total,) = fetch(opened, f"select count(*) as total from ({sizes})")
    extra = ", ".join(name for name in ("kind", "distance", "nearest_id") if opened.has(table, name))
    query = (
        f"select group_id, {member} as subject_id, keep, reason{', ' + extra if extra else ''} from {table} join "
        f"(select * from ({sizes}) order by size desc, group_id limit 25 offset ?) using (group_id) where {about} "
        "order by size desc, group_id, keep desc, subject_id"
    )
    found = _grouped(opened, fetch(opened, query, [offset]), events)
    pairs = decided_pairs(events)
    return {**total, "groups": [group | {"decided": _decided(group, pairs)} for group in found]}


def _grouped(opened: OpenSet, rows: list[Row], events: Events) -> list[Row]:
    known = partners_of(opened, {row["subject_id"] for row in rows}, events)
    shared = _shared(opened, [(row["subject_id"], row.get("nearest_id")) for row in rows if not row["keep"]])
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["subject_id"] in known:
            drawn = {"shared": shared.get((row["subject_id"], row.get("nearest_id")))}
            found.setdefault(row["group_id"], []).append(row | drawn | {"subject": known[row["subject_id"]]})
    return [{"group_id": group, "members": members} for group, members in found.items()]


def _decided(group: Row, pairs: Mapping[tuple[str, str], str]) -> str | None:
    """Return what reviewers said of all pairs of a group with the one to keep; None where not of all."""
    contents = [member["subject"].get("content_hash") or "" for member in group["members"]]
    said = {pairs.get((min(contents[0], one), max(contents[0], one))) for one in contents[1:] if one != contents[0]}
    return said.pop() if len(said) == 1 else None


# -- what is new -------------------------------------------------------------------------------


def runs(opened: OpenSet) -> list[Row]:
    """Return the finished runs, newest first: run_id, started_at, finished_at, methods."""
    if not opened.has("runs", "run_id", "finished_at"):
        return []
    return fetch(
        opened,
        "select run_id, min(started_at) as started_at, max(finished_at) as finished_at, "
        "epoch(max(finished_at)) as finished, list(distinct method order by method) as methods from runs "
        "where state = 'done' group by run_id order by finished_at desc limit 200",
    )


def news(opened: OpenSet, before: str, after: str) -> Row:
    """Compare two runs: how many images came and changed between their ends, the issues that did, and each metric.

    In place of the first run may stand ``BEGINNING``, before anything was there.
    """
    span = ends(opened, before, after)
    fresh = "select sample_id from samples where epoch(changed_at) > ? and epoch(changed_at) <= ?"
    (images,) = fetch(
        opened,
        "select count(*) filter (epoch(added_at) > ?) as added, count(*) filter (epoch(added_at) <= ?) as changed "
        f"from samples where sample_id in ({fresh})",
        [span[0], span[0], *span],
    )
    found = {"from": span[0], "to": span[1], **images, "issues": new_issues(opened, span)}
    return found | {"metrics": metrics(opened, before, after)}


def ends(opened: OpenSet, before: str, after: str) -> list[float]:
    """Return when two runs had ended, in seconds of the epoch; 0 for ``BEGINNING``."""
    known = {BEGINNING: 0.0} | {row["run_id"]: row["finished"] for row in runs(opened)}
    if before not in known or after not in known:
        raise Refused(404, "there is no such run; reload to see the present ones")
    return [known[before], known[after]]


def new_issues(opened: OpenSet, span: list[float]) -> list[Row]:
    """Return the issues that were written in a span of time, with how many subjects have each."""
    if not opened.has("issues", "issue", "run_id"):
        return []
    written = "select run_id from runs group by 1 having epoch(max(finished_at)) > ? and epoch(max(finished_at)) <= ?"
    return fetch(opened, f"{COUNTED} and run_id in ({written}) group by 1 order by 2 desc, 1", span)


def metrics(opened: OpenSet, before: str, after: str) -> list[Row]:
    """Return each health metric as it stood at the end of two runs, with its course: metric, before, after, course."""
    if not opened.has("health", "metric", "value", "run_id"):
        return []
    query = (
        "select metric, arg_max(value, recorded_at) filter (run_id = $before), arg_max(value, recorded_at) filter"
        " (run_id = $after), list(value order by recorded_at)[-60:] from health group by metric order by metric"
    )
    cursor = opened.cursor().execute(query, {"before": before, "after": after})
    return [dict(zip(("metric", "before", "after", "course"), row, strict=True)) for row in cursor.fetchall()]
