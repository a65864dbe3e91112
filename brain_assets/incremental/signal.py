"""What is known of a signal: everything that Dagster, SQL, report, page and docs draw from, in one frozen declaration."""

import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from brain_assets.incremental.digests import Slice
from brain_assets.incremental.words import Evidence, measured
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.store.store import Merge

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from brain_assets.incremental.update import Update
    from brain_assets.resources.settings.configuration import DatasetSettings, Section

Say = Callable[[Evidence, str, str], str]


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
    fault : str, optional
        Why it cannot be computed, where that shows before it is tried.
    """

    brain_key: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    model_version: str | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Check:
    """A question about integrity: the query counts what is wrong, 0 passes.

    A query that names ``{key}``, as SQL literal, is asked of every run; it may also name ``{similarity}``, ``{embeddings}``
    and the condition ``{where}`` of the run.
    """

    name: str
    query: str
    description: str


@dataclass(frozen=True)
class Table:
    """A table of a signal that brings its own, made when a dataset is opened.

    Attributes
    ----------
    name : str
        Its name, in the store and published.
    columns : mapping of str to tuple of str
        SQL type and meaning of each column. The engine adds ``brain_key``, the run, and ``changed``.
    key : tuple of str
        Columns that name a row of a run.
    published : bool
        Whether readers may open it; what a signal notes for itself alone is not.
    """

    name: str
    columns: Mapping[str, tuple[str, str]]
    key: tuple[str, ...]
    published: bool = True

    def publication(self) -> "Publication":
        """Return the table as readers see it."""
        names = ", ".join(["brain_key", *self.columns])
        order = ", ".join(["brain_key", *self.key])
        meanings = {name: meaning for name, (_, meaning) in self.columns.items()}
        return Publication(
            self.name, f"select {names} from {self.name} order by {order}", {"brain_key": "The run."} | meanings
        )


@dataclass(frozen=True)
class Publication:
    """A table that readers may open.

    Attributes
    ----------
    table : str
        Its name, as readers know it.
    query : str
        What it holds, over the tables of the store. The file is rewritten when a table behind the query changed.
    columns : mapping of str to str
        What each column means.
    parts : str, optional
        Query of ``part`` and ``mark`` for a table too large to rewrite for every change: ``mark`` changes with the
        part's content, and the rows of ``query`` carry their ``part``.
    """

    table: str
    query: str
    columns: Mapping[str, str]
    parts: str | None = None


# Issues of which a smaller share is assumed to want a correction come after all others, however many there are.
NOTICE = 0.2


@dataclass(frozen=True)
class Cutoff:
    """The setting from which on an issue is flagged, and the values that it is compared with; people may move it.

    Attributes
    ----------
    setting : str
        Dotted key of a number in the dataset's file.
    worse : {"above", "below"}
        The side that is flagged.
    query : str
        Over published tables: what `measure` takes, one row for each that is counted.
    measure : callable, optional
        Takes the columns, each (n,) float64 with NaN for unknown, and returns (n,) float64, NaN where nothing can be
        judged; by default the column ``value``.
    counted : str
        What has a value: ``images``, each flagged by its own, or ``pairs`` of which it follows what is flagged.
    """

    setting: str
    worse: Literal["above", "below"]
    query: str
    measure: "Callable[[Mapping[str, NDArray[np.float64]]], NDArray[np.float64]]" = operator.itemgetter("value")
    counted: Literal["images", "pairs"] = "images"


@dataclass(frozen=True)
class Issue:
    """Something that can be wrong with a sample or an object, in words.

    Attributes
    ----------
    name : str
        As the table ``issues`` has it.
    place : int
        Where it stands among all issues: lower ones should be looked at first.
    title, meaning, advice : str
        What it is called, what it means, and what to do about it.
    say : callable, optional
        Takes the evidence, the subject's labels and the path of the partner that the evidence names, and returns why a
        subject was flagged; by default what a rule measured, and where it begins to flag.
    relabels : bool
        Whether another label settles it: the evidence may have the one to give as ``suggested``.
    groups : str, optional
        Published table of the groups that its subjects form.
    share : float
        Share of what is flagged that is assumed to want a correction, where scores are not calibrated and nobody has reviewed
        any: 1 for a fact that harms, such as a leak; below `NOTICE` for what may well be meant, such as a grey picture.
    cutoff : Cutoff, optional
        Where it begins, if that is one number of the dataset's file.
    """

    name: str
    place: int
    title: str
    meaning: str = ""
    advice: str = ""
    say: Say = measured
    relabels: bool = False
    groups: str | None = None
    share: float = 0.5
    cutoff: Cutoff | None = None

    def reason(self, evidence: Evidence, labels: str = "", partner: str = "") -> str:
        """Return why a subject was flagged, from its evidence, its labels and its partner's path."""
        return self.say(evidence, labels, partner) or self.meaning


@dataclass(frozen=True)
class IssueQuery:
    """Issues, and the query that gives their rows: subject_id, sample_id, object_id, issue, source, score, is_issue, evidence."""

    query: str
    issues: tuple[Issue, ...]


@dataclass(frozen=True)
class Histogram:
    """A picture of how the values of a query are spread; NULL and infinite ones are left out."""

    title: str
    values: str


@dataclass(frozen=True)
class Sheet:
    """A picture of the first images of a query of sample ids, such as the members of groups one after the other."""

    title: str
    samples: str


@dataclass(frozen=True)
class Scatter:
    """A picture of the first points of a query of ``x`` and ``y``."""

    title: str
    points: str


@dataclass(frozen=True)
class PerSubject:
    """Rows that follow, subject by subject, from what a query says of each.

    The engine finds the subjects of which anything differs, hands them to ``judge`` in batches, and deletes the rows of
    those that are gone.

    Attributes
    ----------
    table : str
        Holds the rows; none or several per subject.
    key : tuple of str
        Columns that name a subject, both in the query and in the table.
    inputs : str or callable
        The query, or gives the slices of subjects of an update.
    judge : callable
        Takes the update, rows of the query and what the slice gives along, and returns rows of the table.
    fit : callable, optional
        Fits what depends on the rows, such as a cut, once all are stored.
    """

    table: str
    key: tuple[str, ...]
    inputs: "str | Callable[[Update], Iterable[Slice]]"
    judge: "Callable[[Update, pa.Table, Any], pa.Table]"
    fit: "Callable[[Update], object] | None" = None


@dataclass(frozen=True)
class Whole:
    """Rows of which no part follows from one subject alone: graphs, pairs, maps, groups, selections.

    Attributes
    ----------
    update : callable
        Takes an ``Update`` and returns the rows that shall be stored, as merges that are committed with the watermark.
    """

    update: "Callable[[Update], Iterable[Merge]]"


@dataclass(frozen=True)
class Signal:
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
        Tables of others that its queries touch. An update that touches another fails in tests; what decides whether it is
        up to date are the tables that its last update really read.
    update : PerSubject or Whole
        How its rows come about.
    writes : tuple of str
        Tables that it writes; what it reads of them is its own.
    tables : tuple of Table
        Tables that it declares itself; it writes them, and they are published as they are unless `publishes` names them.
    version : str
        Version of the code; another one recomputes everything.
    runs : callable, optional
        Gives the configured runs of a dataset.
    options : frozenset of str
        What a declared run may say beside its key and method: model, embeddings, similarity, where, parameters. Without
        any, no run can be declared.
    parameters : callable, optional
        Takes the dataset's settings and returns the section that the ``parameters`` of a declared run may change.
    scalars : callable, optional
        Gives queries of single values that a run depends on beside the tables it reads, such as a threshold.
    outside : callable, optional
        Takes the dataset and a run and returns, as a text, the state of what it depends on outside of the store, such as a
        server's.
    retire : callable, optional
        Takes the dataset and the key of a run that is no longer declared, before its rows are deleted, to give up what it
        keeps outside.
    always : bool
        Whether it looks at the outside world and is therefore never up to date by its watermark.
    on_request : bool
        Whether it has no runs but those that settings ask for.
    kinds : tuple of str
        What it is made with, as Dagster shows it.
    after : tuple of str
        Signals that it follows without reading their tables.
    checks : tuple of Check
        Questions about its integrity.
    publishes : tuple of Publication
        Tables that readers may open.
    issues : tuple of IssueQuery
        What it finds wrong.
    metrics : mapping of str to str
        Numbers of the dataset's health, each by its query. Here, in issues and in the chart, ``{default}`` stands for the
        key of the run that is there without being declared.
    chart : Histogram, Sheet or Scatter, optional
        The picture that Dagster shows of it.
    view : mapping of str to object, optional
        Where the review page shows it: the parameters of a link.
    plugin : str
        The entry point of another package that brings it. If it fails, everything else goes on.
    """

    name: str
    description: str
    group: str
    reads: tuple[str, ...]
    update: PerSubject | Whole
    writes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    version: str = "1"
    runs: Callable[[Dataset], Sequence[MethodRun]] | None = None
    options: frozenset[str] = frozenset()
    parameters: "Callable[[DatasetSettings], Section] | None" = None
    scalars: Callable[[MethodRun], Mapping[str, str]] | None = None
    outside: "Callable[[Dataset, MethodRun], str] | None" = None
    retire: Callable[[Dataset, str], None] | None = None
    always: bool = False
    on_request: bool = False
    kinds: tuple[str, ...] = ("python", "duckdb")
    after: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    publishes: tuple[Publication, ...] = ()
    issues: tuple[IssueQuery, ...] = ()
    metrics: Mapping[str, str] = field(default_factory=dict)
    chart: Histogram | Sheet | Scatter | None = None
    view: Mapping[str, Any] | None = None
    plugin: str = ""

    def __post_init__(self) -> None:
        published = {one.table for one in self.publishes}
        for name in ("issues", "metrics", "chart"):
            object.__setattr__(self, name, _of_default_run(getattr(self, name), self.default_run))
        if not self.tables:
            return
        derived = (one.publication() for one in self.tables if one.published and one.name not in published)
        object.__setattr__(self, "publishes", (*self.publishes, *derived))
        object.__setattr__(self, "writes", tuple(dict.fromkeys([*self.writes, *(one.name for one in self.tables)])))

    def method_runs(self, dataset: Dataset) -> Sequence[MethodRun]:
        """Return the configured runs; a method without settings has one, under its own name."""
        return self.runs(dataset) if self.runs else [MethodRun(self.name)]

    @property
    def default_run(self) -> str:
        """Key of the run that is there without being declared, as an SQL literal: the name of the table that it fills."""
        published = [one.table for one in self.publishes] or [self.name]
        return f"'{self.name if self.name in published else published[0]}'"

    @property
    def default_keys(self) -> frozenset[str]:
        """Keys of runs that are there without being declared."""
        return frozenset({self.name, *(one.table for one in self.publishes)})

    @property
    def may_fail_in_part(self) -> bool:
        """Whether it has, or may have, runs of which one that fails stops nothing else."""
        return bool(self.options or self.plugin or self.on_request)

    def identity(self, run: MethodRun) -> "Identity":
        """Return what the run's rows depend on besides the tables it reads."""
        settings = json.dumps(run.settings, sort_keys=True, default=str, separators=(",", ":"))
        return Identity(self.version, settings, run.model_version or "")


@dataclass(frozen=True)
class Identity:
    """What a run's rows depend on besides tables: code, settings as JSON with sorted keys, and model."""

    code_version: str
    settings: str
    model_version: str


def _of_default_run(value: Any, key: str) -> Any:
    """Return a declaration with the key of the default run, an SQL literal, wherever its queries name ``{default}``."""
    if isinstance(value, str):
        return value.replace("{default}", key)
    if isinstance(value, tuple):
        return tuple(_of_default_run(one, key) for one in value)
    if isinstance(value, Mapping):
        return {name: _of_default_run(one, key) for name, one in value.items()}
    if isinstance(value, IssueQuery):
        return replace(value, query=_of_default_run(value.query, key))
    if isinstance(value, Histogram | Sheet | Scatter):
        fields = {name: _of_default_run(one, key) for name, one in vars(value).items()}
        return type(value)(**fields)
    return value
