"""One uniform table of everything that is wrong, from all signals."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import duckdb

from brain_assets.incremental.signal import Check, IssueQuery, Publication, Signal, Whole
from brain_assets.incremental.update import Update, literal
from brain_assets.methods.labels.label_noise import QUANTILE
from brain_assets.resources.store.store import Merge

LEAST_SCORE = 0.5
# Over the published table; a subject that several runs flag counts once.
COUNTED = "select issue, count(distinct subject_id) from issues where is_issue group by issue order by issue"
# Chance adds the variance of independent draws, and what the odds of all may be off together what a shift of them changes.
EXPECTED = f"""
    with judged as (
        select issue, evidence->'given'->>0 as label, (evidence->>'probability')::double as probability,
            (evidence->>'deviation')::double as deviation
        from issues where is_issue and evidence->>'probability' is not null),
    counted as (
        select issue, label, count(*) as flagged, sum(probability) as expected,
            sum(probability * (1 - probability)) as variance,
            sum(deviation * probability * (1 - probability)) as common
        from judged group by grouping sets ((issue), (issue, label)) having grouping(label) = 1 or label is not null)
    select issue, label, flagged, expected, greatest(expected - reach, 0) as low, least(expected + reach, flagged) as high
    from (select *, {QUANTILE} * sqrt(variance + pow(common, 2)) as reach from counted)
    order by issue, label nulls first"""
COLUMNS = "subject_id, sample_id, object_id, issue, source, score, is_issue, evidence"


def told_expected(expected: float, low: float, high: float) -> str:
    """Return in words how many of the flagged are expected to be right.

    Examples
    --------
    >>> told_expected(18.2, 14.6, 21.4)
    'about 18 true (15 to 21)'
    """
    return f"about {expected:.0f} true ({low:.0f} to {high:.0f})"


def expected_issues(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return in words how many of each issue are expected to be right, where that is calibrated; for published tables."""
    if not connection.execute("select 1 from duckdb_views() where view_name = 'expected_issues'").fetchall():
        return {}
    rows = connection.execute("select issue, expected, low, high from expected_issues where label is null").fetchall()
    return {issue: told_expected(*numbers) for issue, *numbers in rows}


def _by_name(queries: Iterable[IssueQuery]) -> list[tuple[set[str], list[IssueQuery]]]:
    """Return the queries with the issues that they raise, those together that raise one issue."""
    groups: list[tuple[set[str], list[IssueQuery]]] = []
    for query in queries:
        raised, together = {issue.name for issue in query.issues}, [query]
        for group in [one for one in groups if one[0] & raised]:
            groups.remove(group)
            raised, together = group[0] | raised, [*group[1], *together]
        groups.append((raised, together))
    return groups


def _rows(queries: Iterable[IssueQuery]) -> str:
    union = " union all by name ".join(f"({query.query})" for query in queries)
    return f"select {COLUMNS} from ({union}) where is_issue or score >= {LEAST_SCORE}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(literal(name) for name in sorted(names))


def issues(signals: Sequence[Signal]) -> Signal:
    """Return the signal that gathers the issues of all others."""
    queries = [query for signal in signals for query in signal.issues]
    names = _listed({issue.name for query in queries for issue in query.issues})
    groups = {_listed(raised): _rows(together) for raised, together in _by_name(queries)}

    def update_issues(update: Update) -> Iterator[Merge]:
        stale = {raised: rows for raised, rows in groups.items() if update.changed(rows)}
        update.notes["gathered again"] = ", ".join(stale).replace("'", "")
        for raised, rows in stale.items():
            yield Merge("issues", rows, within=f"issue in ({raised})")
        yield update.drop("issues", f"issue not in ({names})")

    return Signal(
        name="issues",
        description="Everything that is wrong, one row per sample (or object) and issue: how sure, and the evidence why."
        " Gates, the report and the review page are built on this table.",
        group="answers",
        reads=(),
        after=tuple(signal.name for signal in signals if signal.issues),
        writes=("issues",),
        # Asked in other words, an issue may be another.
        version=hashlib.blake2b("".join(groups.values()).encode(), digest_size=8).hexdigest(),
        update=Whole(update_issues),
        checks=(
            Check(
                "scores_are_between_0_and_1",
                "select count(*) from issues where score is null or score < 0 or score > 1",
                "Each score is in [0, 1].",
            ),
            Check(
                "no_issue_without_a_sample",
                "select count(*) from issues anti join samples using (sample_id)",
                "No issue is left of a sample that is gone.",
            ),
            Check(
                "every_issue_has_words",
                f"select count(*) from issues where issue not in ({names})",
                "Each issue is one that the signals declare.",
            ),
        ),
        publishes=(
            Publication(
                "issues",
                """
                select sample_id, object_id, issue, source, score, is_issue, evidence, subject_id, changes.run_id,
                    (evidence->>'probability')::double as probability
                from issues left join changes on changed = number order by issue, score desc, subject_id""",
                {
                    "sample_id": "The sample.",
                    "object_id": "The object; NULL where the whole image is meant.",
                    "issue": "What is wrong.",
                    "source": "What says so: a run, a model, or the issue's own name.",
                    "score": "How sure, in [0, 1]; 1 is surely an issue.",
                    "is_issue": "Whether the score is above the issue's threshold.",
                    "evidence": "Why, as JSON: the partner and distance, the threshold and where it came from.",
                    "subject_id": "The object's id for objects, else the sample's.",
                    "run_id": "The run that wrote the row.",
                    "probability": "The score where it is calibrated: its sum over rows is how many are right; NULL elsewhere.",
                },
            ),
            Publication(
                "expected_issues",
                EXPECTED,
                {
                    "issue": "An issue whose scores are calibrated.",
                    "label": "The label that is doubted; NULL for all together.",
                    "flagged": "How many are flagged.",
                    "expected": "How many of them are expected to be right.",
                    "low": "Nine times in ten they are as many,",
                    "high": "and no more than that.",
                },
            ),
        ),
        metrics={
            "issues": "select count(distinct (subject_id, issue)) from issues where is_issue",
            "samples_with_issues": "select count(distinct sample_id) from issues where is_issue",
        },
        view={"tab": "queue"},
    )
