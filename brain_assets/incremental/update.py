"""How an asset stays current at the cost of the change.

A *derivation* says what it reads, which method it calls and what it writes. It is woken when a table it reads has a newer
change number than it has seen, or when its *fingerprint* (settings, code version, model) is another. Its rows and the
number it has seen are committed together, so a run that is killed anywhere goes on where it was.
"""

import json
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import ValidationError

from brain_assets.resources.dataset import Dataset
from brain_assets.resources.errors import ConfigurationError, StoreError
from brain_assets.resources.settings.configuration import RunSettings, Section
from brain_assets.resources.settings.validation import where, wrong
from brain_assets.resources.store.store import Counts, Merge, Transaction

NOTHING_SEEN = -1


@dataclass(frozen=True)
class MethodRun:
    """One configured run of a method; a dataset may declare several, each under its own key.

    Attributes
    ----------
    brain_key : str
        Names the rows of this run.
    settings : mapping
        Everything its result depends on, as JSON values.
    model_version : str, optional
        Version of the embedding model behind it.
    """

    brain_key: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    model_version: str | None = None


@dataclass(frozen=True)
class Check:
    """A question about integrity: the query counts what is wrong, 0 passes."""

    name: str
    query: str
    description: str


@dataclass(frozen=True)
class Publication:
    """A table that readers may open.

    Attributes
    ----------
    table : str
        Its name, as readers know it.
    query : str
        What it holds, over the tables of the store.
    reads : tuple of str
        The tables behind the query; the file is rewritten when one of them changed.
    columns : mapping of str to str
        What each column means.
    parts : str, optional
        SQL expression that deals the rows out to part files, for a table too large to rewrite for every change; it
        stands for a query whose rows have ``part`` and ``mark``, where ``mark`` changes with the part's content.
    """

    table: str
    query: str
    reads: tuple[str, ...]
    columns: Mapping[str, str]
    parts: str | None = None


@dataclass(frozen=True)
class IssueQuery:
    """A query that gives rows of the uniform table of issues, and the tables behind it."""

    query: str
    reads: tuple[str, ...]


@dataclass(frozen=True)
class Derivation:
    """A thing that is known of a dataset and kept current.

    Attributes
    ----------
    name : str
        The asset's name.
    description : str
        What it tells, for a newcomer.
    group : str
        The chapter of the story it belongs to.
    reads : tuple of str
        Tables whose changes wake it.
    writes : tuple of str
        Tables it alone writes.
    update : callable
        Takes an ``Update`` and returns the rows that shall stand, as merges that are committed with the watermark.
    version : str
        Version of the code; another one recomputes everything.
    runs : callable
        Gives the configured runs of a dataset.
    always : bool
        Whether it looks at the outside world and is therefore never up to date by its watermark.
    """

    name: str
    description: str
    group: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    update: "Callable[[Update], Iterable[Merge]]"
    version: str = "1"
    runs: Callable[[Dataset], Sequence[MethodRun]] | None = None
    always: bool = False
    kinds: tuple[str, ...] = ("python", "duckdb")
    after: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    publishes: tuple[Publication, ...] = ()
    issues: tuple[IssueQuery, ...] = ()
    metrics: Mapping[str, str] = field(default_factory=dict)

    def method_runs(self, dataset: Dataset) -> Sequence[MethodRun]:
        """Return the configured runs; a method without settings has one, under its own name."""
        return self.runs(dataset) if self.runs else [MethodRun(self.name)]

    def fingerprint(self, run: MethodRun) -> str:
        """Return what the run's rows depend on besides the tables it reads."""
        return json.dumps([self.version, run.settings, run.model_version], sort_keys=True, default=str)


@dataclass
class Update:
    """What a derivation is given to bring one run's rows up to date.

    Attributes
    ----------
    dataset : Dataset
    run : MethodRun
    since : int
        Change number up to which this run has seen its tables, or ``NOTHING_SEEN``.
    anew : bool
        Whether rows may stand that other settings, another model or older code made.
    notes : dict
        Numbers and texts that the run's record shows.
    incomplete : bool
        Set where something could not be had this time: the next run is then woken to try again.
    retry : bool
        Set where all rows stand, and some of them say that something is to be tried again: the next run is woken.
    """

    dataset: Dataset
    derivation: Derivation
    run: MethodRun
    since: int
    anew: bool = False
    notes: dict[str, Any] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    incomplete: bool = False
    retry: bool = False

    @property
    def key(self) -> str:
        """SQL literal of the run's ``brain_key``."""
        return literal(self.run.brain_key)

    def query(self, query: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Return rows of the store."""
        return self.dataset.store.query(query, parameters)

    def column(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return the first column of a query as a list."""
        values: list[Any] = self.query(query, parameters).column(0).to_pylist()
        return values

    def commit(self, *merges: Merge) -> Counts:
        """Commit rows before the update is complete; the watermark stays, so what remains is found again."""
        with self.dataset.store.write(self.dataset.run_id, self.derivation.name) as transaction:
            written = sum((transaction.merge(merge) for merge in merges), Counts())
        self.counts += written
        return written


@dataclass
class Report:
    """What bringing one derivation up to date did."""

    up_to_date: bool = True
    counts: Counts = field(default_factory=Counts)
    notes: dict[str, Any] = field(default_factory=dict)


SectionT = TypeVar("SectionT", bound=Section)


def declared_runs(dataset: Dataset, method: str) -> list[RunSettings]:
    """Return the runs of a method that dataset.yaml declares beside the default one."""
    return [run for run in dataset.settings.runs if run.method == method]


def model_of(dataset: Dataset, embeddings: str) -> str:
    """Return the model behind a run of vectors: what was fitted to another model's vectors says nothing of these."""
    runs = (*declared_runs(dataset, "embeddings"), *declared_runs(dataset, "object_embeddings"))
    return {run.brain_key: run.model for run in runs}.get(embeddings) or dataset.settings.embeddings.model


def with_parameters(section: SectionT, run: RunSettings) -> SectionT:
    """Return the dataset's settings of a method as one run has them.

    Raises
    ------
    ConfigurationError
        If a parameter is unknown or wrong.
    """
    try:
        return type(section).model_validate({**section.model_dump(), **run.parameters})
    except ValidationError as error:
        first = error.errors()[0]
        known = type(section).model_fields
        raise ConfigurationError(
            f"dataset.yaml: run {run.brain_key}: parameter {where(first)}: {wrong(first, known)}"
        ) from None


def literal(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def section_settings(*sections: Section) -> dict[str, Any]:
    """Return the settings of some sections as JSON values, to be part of a run's fingerprint."""
    return {type(section).__name__: section.model_dump(mode="json") for section in sections}


def bring_up_to_date(derivation: Derivation, dataset: Dataset) -> Report:
    """Bring all configured runs of a derivation up to date; do nothing where nothing is new."""
    report = Report()
    runs = derivation.method_runs(dataset)
    _retire(derivation, dataset, [run.brain_key for run in runs])
    for run in runs:
        update = _pending(derivation, dataset, run)
        if update:
            _perform(update)
            report.up_to_date = False
            report.counts += update.counts
            report.notes.update(update.notes)
    return report


def is_up_to_date(derivation: Derivation, dataset: Dataset) -> bool:
    """Return whether nothing that the derivation reads has changed."""
    return not any(_pending(derivation, dataset, run) for run in derivation.method_runs(dataset))


def _pending(derivation: Derivation, dataset: Dataset, run: MethodRun) -> Update | None:
    query = "select fingerprint, number from watermarks where asset = ? and brain_key = ?"
    seen = next(iter(dataset.store.rows(query, [derivation.name, run.brain_key])), None)
    if seen is None or seen[0] != derivation.fingerprint(run):
        return Update(dataset, derivation, run, NOTHING_SEEN, anew=seen is not None)
    if derivation.always or dataset.store.version(derivation.reads) > seen[1]:
        return Update(dataset, derivation, run, seen[1])
    return None


def _perform(update: Update) -> None:
    derivation, store = update.derivation, update.dataset.store
    with _recorded(update):
        merges = list(derivation.update(update))
        # Only this run writes, so what is newest now has been seen, or was committed by the update itself.
        number = store.version(derivation.reads) if derivation.reads else 0
        with store.write(update.dataset.run_id, derivation.name) as transaction:
            for merge in merges:
                update.counts += transaction.merge(merge)
            if not (update.anew and update.incomplete):
                seen = NOTHING_SEEN if update.incomplete or update.retry else number
                mark = [derivation.name, update.run.brain_key, derivation.fingerprint(update.run), seen]
                transaction.execute("insert or replace into watermarks values (?, ?, ?, ?)", mark)
            _finish(transaction, update)


@contextmanager
def _recorded(update: Update) -> Iterator[None]:
    """Keep the run's row in ``runs``: running, then done (with its rows) or failed."""
    if update.derivation.always:
        yield
        return
    derivation, run, dataset = update.derivation, update.run, update.dataset
    with dataset.store.write(dataset.run_id, derivation.name) as transaction:
        transaction.execute("update runs set state = 'failed', error = 'killed' where state = 'running'")
        transaction.execute(
            "insert or replace into runs values (?, ?, ?, ?, 'running', null, ?, null, ?, ?, 0)",
            [dataset.run_id, run.brain_key, derivation.name, json.dumps(run.settings, default=str),
             datetime.now(UTC), derivation.version, run.model_version],
        )  # fmt: skip
        transaction.mark("runs")
    try:
        yield
    except BaseException as error:
        # What the store refuses to note is found by the next run; the first error is the one to tell.
        with suppress(StoreError):
            _fail(update, error)
        raise


def _fail(update: Update, error: BaseException) -> None:
    line = "interrupted" if not isinstance(error, Exception) else traceback.format_exception_only(error)[-1].strip()
    with update.dataset.store.write(update.dataset.run_id, update.derivation.name) as transaction:
        transaction.execute(
            "update runs set state = 'failed', error = ?, finished_at = now() where run_id = ? and brain_key = ?",
            [line, update.dataset.run_id, update.run.brain_key],
        )
        transaction.mark("runs")


def _finish(transaction: Transaction, update: Update) -> None:
    if update.derivation.always:
        return
    transaction.mark("runs")
    transaction.execute(
        "update runs set state = 'done', finished_at = now(), rows_changed = ? where run_id = ? and brain_key = ?",
        [update.counts.total, update.dataset.run_id, update.run.brain_key],
    )


def _retire(derivation: Derivation, dataset: Dataset, declared: Sequence[str]) -> None:
    """Delete the rows of runs that are no longer declared."""
    query = "select brain_key from watermarks where asset = ?"
    known = {row[0] for row in dataset.store.rows(query, [derivation.name])}
    for brain_key in sorted(known - set(declared)):
        delete_run(derivation, dataset, brain_key)


def delete_run(derivation: Derivation, dataset: Dataset, brain_key: str) -> Counts:
    """Delete all rows of one run, and what it has seen."""
    with dataset.store.write(dataset.run_id, derivation.name) as transaction:
        counts = Counts()
        for table in derivation.writes:
            if "brain_key" in dataset.store.keys[table]:
                empty = f"select * exclude (changed) from {table} where false"
                counts += transaction.merge(Merge(table, empty, within=f"brain_key = {literal(brain_key)}"))
        transaction.execute("delete from watermarks where asset = ? and brain_key = ?", [derivation.name, brain_key])
    return counts
