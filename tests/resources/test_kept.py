"""What nothing can derive again is kept twice: what people said, and what dataset.yaml declared."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings import remembered
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.store.event_backup import back_up, complaint, put_back
from brain_assets.resources.store.events import Event, Events

DECLARED = "media: /pictures\nsimilarity:\n  k: 5\nlabels:\n- uri: a.csv\n- uri: b.csv\n"


@pytest.fixture
def events(tmp_path: Path) -> Events:
    return Events(tmp_path / "review" / "events.sqlite")


@pytest.fixture
def backup(tmp_path: Path) -> Events:
    return Events(tmp_path / "backups" / "events.sqlite")


@pytest.fixture
def paths(tmp_path: Path) -> DatasetPaths:
    found = DatasetPaths(tmp_path / "flowers")
    found.folder.mkdir()
    found.config.write_text(DECLARED)
    assert remembered.keep(found) == []
    return found


def everything(store: Events) -> tuple[list, list, list]:
    return list(store.said(0, store.last())), list(store.tags()), store.views()


def spoil(path: Path) -> None:
    """Overwrite the middle of a database, and leave its header."""
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)


@settings(max_examples=15)
@given(st.lists(st.sampled_from(["tag", "drop", "undo", "view", "copy"]), max_size=12))
def test_a_backup_that_was_extended_at_any_times_equals_its_store(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    root = tmp_path_factory.mktemp("events")
    events, backup = Events(root / "events.sqlite"), Events(root / "backup.sqlite")
    for number, step in enumerate([*steps, "copy"]):
        if step == "copy":
            assert back_up(events, backup) is None
        elif step == "view":
            events.save_view(f"view {number % 2}", {"number": number} if number % 3 else None, "ada")
        elif step == "undo":
            events.undo(events.latest_undoable() or 0, "bo")
        else:
            event = Event("tag", "ada", "odd") if step == "tag" else Event("drop", "ada")
            events.append(event, [(f"id-{number}", "content"), ("id", None, "of this one" if step == "tag" else None)])
    assert everything(backup) == everything(events)
    assert complaint(events) is complaint(backup) is None


def test_what_is_gone_from_the_store_stays_in_a_backup_of_its_own(events: Events, backup: Events) -> None:
    events.append(Event("drop", "ada"), [("a", "1")])
    back_up(events, backup)
    before = everything(backup)
    events.path.unlink()
    aside = back_up(events, backup)
    assert aside
    assert everything(Events(aside)) == before
    assert back_up(events, backup) is None
    # Another store, in which the numbers begin again.
    for name in "bcd":
        events.append(Event("keep", "bo"), [(name, "2")])
    back_up(events, backup)
    assert everything(backup) == everything(events)
    assert everything(Events(aside)) == before


def test_a_spoiled_store_is_made_anew_from_its_backup(events: Events, backup: Events) -> None:
    for number in range(40):
        events.append(Event("tag", "ada", "odd" * 20), [(f"{number}", "1")])
    back_up(events, backup)
    whole = everything(events)
    events.fold()
    spoil(events.path)
    assert complaint(events)
    former, saved = put_back(events, backup, "now")
    assert (former, saved, complaint(events)) == (events.path.with_name("events.now.sqlite"), 0, None)
    assert everything(events) == whole
    assert events.append(Event("keep", "ada"), [("b", "1")]) == 41


def test_what_was_said_after_the_backup_is_saved_from_a_damaged_store(events: Events, backup: Events) -> None:
    events.append(Event("drop", "ada"), [("a", "1")])
    back_up(events, backup)
    events.append(Event("drop", "ada"), [("b", "1")])
    with sqlite3.connect(events.path) as connection:
        connection.executescript("drop trigger events_stay; update events set at = 'yesterday' where event_id = 1")
    connection.close()
    assert "yesterday" in (complaint(events) or "")
    put_back(events, backup, "now")
    # A first event of another time is another store: nothing is mixed into the backup.
    assert [one.subject_id for one in events.decisions()] == ["a"]


def test_what_can_still_be_read_of_a_store_joins_its_backup(events: Events, backup: Events) -> None:
    events.append(Event("drop", "ada"), [("a", "1")])
    back_up(events, backup)
    events.append(Event("drop", "ada"), [("b", "1")])
    with sqlite3.connect(events.path) as connection:
        connection.execute("pragma foreign_keys = off")
        connection.execute("insert into subjects values (99, 'c', '1', null)")
    connection.close()
    assert complaint(events) == "1 rows belong to no event"
    _, saved = put_back(events, backup, "now")
    assert (saved, complaint(events), [one.subject_id for one in events.decisions()]) == (1, None, ["a", "b"])


@pytest.mark.parametrize("left", range(1, len(DECLARED)))
def test_a_declaration_that_is_cut_anywhere_is_refused_or_told(paths: DatasetPaths, left: int) -> None:
    paths.config.write_text(DECLARED[:left])
    if not DECLARED[:left].endswith("\n"):
        with pytest.raises(ConfigurationError, match=rf"was cut short: it has the first {left} of {len(DECLARED)}"):
            remembered.require_whole(paths)
        return
    remembered.require_whole(paths)
    missing = remembered.gone(DECLARED, DECLARED[:left])
    assert missing
    for _ in range(2):
        assert f"no longer says {', '.join(missing)}" in (remembered.told(paths) or "")
        remembered.keep(paths)
    assert paths.former_declaration.read_text() == DECLARED


def test_settings_that_change_or_come_are_not_gone(paths: DatasetPaths) -> None:
    paths.config.write_text(DECLARED.replace("k: 5", "k: 6") + "- uri: c.csv\ngates: []\n")
    assert remembered.told(paths) is None
    assert remembered.keep(paths) == []
    paths.config.write_text("media: /pictures\nlabels: []\n")
    assert remembered.gone(DECLARED, paths.config.read_text()) == ["similarity.k", "labels (2 of 2)"]
    remembered.forget(paths)
    assert remembered.told(paths) is None
