"""The worst of every issue, and groups of copies."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from brain_assets.answers.issues import told_expected
from brain_assets.report.content import Finding, Group, Issue, Member, Subject
from brain_assets.report.tables import Row, Tables
from brain_assets.signals.duplicates.leaks import LEAK
from brain_assets.signals.duplicates.shared_regions import SharedRegion, shared_regions
from brain_assets.signals.registry import issue_named

SHOWN = 12
GROUPS, MEMBERS = 8, 6
NEWEST = "select arg_max(run_id, recorded_at) from health"
FIRST = "select arg_min(run_id, recorded_at) from health"
SUBJECT = "coalesce(object_id, sample_id)"
WORST = f"""
    select *, {SUBJECT} as subject from issues where is_issue
    qualify row_number() over (partition by issue, {SUBJECT} order by score desc, source) = 1
        and row_number() over (partition by issue order by score desc, {SUBJECT}, source) <= {4 * SHOWN}
    order by issue, score desc, subject"""


def issues(tables: Tables, before: Mapping[str, float]) -> list[Issue]:
    """Return every issue that any subject has, in the order in which they should be looked at.

    Parameters
    ----------
    tables : Tables
    before : mapping of str to float
        The numbers of the dataset's health before the last run.
    """
    if not tables.has("issues", "issue"):
        return []
    counts = f"select issue, count(distinct {SUBJECT}) as count from issues where is_issue group by 1"
    counted = {row["issue"]: row["count"] for row in tables.rows(counts)}
    findings = _findings(tables)
    return [
        _issue(tables, name, counted[name], findings.get(name, []), before)
        for name in sorted(counted, key=lambda name: (issue_named(name).place, name))
    ]


def _issue(tables: Tables, name: str, count: int, findings: Sequence[Finding], before: Mapping[str, float]) -> Issue:
    known = issue_named(name)
    expected = _expected(tables, name)
    groups, group_count = _groups(tables, known.groups) if known.groups else ([], 0)
    return Issue(
        name, known.title, known.meaning, known.advice, count, expected,
        before=round(before.get(f"issue_{name}", 0)) if before else None,
        findings=() if groups else findings,
        groups=groups,
        group_count=group_count,
        split_pairs=_split_pairs(tables) if name == LEAK.name else (),
    )  # fmt: skip


def _expected(tables: Tables, name: str) -> str:
    if not tables.has("expected_issues", "issue"):
        return ""
    query = f"select expected, low, high from expected_issues where label is null and issue = '{name}'"
    return "".join(told_expected(row["expected"], row["low"], row["high"]) for row in tables.rows(query))


def _findings(tables: Tables) -> dict[str, list[Finding]]:
    """Return the worst few subjects of each issue, each with its reason and partner; of a pair, one side is enough."""
    found: dict[str, list[Finding]] = {}
    for issue, finding in reasoned(tables, tables.rows(WORST)):
        told = found.setdefault(issue, [])
        if len(told) < SHOWN and not _is_told(told, finding.subject, finding.partner):
            told.append(finding)
    return _with_regions(tables, found)


def reasoned(tables: Tables, rows: Sequence[Row]) -> Iterator[tuple[str, Finding]]:
    """Yield the issue and finding of rows of ``issues`` with their ``subject``, each with its reason and partner.

    Those whose sample is gone are left out.
    """
    run_id = "run_id" in tables.columns["issues"] and tables.has("health", "run_id")
    newest, first = (tables.value(NEWEST), tables.value(FIRST)) if run_id else (None, None)
    evidence = {id(row): _evidence(row["evidence"]) for row in rows}
    partners = {word for said in evidence.values() if (word := _partner(said))}
    known = subjects(tables, {row["subject"] for row in rows} | partners)
    for row in rows:
        said = evidence[id(row)]
        subject, partner = known.get(row["subject"]), known.get(_partner(said))
        if subject is None:
            continue
        labels, path = ", ".join(subject.labels), partner.filepath if partner else ""
        why = issue_named(row["issue"]).reason(said, labels, path)
        is_new = newest != first and row.get("run_id") == newest
        yield row["issue"], Finding(subject, row["score"], why, partner, is_new, row["source"] or "", said)


def _with_regions(tables: Tables, found: Mapping[str, Sequence[Finding]]) -> dict[str, list[Finding]]:
    pairs = [(one.subject.subject_id, one.partner.subject_id) for told in found.values() for one in told if one.partner]
    shared = _shared(tables, pairs)
    return {
        issue: [
            replace(one, shared=shared.get((one.subject.subject_id, one.partner.subject_id))) if one.partner else one
            for one in told
        ]
        for issue, told in found.items()
    }


def _shared(tables: Tables, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], SharedRegion]:
    return shared_regions(tables.rows, pairs) if tables.has("pairs", "region") else {}


def _is_told(told: Iterable[Finding], subject: Subject, partner: Subject | None) -> bool:
    return any(
        partner is not None and one.partner is not None
        and (one.subject.subject_id, one.partner.subject_id) == (partner.subject_id, subject.subject_id)
        for one in told
    )  # fmt: skip


def _evidence(text: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}", parse_constant=lambda _: None)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _partner(evidence: Mapping[str, Any]) -> str:
    return str(evidence.get("partner") or "")


def _groups(tables: Tables, table: str) -> tuple[list[Group], int]:
    """Return the largest groups of copies of the default run, and how many there are."""
    if not tables.has(table, "group_id"):
        return [], 0
    run = f"brain_key = '{table}'" if "brain_key" in tables.columns[table] else "true"
    # Groups of nothing but exact copies are told as such.
    copies = " and count_if(distance > 0 and not keep) > 0" if table == "near_duplicates" else ""
    sizes = f"select group_id, count(*) as size from {table} where {run} group by 1 having count(*) > 1{copies}"
    distance = "distance" if "distance" in tables.columns[table] else "null as distance"
    nearest = "nearest_id" if "nearest_id" in tables.columns[table] else "null as nearest_id"
    largest = f"select * from ({sizes}) order by size desc, group_id limit {GROUPS}"
    rows = tables.rows(f"""
        select group_id, sample_id, keep, reason, {distance}, {nearest}, size
        from {table} join ({largest}) using (group_id) where {run}
        qualify row_number() over (partition by group_id order by keep desc, sample_id) <= {MEMBERS}
        order by size desc, group_id, keep desc, sample_id""")
    shared = _shared(tables, [(row["sample_id"], row["nearest_id"]) for row in rows if row["nearest_id"]])
    known = subjects(tables, {row["sample_id"] for row in rows})
    return _grouped(rows, known, shared), int(tables.value(f"select count(*) from ({sizes})"))


def _grouped(
    rows: Iterable[Row], known: Mapping[str, Subject], shared: Mapping[tuple[str, str], SharedRegion]
) -> list[Group]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["group_id"], []).append(row)
    return [
        Group(
            group_id,
            members[0]["size"],
            [
                Member(
                    known[row["sample_id"]],
                    row["keep"],
                    row["reason"] or "",
                    row["distance"],
                    None if row["keep"] else shared.get((row["sample_id"], row["nearest_id"])),
                )
                for row in members
                if row["sample_id"] in known
            ],
        )
        for group_id, members in found.items()
    ]


def _split_pairs(tables: Tables) -> list[tuple[str, str, int]]:
    if not tables.has("leaks", "partner_split"):
        return []
    query = """
        select split, partner_split, count(distinct sample_id) as count from leaks
        where brain_key = 'leaks' group by all order by 3 desc, 1, 2"""
    return [(row["split"], row["partner_split"], row["count"]) for row in tables.rows(query)]


def subjects(tables: Tables, ids: Iterable[str]) -> dict[str, Subject]:
    """Return what a card shows of some subjects, by id; of images, and of objects where there are any."""
    wanted = sorted(ids)
    found = {row["subject_id"]: _subject(row) for row in tables.rows(IMAGES.format(labels=tables.labels), [wanted])}
    if tables.has("objects", "object_id", "x"):
        boxes = tables.rows(OBJECTS, [wanted])
        found |= {row["subject_id"]: _subject(row, [row["x"], row["y"], row["w"], row["h"]]) for row in boxes}
    return found


def _subject(row: Row, box: Sequence[float | None] = ()) -> Subject:
    placed = [side for side in box if side is not None]
    return Subject(
        row["subject_id"],
        row["sample_id"],
        row["filepath"],
        row["split"],
        [str(label) for label in row["labels"] or [] if label is not None],
        row["width"],
        row["height"],
        placed if len(placed) == 4 else None,
    )


IMAGES = """
    select sample_id as subject_id, sample_id, filepath, split, labels, width, height
    from samples left join ({labels}) using (sample_id) where sample_id in (select unnest(?))"""
OBJECTS = """
    select object_id as subject_id, sample_id, filepath, split, [label] as labels, samples.width, samples.height,
        objects.x, objects.y, objects.width as w, objects.height as h
    from objects join samples using (sample_id) where object_id in (select unnest(?))"""
