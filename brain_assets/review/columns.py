"""Which columns a published set offers for colour, filter and sort, and how each is read.

A column exists when its table does. Columns of tables that can have several runs are named after the value when the
run has the table's own name, and ``value:run`` otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from brain_assets.review.sets import CARD, Frame, OpenSet, literal, quote
from brain_assets.signals.registry import SIGNALS, issue_named

Kind = Literal["number", "time", "category", "flag", "labels", "text"]

# Columns that say what a row is about rather than what was found.
KEYS = {
    "subject_id",
    "sample_id",
    "object_id",
    "brain_key",
    "model",
    "label_field",
    "source",
    "run_id",
    "changed",
    "label",
}
SCORE_TABLES = (
    "uniqueness",
    "representativeness",
    "outliers",
    "hardness",
    "mistakenness",
    "object_mistakenness",
    "image_quality",
    "selections",
    *(table.name for signal in SIGNALS for table in signal.tables if table.published),
)
NAMED_IDS = {"cluster"}
HIDDEN = {"raw", "content_hash", "uri", "polygon", "logits", "sample_id", "object_id", "subject_id", "tags"}
TEXTS = {"filepath", "error"}
OBJECT_COLUMNS = ("label", "source", "label_field", "confidence", "x", "y", "width", "height", "iscrowd")


@dataclass(frozen=True)
class Column:
    """One value per subject.

    Attributes
    ----------
    name : str
        What filters, links and SQL call it.
    kind : str
        How it is shown.
    group : str
        Heading under which it is listed.
    source : str
        Query that yields ``subject_id`` and what the expression needs, at most one row per subject.
    expression : str
        The value, over the columns of the source.
    """

    name: str
    kind: Kind
    group: str
    source: str
    expression: str

    @property
    def relation(self) -> str:
        """Query of subject_id and value."""
        return f"select subject_id, {self.expression} as value from ({self.source})"


def columns(opened: OpenSet, frame: Frame) -> dict[str, Column]:
    """Return the columns that ``frame`` has in this set, by name, in the order in which they are listed."""
    key = f"columns of {frame}"
    with opened.lock:
        if key not in opened.memo:
            opened.memo[key] = {column.name: column for column in _columns(opened, frame)}
        found: dict[str, Column] = opened.memo[key]
    return found


def values_of(opened: OpenSet, frame: Frame, column: Column) -> str:
    """Return a relation of position and value, at most one row per position and none without a value.

    It is kept in memory from its first use, but for what people say, which changes.
    """
    if frame == "images" and column.name in CARD:
        return f"(select position, {column.name} as value from {opened.frame(frame)} where {column.name} is not null)"
    query = f"""
        select f.position, r.value from {opened.frame(frame)} f join ({column.relation}) r using (subject_id)
        where r.value is not null
    """
    if column.group == "review":
        return f"({query})"
    return opened.table(f"{column.name} of {frame}", f"{query} order by position")


def kind_of(name: str, type_: str) -> Kind | None:
    """Return how a column of this name and DuckDB type is shown; None where it is not."""
    if name in TEXTS:
        return "text"
    if name in NAMED_IDS:
        return "category"
    if type_ == "BOOLEAN":
        return "flag"
    if type_.startswith(("TIMESTAMP", "DATE")):
        return "time"
    if type_.startswith(("TINYINT", "SMALLINT", "INT", "BIGINT", "HUGEINT", "U", "FLOAT", "DOUBLE", "DECIMAL")):
        return None if type_.endswith("]") or type_ in {"UUID", "UNION"} else "number"
    return {"VARCHAR": "category", "VARCHAR[]": "labels"}.get(type_.partition("(")[0])  # type: ignore[return-value]


def _columns(opened: OpenSet, frame: Frame) -> Iterator[Column]:
    for part in (_labels, _objects, _issues, _reviews, _scores, _samples):
        yield from part(opened, frame)


def _source(opened: OpenSet, table: str, frame: Frame, condition: str = "") -> str:
    """Return the rows of a table that are about subjects of the frame."""
    has_object = opened.has(table, "object_id")
    if frame == "objects":
        subject, about = "object_id", "object_id is not null" if has_object else "false"
    else:
        subject, about = "sample_id", "object_id is null" if has_object else "true"
    selected = "*" if opened.has(table, "subject_id") else f"{subject} as subject_id, *"
    where = " and ".join(part for part in (about, condition) if part)
    return f"select {selected} from {quote(table)} where {where}"


def _values(opened: OpenSet, relation: str, field: str) -> list[str]:
    """Return the different values of a ``field``, such as the brain keys or models of a table; the model builtin last."""
    rows = opened.cursor().execute(
        f"select distinct {quote(field)} as run from {relation} where run is not null order by run = 'builtin', 1"
    )
    return [str(row[0]) for row in rows.fetchall()]


def _variants(opened: OpenSet, table: str) -> Iterator[tuple[str, str]]:
    """Yield what is appended to a column's name and the condition, for each run whose rows a table holds.

    Nothing is appended for the table's own run, the mean over models, or else the first; nor for the default labels.
    """
    run, runs = _runs(opened, table)
    fields = _values(opened, quote(table), "label_field") if opened.has(table, "label_field") else ["ground_truth"]
    for name in runs:
        for field in fields:
            suffix = _suffix(table, runs, name, field)
            conditions = [f"{quote(run)} = {literal(name)}"] if run else []
            conditions += [f"label_field = {literal(field)}"] if opened.has(table, "label_field") else []
            yield suffix, " and ".join(conditions)


def suffix_of(opened: OpenSet, table: str, run: str | None, field: str) -> str:
    """Return what the columns of a table's run (brain key or model) and label field have behind their names."""
    _, runs = _runs(opened, table)
    return _suffix(table, runs, run or table, field)


def _runs(opened: OpenSet, table: str) -> tuple[str | None, list[str]]:
    """Return which column of a table names runs, and the runs."""
    run = next((name for name in ("brain_key", "model") if opened.has(table, name)), None)
    return run, _values(opened, quote(table), run) if run else [table]


def _suffix(table: str, runs: list[str], run: str, field: str) -> str:
    plain = next((name for name in (table, "*") if name in runs), runs[0] if runs else "")
    return ("" if run == plain else f":{run}") + ("" if field == "ground_truth" else f"@{field}")


def _samples(opened: OpenSet, frame: Frame) -> Iterator[Column]:
    source = "select sample_id as subject_id, * from samples"
    if frame == "objects":
        source = "select o.object_id as subject_id, s.* from objects o join samples s using (sample_id)"
    taken = set(OBJECT_COLUMNS) if frame == "objects" else set()
    for name, type_ in opened.tables["samples"].items():
        kind = kind_of(name, type_)
        if kind and name not in HIDDEN | taken:
            yield Column(name, kind, "sample", source, quote(name))
    if opened.has("samples", "tags"):
        yield Column("file_tags", "labels", "sample", source, "tags")


def _labels(opened: OpenSet, frame: Frame) -> Iterator[Column]:
    if frame == "images":
        yield from _given_labels(opened)
        yield from _predictions(opened)


def _given_labels(opened: OpenSet) -> Iterator[Column]:
    if not opened.has("ground_truth", "labels"):
        return
    for suffix, condition in _variants(opened, "ground_truth"):
        longest = opened.cursor().execute(f"select max(len(labels)) from ground_truth where {condition}").fetchone()
        single = longest is not None and (longest[0] or 0) <= 1
        source = f"select sample_id as subject_id, labels from ground_truth where {condition}"
        yield Column(
            "label" + suffix, "category" if single else "labels", "labels", source, "labels[1]" if single else "labels"
        )


def _predictions(opened: OpenSet) -> Iterator[Column]:
    if not opened.has("predictions", "label"):
        return
    for suffix, condition in _variants(opened, "predictions"):
        source = (
            f'select sample_id as subject_id, label, confidence from predictions where "position" = 0 and {condition}'
        )
        yield Column("prediction" + suffix, "category", "predictions", source, "label")
        yield Column("confidence" + suffix, "number", "predictions", source, "confidence")


def _objects(opened: OpenSet, frame: Frame) -> Iterator[Column]:
    if frame != "objects":
        return
    source = "select object_id as subject_id, * from objects"
    for name in OBJECT_COLUMNS:
        kind = kind_of(name, opened.tables["objects"].get(name, ""))
        if kind:
            yield Column(name, kind, "object", source, quote(name))
    yield Column("area", "number", "object", source, "width * height")


def _issues(opened: OpenSet, frame: Frame) -> Iterator[Column]:
    if not opened.has("issues", "issue"):
        return
    rows = _source(opened, "issues", frame)
    flagged = f"""
        select subject_id, list_sort(list_distinct(list(issue) filter (is_issue))) as issues,
               max(score) filter (is_issue) as worst
        from ({rows}) group by 1
    """
    yield Column("issues", "labels", "issues", flagged, "issues")
    yield Column("worst_issue", "number", "issues", flagged, "worst")
    yield Column("expected_problems", "number", "issues", _expected(opened, rows), "expected")
    for issue in _values(opened, f"({rows})", "issue"):
        scores = f"select subject_id, max(score) as score from ({rows}) where issue = {literal(issue)} group by 1"
        yield Column(f"issue:{issue}", "number", "issues", scores, "score")


def _expected(opened: OpenSet, rows: str) -> str:
    """Return a query of how many of each subject's issues are expected to be true: scores of different kinds made one."""
    assumed = " ".join(
        f"when {literal(name)} then {issue_named(name).share}" for name in _values(opened, f"({rows})", "issue")
    )
    share = f"case issue {assumed} else 0 end" if assumed else "0"
    known = f"coalesce(probability, {share})" if opened.has("issues", "probability") else share
    return f"""
        select subject_id, sum(likely) as expected from (
            select subject_id, issue, max({known}) as likely from ({rows}) where is_issue group by all)
        group by 1
    """


def _reviews(opened: OpenSet, frame: Frame) -> Iterator[Column]:
    """Yield what people said; the tables are kept up to date from the page's own store."""
    yield Column(
        "tags",
        "labels",
        "review",
        "select subject_id, list(tag order by tag) as tags from review_tags group by 1",
        "tags",
    )
    content = "samples s on s.sample_id = d.subject_id"
    if frame == "objects":
        content = "objects o on o.object_id = d.subject_id join samples s on s.sample_id = o.sample_id"
    # A decision stands for the content it was made on.
    standing = f"""
        select d.subject_id, d.kind from review_decisions d join {content}
        where d.content_hash is not distinct from s.content_hash
    """
    yield Column("decision", "category", "review", standing, "kind")


def _scores(opened: OpenSet, frame: Frame) -> Iterator[Column]:
    for table in SCORE_TABLES:
        if opened.has(table) and (frame == "images" or opened.has(table, "object_id")):
            yield from _score_columns(opened, table, frame)


def _score_columns(opened: OpenSet, table: str, frame: Frame) -> Iterator[Column]:
    for suffix, condition in _variants(opened, table):
        source = _source(opened, table, frame, condition)
        if not _has_rows(opened, source):
            continue
        for name, type_ in opened.tables[table].items():
            kind = kind_of(name, type_)
            if kind and name not in KEYS | HIDDEN:
                yield Column(name + suffix, kind, table.replace("_", " "), source, quote(name))


def _has_rows(opened: OpenSet, source: str) -> bool:
    return opened.cursor().execute(f"select 1 from ({source}) limit 1").fetchone() is not None
