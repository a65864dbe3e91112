"""How a signal stays current at the cost of the change.

A run of a signal is brought up to date when one of the tables that its last update read has a newer change number than it
has seen, when a scalar that it depends on is another, or when its *identity* (settings, code version, model) is. Its rows
and what it has seen are committed together, so a run that is killed anywhere goes on where it was.
"""

import json
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from brain_assets.incremental.digests import TOGETHER, Digests, Slice, slices
from brain_assets.incremental.signal import Check, Identity, MethodRun, PerSubject, Signal
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.errors import BrainError, MemoryExhausted, StoreError
from brain_assets.resources.settings.configuration import Section
from brain_assets.resources.store.store import Counts, Merge, Transaction

NOTHING_SEEN = -1
# Kept by the engine itself; a calibration is an input by its value, see `Signal.scalars`.
BOOKKEEPING = frozenset(
    {"calibrations", "changes", "data_versions", "facts", "runs", "schema_version", "seen", "versions", "watermarks"}
)
# Of these nothing tells when they were last changed.
UNNUMBERED = frozenset({"changes", "data_versions", "keys", "schema_version", "seen", "versions", "watermarks"})
# Runs whose last try failed.
FAILED = """
    select brain_key, method, error from (
        from runs qualify row_number() over (partition by brain_key order by started_at desc, run_id) = 1)
    where state = 'failed'"""
# Whether a table that is read without being named among a signal's inputs is an error; tests say so.
STRICT = False


class UndeclaredError(Exception):
    """A signal reads a table that it does not declare: a fault of its author, which no run excuses."""


@dataclass
class Update:
    """What a signal is given to bring one run's rows up to date.

    Attributes
    ----------
    dataset : Dataset
    signal : Signal
    run : MethodRun
    since : int
        Change number up to which this run has seen its tables, or ``NOTHING_SEEN``.
    anew : bool
        Whether there may be rows that other settings, another model or older code made.
    due : bool
        Whether somebody asked for its calibrations to be fitted again.
    notes : dict
        Numbers and texts that the run's record shows.
    incomplete : bool
        Set where something could not be had this time: the next run is then woken to try again.
    retry : bool
        Set where all rows are there, and some of them say that something is to be tried again: the next run is woken.
    seen : Digests or None
        What `fresh` compared, to be remembered with the rows.
    kept : list of str
        Temporary tables that `keep` made.
    """

    dataset: Dataset
    signal: Signal
    run: MethodRun
    since: int
    anew: bool = False
    due: bool = False
    notes: dict[str, Any] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    incomplete: bool = False
    retry: bool = False
    seen: Digests | None = None
    kept: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """SQL literal of the run's ``brain_key``."""
        return literal(self.run.brain_key)

    @property
    def similarity(self) -> str:
        """SQL literal of the key of the run of neighbours that is read."""
        return literal(self.run.settings["similarity"])

    @property
    def embeddings(self) -> str:
        """SQL literal of the key of the run of vectors that is read."""
        return literal(self.run.settings["embeddings"])

    @property
    def owner(self) -> tuple[str, str]:
        """The signal and the run."""
        return self.signal.name, self.run.brain_key

    def query(self, query: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Return rows of the store."""
        return self.dataset.store.query(query, parameters)

    def streamed(self, query: str) -> pa.Table:
        """Return rows of the store as they come: of very many, the database keeps none for itself."""
        batches = list(self.dataset.store.stream(query))
        return pa.Table.from_batches(batches) if batches else self.query(query)

    def column(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return the first column of a query as a list."""
        values: list[Any] = self.query(query, parameters).column(0).to_pylist()
        return values

    def value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the single value of a query."""
        return self.dataset.store.value(query, parameters)

    def changed(self, query: str) -> bool:
        """Return whether a table that a query reads may be another than the run saw last; it counts as read in any case."""
        store = self.dataset.store
        store.note(query)
        tables = store.tables_of(query)
        return bool(tables & UNNUMBERED) or store.version(tables) > self.since

    def keep(self, name: str, query: str) -> None:
        """Keep the rows of a query, until the update is committed, in a temporary table that several merges read."""
        self.dataset.store.note(query)
        self.dataset.store.rows(f"create or replace temp table {name} as {query}")
        self.kept.append(name)

    def together(self, query: str, given: Any = None) -> Slice:
        """Return the slice of subjects of which all are judged again when anything differs of one."""
        context = self.value(f"select bit_xor(hash(hash(row_))) from ({query}) row_")
        return Slice(query, str(context), given, batch=TOGETHER)

    def rows_of(self, table: str) -> str:
        """Return the SQL condition of this run's rows of a table."""
        return f"brain_key = {self.key}" if "brain_key" in self.dataset.store.keys[table] else "true"

    def own(self, merge: Merge) -> Merge:
        """Return a merge into a table that the signal declares, with the run's key in its rows."""
        if merge.table not in {table.name for table in self.signal.tables}:
            return merge
        if isinstance(merge.rows, str):
            return replace(merge, rows=f"select {self.key} as brain_key, * from ({merge.rows})")
        keys = pa.array([self.run.brain_key] * len(merge.rows), pa.string())
        return replace(merge, rows=merge.rows.append_column("brain_key", keys))

    def fresh(self, query: str, key: str = "subject_id", settings: Mapping[str, Any] | None = None) -> pa.Array:
        """Return the subjects that are new, or of which the last update of this run saw something else.

        Parameters
        ----------
        query : str
            One row per subject, with all of it that the run's rows follow from.
        key : str
            The column that names a subject.
        settings : mapping, optional
            The settings that what is kept of a subject follows from; by default all of the run's.
        """
        run = self.run if settings is None else replace(self.run, settings=settings)
        self.seen = Digests(self.dataset.store, self.owner, [key])
        self.seen.compare(query, json.dumps(asdict(self.signal.identity(run))))
        return self.query("select subject from outdated").column(0).combine_chunks()

    def replace(self, table: str, rows: pa.Table | str) -> Merge:
        """Return the merge that leaves a table with just these rows of this run."""
        return Merge(table, rows, within=self.rows_of(table))

    def put(self, table: str, rows: pa.Table | str, *, without: str) -> Merge:
        """Return the merge that adds rows of this run to a table and deletes those for which a condition holds."""
        return Merge(table, rows, within=f"{self.rows_of(table)} and {without}")

    def drop(self, table: str, condition: str = "true") -> Merge:
        """Return the merge that deletes the rows of this run for which a condition holds."""
        return self.put(table, f"select * exclude (changed) from {table} limit 0", without=condition)

    def commit(self, *merges: Merge) -> Counts:
        """Commit rows before the update is complete; the watermark stays, so what remains is found again."""
        with self.write() as transaction:
            written = sum((transaction.merge(merge) for merge in merges), Counts())
        self.counts += written
        return written

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Commit, in the name of the run, what the block does."""
        with self.dataset.store.write(self.dataset.run_id, self.signal.name) as transaction:
            yield transaction


@dataclass
class Report:
    """What bringing one signal up to date did; ``failed`` has the reason of every declared run that failed."""

    up_to_date: bool = True
    counts: Counts = field(default_factory=Counts)
    notes: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def literal(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def section_settings(*sections: Section) -> dict[str, Any]:
    """Return the settings of some sections as JSON values, to be part of a run's fingerprint."""
    return {type(section).__name__: section.model_dump(mode="json") for section in sections}


def bring_up_to_date(signal: Signal, dataset: Dataset) -> Report:
    """Bring all configured runs of a signal up to date; do nothing where nothing is new.

    A run that the user declared and that fails stops neither the others nor publishing; the default run does.
    """
    report = Report()
    runs, watermarks = signal.method_runs(dataset), _watermarks(signal, dataset)
    _retire(signal, dataset, sorted(watermarks.keys() - {run.brain_key for run in runs}))
    for run in runs:
        update = _pending(signal, dataset, run, watermarks.get(run.brain_key))
        if update is None:
            continue
        report.up_to_date = False
        try:
            _require_sources(update)
            update = _performed(update)
        except UndeclaredError:
            raise
        except Exception as error:
            if run.brain_key in signal.default_keys and not signal.plugin:
                raise
            report.failed[run.brain_key] = f"run {run.brain_key} of {signal.name}: {reason(error)}"
        report.counts += update.counts
        report.notes.update(update.notes)
    return report


def _require_sources(update: Update) -> None:
    """Refuse a run whose vectors or neighbours could not be computed: it would answer for what there was before."""
    keys = [update.run.settings.get(name) for name in ("embeddings", "similarity")]
    if not any(keys):
        return
    store = update.dataset.store
    if not store.value("select exists (from runs where state = 'failed')"):
        return
    failed = FAILED + " and brain_key in (select unnest(?::varchar[]))"
    for brain_key, method, error in store.rows(failed, [[key for key in keys if key]]):
        raise BrainError(f"it reads the run {brain_key} of {method}, which failed: {error}")


def failed_runs(dataset: Dataset) -> list[tuple[str, str, str]]:
    """Return the key, method and reason of every run whose last try failed."""
    return [(str(key), str(method), str(error)) for key, method, error in dataset.store.rows(FAILED)]


def asked(query: str, signal: Signal, dataset: Dataset) -> dict[str, str]:
    """Return a query of a check or metric as it is asked of each run, by the run's key; under "" what holds of all."""
    if "{key}" not in query:
        return {"": query}
    return {run.brain_key: query.format(**_literals(run)) for run in signal.method_runs(dataset)}


def example(query: str) -> str:
    """Return a query of a check or metric as it would be asked of some run, to be planned."""
    return query.format(key="''", embeddings="''", similarity="''", where="true") if "{key}" in query else query


def _literals(run: MethodRun) -> dict[str, str]:
    keys = {"key": run.brain_key} | {name: str(run.settings.get(name)) for name in ("embeddings", "similarity")}
    return {name: literal(key) for name, key in keys.items()} | {"where": run.settings.get("where") or "true"}


def wrong_rows(check: Check, signal: Signal, dataset: Dataset) -> int:
    """Return how many rows a check finds wrong, over all runs."""
    store = dataset.store
    queries = asked(check.query, signal, dataset).values()
    return store.growing(lambda: sum(int(store.value(query)) for query in queries))


def is_up_to_date(signal: Signal, dataset: Dataset) -> bool:
    """Return whether nothing that the signal reads has changed."""
    watermarks = _watermarks(signal, dataset)
    return not any(_pending(signal, dataset, run, watermarks.get(run.brain_key)) for run in signal.method_runs(dataset))


def differs(signal: Signal, dataset: Dataset) -> bool:
    """Return whether settings, code or model of a run are others than those that its rows were made with."""
    known = _watermarks(signal, dataset)
    runs = signal.method_runs(dataset)
    return any(Identity(*known.get(run.brain_key, ("", "", ""))[:3]) != signal.identity(run) for run in runs)


def _watermarks(signal: Signal, dataset: Dataset) -> dict[str, tuple[Any, ...]]:
    """Return what each run of a signal has seen, by its key."""
    # All of them at once: most runs find most signals up to date.
    query = (
        "select asset, brain_key, code_version, settings, model_version, scalars, reads, number, due from watermarks"
    )
    return {key: tuple(seen) for asset, key, *seen in dataset.store.known(query) if asset == signal.name}


def _pending(signal: Signal, dataset: Dataset, run: MethodRun, seen: tuple[Any, ...] | None) -> Update | None:
    if seen is None or Identity(*seen[:3]) != signal.identity(run):
        return Update(dataset, signal, run, NOTHING_SEEN, anew=seen is not None)
    scalars, reads, number, due = seen[3:]
    changed = signal.always or dataset.store.version(reads) > number or scalars != _scalars(signal, dataset, run)
    return Update(dataset, signal, run, NOTHING_SEEN if due else number, due=due) if changed or due else None


def _scalars(signal: Signal, dataset: Dataset, run: MethodRun) -> str:
    queries = signal.scalars(run) if signal.scalars else {}
    values = {name: dataset.store.value(query) for name, query in queries.items()}
    if signal.outside:
        values["outside"] = signal.outside(dataset, run)
    return json.dumps(values, default=str)


def _performed(update: Update) -> Update:
    """Perform an update, again with more memory for the database where that runs out of it; return the one that ended."""
    while True:
        try:
            _perform(update)
        except MemoryExhausted:
            if not (limit := update.dataset.store.grow()):
                raise
            begun = Update(update.dataset, update.signal, update.run, update.since, update.anew, update.due)
            begun.notes["memory of the database"] = limit
            update = begun
        else:
            return update


def _perform(update: Update) -> None:
    with _recorded(update):
        if update.run.fault is not None:
            raise BrainError(update.run.fault)
        _try_condition(update)
        _compute(update)


def _try_condition(update: Update) -> None:
    """Ask the run's ``where`` once, alone and within bounds: a condition that never ends must not hang all that comes after it.

    Raises
    ------
    BrainError
        If it is not answered in time, or needs more memory or disk than the database has.
    """
    if not (where := update.run.settings.get("where")):
        return
    seconds = update.dataset.service.condition_seconds
    try:
        with update.dataset.store.within(seconds):
            update.value(f"select count(*) from sample_facts where ({where})")
    except TimeoutError:
        raise BrainError(
            f"its where took longer than {seconds:g} seconds: make it simpler, or raise `condition_seconds` in settings.yaml"
        ) from None
    except StoreError as error:
        raise StoreError(f"its where: {error}") from None


def _compute(update: Update) -> None:
    signal, store = update.signal, update.dataset.store
    with store.recording() as reads:
        finish = _each_subject(update, signal.update) if isinstance(signal.update, PerSubject) else None
        merges = [] if isinstance(signal.update, PerSubject) else list(signal.update.update(update))
        with update.write() as transaction:
            for merge in merges:
                update.counts += transaction.merge(update.own(merge))
            if finish:
                update.counts += finish(transaction)
            if update.seen:
                update.seen.remember(transaction)
                update.seen.forget(transaction)
            for name in update.kept:
                transaction.execute(f"drop table temp.{name}")
            _mark(transaction, update, reads)
            _finish(transaction, update)


def _mark(transaction: Transaction, update: Update, reads: set[str]) -> None:
    """Remember, with the rows, up to which change the run has seen the tables that it read."""
    signal = update.signal
    read = reads - BOOKKEEPING - set(signal.writes)
    undeclared = read - set(signal.reads)
    if STRICT and undeclared and not signal.after:
        raise UndeclaredError(f"{signal.name} reads {sorted(undeclared)}, which are not among its inputs")
    if update.anew and update.incomplete:
        return
    # Only this run writes, so whatever was committed before this transaction has been seen.
    number = NOTHING_SEEN if update.incomplete or update.retry else transaction.number - 1
    scalars = _scalars(signal, update.dataset, update.run)
    _put_watermark(transaction, update, scalars=scalars, reads=sorted(read), number=number, due=False)


def _put_watermark(transaction: Transaction, update: Update, **seen: Any) -> None:
    asset, brain_key = update.owner
    identity = asdict(update.signal.identity(update.run))
    transaction.put("watermarks", asset=asset, brain_key=brain_key, **identity, **seen)


def _each_subject(update: Update, kind: PerSubject) -> Any:
    """Judge the subjects of which anything differs; return what remains to be done in the last transaction."""
    digests = Digests(update.dataset.store, update.owner, kind.key)
    if update.anew or update.since == NOTHING_SEEN:
        _begin(update)
    given = kind.inputs if isinstance(kind.inputs, str) else kind.inputs(update)
    judged = 0
    for one in slices(given):
        for stale in digests.stale(one):
            rows = kind.judge(update, stale.rows, stale.given)
            with update.write() as transaction:
                within = f"{update.rows_of(kind.table)} and {stale.among}"
                update.counts += transaction.merge(update.own(Merge(kind.table, rows, within=within)))
                digests.remember(transaction, stale)
            judged += stale.last - stale.first
    update.notes |= {"judged": judged}
    if kind.fit:
        kind.fit(update)

    def finish(transaction: Transaction) -> Counts:
        digests.forget(transaction)
        return transaction.delete(kind.table, f"{update.rows_of(kind.table)} and {digests.gone}")

    return finish


def _begin(update: Update) -> None:
    """Forget what the run was judged by under another identity, before anything is judged under this one."""
    with update.write() as transaction:
        if update.anew or update.due:
            transaction.execute("delete from seen where asset = ? and brain_key = ?", list(update.owner))
        _put_watermark(transaction, update, scalars="", reads=[], number=NOTHING_SEEN, due=update.due)


@contextmanager
def _recorded(update: Update) -> Iterator[None]:
    """Keep the run's row in ``runs``: running, then done (with its rows) or failed."""
    if update.signal.always:
        yield
        return
    signal, run, dataset = update.signal, update.run, update.dataset
    started = {
        "run_id": dataset.run_id, "brain_key": run.brain_key, "method": signal.name,
        "config": json.dumps(run.settings, default=str), "state": "running", "started_at": datetime.now(UTC),
        "code_version": signal.version, "model_version": run.model_version, "rows_changed": 0,
    }  # fmt: skip
    with update.write() as transaction:
        transaction.put("runs", **started)
    try:
        yield
    except BaseException as error:
        # What the store refuses to note is found by the next run; the first error is the one to report.
        with suppress(StoreError):
            _fail(update, error)
        raise


def reason(error: BaseException) -> str:
    """Return in one line why a run failed."""
    if not isinstance(error, Exception):
        return "interrupted"
    text = traceback.format_exception_only(error)[-1].strip()
    return " ".join(str(error).split()) if isinstance(error, BrainError) else text


def _fail(update: Update, error: BaseException) -> None:
    with update.write() as transaction:
        transaction.execute(
            "update runs set state = 'failed', error = ?, finished_at = now() where run_id = ? and brain_key = ?",
            [reason(error), update.dataset.run_id, update.run.brain_key],
        )
        transaction.mark("runs")


def _finish(transaction: Transaction, update: Update) -> None:
    if update.signal.always:
        return
    transaction.mark("runs")
    transaction.execute(
        "update runs set state = 'done', finished_at = now(), rows_changed = ? where run_id = ? and brain_key = ?",
        [update.counts.total, update.dataset.run_id, update.run.brain_key],
    )


def _retire(signal: Signal, dataset: Dataset, undeclared: Sequence[str]) -> None:
    """Delete the rows of runs that are no longer declared."""
    for brain_key in undeclared:
        if signal.retire:
            signal.retire(dataset, brain_key)
        delete_run(signal, dataset, brain_key)


def delete_run(signal: Signal, dataset: Dataset, brain_key: str) -> Counts:
    """Delete all rows of one run, and what it has seen."""
    counts = Counts()
    with dataset.store.write(dataset.run_id, signal.name) as transaction:
        for table in signal.writes:
            if "brain_key" in dataset.store.keys[table]:
                counts += transaction.delete(table, f"brain_key = {literal(brain_key)}")
        for table in ("watermarks", "seen"):
            transaction.execute(f"delete from {table} where asset = ? and brain_key = ?", [signal.name, brain_key])
    return counts
