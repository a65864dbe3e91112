"""What was published before, from Python: a dataset as it was, and the list of its versions."""

import duckdb
import pyarrow as pa

from brain_assets.app.api import DatasetReader
from brain_assets.resources.store.history import History, Published, open_lasting


class PastDataset(DatasetReader):
    """A dataset as it was published once; made by `DatasetReader.at`.

    What reads published tables answers of that version: ``table``, ``sql``, ``where``, ``leaks``, ``split``.

    Parameters
    ----------
    dataset : DatasetReader
    spec : str or int
        Number, tag, date or time of the version.
    """

    def __init__(self, dataset: DatasetReader, spec: str | int) -> None:
        super().__init__(dataset.name, str(dataset.home.root))
        self.version: Published
        self.version, self._connection, let_go = open_lasting(self.paths.published, spec)
        self._held.callback(let_go)
        self._held.callback(self._connection.close)

    def _current(self) -> duckdb.DuckDBPyConnection:
        return self._connection


def listed(history: History) -> pa.Table:
    """Return the versions, the newest first: ``version``, ``published_at``, ``tags`` and ``samples``."""
    found = history.versions
    return pa.table({
        "version": pa.array([one.number for one in found], pa.int64()),
        "published_at": pa.array([one.at for one in found], pa.timestamp("us", "UTC")),
        "tags": pa.array([one.tags for one in found], pa.list_(pa.string())),
        "samples": pa.array([one.samples for one in found], pa.int64()),
    })  # fmt: skip
