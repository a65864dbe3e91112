"""The state of a dataset in numbers, kept over time."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from brain_assets.answers.contract import Clause, clauses, filled, fingerprint, read_contract
from brain_assets.incremental.signal import MethodRun, Publication, Signal, Whole
from brain_assets.incremental.update import BOOKKEEPING, Update, asked, literal
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.store.store import Merge

LAST = "select metric, value from health where run_id = (select arg_max(run_id, measured_at) from health)"
# A subject that several runs flag counts once.
FLAGGED = "select issue, count(distinct subject_id) from issues where is_issue group by issue"


def measured(signal: Signal, dataset: Dataset) -> dict[str, float]:
    """Return the numbers that a signal offers, of every run; those of the default run go without its key."""
    return {name: float(dataset.store.value(query)) for name, query, _ in _metrics(signal, dataset)}


def _metrics(signal: Signal, dataset: Dataset) -> Iterator[tuple[str, str, bool]]:
    """Yield name and query of every number that a signal offers, and whether settings of a run are in the query."""
    for metric, per_run in signal.metrics.items():
        is_set = any(setting in per_run for setting in ("{where}", "{embeddings}", "{similarity}"))
        for key, query in asked(per_run, signal, dataset).items():
            yield f"{metric}.{key}" if key and key not in signal.default_keys else metric, query, is_set


def _measured_anew(signal: Signal, update: Update, last: Mapping[str, float]) -> dict[str, float]:
    """Return the same; what was measured last, of tables that are as they were, is not measured again."""
    store, found = update.dataset.store, {}
    for name, query, is_set in _metrics(signal, update.dataset):
        is_other = update.changed(query) or is_set or bool(store.tables_of(query) & BOOKKEEPING)
        found[name] = float(update.value(query)) if is_other or name not in last else last[name]
    return found


def newest(dataset: Dataset) -> dict[str, float]:
    """Return the numbers that were measured last, by their names."""
    return {str(name): float(value) for name, value in dataset.store.rows(LAST)}


def kept(signals: Sequence[Signal], dataset: Dataset) -> dict[str, float]:
    """Return the numbers of the dataset's contract, if it has one."""
    if dataset.settings.contract is None:
        return {}
    contract = read_contract(dataset.settings.contract)
    tables = {one.table: one.query for signal in signals for one in signal.publishes}

    def asked_of(clause: Clause) -> float:
        return float(dataset.store.value(filled(clause.value, contract, tables)))

    return {clause.metric: asked_of(clause) for clause in clauses(contract) if clause.value}


def health(signals: Sequence[Signal]) -> Signal:
    """Return the signal that measures what all others offer as metrics."""
    queries = {name: query for signal in signals for name, query in signal.metrics.items()}

    def update_health(update: Update) -> Iterator[Merge]:
        store = update.dataset.store
        last = newest(update.dataset)
        values = {name: value for signal in signals for name, value in _measured_anew(signal, update, last).items()}
        counted = store.rows(FLAGGED)
        values |= {f"issue_{issue}": float(count) for issue, count in counted}
        values |= kept(signals, update.dataset)
        update.notes |= values
        run_id, now = update.dataset.run_id, update.dataset.store.value("select now()")
        rows = [
            {"run_id": run_id, "metric": name, "value": value, "measured_at": now} for name, value in values.items()
        ]
        # Measured again by the same run, an issue that nothing has any more has no number.
        yield Merge("health", pa.Table.from_pylist(rows), within=f"run_id = {literal(run_id)}")

    return Signal(
        name="health",
        description="The dataset in numbers after each change: samples, unreadable share, duplicates, every issue's count."
        " They plot over time, and gates are built on them.",
        group="answers",
        reads=(),
        runs=lambda dataset: [MethodRun("health", fingerprint(dataset.settings.contract))],
        after=tuple(signal.name for signal in signals if signal.metrics),
        writes=("health",),
        # Another set of metrics is measured at once.
        version=hashlib.blake2b(json.dumps(queries).encode(), digest_size=8).hexdigest(),
        update=Whole(update_health),
        publishes=(
            Publication(
                "health",
                """
                select measured_at as recorded_at, run_id, metric, value, measured_at as "at"
                from health order by measured_at, metric""",
                {
                    "recorded_at": "When.",
                    "run_id": "After which run.",
                    "metric": "What was measured.",
                    "value": "The number.",
                    "at": "Former name of `recorded_at`, until version 0.3.",
                },
            ),
        ),
        view={"tab": "news"},
    )
