"""What is kept is verified and mended by `brain doctor`, and survives as one file through `brain backup` and `brain restore`."""

import errno
import io
import os
import shutil
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from brain_assets.app.backups import CHECKSUMS, HEADER
from brain_assets.app.cli import main
from brain_assets.app.materializing import materialize
from brain_assets.assets.reasons import reason_of
from brain_assets.resources.settings.home import DatasetPaths, Home
from brain_assets.resources.store.events import Event, Events
from brain_assets.resources.store.publishing import connect
from tests.workshop import Workshop, write_pictures

ASSETS = ("reviews", "samples", "media", "embeddings", "published")
SAMPLES = 6
COUNTS = "select (select count(*) from samples), (select count(*) from previews), (select count(*) from decisions)"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A dataset with a Dagster run, and something that was said."""
    root = tmp_path_factory.mktemp("care")
    write_pictures(root / "media", range(SAMPLES))
    workshop = Workshop(root / "home", root / "media", tag_settings=["similarity.k"])
    Events(workshop.paths.events).append(Event("keep", "ada"), [("id", "content")])
    materialize(workshop.home, "test", ASSETS)
    return workshop


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BRAIN_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "unset")
        monkeypatch.delenv(name)


@pytest.fixture
def home(original: Workshop, tmp_path: Path) -> Home:
    shutil.copytree(original.home.root, tmp_path / "home", symlinks=True)
    return Home(tmp_path / "home")


@pytest.fixture
def paths(home: Home) -> DatasetPaths:
    return home.paths("test")


def brain(home: Home, *words: object) -> Result:
    return CliRunner().invoke(main, ["--home", str(home.root), *map(str, words)])


def counts(paths: DatasetPaths) -> tuple[int, ...]:
    with connect(paths.published) as connection:
        return connection.execute(COUNTS).fetchall()[0]


def spoil(path: Path, start: float = 0.3) -> None:
    """Overwrite a stretch of a file, and leave its size and times."""
    data, found = bytearray(path.read_bytes()), path.stat()
    first = int(len(data) * start)
    data[first : first + 3000] = b"\xa5" * len(data[first : first + 3000])
    path.write_bytes(data)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def spoil_pages(path: Path) -> None:
    """Overwrite all pages of a database of SQLite's but the first."""
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * len(data[4096:]))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def remove(path: Path) -> None:
    path.unlink()


def overwrite(path: Path) -> None:
    path.write_bytes(b"\xa5" * 9000)


def test_what_is_sound_is_said_to_be_and_stays_as_it_is(home: Home, paths: DatasetPaths) -> None:
    before = {path: path.stat().st_mtime_ns for path in paths.published.rglob("*.parquet")}
    looked = brain(home, "doctor", "test", "--repair")
    assert (looked.exit_code, looked.output) == (0, "Dagster's history: sound\ntest: sound\n")
    assert {path: path.stat().st_mtime_ns for path in paths.published.rglob("*.parquet")} == before
    assert Events(paths.events_backup).decisions() == Events(paths.events).decisions() != []


# What is done to which file, and what is said of it; all of one line at once.
HARMS = (
    (("dataset.yaml", remove, "dataset.yaml is gone"), ("review/events.sqlite", remove, "held 1 events"),
     ("previews.pack", cut, "1 previews cannot be read"), ("published/current/samples.parquet", spoil, "samples.parquet")),
    (("dataset.yaml", cut, "was cut short"), ("review/events.sqlite", spoil_pages, "events.sqlite is damaged"),
     ("previews.pack", spoil, "previews cannot be read"),
     ("published/current/manifest.json", remove, "what is published is damaged")),
    (("backups/events.sqlite", spoil_pages, "the backup"), ("store.duckdb", overwrite, "store.duckdb is damaged")),
)  # fmt: skip


@pytest.mark.parametrize("harms", HARMS)
def test_what_is_harmed_is_told_and_mended(home: Home, paths: DatasetPaths, harms: Any) -> None:
    declared = paths.config.read_text()
    for path in [*paths.folder.rglob("*-wal"), *paths.folder.rglob("*-shm")]:
        path.unlink()
    for name, hurt, _ in harms:
        hurt(paths.folder / name)
    told = brain(home, "doctor")
    assert told.exit_code == 1
    assert harms[0][2] in told.output
    assert "--repair mends it" in told.output
    mended = brain(home, "doctor", "--repair")
    assert (mended.exit_code, [says for *_, says in harms if says not in mended.output]) == (0, []), mended.output
    assert paths.config.read_text() == declared
    Workshop.run(_workshop(home, paths), ASSETS)
    assert brain(home, "doctor").output.endswith("test: sound\n")
    assert counts(paths) == (SAMPLES, SAMPLES, 1)


def _workshop(home: Home, paths: DatasetPaths) -> Workshop:
    found = object.__new__(Workshop)
    found.home, found.name, found.paths = home, paths.name, paths
    return found


@pytest.mark.parametrize("name", ["history/runs.db", "history/runs/index.db", "schedules/schedules.db"])
def test_a_damaged_history_is_one_line_and_a_way_out(home: Home, paths: DatasetPaths, name: str) -> None:
    for path in home.dagster.rglob("*.db-*"):
        path.unlink()
    (home.dagster / name).write_bytes(b"no database" * 1000)
    failed = brain(home, "materialize", "test", "--select", "samples")
    assert failed.exit_code == 1
    (line,) = failed.stderr.splitlines()
    assert line.startswith(f"brain: Dagster's history is damaged ({home.dagster / name}: file is not a database)")
    assert "brain doctor --repair" in line
    mended = brain(home, "doctor", "--repair")
    assert (mended.exit_code, "set aside as" in mended.output) == (0, True), mended.output
    again = brain(home, "materialize", "test", "--select", "samples")
    assert again.exit_code == 0, again.output
    assert counts(paths) == (SAMPLES, SAMPLES, 1)


def test_doctor_waits_for_nobody_and_leaves_a_running_service_its_history(home: Home) -> None:
    from brain_assets.resources.store import locks

    (home.dagster / "schedules" / "schedules.db").write_bytes(b"no database" * 1000)
    with locks.exclusive(home.service_lock, "brain up"):
        told = brain(home, "doctor", "--repair")
    assert told.exit_code == 1
    assert "is in use by brain up" in told.stderr


@pytest.mark.parametrize("name", ["flowers.tar", "flowers.tar.gz"])
def test_a_backup_puts_a_dataset_back_as_it_was(home: Home, paths: DatasetPaths, tmp_path: Path, name: str) -> None:
    (paths.predictions).mkdir(exist_ok=True)
    (paths.predictions / "net.csv").write_text("filepath,label\n")
    written = brain(home, "backup", "test", tmp_path / name)
    assert written.exit_code == 0, written.output
    assert oct((tmp_path / name).stat().st_mode)[-3:] == "600"
    said, declared = Events(paths.events).decisions(), paths.config.read_text()
    assert "exists already" in brain(home, "restore", tmp_path / name).stderr
    other = Home(tmp_path / "other")
    for target, more in ((other, ()), (home, ("--name", "again"))):
        restored = brain(target, "restore", tmp_path / name, *more)
        assert restored.exit_code == 0, restored.output
        found = target.paths("again" if more else "test")
        assert counts(found) == (SAMPLES, SAMPLES, 1)
        assert (Events(found.events).decisions(), found.config.read_text()) == (said, declared)
        assert (found.predictions / "net.csv").exists()
        assert brain(target, "doctor", found.name).output.endswith("sound\n")
    status = brain(other, "status", "test").output
    assert f"{SAMPLES} samples" in status


def test_a_small_backup_has_what_nothing_can_derive_again(home: Home, paths: DatasetPaths, tmp_path: Path) -> None:
    assert brain(home, "backup", "test", tmp_path / "small.tar", "--small").exit_code == 0
    os.mkfifo(tmp_path / "pipe.tar")
    assert "name a file" in brain(home, "backup", "test", tmp_path / "pipe.tar").output
    assert (tmp_path / "pipe.tar").is_fifo()
    with tarfile.open(tmp_path / "small.tar") as archive:
        assert {name.split("/")[0] for name in archive.getnames()} <= {
            *(HEADER, CHECKSUMS, "dataset.yaml", "backups", "review", "predictions")
        }
    other = Home(tmp_path / "other")
    assert brain(other, "restore", tmp_path / "small.tar").exit_code == 0
    Workshop.run(_workshop(other, other.paths("test")), ASSETS)
    assert counts(other.paths("test")) == (SAMPLES, SAMPLES, 1)


def test_a_damaged_backup_changes_nothing(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "test.tar"
    assert brain(home, "backup", "test", file).exit_code == 0
    whole, other = file.read_bytes(), Home(tmp_path / "other")
    spoiled = bytearray(whole)
    place = whole.index(b"PAR1") + 100
    spoiled[place] ^= 1
    hostile = io.BytesIO()
    with tarfile.open(fileobj=hostile, mode="w") as archive, tarfile.open(file) as source:
        first = source.next()
        archive.addfile(first, source.extractfile(first))
        archive.addfile(tarfile.TarInfo("../escaped"), None)
    harmed = {
        "damaged": bytes(spoiled), "cut short|damaged": whole[: len(whole) // 2], "no backup": b"something else" * 99,
        "no backup of a dataset": _tar("a.txt", b"x"), "a member that no backup has": hostile.getvalue(),
    }  # fmt: skip
    for says, data in harmed.items():
        file.write_bytes(data)
        failed = brain(other, "restore", file)
        assert failed.exit_code == 1
        (line,) = failed.stderr.splitlines()
        assert any(word in line for word in says.split("|")), line
        assert not other.datasets.exists() or not list(other.datasets.iterdir())
        assert not list(other.root.glob(".restoring*"))
    assert not (tmp_path / "escaped").exists()


def _tar(name: str, data: bytes) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def test_a_full_disk_is_called_so_by_every_command_that_writes(original: Workshop, small_disk: Path) -> None:
    home = Home(small_disk / "home")
    shutil.copytree(original.home.root, home.root, symlinks=True)
    paths = home.paths("test")
    assert brain(home, "materialize", "test", "--select", "samples").exit_code == 0
    write_pictures(small_disk / "more", range(2))
    free = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(free.f_bavail * free.f_frsize))
    commands = (
        ("materialize", "test", "--set", "decoding.preview_size=64"),
        ("add", "other", "--media", small_disk / "more"),
        ("set", "test", f"classes={','.join(f'class-{number}' for number in range(2000))}"),
        ("backup", "test", small_disk / "test.tar"),
        ("report", "test", "--output", small_disk / "report.html"),
        ("sql", "test", "select * from range(200000)", "--output", small_disk / "rows.csv"),
    )
    for words in commands:
        failed = brain(home, *words)
        assert failed.exit_code == 1, (words, failed.output)
        assert "disk is full" in failed.stderr.splitlines()[-1], (words, failed.stderr)
    with pytest.raises(Exception, match="disk is full"):
        Events(paths.events).append(Event("tag", "ada", "x" * 100_000), [("id", None)] * 1)
    (small_disk / "filler").unlink()
    assert brain(home, "doctor", "test").output.endswith("sound\n")
    assert counts(paths) == (SAMPLES, SAMPLES, 1)
    with sqlite3.connect(paths.events) as connection:
        assert connection.execute("pragma quick_check").fetchall() == [("ok",)]


def test_a_full_disk_that_dagster_itself_meets_is_called_so_too() -> None:
    @dg.op
    def write() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere")

    @dg.job
    def writing() -> None:
        write()

    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    result = writing.execute_in_process(raise_on_error=False, run_config=quiet)
    assert reason_of(result.all_events).startswith("the disk is full, free some space and run again")
