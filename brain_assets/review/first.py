"""The first screen: which issue comes first, what its worst cases are, and what changed since the last run."""

from collections import Counter
from collections.abc import Mapping

from brain_assets.incremental.signal import NOTICE
from brain_assets.resources.store.events import Events, standing
from brain_assets.review import queues
from brain_assets.review.detail import partners_of
from brain_assets.review.reviewers import reviewers
from brain_assets.review.sets import OpenSet
from brain_assets.review.subjects import Row, fetch
from brain_assets.signals.registry import issue_named

# What is assumed of an issue weighs as much as so many decisions on it.
PRIOR = 4
WORST = 4
COUNTED = """
    select issue, count(distinct subject) filter (is_issue) as count,
        count(distinct subject) - count(distinct subject) filter (is_issue) as below
    from (select issue, coalesce(object_id, sample_id) as subject, is_issue from issues) group by 1"""


def first(opened: OpenSet, events: Events) -> Row:
    """Return what the first screen shows.

    Returns
    -------
    dict
        ``issues`` as `priorities` orders them; ``worst``, the cards of the worst few flagged subjects of each;
        ``since``, what the last run changed (None where there was but one): run, images added and changed, and by issue
        how many more are flagged; and ``reviewers``, who decided how much, and how far they agree.
    """
    issues = priorities(opened, events)
    return {
        "issues": issues,
        "worst": _worst(opened, events),
        "since": _since(opened),
        "reviewers": reviewers(events),
    }


def priorities(opened: OpenSet, events: Events) -> list[Row]:
    """Return the issues of a set, first that of which most true problems are expected to be left to review.

    Where scores are calibrated, the expected number is theirs (`expected_issues`). Elsewhere it is the share of what
    reviewers found true, drawn towards the share that the issue assumes by as much as ``PRIOR`` decisions. What may well
    be meant, by a share below `NOTICE`, comes after all the rest.

    Returns
    -------
    list of dict
        issue, count (flagged), below (the threshold), left (flagged and not decided on), expected (true ones among the
        left), low and high (None where not calibrated), rule (in words), notice.
    """
    if not opened.has("issues", "issue"):
        return []
    calibrated = _calibrated(opened)
    judged = _judged(events)
    rows = [_standing(row, calibrated.get(row["issue"]), judged) for row in _left(opened, events)]
    return sorted(
        rows, key=lambda row: (row["notice"], -row["expected"], issue_named(row["issue"]).place, row["issue"])
    )


def _left(opened: OpenSet, events: Events) -> list[Row]:
    """Return each issue with its counts and how many flagged subjects nobody has decided on, kept until somebody does."""
    with opened.lock:
        known = opened.memo.get("left to review")
        if known is None or known[0] != events.last():
            rows = fetch(opened, COUNTED)
            known = events.last(), [row | {"left": queues.left(opened, row["issue"], events)} for row in rows]
            opened.memo["left to review"] = known
    found: list[Row] = known[1]
    return found


def _calibrated(opened: OpenSet) -> dict[str, Row]:
    if not opened.has("expected_issues", "issue"):
        return {}
    return {row["issue"]: row for row in fetch(opened, "select * from expected_issues where label is null")}


def _judged(events: Events) -> Counter[tuple[str, bool]]:
    """Return how many decisions in the queue of each issue said that it is so, and how many that it is not."""
    decisions = [one for aspects in standing(events.decisions()).values() for one in aspects.values()]
    return Counter((one.issue, one.kind != "keep") for one in decisions if one.issue)


def _standing(row: Row, calibrated: Row | None, judged: Mapping[tuple[str, bool], int]) -> Row:
    if calibrated is not None and calibrated["flagged"]:
        part = row["left"] / calibrated["flagged"]
        numbers = {name: calibrated[name] * part for name in ("expected", "low", "high")}
        return row | numbers | {"rule": "as calibrated scores say", "notice": False}
    right, wrong = judged.get((row["issue"], True), 0), judged.get((row["issue"], False), 0)
    assumed = issue_named(row["issue"]).share
    share = (right + PRIOR * assumed) / (right + wrong + PRIOR)
    return row | {
        "expected": share * row["left"],
        "low": None,
        "high": None,
        "rule": _rule(assumed, right, wrong),
        "notice": share < NOTICE,
    }


def _rule(assumed: float, right: int, wrong: int) -> str:
    if right + wrong:
        return f"as {right} of {right + wrong} reviewed were true"
    if assumed == 1:
        return "each is a fact"
    return f"taking 1 in {round(1 / assumed)} for true until some are reviewed"


def _worst(opened: OpenSet, events: Events) -> dict[str, list[Row]]:
    """Return the cards of the most severe few flagged subjects of each issue."""
    if not opened.has("issues", "issue"):
        return {}
    rows = fetch(
        opened,
        f"""select issue, subject from (
            select issue, coalesce(object_id, sample_id) as subject, max(score) as score from issues
            where is_issue group by all)
        qualify row_number() over (partition by issue order by score desc, subject) <= {WORST}
        order by issue, score desc, subject""",
    )
    cards = partners_of(opened, {row["subject"] for row in rows}, events)
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["subject"] in cards:
            found.setdefault(row["issue"], []).append(cards[row["subject"]])
    return found


def _since(opened: OpenSet) -> Row | None:
    runs = queues.runs(opened)
    if len(runs) < 2:
        return None
    news = queues.news(opened, runs[1]["run_id"], runs[0]["run_id"])
    moved = {
        row["metric"].removeprefix("issue_"): row["after"] - row["before"]
        for row in news["metrics"]
        if row["metric"].startswith("issue_") and None not in (row["before"], row["after"])
    }
    return {"run": runs[1], "added": news["added"], "changed": news["changed"], "issues": moved}
