"""The Python face: read what is published of a dataset, and bring it up to date."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self

import duckdb
from numpy.typing import ArrayLike

from resources import publishing
from resources.errors import MissingError
from resources.home import Home


class DatasetReader:
    """One dataset; a context manager, for whoever opens many.

    Relations read the set that was current when they were made, and stay valid as long as this object lives.

    Parameters
    ----------
    name : str
    home : str, optional
        By default ``$BRAIN_HOME``, else ``~/.brain``.

    Raises
    ------
    MissingError
        If there is no such dataset.
    """

    def __init__(self, name: str, home: str | None = None) -> None:
        self.home = Home.default(home)
        self.paths = self.home.existing(name)
        self.name = name
        self._leases = ExitStack()
        self._connections: dict[int, duckdb.DuckDBPyConnection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def table(self, name: str) -> duckdb.DuckDBPyRelation:
        """Return a published table, with ``.df()``, ``.arrow()``, ``.pl()`` and further SQL; raises MissingError."""
        connection = self._current()
        known = [
            row[0] for row in connection.execute("select view_name from duckdb_views() where not internal").fetchall()
        ]
        if name not in known:
            raise MissingError(f"{self.name} has no table {name!r} (tables: {', '.join(sorted(known))})")
        return connection.table(name)

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """Return the result of a query over the published tables."""
        return self._current().sql(query)

    def materialize(self, select: Sequence[str] = (), settings: Mapping[str, Any] | None = None) -> None:
        """Bring the dataset, or some of its assets, up to date now, as a Dagster run.

        Parameters
        ----------
        select : sequence of str
            Names of assets; all when empty.
        settings : mapping, optional
            Settings for this run alone, dotted key to value, such as ``{"similarity.k": 30}``.

        Raises
        ------
        BrainError
            With the reason, when the run failed.
        """
        from brain_assets.materializing import materialize

        materialize(self.home, self.name, select, {key: json.dumps(value) for key, value in (settings or {}).items()})

    def similar(self, query: str | Sequence[str] | ArrayLike, k: int = 15, **options: Any) -> duckdb.DuckDBPyRelation:
        """Return the samples nearest to, or farthest from, a query, over the published vectors.

        Parameters
        ----------
        query : str, sequence of str, or array
            The id or filepath of a sample, several, one vector or one per row, or a text (a string that names no sample),
            where the model embeds text.
        k : int
            Number of answers.
        **options
            ``farthest`` (bool), ``aggregate`` (mean, post-mean, post-min or post-max), ``metric`` (cosine, euclidean,
            dotproduct or manhattan), ``where`` (SQL condition on samples) and ``brain_key``, as `brain_assets.similar.Question`
            has them.

        Returns
        -------
        duckdb.DuckDBPyRelation
            ``rank``, ``subject_id``, ``sample_id``, ``filepath`` and ``distance``.

        Raises
        ------
        BrainError
            In one line, if an id is unknown, a vector does not fit, or the model does not embed text.
        """
        from brain_assets.similar import question_of, similar

        connection = self._current()
        question = question_of(connection, query, k=k, **options)
        return connection.from_arrow(similar(self.home, self.name, connection, question))

    def runs(self, method: str | None = None, **configuration: Any) -> duckdb.DuckDBPyRelation:
        """Return the newest record of every run, or of those of a method and with these values in their configuration."""
        from brain_assets.runs import latest_runs

        return latest_runs(self._current(), method, configuration)

    def run_history(self, brain_key: str) -> duckdb.DuckDBPyRelation:
        """Return all records of one run, the newest first; raises MissingError."""
        from brain_assets.runs import history

        return history(self._current(), brain_key)

    def rename_run(self, old: str, new: str) -> None:
        """Rename a declared run, with its rows, record and calibrations; raises BrainError."""
        from brain_assets.runs import rename

        rename(self.home, self.name, old, new)

    def delete_run(self, brain_key: str) -> None:
        """Delete a declared run, with its rows, record and calibrations; raises BrainError."""
        from brain_assets.runs import delete

        delete(self.home, self.name, brain_key)

    def close(self) -> None:
        """Let go of the sets that were opened; their relations end."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._leases.close()

    def _current(self) -> duckdb.DuckDBPyConnection:
        """Return a connection to the current set, opened once per set."""
        found = publishing.manifest(self.paths.published)
        number = found["number"] if found else 0
        if number not in self._connections:
            self._connections[number] = self._leases.enter_context(publishing.connect(self.paths.published))
        return self._connections[number]
