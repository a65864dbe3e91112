"""Views: some samples of a dataset, in an order, that say nothing until they are asked.

A view is a dataset narrowed to its samples: whatever a dataset answers, a view answers of these alone.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
from numpy.typing import ArrayLike

from brain_assets.app.api import DatasetReader
from brain_assets.incremental.update import literal
from brain_assets.resources.errors import BrainError, ConfigurationError
from brain_assets.resources.store.store import wrong_condition

# What may be asked of a sample beside its own columns: the scores of the default runs, by table and column.
# Of several models it is the mean; the model that is fitted here counts where there is no other.
OF_MODELS = "model != '*' and (model != 'builtin' or (select count_if(model not in ('*', 'builtin')) from {table}) = 0)"
SCORES = (
    ("uniqueness", "uniqueness", "brain_key = 'uniqueness'"),
    ("representativeness", "representativeness", "brain_key = 'representativeness'"),
    ("outliers", "outlier_score", "brain_key = 'outliers'"),
    ("hardness", "hardness", f"{OF_MODELS.format(table='hardness')} and label_field = 'ground_truth'"),
    ("mistakenness", "mistakenness", f"{OF_MODELS.format(table='mistakenness')} and label_field = 'ground_truth'"),
)
LABELS = "select sample_id, labels, labels[1] as label from ground_truth where label_field = 'ground_truth'"
# Tags of the source, and those that people gave.
TAGS = """
    list_distinct(list_concat(coalesce(samples.tags, []), coalesce(given.tags, []))) as tags"""
GIVEN = "select subject_id as sample_id, list(tag) as tags from tags group by 1"


class View(DatasetReader):
    """Some samples of a dataset; made by `where`, `take` and the like of a dataset or of another view.

    Conditions and orders are SQL over the columns of ``samples``, ``labels`` and ``label``, and the scores ``uniqueness``,
    ``representativeness``, ``outlier_score``, ``hardness`` and ``mistakenness`` of the default runs.

    Parameters
    ----------
    parent : DatasetReader
        The dataset, or the view that this one narrows.
    stage : str
        Query over ``{rows}``, the parent's samples, with their ``place``.
    condition : str, optional
        The same as an SQL condition on samples that a declared run can ask, where there is one: such a view takes in samples
        that arrive later.
    """

    def __init__(self, parent: DatasetReader, stage: str, condition: str | None = None) -> None:
        super().__init__(parent.name, str(parent.home.root))
        self.dataset: DatasetReader = parent.dataset if isinstance(parent, View) else parent
        self._stages: tuple[str, ...] = (*(parent._stages if isinstance(parent, View) else ()), stage)
        above: str | None = parent.condition if isinstance(parent, View) else ""
        self.condition: str | None = (
            None if above is None or condition is None else f"({above}) and ({condition})" if above else condition
        )

    @property
    def ids(self) -> list[str]:
        """Sample ids, in the view's order."""
        return [row[0] for row in self.sql("select sample_id from samples order by place").fetchall()]

    @property
    def run_condition(self) -> str:
        """SQL condition on samples for a declared run: the view's own, else the ids that it has now."""
        if self.condition is not None and wrong_condition(self.condition) is None:
            return self.condition
        if not (ids := sorted(self.ids)):
            raise ConfigurationError("the view is empty: there is nothing to compute of it")
        return f"sample_id in ({', '.join(map(literal, ids))})"

    def similar(
        self, query: str | Sequence[str] | Path | bytes | ArrayLike, k: int = 15, **options: Any
    ) -> duckdb.DuckDBPyRelation:
        """Return the samples of the view nearest to a query, which may be outside of it; see `DatasetReader.similar`."""
        inside = f"sample_id in (select named from ({_listed(self.ids)}))"
        where = f"({asked}) and {inside}" if (asked := options.pop("where", None)) else inside
        return self.dataset.similar(query, k, where=where, **options)

    def values(self, column: str) -> list[Any]:
        """Return a column of the view's samples, in its order."""
        return [row[0] for row in self.sql(f"select {column} from samples order by place").fetchall()]

    def first(self) -> dict[str, Any] | None:
        """Return the first sample by column, None of an empty view."""
        return next(iter(self), None)

    def df(self) -> Any:
        """Return the samples as a pandas frame."""
        return self.arrow().to_pandas()

    def pl(self) -> Any:
        """Return the samples as a polars frame."""
        return self._rows().pl()

    def arrow(self) -> Any:
        """Return the samples as an Arrow table."""
        return self._rows().to_arrow_table()

    def __len__(self) -> int:
        return int(self.sql("select count(*) from samples").fetchall()[0][0])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        rows = self._rows()
        yield from (dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall())

    def __repr__(self) -> str:
        return f"<view of {self.name}: {len(self)} samples>"

    def _rows(self) -> duckdb.DuckDBPyRelation:
        return self.sql("select * exclude (place) from samples order by place")

    def _current(self) -> duckdb.DuckDBPyConnection:
        """Return a connection to the current set in which every table holds the view's samples alone."""
        number = self._number()
        if number not in self._connections:
            self._narrow(connection := self._opened())
            self._connections[number] = connection
        return self._connections[number]

    def _narrow(self, connection: duckdb.DuckDBPyConnection) -> None:
        rows = f"select *, row_number() over (order by filepath) as place from ({facts(connection)})"
        for stage in self._stages:
            rows = stage.replace("{rows}", f"({rows})")
        try:
            connection.execute(f"create temp table chosen_samples as select * from ({rows})")
        except duckdb.Error as error:
            raise BrainError(f"SQL: {' '.join(str(error).split())}") from None
        for table in _tables(connection):
            connection.execute(f'alter view "{table}" rename to "whole_{table}"')
            if table == "samples":
                # In the view's order, with what may be asked of each.
                connection.execute("create view samples as select * from chosen_samples order by place")
                continue
            inside = f'select * from "whole_{table}" where sample_id in (select sample_id from chosen_samples)'
            connection.execute(f'create view "{table}" as {inside}')


def facts(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the query of samples with their labels, scores, and all tags, as far as these are published."""
    columns = {table: set(connection.table(table).columns) for table in _tables(connection)}
    said, joined = ["samples.*"], ""
    if "tags" in {row[0] for row in connection.execute("select view_name from duckdb_views()").fetchall()}:
        said[0], joined = f"samples.* replace ({TAGS})", f" left join ({GIVEN}) given using (sample_id)"
    if "ground_truth" in columns:
        said.append("truth.labels, truth.label")
        joined += f" left join ({LABELS}) truth using (sample_id)"
    for table, column, default in SCORES:
        if column in columns.get(table, ()):
            said.append(f"{table}.{column}")
            only = f"select sample_id, avg({column}) as {column} from {table} where {default} group by 1"
            joined += f" left join ({only}) {table} using (sample_id)"
    return f"select {', '.join(said)} from samples{joined}"


def _tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    query = "select table_name from duckdb_columns() where column_name = 'sample_id' and not internal order by 1"
    views = {row[0] for row in connection.execute("select view_name from duckdb_views() where not internal").fetchall()}
    return [table for (table,) in connection.execute(query).fetchall() if table in views]


def where(samples: DatasetReader, condition: str) -> View:
    """Return the samples of which an SQL condition holds."""
    return View(samples, f"select * from {{rows}} where ({condition})", condition)


def match_tags(samples: DatasetReader, tags: str | Sequence[str], *, present: bool = True, every: bool = False) -> View:
    """Return the samples that have any of some tags, or all of them; or those that do not."""
    listed = ", ".join(literal(tag) for tag in ([tags] if isinstance(tags, str) else tags))
    has = f"list_has_{'all' if every else 'any'}(tags, [{listed}]::varchar[])"
    return View(samples, f"select * from {{rows}} where {'' if present else 'not '}{has}")


def select(samples: DatasetReader, ids: Iterable[str], *, ordered: bool = False) -> View:
    """Return samples by id or filepath, in the order given where that is asked for."""
    if not (names := list(dict.fromkeys(ids))):
        return View(samples, "select * from {rows} where false")
    order = "asked" if ordered else "place"
    # Two equalities, since one of either column would compare all with all.
    stage = f"""
        with seen as (select * from {{rows}}), wanted as ({_listed(names)}),
            found as (
                select sample_id, asked from seen join wanted on named = sample_id
                union all select sample_id, asked from seen join wanted on named = filepath)
        select seen.* replace ({order} as place)
        from seen join (select sample_id, min(asked) as asked from found group by 1) using (sample_id)"""
    return View(samples, stage)


def _listed(names: Sequence[str]) -> str:
    """Return a query of names and their places; as one literal, since a hundred thousand take seconds to be parsed."""
    # Stages are put into each other by a word in braces.
    listed = literal(json.dumps(names).replace("{", "\\u007b"))
    return f"""
        select unnest(names) as named, generate_subscripts(names, 1) as asked
        from (select from_json({listed}, '["VARCHAR"]') as names)"""


def nearest(samples: DatasetReader, query: Any, k: int | None, asked: Mapping[str, Any]) -> View:
    """Return samples by how like they are to a query, by what `DatasetReader.similar` understands."""
    if key := asked.get("brain_key"):
        # An index is named by its neighbours, and asked by its vectors.
        indexes = {"neighbors": "embeddings"} | {
            run.brain_key: run.embeddings for run in samples._settings().runs if run.method == "similarity"
        }
        asked = {**asked, "brain_key": indexes.get(key, key)}
    everyone = samples.sql("select count(*) from embeddings").fetchall()[0][0]
    found = samples.similar(query, k=k or max(everyone, 1), **asked).order("rank").project("sample_id").fetchall()
    return select(samples, [one for (one,) in found], ordered=True)


def exclude(samples: DatasetReader, ids: Iterable[str]) -> View:
    """Return all samples but those with these ids or filepaths."""
    gone = f"(select named from ({_listed(list(ids))}))"
    return View(
        samples, f"select * from {{rows}} where sample_id not in {gone} and coalesce(filepath not in {gone}, true)"
    )


def take(samples: DatasetReader, count: int, seed: int) -> View:
    """Return so many samples, chosen by their ids and a seed: the same ones every time."""
    return View(samples, f"select * from {{rows}} order by hash(sample_id || {seed:d}) limit {count:d}")


def limit(samples: DatasetReader, count: int, skipped: int = 0) -> View:
    """Return the first samples, after some."""
    return View(samples, f"select * from {{rows}} order by place limit {count:d} offset {skipped:d}")


def sort_by(samples: DatasetReader, order: str, *, reverse: bool) -> View:
    """Return the samples by an SQL expression, ascending unless reversed; those without a value come last."""
    way = "desc" if reverse else "asc"
    place = f"row_number() over (order by {order} {way} nulls last, sample_id)"
    return View(samples, f"select * replace ({place} as place) from {{rows}}")
