"""What would follow from other settings or decisions: computed by the signals themselves, and undone.

The signals do it in the dataset's own store, in one transaction that is rolled back: so the numbers are those that the run then
gives. What would list, decode, embed or fit anew is not done: it is named, with all that follows from it.
"""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from brain_assets.answers import gates
from brain_assets.assets import catalog
from brain_assets.assets.declarations import check_declaration
from brain_assets.incremental.signal import Signal
from brain_assets.incremental.tables import open_with_tables
from brain_assets.incremental.update import bring_up_to_date, differs
from brain_assets.ingest.reviews import DECISIONS
from brain_assets.ingest.samples import DECIDED
from brain_assets.resources.dataset import Dataset, Opening
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.store import Merge
from brain_assets.signals.duplicates.exact_duplicates import EXACT_DUPLICATE
from brain_assets.signals.duplicates.near_duplicates import NEAR_DUPLICATE
from brain_assets.signals.registry import ISSUES

# What looks at files or at the world outside, or leaves something there; of `samples` decisions are applied.
OUTSIDE = frozenset(
    {"reviews", "samples", "media", "vector_indexes", "fingerprints", "published", "table_formats", "report"}
)
# What other settings make compute for long: pictures are decoded or embedded, neighbours searched, maps and centres fitted.
LONG = frozenset({
    "samples", "media", "embeddings", "object_embeddings", "similarity", "vector_indexes", "visualization", "representativeness",
    "selections", "builtin_predictions",
})  # fmt: skip
DUPLICATES = (EXACT_DUPLICATE.name, NEAR_DUPLICATE.name)
NOW = "select metric, value from health where run_id = (select run_id from health order by measured_at desc limit 1)"
FLAGGED = """
    select distinct sample_id as subject_id, content_hash from issues join samples using (sample_id)
    where is_issue and object_id is null and issue in (select unnest(?::varchar[])) and not samples.dropped order by 1"""
SUGGESTED = """
    select subject_id, content_hash, any_value((evidence->'suggested'->>0) order by score desc, source) as value
    from issues join samples using (sample_id)
    where is_issue and issue in (select unnest(?::varchar[])) and (evidence->'suggested'->>0) is not null
        and (object_id is null or object_id in (select object_id from objects where model = 'ground_truth'))
    group by all order by 1"""


@dataclass(frozen=True)
class Supposed:
    """What is supposed.

    Attributes
    ----------
    settings : mapping of str to str
        Dotted key to YAML value.
    drop : sequence of str
        Issues whose images are dropped.
    relabel : bool
        Whether doubted labels are replaced by those that are suggested.
    """

    settings: Mapping[str, str]
    drop: Sequence[str] = ()
    relabel: bool = False

    @property
    def decides(self) -> bool:
        """Whether anything is decided on samples."""
        return bool(self.drop) or self.relabel


@dataclass(frozen=True)
class Outcome:
    """What would follow.

    Attributes
    ----------
    before, after : mapping of str to float
        Numbers of health now, and as they would be; those that are not known without a run are in ``before`` alone.
    gates : sequence of Verdict
        Held against the numbers as they would be.
    dropped, relabelled : int
        Subjects that decisions are supposed of.
    needs_run : mapping of str to str
        Assets that are not known without a run, each with why.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]
    gates: Sequence[gates.Verdict]
    dropped: int
    relabelled: int
    needs_run: Mapping[str, str]

    @property
    def changed(self) -> list[str]:
        """Names of the numbers that would be others."""
        return [name for name in sorted(self.after) if self.after[name] != self.before.get(name)]

    def as_json(self) -> dict[str, Any]:
        """Return it as values that JSON has."""
        judged = [{"gate": one.condition, "value": one.value, "passed": one.passed} for one in self.gates]
        return {
            **{name: getattr(self, name) for name in ("before", "after", "dropped", "relabelled", "needs_run")},
            "gates": judged,
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for count, verb in ((self.dropped, "dropped"), (self.relabelled, "relabelled")):
            if count:
                yield f"{count} supposed to be {verb}"
        width = max((len(name) for name in self.changed), default=0)
        for name in self.changed:
            yield f"{name:{width}}  {_told(self.before.get(name))} -> {_told(self.after[name])}"
        if not self.changed:
            yield "no number would be another"
        for verdict in self.gates:
            yield f"gate {verdict}"
        for name, why in self.needs_run.items():
            yield f"needs a run: {name} ({why})"


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def what_if(home: Home, name: str, supposed: Supposed) -> Outcome:
    """Return what would follow from other settings and decisions; nothing of it stays.

    Decisions are supposed on what is flagged once the settings hold.

    Parameters
    ----------
    home : Home
    name : str
        The dataset.
    supposed : Supposed

    Raises
    ------
    MissingError
        If nothing was computed yet, or there is no such issue.
    ConfigurationError
        If a setting is unknown or wrong.
    """
    check_declaration(load_dataset(home.existing(name).config, supposed.settings).settings)
    if unknown := [issue for issue in supposed.drop if issue not in ISSUES]:
        raise MissingError(f"no issue {unknown[0]!r} (issues: {', '.join(ISSUES)})")
    opening = Opening(str(uuid.uuid4()), "brain what-if", frozenset(catalog.BY_NAME), supposed.settings)
    with open_with_tables(home, name, opening, catalog.ALL) as dataset:
        before = _numbers(dataset)
        if not before:
            raise MissingError(f"nothing was computed of {name} yet: run 'brain materialize {name}'")
        return dataset.store.growing(lambda: _undone(dataset, before, supposed))


def _undone(dataset: Dataset, before: Mapping[str, float], supposed: Supposed) -> Outcome:
    with dataset.store.provisional():
        return _supposed(dataset, before, supposed)


def _supposed(dataset: Dataset, before: Mapping[str, float], supposed: Supposed) -> Outcome:
    needs = _needs_run(dataset)
    dropped = relabelled = 0
    if supposed.decides:
        _refuse_unknown(needs, supposed)
        # Who is flagged once the settings hold; it is measured at the end alone.
        _bring(dataset, {*needs, catalog.HEALTH.name})
        dropped, relabelled = _decide(dataset, supposed)
    _bring(dataset, needs)
    unknown = _unknown(needs)
    # An issue that nothing would have any more is not counted by health.
    gone = {metric: 0.0 for metric in before if metric.startswith(gates.ISSUE)}
    after = {metric: value for metric, value in {**gone, **_numbers(dataset)}.items() if metric not in unknown}
    declared = [gate for gate in gates.declared_gates(dataset.settings) if gate.metric not in unknown]
    verdicts = gates.evaluate_all(declared, after)
    return Outcome(before, after, verdicts, dropped, relabelled, needs)


def _refuse_unknown(needs: Mapping[str, str], supposed: Supposed) -> None:
    """Refuse decisions on what is flagged by signals that are not known without a run."""
    asked = {*supposed.drop, *(issue.name for issue in ISSUES.values() if issue.relabels and supposed.relabel)}
    for name in needs:
        raised = {issue.name for query in catalog.BY_NAME[name].issues for issue in query.issues}
        if name == "samples" or asked & raised:
            raise ConfigurationError(
                f"who has {', '.join(sorted(asked & raised)) or 'an issue'} is not known without a run of {name}"
                f" ({needs[name]}): suppose the decisions without the setting, or run it first"
            )


def _numbers(dataset: Dataset) -> dict[str, float]:
    return {str(metric): float(value) for metric, value in dataset.store.rows(NOW)}


def _needs_run(dataset: Dataset) -> dict[str, str]:
    """Return the signals that are not brought up to date, each with why."""
    needs: dict[str, str] = {}
    for signal in catalog.ALL:
        if signal.name in LONG and differs(signal, dataset):
            needs[signal.name] = "its settings are others"
        elif signal.name not in OUTSIDE | _GATHERING and (
            above := [one for one in catalog.upstream(signal) if one in needs]
        ):
            needs[signal.name] = f"it follows from {above[0]}"
    return needs


# These take what there is from all others; what they say of those that are not known is left out.
_GATHERING: frozenset[str] = frozenset({"issues", "health"})


def _bring(dataset: Dataset, without: Collection[str]) -> None:
    for signal in catalog.ALL:
        if signal.name not in OUTSIDE and signal.name not in without:
            report = bring_up_to_date(signal, dataset)
            if report.failed:
                raise BrainError("; ".join(report.failed.values()))


def _decide(dataset: Dataset, supposed: Supposed) -> tuple[int, int]:
    """Write the decisions as the review page would, and apply them to samples; return how many of each kind there are."""
    store = dataset.store
    drops = store.query(FLAGGED, [list(supposed.drop)]).to_pylist() if supposed.drop else []
    doubted = [issue.name for issue in ISSUES.values() if issue.relabels]
    labels = store.query(SUGGESTED, [doubted]).to_pylist() if supposed.relabel else []
    gone = {row["subject_id"] for row in drops}
    labels = [row for row in labels if row["subject_id"] not in gone]
    first = int(store.value("select coalesce(max(event_id), 0) from decisions")) + 1
    now = store.value("select now()")
    rows = [
        row
        | {"event_id": first + number, "decision_id": f"{first + number}-{row['subject_id']}", "kind": kind}
        | {"said_by": "what-if", "said_at": now}
        for number, (kind, said) in enumerate((("drop", drops), ("relabel", labels)))
        for row in said
    ]
    with store.write(dataset.run_id, "reviews") as transaction:
        transaction.merge(Merge("decisions", pa.Table.from_pylist(rows, schema=DECISIONS)))
    with store.write(dataset.run_id, "samples") as transaction:
        transaction.merge(Merge("samples", DECIDED))
    return len(drops), len(labels)


def _unknown(needs: Mapping[str, str]) -> set[str]:
    """Return the numbers that follow from signals that are not brought up to date."""
    if not needs:
        return set()
    signals = [catalog.BY_NAME[name] for name in needs]
    metrics = {metric for signal in signals for metric in signal.metrics}
    issues = {f"issue_{issue.name}" for signal in signals for query in signal.issues for issue in query.issues}
    return metrics | issues | ({*catalog.ISSUES.metrics} if _raise(signals) else set())


def _raise(signals: Sequence[Signal]) -> bool:
    return any(signal.issues for signal in signals)
