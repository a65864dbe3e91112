import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.resources.store.events import Event, Events, standing

SUBJECTS = [("id-1", "hash-1"), ("id-2", None)]


@pytest.fixture
def events(tmp_path: Path) -> Events:
    return Events(tmp_path / "review" / "events.sqlite")


def present(events: Events) -> set[tuple[str, str]]:
    return {(state.subject_id, state.tag) for state in events.tags() if state.present}


def test_nothing_said_makes_no_file(events: Events) -> None:
    assert (events.last(), list(events.tags()), events.decisions(), events.views()) == (0, [], [], [])
    assert events.latest_undoable() is None
    assert not events.path.exists()


def test_decisions_carry_who_when_and_content(events: Events) -> None:
    number = events.append(Event("relabel", "ada", "cat", "label_mistake"), SUBJECTS)
    first, second = events.decisions()
    assert first.decision_id == f"{number}-id-1"
    assert (first.kind, first.value, first.issue, first.by, first.content_hash) == (
        "relabel",
        "cat",
        "label_mistake",
        "ada",
        "hash-1",
    )
    assert first.at.endswith("+00:00")
    assert first.undone_at is None
    assert second.content_hash is None
    assert events.decisions(["id-2"]) == [second]


def test_undo_keeps_the_history(events: Events) -> None:
    first = events.append(Event("drop", "ada"), SUBJECTS[:1])
    assert events.undo(first, "bo") == first + 1
    (decision,) = events.decisions()
    assert decision.undone_at is not None
    assert standing([decision]) == {}
    assert events.undo(first, "bo") is None
    assert events.undo(first + 1, "bo") is None
    assert events.undo(99, "bo") is None


def test_latest_undoable_passes_over_what_is_undone(events: Events) -> None:
    numbers = [events.append(Event("keep", "ada"), SUBJECTS) for _ in range(3)]
    events.undo(numbers[2], "ada")
    assert events.latest_undoable() == numbers[1]


def test_the_last_keep_or_drop_and_the_last_relabel_stand(events: Events) -> None:
    for event in (Event("drop", "a"), Event("relabel", "a", "cat"), Event("keep", "a"), Event("relabel", "a", "dog")):
        events.append(event, SUBJECTS[:1])
    standing_now = standing(events.decisions())["id-1"]
    assert (standing_now["fate"].kind, standing_now["label"].value) == ("keep", "dog")


@pytest.mark.parametrize("statement", ["update events set value = 'x'", "delete from subjects", "delete from views"])
def test_nothing_is_changed_or_deleted(events: Events, statement: str) -> None:
    events.append(Event("tag", "ada", "x"), SUBJECTS)
    events.save_view("mine", {"a": 1}, "ada")
    with sqlite3.connect(events.path) as connection, pytest.raises(sqlite3.IntegrityError, match="append only"):
        connection.execute(statement)
    connection.close()


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from(["tag", "untag", "undo"]), st.integers(0, 3), st.sampled_from("xy")), max_size=14
    )
)
def test_tags_equal_a_replay(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]]) -> None:
    """An undone event counts as never said; of the rest the last word on each tag stands."""
    events = Events(tmp_path_factory.mktemp("events") / "events.sqlite")
    said: list[tuple[str, str, str] | None] = []
    numbers: list[int] = []
    for kind, which, tag in steps:
        if kind == "undo":
            if numbers and events.undo(numbers[which % len(numbers)], "ada") is not None:
                said[which % len(numbers)] = None
        else:
            numbers.append(events.append(Event(kind, "ada", tag), [(f"id-{which}", None)]))  # type: ignore[arg-type]
            said.append((kind, f"id-{which}", tag))
    expected: dict[tuple[str, str], bool] = {}
    for entry in said:
        if entry:
            expected[entry[1], entry[2]] = entry[0] == "tag"
    assert present(events) == {key for key, holds in expected.items() if holds}


def test_saved_views_replace_and_forget(events: Events) -> None:
    events.save_view("b", {"filter": 1}, "ada")
    events.save_view("a", {"filter": 2}, "ada")
    events.save_view("b", {"filter": 3}, "bo")
    assert [(view["name"], view["state"], view["by"]) for view in events.views()] == [
        ("a", {"filter": 2}, "ada"),
        ("b", {"filter": 3}, "bo"),
    ]
    events.save_view("a", None, "ada")
    assert [view["name"] for view in events.views()] == ["b"]
