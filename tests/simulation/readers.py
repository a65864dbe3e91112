"""What readers see of what is published: always one whole set, and never an older one than before."""

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from brain_assets.resources.errors import MissingError
from brain_assets.resources.store import seals
from brain_assets.resources.store.previews import PreviewPack
from brain_assets.resources.store.publishing import damaged_tables, make_views, manifest_of, open_set

# What speaks of samples, and whether of readable ones alone.
OF_SAMPLES = {
    "exact_duplicates": True, "embeddings": True, "uniqueness": True, "image_quality": True, "ground_truth": False,
    "hardness": False, "predictions": False, "issues": False,
}  # fmt: skip


class Reader:
    """Somebody who looks at a dataset now and then, and keeps a set open for long.

    Parameters
    ----------
    folder : Path
        The dataset's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.published, self.number = folder, folder / "published", 0
        self._held: tuple[ExitStack, Path, list[Any]] | None = None

    def look(self) -> None:
        """Check the current set; that nothing is published can only be so before anything was."""
        try:
            with open_set(self.published) as path:
                self._check(path)
        except MissingError:
            assert not self.number, "reader: nothing is published any more"

    def hold(self) -> None:
        """Open the current set and leave it open."""
        self.release()
        stack = ExitStack()
        try:
            path = stack.enter_context(open_set(self.published))
        except MissingError:
            return
        self._held = (stack, path, _rows(path))

    def release(self) -> None:
        """Let go of the set that is open, which must be as it was."""
        if self._held:
            (stack, path, rows), self._held = self._held, None
            with stack:
                assert _rows(path) == rows, "reader: a set changed while it was open"

    def forget(self) -> None:
        """Let go of it, with the machine that it was open on."""
        if self._held:
            self._held[0].close()
            self._held = None

    def _check(self, path: Path) -> None:
        said = manifest_of(path)
        assert said is not None
        assert seals.is_sealed(said), "reader: a set without a sealed manifest"
        assert said["number"] >= self.number, f"reader: set {said['number']} after {self.number}"
        self.number = said["number"]
        assert not (spoiled := damaged_tables(path, said)), f"reader: damaged {sorted(spoiled)}"
        with _views(path) as connection:
            for table in sorted(OF_SAMPLES.keys() & said["columns"].keys()):
                _check_samples(connection, table)
            self._check_previews(connection)

    def _check_previews(self, connection: duckdb.DuckDBPyConnection) -> None:
        rows = connection.execute("select preview_offset, preview_length, pack from previews").fetchall()
        for name in {pack for *_, pack in rows}:
            assert (self.folder / name).exists(), "reader: the pack of the previews is gone"
            with PreviewPack(self.folder / name, readonly=True) as pack:
                for offset, length, _ in rows:
                    pack.read(offset, length)


def _check_samples(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    status = "status = 'ok'" if OF_SAMPLES[table] else "true"
    stray = f"select count(*) from {table} where sample_id not in (select sample_id from samples where {status})"
    found = connection.execute(stray).fetchall()[0][0]
    assert not found, f"reader: {found} rows of {table} are of no sample of the set"


@functools.cache
def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@contextmanager
def _views(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that sees the tables of a set; the same one each time, as to make one takes longer than to look."""
    connection = _connection()
    connection.begin()
    try:
        make_views(connection, path)
        yield connection
    finally:
        connection.rollback()


def _rows(path: Path) -> list[Any]:
    with _views(path) as connection:
        return connection.execute("select sample_id, content_hash, status from samples order by all").fetchall()
