"""The Python face: read what is published of a dataset, and bring it up to date."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import duckdb

from resources import publishing
from resources.errors import MissingError
from resources.home import Home


class DatasetReader:
    """One dataset.

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

        materialize(self.home, self.name, select, {key: str(value) for key, value in (settings or {}).items()})

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
