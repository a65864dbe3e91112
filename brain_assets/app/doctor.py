"""Look at all that a home keeps, say what is wrong with it, and mend what can be mended.

What is derived is made again from what it was derived from; what people said and declared is put back from the copies that
every run keeps. Whatever is replaced is set aside under a name with the time, never deleted.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from brain_assets.assets import catalog
from brain_assets.incremental.tables import open_with_tables
from brain_assets.incremental.update import NOTHING_SEEN, is_up_to_date, wrong_rows
from brain_assets.ingest import previews
from brain_assets.resources.dataset import Dataset, Opening
from brain_assets.resources.errors import BrainError, DamagedError, LockedError, StoreError
from brain_assets.resources.settings import instance, remembered
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import DatasetPaths, Home
from brain_assets.resources.settings.private import private_files
from brain_assets.resources.store import locks, publishing, seals
from brain_assets.resources.store.event_backup import complaint, lacks, put_back
from brain_assets.resources.store.events import Events
from brain_assets.resources.store.previews import PreviewPack
from brain_assets.resources.store.store import Merge

PURPOSE = "brain doctor"
DECLARATION, DECISIONS, STORE, PREVIEWS, PUBLISHED, HISTORY = (
    "declaration", "decisions", "store", "previews", "published", "history",
)  # fmt: skip
# Whose rows previews belong to: they make those again that have none.
MAKERS = {"media": "media", "crops": "object_embeddings"}
BATCH = 1000


@dataclass(frozen=True)
class Fault:
    """Something that is wrong.

    Attributes
    ----------
    part : str
        What of the dataset, or of the home.
    says : str
        What is wrong, and where nothing here mends it, what to do.
    mend : callable, optional
        Mends it, and returns in a line what was done.
    """

    part: str
    says: str
    mend: Callable[[], str] | None = None


def of_dataset(home: Home, name: str) -> Iterator[Fault]:
    """Yield what is wrong with a dataset, each fault once those before it were mended or left.

    Raises
    ------
    LockedError
        If a run is under way.
    """
    paths = home.paths(name)
    yield from _declaration(paths)
    yield from _decisions(paths)
    if _is_declared(paths):
        yield from _store(home, name)
        yield from _published(home, paths)


def _is_declared(paths: DatasetPaths) -> bool:
    """Return whether the declaration can be worked with, as it is or as it was mended."""
    try:
        remembered.require_whole(paths)
        load_dataset(paths.config)
    except BrainError:
        return False
    return paths.config.exists()


def of_home(home: Home) -> Iterator[Fault]:
    """Yield what is wrong with Dagster's records of runs, which all datasets of a home share."""
    files = _history_files(home)
    bad = {path: says for path in files if (says := _spoiled(path))}
    shared = [path for path in bad if path.parent.name == "history" or path.name == "index.db"]
    for path in bad:
        # What all runs share tells which of the others are whose: without it they are of no use.
        if path in shared or not shared or path.parent.name == "schedules":
            target = home.dagster / "history" if path in shared else path
            mend = lambda target=target: _renew_history(home, target)  # noqa: E731
            yield Fault(HISTORY, f"{path} is damaged: {bad[path]}", mend)


def lost(home: Home) -> list[str]:
    """Return the names of datasets whose declaration is gone and can be put back."""
    folders = sorted(home.datasets.glob("*/backups/dataset.yaml"))
    return [name for path in folders if (name := path.parent.parent.name) not in home.names()]


def _now() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}"


def _declaration(paths: DatasetPaths) -> Iterator[Fault]:
    kept = paths.kept_declaration if paths.kept_declaration.exists() else None
    back = (lambda: _restore_declaration(paths)) if kept else None
    if not paths.config.exists():
        yield Fault(DECLARATION, f"{paths.config} is gone", back)
        return
    try:
        remembered.require_whole(paths)
        load_dataset(paths.config)
    except BrainError as error:
        yield Fault(DECLARATION, str(error), back)
        return
    if told := remembered.told(paths):
        yield Fault(DECLARATION, f"{told}: put back what was not meant to go")


def _restore_declaration(paths: DatasetPaths) -> str:
    draft = paths.config.with_suffix(".draft")
    draft.write_bytes(paths.kept_declaration.read_bytes())
    aside = paths.config.with_name(f"dataset.{_now()}.yaml")
    with suppress(FileNotFoundError):
        paths.config.rename(aside)
    draft.replace(paths.config)
    return "put back as the last run used it" + (f"; what was there is {aside}" if aside.exists() else "")


def _decisions(paths: DatasetPaths) -> Iterator[Fault]:
    events, backup = Events(paths.events), Events(paths.events_backup)
    if says := complaint(backup):
        yield Fault(
            DECISIONS, f"the backup {backup.path} is damaged: {says}", lambda: _renew_backup(paths, events, backup)
        )
    if says := complaint(events):
        yield Fault(DECISIONS, f"{events.path} is damaged: {says}", lambda: _put_back(events, _newest_backup(paths)))
    elif not events.path.exists() and (newest := _newest_backup(paths)).path.exists():
        yield Fault(
            DECISIONS,
            f"{events.path} is gone, and held {newest.last()} events",
            lambda: _put_back(events, newest),
        )
    elif backup.path.exists() and not complaint(backup) and lacks(events, backup):
        yield Fault(
            DECISIONS,
            f"{events.path} is not what it was: what was said until {backup.at(backup.last())} is in {backup.path};"
            f" to have it back, move {events.path} away and run 'brain doctor {paths.name} --repair'",
        )


def _newest_backup(paths: DatasetPaths) -> Events:
    """Return the backup, or where there is none, the one among those that were set aside that is of latest."""
    if paths.events_backup.exists():
        return Events(paths.events_backup)
    aside = sorted(paths.backups.glob("events.[0-9]*.sqlite"))
    return Events(aside[-1] if aside else paths.events_backup)


def _put_back(events: Events, backup: Events) -> str:
    held = backup.last()
    former, saved = put_back(events, backup, _now())
    more = f" and {saved} that were said later" if saved else ""
    return f"put back with {held} events from {backup.path}{more}" + (f"; what was there is {former}" if former else "")


def _renew_backup(paths: DatasetPaths, events: Events, backup: Events) -> str:
    aside = backup.path.with_name(f"damaged-{_now()}.sqlite")
    backup.path.rename(aside)
    if complaint(events):
        return f"set aside as {aside}; the store is damaged, too"
    if events.path.exists():
        backup.extend(events)
    return f"made again from {events.path}; what was there is {aside}"


def _store(home: Home, name: str) -> Iterator[Fault]:
    """Yield what is wrong with the database, and with the previews that its rows name."""
    paths = home.paths(name)
    if not paths.store.exists():
        return
    faults: list[Fault] = []
    unusable = []
    try:
        with open_with_tables(home, name, Opening(PURPOSE, PURPOSE), catalog.ALL) as dataset:
            faults += _tables(home, dataset)
            unusable = _unreadable_previews(dataset)
    except LockedError:
        raise
    except DamagedError as error:
        faults.append(Fault(STORE, str(error), lambda: _set_aside(paths)))
    except StoreError as error:
        faults.append(Fault(STORE, str(error)))
    yield from faults
    if unusable:
        yield Fault(
            PREVIEWS,
            f"{len(unusable)} previews cannot be read in {paths.folder}",
            lambda: _forget_previews(home, name, unusable),
        )


def _tables(home: Home, dataset: Dataset) -> Iterator[Fault]:
    """Yield what is wrong with the tables: read to the last row, which has every block checked, and by each signal's rules."""
    name = dataset.paths.name
    for table in sorted(dataset.store.tables):
        dataset.store.rows(f"select count(*), bit_xor(hash(row)) from {table} as row")
    for signal in catalog.ALL:
        broken = {check.name: wrong for check in signal.checks if (wrong := wrong_rows(check, signal, dataset))}
        # What waits to be brought up to date may well not agree with what came since.
        if broken and is_up_to_date(signal, dataset):
            told = ", ".join(f"{check} ({wrong} rows)" for check, wrong in broken.items())
            mend = lambda asset=signal.name: _have_look_again(home, name, [asset])  # noqa: E731
            yield Fault(STORE, f"the tables of {signal.name} break what must hold: {told}", mend)


def _have_look_again(home: Home, name: str, assets: Iterable[str]) -> str:
    """Have signals compare all that they read with all that they wrote, in the next run."""
    with (
        open_with_tables(home, name, Opening(PURPOSE, PURPOSE), catalog.ALL) as dataset,
        dataset.store.write(PURPOSE, STORE) as transaction,
    ):
        for asset in assets:
            transaction.execute("update watermarks set number = ? where asset = ?", [NOTHING_SEEN, asset])
    return f"'brain materialize {name}' now looks at all of it again"


def _unreadable_previews(dataset: Dataset) -> list[int]:
    """Return the offsets of previews at which there is no intact one."""
    rows = dataset.store.rows(f"select * from ({previews.ADDRESSES}) where preview_length is not null order by 1")
    wrong = []
    with PreviewPack(dataset.paths.folder / dataset.preview_pack) as pack:
        for offset, length in rows:
            try:
                pack.read(offset, length)
            except (OSError, ValueError):
                wrong.append(offset)
    return wrong


def _forget_previews(home: Home, name: str, offsets: Sequence[int]) -> str:
    """Forget where previews were, and have the signals that make them look again."""
    with (
        open_with_tables(home, name, Opening(PURPOSE, PURPOSE), catalog.ALL) as dataset,
        dataset.store.write(PURPOSE, PREVIEWS) as transaction,
    ):
        for start in range(0, len(offsets), BATCH):
            listed = ", ".join(map(str, offsets[start : start + BATCH]))
            for table in MAKERS:
                rows = f"{previews.FORGOTTEN.format(table=table)} where preview_offset in ({listed})"
                transaction.merge(Merge(table, rows))
    _have_look_again(home, name, MAKERS.values())
    return f"forgotten: 'brain materialize {name}' decodes these images again"


def _set_aside(paths: DatasetPaths) -> str:
    """Rename a damaged store, so that the next run makes another."""
    aside = paths.store.with_name(f"store.damaged-{_now()}.duckdb")
    with locks.exclusive(paths.lock, PURPOSE):
        for suffix in ("", ".wal"):
            with suppress(FileNotFoundError):
                os.rename(f"{paths.store}{suffix}", f"{aside}{suffix}")
    return f"set aside as {aside}: 'brain materialize {paths.name}' computes all of it again; decisions are not in it"


def _published(home: Home, paths: DatasetPaths) -> Iterator[Fault]:
    if says := publishing.damage(paths.published, thorough=True):
        yield Fault(PUBLISHED, says, lambda: _publish_again(home, paths))


def _publish_again(home: Home, paths: DatasetPaths) -> str:
    if not paths.store.exists():
        return f"left as it is: 'brain materialize {paths.name}' computes and publishes all of it again"
    from brain_assets.app.directly import bring_directly

    (paths.published / seals.CHECKED).unlink(missing_ok=True)
    bring_directly(home, paths.name, ["published"], PURPOSE)
    return "written again"


def _history_files(home: Home) -> list[Path]:
    names = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db", "history/runs/*.db")
    return list(dict.fromkeys(path for name in names for path in sorted(home.dagster.glob(name))))


def _spoiled(path: Path) -> str | None:
    """Return what is wrong with a file of SQLite's, None where nothing is."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            found = [str(row[0]) for row in connection.execute("pragma integrity_check(1)")]
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if found == ["ok"] else " ".join(found[0].split())


def _renew_history(home: Home, target: Path) -> str:
    """Set a file or folder of Dagster's history aside, and tell the new one which datasets there are."""
    with locks.exclusive(home.service_lock, PURPOSE):
        aside = target.with_name(f"{target.stem}.damaged-{_now()}{target.suffix}")
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.rename(f"{target}{suffix}", f"{aside}{suffix}")
        instance.prepare(home)
        import dagster as dg

        with dg.DagsterInstance.get() as dagster_instance:
            dagster_instance.add_dynamic_partitions(instance.PARTITIONS, home.names())
    return f"set aside as {aside}, and a new one begun; what runs did before is not listed any more"


@dataclass
class Visit:
    """What a look at a home found: lines for its user, and how much of what is wrong was left."""

    lines: list[str]
    left: int = 0


def visit(home: Home, names: Iterable[str], *, repair: bool) -> Iterator[Visit]:
    """Look at Dagster's history, then at datasets, and mend what can be mended where that is asked for.

    Yields
    ------
    Visit
        For the history, if there is any, and for each dataset.
    """
    with private_files(home.root):
        if home.dagster.exists():
            yield _visited("Dagster's history", of_home(home), repair=repair)
        for name in names:
            yield _visited(name, of_dataset(home, name), repair=repair)


def _visited(title: str, faults: Iterator[Fault], *, repair: bool) -> Visit:
    found = Visit([])
    for fault in faults:
        if fault.mend and repair:
            found.lines.append(f"  {fault.part}: {fault.says}; {fault.mend()}")
            continue
        found.left += 1
        found.lines.append(f"  {fault.part}: {fault.says}" + ("; --repair mends it" if fault.mend else ""))
    found.lines.insert(0, f"{title}: " + (f"{len(found.lines)} found" if found.lines else "sound"))
    return found
