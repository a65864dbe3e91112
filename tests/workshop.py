"""Datasets for tests: images on disk, runs without Dagster, and the comparison of a dataset with its rebuild."""

import io
import shutil
import tarfile
import tempfile
import uuid
import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import yaml
from PIL import Image

from brain_assets.answers.published import BOOKKEEPING
from brain_assets.assets import catalog
from brain_assets.incremental.signal import Publication
from brain_assets.incremental.tables import make_tables, open_with_tables
from brain_assets.incremental.update import Report, bring_up_to_date, wrong_rows
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.previews import PreviewPack
from brain_assets.resources.store.publishing import connect
from brain_assets.resources.store.store import Store
from tests.helpers import assert_same_neighbours

TINY = "python:tests.models:Pixels"
WHOLE = frozenset(catalog.BY_NAME)
# All but the page, which is a tenth of the cost and changes no table.
TABLES = WHOLE - {"report"}
# When and by which run a row was written, and where its preview lies, differs between a dataset and its rebuild.
HISTORY_COLUMNS = {"part", "added_at", "changed_at", "run_id", "uri", "preview_offset", "pack"}
Row = tuple[Any, ...]
# Columns and rows, by the table's name.
Tables = dict[str, tuple[list[str], list[Row]]]
INPUT_TABLES = ("calibrations", "cluster_centers", "outlier_references", "moves", "probes", "probe_folds")
# A map depends, by its rule, on what joined it when.
HISTORY_TABLES = {"runs", "health", "calibrations", "visualization"}


def picture(seed: int, size: tuple[int, int] = (20, 16)) -> Image.Image:
    """Return a smooth random image."""
    colors = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(colors).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def write_pictures(folder: Path, seeds: Iterable[int]) -> list[Path]:
    """Write one PNG per seed and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in seeds:
        paths.append(folder / f"{seed:05}.png")
        paths[-1].write_bytes(encoded(picture(seed)))
    return paths


def write_archive(path: Path, members: Mapping[str, bytes], mtime: int = 1_700_000_000) -> Path:
    """Write an archive of the kind that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name, (2023, 11, 14, 22, 13, 20)), data)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), mtime
            archive.addfile(info, io.BytesIO(data))
    return path


class Workshop:
    """One dataset in a home of its own; `select` names the signals that a run brings up to date, by default all but the page."""

    def __init__(
        self, root: Path, media: Path | str, name: str = "test", *, select: Iterable[str] = TABLES, **settings: object
    ) -> None:
        self.home, self.name, self.select = Home(root), name, frozenset(select)
        self.paths = self.home.paths(name)
        self.paths.folder.mkdir(parents=True, exist_ok=True)
        self.declare(media=str(media), **{"embeddings": {"model": TINY}, **settings})

    def declare(self, **settings: object) -> None:
        self.paths.config.write_text(yaml.safe_dump(settings), "utf-8")

    def run(self, select: Iterable[str] | None = None) -> dict[str, Report]:
        """Bring signals up to date, by default those that the workshop selects, and return what each did."""
        names = self.select if select is None else frozenset(select)
        with open_with_tables(self.home, self.name, Opening(uuid.uuid4().hex, "test", names), catalog.ALL) as dataset:
            # Of so few rows a second thread costs more than it does.
            dataset.store.connection.execute("set threads = 1")
            chosen = [signal for signal in catalog.ALL if signal.name in names]
            return {signal.name: bring_up_to_date(signal, dataset) for signal in chosen}

    def rows(self, query: str) -> list[tuple]:
        """Return rows of the published tables."""
        with connect(self.paths.published) as connection:
            return connection.execute(query).fetchall()

    def wrong(self, select: Iterable[str] | None = None) -> dict[str, int]:
        """Return the integrity checks of signals, by default those selected, that fail, with what they count."""
        signals = [catalog.BY_NAME[name] for name in (self.select if select is None else select)]
        checks = [(signal, check) for signal in signals for check in signal.checks]
        with open_with_tables(self.home, self.name, Opening("check", "test"), catalog.ALL) as dataset:
            found = {check.name: wrong_rows(check, signal, dataset) for signal, check in checks}
        return {name: count for name, count in found.items() if count}

    def remove(self) -> None:
        shutil.rmtree(self.home.root)


def previews(workshop: Workshop) -> dict[str, bytes]:
    """Return every published preview, read from the pack that its row names."""
    rows = workshop.rows("select content_hash, preview_offset, preview_length, pack from previews order by 1")
    found = {}
    for content, offset, length, name in rows:
        with PreviewPack(workshop.paths.folder / name, readonly=True) as pack:
            found[content] = pack.read(offset, length)
    return found


def described_columns() -> list[tuple[Publication, list[str]]]:
    """Return every published table with the columns that its query gives."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store.duckdb")
        make_tables(store, catalog.ALL, "test")
        for publication in [*BOOKKEEPING, *(one for signal in catalog.ALL for one in signal.publishes)]:
            columns = [row[0] for row in store.rows(f"describe {publication.query}") if row[0] != "part"]
            found.append((publication, columns))
        store.close()
    return found


def give_calibrations(source: Workshop, target: Workshop) -> None:
    """Give a dataset that was never run the calibrations and fitted centres of another: they are inputs, not outputs."""
    with open_dataset(target.home, target.name, Opening("given", "test")) as dataset:
        copy_calibrations(source, dataset.store)


def copy_calibrations(source: Workshop, store: Store) -> None:
    """Put the calibrations and fitted centres of a dataset into the store of another."""
    store.connection.execute(f"attach '{source.paths.store}' as given (read_only)")
    for table in INPUT_TABLES:
        store.connection.execute(f"insert into {table} select * from given.{table}")
    store.connection.execute("detach given")


def give_events(source: Workshop, target: Workshop) -> None:
    """Give a dataset what people said of another."""
    if source.paths.events.exists():
        shutil.copytree(source.paths.events.parent, target.paths.events.parent, dirs_exist_ok=True)


def tables_naming(workshop: Workshop, subject: str) -> set[str]:
    """Return the published tables that hold an id anywhere in a row."""
    with connect(workshop.paths.published) as connection:
        views = connection.execute("select view_name from duckdb_views() where not internal").fetchall()
        found = f"select count(*) from {{}} as t where contains(t::varchar, '{subject}')"
        return {name for (name,) in views if connection.execute(found.format(name)).fetchall()[0][0]}


def read_tables(connection: duckdb.DuckDBPyConnection, queries: Mapping[str, str]) -> Tables:
    """Return the columns and rows that queries give, by their names."""
    found = {}
    for name, query in queries.items():
        rows = connection.execute(f"select * from ({query}) order by all")
        found[name] = ([column for column, *_ in rows.description], rows.fetchall())
    return found


def published_tables(workshop: Workshop) -> Tables:
    """Return all published tables."""
    with connect(workshop.paths.published) as connection:
        views = connection.execute("select view_name from duckdb_views() where not internal").fetchall()
        return read_tables(connection, {name: f"from {name}" for (name,) in views})


def assert_equals_rebuild(workshop: Workshop, rebuild: Workshop) -> None:
    """Check that every published table equals that of a dataset which was computed from scratch."""
    assert_same_tables(published_tables(workshop), published_tables(rebuild))


def assert_same_tables(ours: Tables, theirs: Tables, without: Collection[str] = ()) -> None:
    """Check that tables equal those of a rebuild, but for the rows of some runs and for what tells their history."""
    assert ours.keys() == theirs.keys()
    for name in sorted(ours.keys() - HISTORY_TABLES):
        columns = ours[name][0]
        keys = columns.index("brain_key") if "brain_key" in columns else None
        left, right = (
            [row for row in rows if keys is None or row[keys] not in without] for _, rows in (ours[name], theirs[name])
        )
        compare = _assert_same_neighbors if name == "neighbors" else _assert_same_rows
        compare(name, columns, left, right)


def _assert_same_neighbors(name: str, columns: list[str], left: list[Row], right: list[Row]) -> None:
    lists_a, lists_b = _lists(columns, left), _lists(columns, right)
    assert [*lists_a] == [*lists_b], f"{name}: of other subjects than in a rebuild"
    known = {one for lists in (lists_a, lists_b) for found in lists.values() for _, one, _ in found}
    places = {subject: number for number, subject in enumerate(sorted(known))}
    for key, found in lists_a.items():
        (ids_a, apart_a), (ids_b, apart_b) = (
            ([[places[one] for _, one, _ in entries]], [[distance for *_, distance in entries]])
            for entries in (found, lists_b[key])
        )
        assert len(ids_a[0]) == len(ids_b[0]), (
            f"{name}: a list of {len(ids_a[0])}, a rebuild has {len(ids_b[0])} ({key})"
        )
        try:
            assert_same_neighbours(ids_a, apart_a, ids_b, apart_b)
        except AssertionError as error:
            raise AssertionError(f"{name}: of {key}: {error}") from None


def _lists(columns: list[str], rows: list[Row]) -> dict[tuple[str, str], list[tuple[int, str, float]]]:
    """Return rank, neighbour and distance of each entry, by run and subject."""
    found = defaultdict(list)
    for row in rows:
        entry = dict(zip(columns, row, strict=True))
        found[entry["brain_key"], entry["subject_id"]].append((entry["rank"], entry["neighbor_id"], entry["distance"]))
    return {key: sorted(entries) for key, entries in sorted(found.items())}


def _assert_same_rows(name: str, columns: list[str], left: list[Row], right: list[Row]) -> None:
    kept = [place for place, column in enumerate(columns) if column not in HISTORY_COLUMNS]
    left, right = (sorted((tuple(row[place] for place in kept) for row in rows), key=_order) for rows in (left, right))
    assert len(left) == len(right), f"{name}: {len(left)} rows, a rebuild has {len(right)}"
    for a, b in zip(left, right, strict=True):
        for place, one, other in zip(kept, a, b, strict=True):
            same = (
                np.allclose(one, other, atol=1e-5, equal_nan=True)
                if _numeric(one) and _numeric(other)
                else one == other
            )
            assert same, f"{name}.{columns[place]}: {one!r}, a rebuild has {other!r} (row {a})"


def _order(row: Row) -> list[str]:
    """Return what sorts rows that agree but for the last digits of their numbers in the same way."""
    return [f"{value:+.4e}" if isinstance(value, float) else repr(value) for value in row]


def _numeric(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, list | tuple) and bool(value) and isinstance(value[0], float))
