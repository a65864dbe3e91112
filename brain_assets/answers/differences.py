"""What is different between two versions of a dataset, or between two datasets, and why where it is known."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store import history as past
from brain_assets.resources.store import publishing
from brain_assets.resources.store.deltas import COUNT
from brain_assets.resources.store.history import CURRENT, History, Published, connect_at, open_history

Connection = duckdb.DuckDBPyConnection
Row = Mapping[str, Any]
# Of each matter its table, the columns that name a subject, those that are compared, and which rows are about it.
MATTERS: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...], str]] = {
    "samples": (
        "samples", ("sample_id",), ("filepath", "status", "error", "content_hash", "split", "tags", "groups"), "true",
    ),
    "labels": ("ground_truth", ("sample_id", "label_field"), ("labels", "origin"), "true"),
    "objects": (
        "objects", ("object_id",), ("sample_id", "label_field", "source", "label", "x", "y", "width", "height", "polygon"),
        "source = 'ground_truth'",
    ),
    "predictions": (
        "predictions", ("sample_id", "label_field", "model", "position"), ("label", "confidence"), "true",
    ),
    "issues": ("issues", ("subject_id", "issue", "source"), ("sample_id", "is_issue", "evidence"), "is_issue"),
    "thresholds": ("calibrations", ("brain_key", "issue"), ("value",), "true"),
    "decisions": ("decisions", ("decision_id", "subject_id"), ("kind", "value", "decided_by", "undone_at", "holds"), "true"),
}  # fmt: skip
LAST_RUNS = """
    select brain_key, method, config, code_version, model_version from runs where state = 'done'
    qualify row_number() over (partition by brain_key, method order by started_at desc, run_id) = 1"""
NUMBERS = "select metric, arg_max(value, recorded_at) as value from health group by metric"
KINDS = ("came", "went", "changed")
# So many lines of one kind are told.
SHOWN = 6


class Item(NamedTuple):
    """One subject that is different.

    Attributes
    ----------
    change : str
        came, went or changed.
    subject : mapping of str to str
        What names it.
    filepath : str or None
        Of its sample.
    before, after : mapping or None
        What is compared, where the version has it.
    why : str or None
        Where it is known.
    """

    change: str
    subject: Mapping[str, Any]
    filepath: str | None
    before: Row | None
    after: Row | None
    why: str | None = None


@dataclass(frozen=True)
class Pair:
    """Two sets that are compared: versions of one dataset, the older one first, or the current sets of two datasets.

    Attributes
    ----------
    histories : tuple of History
        Where each of the two is read from; twice the same for versions.
    older, newer : Published
    """

    histories: tuple[History, History]
    older: Published
    newer: Published

    @classmethod
    def of_versions(cls, history: History, older: Published, newer: Published) -> "Pair":
        """Return two versions of a dataset; raises ConfigurationError if the first is the later one."""
        if older.number > newer.number:
            raise ConfigurationError(f"version {older.number} is later than {newer.number}: name the older one first")
        return cls((history, history), older, newer)

    @classmethod
    def of_datasets(cls, one: History, other: History) -> "Pair":
        """Return the current sets of two datasets, as if the second had come of the first."""
        return cls((one, other), one.versions[0], other.versions[0])

    @property
    def is_one(self) -> bool:
        """Whether both are of one dataset."""
        return self.histories[0] is self.histories[1]

    @property
    def names(self) -> tuple[str, str]:
        """What the two are called: by their datasets where these differ."""
        both = (self.older, self.newer)
        titles = [f"{history.name}, {one.name}" for history, one in zip(self.histories, both, strict=True)]
        return (self.older.name, self.newer.name) if self.is_one else (titles[0], titles[1])

    def comparable(self, table: str) -> bool:
        """Return whether the rows of a table can be told apart: it has the same columns in both, and in all between."""
        same = self.older.columns.get(table) == self.newer.columns.get(table) and table in self.older.columns
        return same and (not self.is_one or past.comparable(self.older, self.newer, table))

    def change(self, table: str) -> str | None:
        """Return the query of what came (``_count`` above 0) and went of a table; None where nothing did."""
        if self.is_one:
            return past.change(self.histories[0], self.older, self.newer, table)
        sides = zip(self.histories, (self.older, self.newer), (-1, 1), strict=True)
        queries = [
            f"select *, {sign}::bigint as {COUNT} from"
            f" ({past.rows_of(history, one, table, publishing.damaged_tables(history.path))})"
            for history, one, sign in sides
        ]
        return " union all by name ".join(queries)


@dataclass(frozen=True)
class Difference:
    """What is different between two versions, or datasets.

    Attributes
    ----------
    pair : Pair
    items : mapping of str to list of Item
        By matter: samples, labels, objects, predictions, issues, thresholds and decisions.
    numbers : mapping of str to tuple of float
        Numbers of health that are others, before and after.
    settings : mapping of str to tuple
        Settings that are others, before and after.
    code : list of str
        Methods whose version is another, in words.
    tables : mapping of str to mapping of str to int
        Rows that came and went, by table; None for one whose columns are others. Empty for two datasets, of which most tables
        say when and by which run a row was written.
    """

    pair: Pair
    items: Mapping[str, list[Item]]
    numbers: Mapping[str, tuple[float | None, float | None]]
    settings: Mapping[str, tuple[Any, Any]]
    code: Sequence[str]
    tables: Mapping[str, Mapping[str, int] | None]

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "from": _named(self.pair.histories[0], self.pair.older),
            "to": _named(self.pair.histories[1], self.pair.newer),
            **{matter: [one._asdict() for one in found] for matter, found in self.items.items()},
            "numbers": {name: {"before": one, "after": other} for name, (one, other) in self.numbers.items()},
            "settings": {name: {"before": one, "after": other} for name, (one, other) in self.settings.items()},
            "code": list(self.code),
            "tables": dict(self.tables),
        }

    def __str__(self) -> str:
        return "\n".join(_told(self))


def _named(history: History, version: Published) -> dict[str, Any]:
    return {
        "dataset": history.name,
        "version": version.number,
        "published_at": version.at.isoformat(),
        "tags": version.tags,
    }


@contextmanager
def open_pair(home: Home, name: str, older: str | int, newer: str | int = CURRENT) -> Iterator[Pair]:
    """Yield two versions of a dataset, or its current set and that of another dataset, if that is what ``older`` names.

    Raises
    ------
    BrainError
        In one line, if there is no such version or dataset, or the first version is the later one.
    """
    with ExitStack() as stack:
        history = stack.enter_context(open_history(home.existing(name).published))
        try:
            first = history.at(older)
        except MissingError:
            if newer != CURRENT or older not in home.names():
                raise
            yield Pair.of_datasets(history, stack.enter_context(open_history(home.existing(str(older)).published)))
        else:
            yield Pair.of_versions(history, first, history.at(newer))


def compare(pair: Pair) -> Difference:
    """Return what is different, for versions of a dataset at the cost of what is."""
    older, newer = pair.older, pair.newer
    with connect_at(pair.histories[1], newer) as connection, connect_at(pair.histories[0], older) as before:
        found = {matter: list(_items(connection, pair, matter)) for matter in MATTERS}
        settings = _settings(older, newer)
        numbers = _differing(_pairs(before, NUMBERS, "health", older), _pairs(connection, NUMBERS, "health", newer))
        runs = _runs(before, older), _runs(connection, newer)
        samples = {_sample_of(one) for items in found.values() for one in items}
        names = _paths(connection, newer, samples) | {
            one.subject["sample_id"]: (one.before or {}).get("filepath") for one in found["samples"] if one.before
        }
    told = _Reasons(found, settings, runs, names, _words(pair))
    items = {matter: [told.of(matter, one) for one in found[matter]] for matter in MATTERS}
    return Difference(pair, items, numbers, settings, told.code, _tables(pair) if pair.is_one else {})


def rows(pair: Pair, table: str) -> pa.Table:
    """Return the rows of a table that came and went: its columns and ``_count``, above 0 for those that came.

    Applied to the older version, they give the newer one.

    Raises
    ------
    MissingError
        If neither version has the table, or its columns are not the same in both.
    """
    older, newer = pair.older, pair.newer
    known = sorted(older.columns.keys() | newer.columns.keys())
    if table not in known:
        raise MissingError(f"there is no table {table!r} (tables: {', '.join(known)})")
    if not pair.comparable(table):
        one, other = (str(one.number) for one in (older, newer)) if pair.is_one else pair.names
        raise MissingError(f"the columns of {table} are others in version {other} than in {one}, or it was damaged")
    query = pair.change(table)
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        listed = ", ".join(f'null::{kind} as "{name}"' for name, kind in older.columns[table].items())
        if query and not pair.is_one:
            query = f"select * replace (sum({COUNT})::bigint as {COUNT}) from ({query}) group by all having sum({COUNT}) != 0"
        return connection.sql(query or f"select {listed}, 0::bigint as {COUNT} limit 0").to_arrow_table()


def _items(connection: Connection, pair: Pair, matter: str) -> Iterator[Item]:
    """Yield what came, went or changed of a matter, by what names it."""
    table, keys, compared, where = MATTERS[matter]
    if not pair.comparable(table):
        return
    query = pair.change(table)
    there = [name for name in (*keys, *compared) if name in pair.older.columns[table]]
    names = ", ".join(f'"{name}"' for name in there)
    found = (
        connection.sql(
            f"select {names}, sum({COUNT}) as {COUNT} from ({query}) where {where} group by all having sum({COUNT}) != 0"
        )
        if query
        else None
    )
    sides: tuple[dict[Any, Row], dict[Any, Row]] = {}, {}
    for row in found.to_arrow_table().to_pylist() if found is not None else ():
        side = sides[row.pop(COUNT) > 0]
        side[tuple(row[key] for key in keys)] = row
    for key in sorted(sides[0].keys() | sides[1].keys(), key=repr):
        before, after = sides[0].get(key), sides[1].get(key)
        kind = "changed" if before and after else "came" if after else "went"
        yield Item(kind, dict(zip(keys, key, strict=True)), None, before, after)


def _pairs(connection: Connection, query: str, table: str, version: Published) -> dict[str, Any]:
    return dict(connection.execute(query).fetchall()) if table in version.columns else {}


def _runs(connection: Connection, version: Published) -> dict[tuple[str, str], Row]:
    if "runs" not in version.columns:
        return {}
    found = connection.sql(LAST_RUNS).to_arrow_table().to_pylist()
    return {(row["brain_key"], row["method"]): row for row in found}


def _paths(connection: Connection, version: Published, samples: Collection[str]) -> dict[str, str]:
    """Return the paths of some samples."""
    if "samples" not in version.columns:
        return {}
    query = "select sample_id, filepath from samples where sample_id in (select unnest(?::varchar[]))"
    return dict(connection.execute(query, [sorted(samples)]).fetchall())


def _sample_of(one: Item) -> str:
    """Return the sample that an item is about; ids of objects begin with that of theirs."""
    row = one.after or one.before or {}
    return str(one.subject.get("sample_id") or row.get("sample_id") or str(one.subject.get("subject_id") or "")[:20])


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what has another value, or none on one side."""
    names = sorted(before.keys() | after.keys())
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _settings(older: Published, newer: Published) -> dict[str, tuple[Any, Any]]:
    if "declared" not in older.facts or "declared" not in newer.facts:
        return {}
    return _differing(dict(_flat(older.facts["declared"])), dict(_flat(newer.facts["declared"])))


def _flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of everything below a tree of sections."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _flat(value, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, tree


def _tables(pair: Pair) -> dict[str, Mapping[str, int] | None]:
    """Return how many rows came and went, by table."""
    found: dict[str, Mapping[str, int] | None] = {}
    with duckdb.connect() as connection:
        for table in sorted(pair.older.columns.keys() | pair.newer.columns.keys()):
            if not pair.comparable(table):
                found[table] = None
            elif query := pair.change(table):
                counted = f"select sum(greatest({COUNT}, 0)), sum(greatest(-{COUNT}, 0)) from ({query})"
                came, went = connection.execute(counted).fetchall()[0]
                if came or went:
                    found[table] = {"came": int(came), "went": int(went)}
    return found


class _Words(NamedTuple):
    """How it is said of a sample that it came, went, lay elsewhere, or has another content."""

    came: str
    went: str
    moved_from: str
    moved_to: str
    content: str


def _words(pair: Pair) -> _Words:
    if pair.is_one:
        return _Words("arrived", "no longer in the source", "moved from {}", "moved to {}", "its file changed")
    one, other = (history.name for history in pair.histories)
    return _Words(f"in {other} alone", f"in {one} alone", f"is {{}} in {one}", f"is {{}} in {other}", "another content")


@dataclass
class _Reasons:
    """Why things are different, as far as what is published tells."""

    found: Mapping[str, list[Item]]
    settings: Mapping[str, tuple[Any, Any]]
    runs: tuple[Mapping[tuple[str, str], Row], Mapping[tuple[str, str], Row]]
    names: Mapping[str, str | None]
    words: _Words
    code: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        samples = {one.subject["sample_id"]: one for one in self.found["samples"]}
        self.samples: Mapping[str, Item] = samples
        self.gone = {one.before["content_hash"]: one for one in samples.values() if one.change == "went" and one.before}
        self.arrived = {
            one.after["content_hash"]: one for one in samples.values() if one.change == "came" and one.after
        }
        self.labels = {one.subject["sample_id"]: one for one in self.found["labels"]}
        self.said: dict[str, list[Row]] = {}
        for one in self.found["decisions"]:
            if one.after:
                self.said.setdefault(one.subject["subject_id"], []).append(one.after)
        self.thresholds = {(one.subject["brain_key"], one.subject["issue"]): one for one in self.found["thresholds"]}
        self.causes = dict(self._causes())

    def of(self, matter: str, one: Item) -> Item:
        """Return an item with its path and its reason."""
        why = getattr(self, f"_why_{matter}", lambda _: None)(one)
        return one._replace(filepath=self.names.get(_sample_of(one)), why=why)

    def _causes(self) -> Iterator[tuple[str, str]]:
        """Yield for each run what changed of how it judges: its settings, model or code."""
        for (key, method), now in self.runs[1].items():
            was = self.runs[0].get((key, method))
            if was and was["code_version"] != now["code_version"]:
                self.code.append(f"{method}: code version {was['code_version']} -> {now['code_version']}")
            if said := list(_differences_of(was, now)) if was else []:
                yield key, ", ".join(said)

    def _why_thresholds(self, one: Item) -> str:
        before, after = ((side or {}).get("value") for side in (one.before, one.after))
        cause = self.causes.get(one.subject["brain_key"]) or "fitted to the data as they are"
        return f"{one.subject['issue']} {_plain(before)} -> {_plain(after)}: {cause}"

    def _why_samples(self, one: Item) -> str | None:
        if one.change == "came" and one.after:
            former = self.gone.get(one.after["content_hash"])
            return (
                self.words.moved_from.format(former.before["filepath"]) if former and former.before else self.words.came
            )
        if one.change == "went" and one.before:
            later = self.arrived.get(one.before["content_hash"])
            return self.words.moved_to.format(later.after["filepath"]) if later and later.after else self.words.went
        before, after = one.before or {}, one.after or {}
        if before["content_hash"] != after["content_hash"]:
            return self.words.content
        if before["status"] != after["status"] and "dropped" in (before["status"], after["status"]):
            return self._decided(one.subject["sample_id"], {"drop", "keep", "confirm"}) or "a decision no longer holds"
        if (before["status"], before["error"]) != (after["status"], after["error"]):
            return after["error"] or "it can be read now"
        return "the source, or a file of labels, says otherwise"

    def _why_labels(self, one: Item) -> str | None:
        sample = one.subject["sample_id"]
        if (moved := self.samples.get(sample)) and moved.change != "changed":
            return f"its image {moved.change}"
        if "review" in ((one.after or {}).get("origin"), (one.before or {}).get("origin")):
            return self._decided(sample, {"relabel"}) or "a decision no longer holds"
        return "a file of labels"

    def _why_objects(self, one: Item) -> str | None:
        row = one.after or one.before or {}
        if (moved := self.samples.get(row["sample_id"])) and moved.change != "changed":
            return f"its image {moved.change}"
        return self._decided(one.subject["object_id"], None) or "a file of labels"

    def _why_predictions(self, one: Item) -> str | None:
        if (moved := self.samples.get(one.subject["sample_id"])) and moved.change != "changed":
            return f"its image {moved.change}"
        return f"a file of predictions of {one.subject['model']}"

    def _why_issues(self, one: Item) -> str | None:
        """Return the first cause that is known: the image itself, its label, its partner, or how it is judged."""
        row = one.after or one.before or {}
        sample, subject = row["sample_id"], one.subject["subject_id"]
        if moved := self.samples.get(sample):
            return f"its image {moved.change}: {self._why_samples(moved)}"
        if said := self._decided(subject, None):
            return said
        if labelled := self.labels.get(sample):
            return f"its label {labelled.change}: {self._why_labels(labelled)}"
        partner = json.loads(row["evidence"] or "{}").get("partner")
        if partner and (moved := self.samples.get(str(partner)[:20])):
            return f"its partner {moved.change}: {self._why_samples(moved)}"
        source = one.subject["source"]
        if fitted := self.thresholds.get((source, one.subject["issue"])):
            return f"threshold of {self._why_thresholds(fitted)}"
        return self.causes.get(source)

    def _why_decisions(self, one: Item) -> str:
        return _decision(one.after or one.before or {})

    def _decided(self, subject: str, kinds: set[str] | None) -> str | None:
        """Return what somebody said of a subject in between."""
        for said in self.said.get(subject, ())[::-1]:
            if kinds is None or said["kind"] in kinds:
                return _decision(said)
        return None


def _decision(said: Row) -> str:
    return f"{said['kind']} by {said['decided_by']}" + (", taken back" if said["undone_at"] else "")


def _differences_of(was: Row, now: Row) -> Iterator[str]:
    before, after = (dict(_flat(json.loads(one["config"] or "{}"))) for one in (was, now))
    for name, (one, other) in _differing(before, after).items():
        yield f"{name} {_plain(one)} -> {_plain(other)}"
    for what in ("model_version", "code_version"):
        if was[what] != now[what]:
            yield f"another {what.replace('_', ' ')}"


def _told(found: Difference) -> Iterator[str]:
    """Yield what is said of a difference, a line each."""
    yield " -> ".join(found.pair.names)
    for matter, items in found.items.items():
        counts = Counter(one.change for one in items)
        if items:
            yield f"{matter}: " + ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
            yield from _grouped(matter, items)
    for title, pairs in (("numbers", found.numbers), ("settings", found.settings)):
        if pairs:
            yield f"{title}:"
            yield from (f"  {name}: {_plain(one)} -> {_plain(other)}" for name, (one, other) in pairs.items())
    if found.code:
        yield "code: " + "; ".join(found.code)
    if others := [name for name, count in found.tables.items() if count is None]:
        yield f"not compared, as their columns are others or they were damaged: {', '.join(others)}"
    if not any(found.items.values()) and not found.numbers and not found.settings:
        yield "nothing is different"


def _grouped(matter: str, items: Sequence[Item]) -> Iterator[str]:
    """Yield how many are different for which reason, the most frequent first, each with its first file."""
    groups: dict[tuple[str, str, str], list[Item]] = {}
    for one in items:
        what = str(one.subject.get("issue", "")) if matter == "issues" else ""
        groups.setdefault((what, one.change, one.why or "not known"), []).append(one)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    for (what, kind, why), members in ordered[:SHOWN]:
        example = next((one.filepath for one in members if one.filepath), None)
        yield f"  {len(members)} {f'{what} ' if what else ''}{kind}: {why}" + (
            f" ({example}{', ...' if members[1:] else ''})" if example else ""
        )
    if rest := sum(len(members) for _, members in ordered[SHOWN:]):
        yield f"  {rest} for {len(ordered) - SHOWN} other reasons: --json has all"


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)
