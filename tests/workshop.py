"""Datasets for tests: images on disk, runs without Dagster, and the comparison of a dataset with its rebuild."""

import io
import shutil
import tarfile
import tempfile
import uuid
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb
import numpy as np
import yaml
from PIL import Image

from brain_assets.answers.published import BOOKKEEPING
from brain_assets.assets import catalog
from brain_assets.incremental.signal import Publication
from brain_assets.incremental.update import Report, bring_up_to_date, wrong_rows
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.previews import PreviewPack
from brain_assets.resources.store.publishing import connect
from brain_assets.resources.store.store import Store
from tests.helpers import assert_same_neighbours

TINY = "python:tests.models:Pixels"
# When and by which run a row was written, and where its preview lies, differs between a dataset and its rebuild.
HISTORY_COLUMNS = {"added_at", "changed_at", "run_id", "uri", "preview_offset", "pack"}
INPUT_TABLES = ("calibrations", "cluster_centers", "moves")
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
    """One dataset in a home of its own."""

    def __init__(self, root: Path, media: Path | str, name: str = "test", **settings: object) -> None:
        self.home, self.name = Home(root), name
        self.paths = self.home.paths(name)
        self.paths.folder.mkdir(parents=True, exist_ok=True)
        self.declare(media=str(media), **{"embeddings": {"model": TINY}, **settings})

    def declare(self, **settings: object) -> None:
        self.paths.config.write_text(yaml.safe_dump(settings), "utf-8")

    def run(self, select: Iterable[str] = catalog.BY_NAME) -> dict[str, Report]:
        """Bring the selected signals up to date and return what each did."""
        names = frozenset(select)
        with open_dataset(self.home, self.name, Opening(uuid.uuid4().hex, "test", names)) as dataset:
            chosen = [signal for signal in catalog.ALL if signal.name in names]
            return {signal.name: bring_up_to_date(signal, dataset) for signal in chosen}

    def rows(self, query: str) -> list[tuple]:
        """Return rows of the published tables."""
        with connect(self.paths.published) as connection:
            return connection.execute(query).fetchall()

    def wrong(self, select: Iterable[str] = catalog.BY_NAME) -> dict[str, int]:
        """Return the integrity checks of some signals that fail, with what they count."""
        checks = [(catalog.BY_NAME[name], check) for name in select for check in catalog.BY_NAME[name].checks]
        with open_dataset(self.home, self.name, Opening("check", "test")) as dataset:
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
        for publication in [*BOOKKEEPING, *(one for signal in catalog.ALL for one in signal.publishes)]:
            columns = [row[0] for row in store.rows(f"describe {publication.query}") if row[0] != "part"]
            found.append((publication, columns))
        store.close()
    return found


def give_calibrations(source: Workshop, target: Workshop) -> None:
    """Give a dataset that was never run the calibrations and fitted centres of another: they are inputs, not outputs."""
    with open_dataset(target.home, target.name, Opening("given", "test")) as dataset:
        connection = dataset.store.connection
        connection.execute(f"attach '{source.paths.store}' as given (read_only)")
        for table in INPUT_TABLES:
            connection.execute(f"insert into {table} select * from given.{table}")
        connection.execute("detach given")


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


def assert_equals_rebuild(workshop: Workshop, rebuild: Workshop) -> None:
    """Check that every published table equals that of a dataset which was computed from scratch."""
    with connect(workshop.paths.published) as ours, connect(rebuild.paths.published) as theirs:
        names = {row[0] for row in ours.execute("select view_name from duckdb_views() where not internal").fetchall()}
        for name in sorted(names - HISTORY_TABLES):
            compare = _assert_same_neighbors if name == "neighbors" else _assert_same_rows
            compare(name, ours, theirs)


def _assert_same_neighbors(name: str, ours: duckdb.DuckDBPyConnection, theirs: duckdb.DuckDBPyConnection) -> None:
    query = f"""
        select brain_key, subject_id, list(neighbor_id order by rank), list(distance order by rank) from {name}
        group by all order by all"""
    left, right = (
        [((key, subject), *lists) for key, subject, *lists in one.execute(query).fetchall()] for one in (ours, theirs)
    )
    assert [row[0] for row in left] == [row[0] for row in right]
    ids = {subject: number for number, subject in enumerate(sorted({one for row in left + right for one in row[1]}))}
    for a, b in zip(left, right, strict=True):
        positions = [[[ids[one] for one in row[1]]] for row in (a, b)]
        assert_same_neighbours(positions[0], [a[2]], positions[1], [b[2]])


def _assert_same_rows(name: str, ours: duckdb.DuckDBPyConnection, theirs: duckdb.DuckDBPyConnection) -> None:
    columns = [row[0] for row in ours.execute(f"describe {name}").fetchall() if row[0] not in HISTORY_COLUMNS]
    listed = ", ".join(f'"{column}"' for column in columns)
    query = f"select {listed} from {name} order by all"
    left, right = ours.execute(query).fetchall(), theirs.execute(query).fetchall()
    assert len(left) == len(right), f"{name}: {len(left)} rows, a rebuild has {len(right)}"
    for a, b in zip(left, right, strict=True):
        for column, one, other in zip(columns, a, b, strict=True):
            same = (
                np.allclose(one, other, atol=1e-5, equal_nan=True)
                if _numeric(one) and _numeric(other)
                else one == other
            )
            assert same, f"{name}.{column}: {one!r}, a rebuild has {other!r} (row {a})"


def _numeric(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, list | tuple) and bool(value) and isinstance(value[0], float))
