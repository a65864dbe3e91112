"""Which samples of a dataset are left out of what is written, and why: dropped, unreadable, copies, leaks, and what is asked."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import duckdb

from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.signals.duplicates.exact_duplicates import EXACT_DUPLICATE
from brain_assets.signals.duplicates.leaks import LEAK
from brain_assets.signals.duplicates.near_duplicates import NEAR_DUPLICATE

Connection = duckdb.DuckDBPyConnection
GROUPS = {
    EXACT_DUPLICATE.name: "select group_id, sample_id, keep, reason from exact_duplicates order by all",
    NEAR_DUPLICATE.name: """
        select group_id, sample_id, keep, reason from near_duplicates
        where brain_key = 'near_duplicates' and object_id is null order by all""",
}
LEAKS = """
    select sample_id, partner_id, partner_split, kind from leaks
    where brain_key = 'leaks' and object_id is null and kind != 'group' order by distance, partner_id"""
MEMBERS = """
    select shared, sample_id, split from (select sample_id, split, status, unnest("groups") as shared from samples)
    where status = 'ok' and split is not null order by all"""
FLAGGED = """
    select sample_id, issue from issues
    where is_issue and object_id is null and issue in (select unnest($issues)) order by all"""
UNPLANNED = """
    select sample_id, if(planned.sample_id is null, 'not in it', coalesce(reason, 'has no split')) from samples
    left join (from planned_splits where brain_key = $plan) planned using (sample_id)
    where status = 'ok' and planned.split is null order by all"""
KEYS = "select distinct brain_key from planned_splits order by 1"
CLEANED = (*GROUPS, LEAK.name)
"""Issues that are resolved unless they are asked for."""


class LeftOut(NamedTuple):
    """Why a sample is left out."""

    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Cleaning:
    """What stays out of an export.

    Attributes
    ----------
    where : str, optional
        A condition in SQL over ``samples``: what does not meet it is left out.
    without : sequence of str
        Issues: samples that have one are left out.
    retain : sequence of str
        Of exact_duplicate, near_duplicate and leak, those that stay in.
    splits : sequence of str
        The only splits; empty for all.
    plan : str, optional
        A run of ``planned_splits``, whose splits stand in place of those of the files.
    """

    where: str | None = None
    without: Sequence[str] = ()
    retain: Sequence[str] = ()
    splits: Sequence[str] = ()
    plan: str | None = None


def splits_of(connection: Connection, plan: str | None) -> dict[str, str | None]:
    """Return the split of each sample: that of the files, or of a plan, which not every sample has to be in.

    Raises
    ------
    MissingError
        If no such plan is kept.
    """
    if plan is None:
        return dict(_rows(connection, "select sample_id, split from samples"))
    known = _rows(connection, KEYS) if _has(connection, "planned_splits") else []
    if (plan,) not in known:
        there = ", ".join(key for (key,) in known) or "none, 'brain split NAME ... --keep' keeps one"
        raise MissingError(f"there is no plan {plan!r} (plans: {there})")
    return dict(_rows(connection, "select sample_id, split from planned_splits where brain_key = $plan", plan=plan))


def left_out(connection: Connection, cleaning: Cleaning, keep_first: Sequence[str]) -> dict[str, LeftOut]:
    """Return the samples that are left out, each with its first reason.

    What a reviewer decided to keep stays in, whatever is found of it. Of copies one stays: the one that the keep policy
    names, or where that is left out itself, the first by its id. Of a leak the sample stays whose split comes first in
    ``keep_first``. Splits count last, so that a copy of what is in another split stays out of this one. A plan does not leak:
    with one, leaks between the splits of the files are none, and what it gives no split is left out.

    Raises
    ------
    ConfigurationError, MissingError
        If a condition is not SQL over samples, or there is no such issue or split.
    """
    _check(connection, cleaning)
    out: dict[str, LeftOut] = {}
    for sample, why in _states(connection, cleaning):
        out.setdefault(sample, why)
    kept = {row[0] for row in _rows(connection, "select subject_id from decisions where kind = 'keep' and holds")}
    for sample, issue in _rows(connection, FLAGGED, issues=list(cleaning.without)):
        if sample not in kept:
            out.setdefault(sample, LeftOut(issue, "has this issue"))
    _resolve_copies(connection, cleaning, kept, out)
    if LEAK.name not in cleaning.retain and _has(connection, "leaks") and not cleaning.plan:
        _resolve_leaks(connection, keep_first, kept, out)
        _resolve_groups(connection, keep_first, kept, out)
    for sample, split in splits_of(connection, cleaning.plan).items() if cleaning.splits else []:
        if split not in cleaning.splits:
            out.setdefault(sample, LeftOut("split", split or "none"))
    return out


def _resolve_copies(connection: Connection, cleaning: Cleaning, kept: Collection[str], out: dict[str, LeftOut]) -> None:
    # Exact copies are in groups of near ones, too.
    retained = _copies(connection) if EXACT_DUPLICATE.name in cleaning.retain else set()
    for issue, query in GROUPS.items():
        if issue not in cleaning.retain and _has(connection, f"{issue}s"):
            _resolve([row for row in _rows(connection, query) if row[1] not in retained], issue, kept, out)


def _states(connection: Connection, cleaning: Cleaning) -> Iterator[tuple[str, LeftOut]]:
    """Yield what is no image to use, what does not meet the condition, and what the plan has no split for."""
    for sample, status, error in _rows(connection, "select sample_id, status, error from samples where status != 'ok'"):
        yield sample, LeftOut("dropped", "by a reviewer") if status == "dropped" else LeftOut("unreadable", error or "")
    if cleaning.where:
        condition = f"status = 'ok' and ({cleaning.where}) is not true"
        for (sample,) in _rows(connection, f"select sample_id from samples where {condition}"):
            yield sample, LeftOut("where", cleaning.where)
    for sample, reason in _rows(connection, UNPLANNED, plan=cleaning.plan) if cleaning.plan else []:
        yield sample, LeftOut("plan", reason)


def _copies(connection: Connection) -> set[str]:
    return {row[0] for row in _rows(connection, "select sample_id from exact_duplicates where not keep")}


def _resolve(rows: Sequence[Any], issue: str, kept: Collection[str], out: dict[str, LeftOut]) -> None:
    """Leave out all of each group but one, and those that a reviewer keeps."""
    groups: dict[str, list[tuple[str, bool, str]]] = defaultdict(list)
    for group, sample, keep, reason in rows:
        groups[group].append((sample, keep, reason))
    for members in groups.values():
        there = [one for one in members if one[0] not in out]
        first = next((one for one in there if one[1]), there[0] if there else None)
        for sample, keep, reason in there:
            if not keep and sample not in kept and first and sample != first[0]:
                out[sample] = LeftOut(issue, reason or "")


def _resolve_leaks(
    connection: Connection, keep_first: Sequence[str], kept: Collection[str], out: dict[str, LeftOut]
) -> None:
    rank = {split: place for place, split in enumerate(keep_first)}
    splits: Mapping[str, str | None] = dict(_rows(connection, "select sample_id, split from samples"))
    for sample, partner, split, kind in _rows(connection, LEAKS):
        own, other = (rank.get(one or "", len(rank)) for one in (splits.get(sample), split))
        later = (own, splits.get(sample) or "", sample) > (other, split or "", partner)
        if later and sample not in kept and sample not in out and partner not in out:
            out[sample] = LeftOut(LEAK.name, f"{kind} copy in {split}")


def _resolve_groups(
    connection: Connection, keep_first: Sequence[str], kept: Collection[str], out: dict[str, LeftOut]
) -> None:
    """Leave out of each group what is not in its first split."""
    if not _rows(connection, "select 1 from duckdb_columns() where table_name = 'samples' and column_name = 'groups'"):
        return
    rank = {split: place for place, split in enumerate(keep_first)}
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for shared, sample, split in _rows(connection, MEMBERS):
        groups[shared].append((sample, split))
    for shared, members in groups.items():
        there = [one for one in members if one[0] not in out]
        first = min((split for _, split in there), key=lambda split: (rank.get(split, len(rank)), split), default="")
        for sample, split in there:
            if split != first and sample not in kept:
                out[sample] = LeftOut(LEAK.name, f"others of {shared} are in {first}")


def _check(connection: Connection, cleaning: Cleaning) -> None:
    if not _has(connection, "samples"):
        raise MissingError("nothing is published yet: bring the dataset up to date with 'brain materialize'")
    for name in cleaning.retain:
        if name not in CLEANED:
            raise ConfigurationError(f"{name!r} is not left out by itself: {', '.join(CLEANED)} are")
    if cleaning.where:
        try:
            connection.execute(f"select 1 from samples where ({cleaning.where}) is not true limit 0")
        except duckdb.Error as error:
            raise ConfigurationError(
                f"--where is no condition over samples: {str(error).partition(chr(10))[0]}"
            ) from None
    from brain_assets.signals.registry import ISSUES

    # An issue that nothing has is known by its asset.
    flagged = (
        {issue for (issue,) in _rows(connection, "select distinct issue from issues")} if cleaning.without else set()
    )
    _check_names("issue", cleaning.without, flagged | {*ISSUES})
    splits = splits_of(connection, cleaning.plan) if cleaning.splits or cleaning.plan else {}
    _check_names("split", cleaning.splits, {split for split in splits.values() if split})


def _check_names(what: str, wanted: Sequence[str], known: Collection[str]) -> None:
    if missing := [name for name in wanted if name not in known]:
        raise MissingError(f"there is no {what} {missing[0]!r} ({what}s: {', '.join(sorted(known)) or 'none'})")


def _has(connection: Connection, table: str) -> bool:
    return bool(_rows(connection, "select 1 from duckdb_views() where view_name = $table", table=table))


def _rows(connection: Connection, query: str, **parameters: Any) -> list[Any]:
    return connection.execute(query, parameters or None).fetchall()
