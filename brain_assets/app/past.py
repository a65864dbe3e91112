"""What was published before, from Python: a dataset as it was, and the list of its versions."""

from contextlib import ExitStack

import duckdb
import pyarrow as pa

from brain_assets.app.api import DatasetReader
from brain_assets.resources.store.history import History, Published, connect_at, open_history


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
        self._stack = ExitStack()
        history = self._stack.enter_context(open_history(self.paths.published))
        self.version: Published = history.at(spec)
        self._connection = self._stack.enter_context(connect_at(history, self.version))

    def close(self) -> None:
        """Let go of the version."""
        self._stack.close()
        super().close()

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
