"""The arrival sensor watches an object store as it watches a folder, by its listing alone."""

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from brain_assets.resources.media import object_stores
from tests.far.servers import delete, put
from tests.sensors.test_arrivals import STATEFUL, SUCCESS, Clock
from tests.workshop import Workshop, encoded, picture, write_archive

obstore = pytest.importorskip("obstore")
pytest.importorskip("moto")


@pytest.fixture
def clock() -> Iterator[Clock]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Clock(instance)


@pytest.fixture
def workshop(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path / "home"))
    # Looking is never put off, however long it took, nor is what this test leaves out of its runs.
    monkeypatch.setattr("brain_assets.sensors.arrivals.LOOKING_SHARE", float("inf"))
    monkeypatch.setattr("brain_assets.answers.published._behind", lambda *_: [])
    for seed in range(3):
        put(f"{bucket}/set/{seed}.png", encoded(picture(seed)))
    return Workshop(tmp_path / "home", f"{bucket}/set", sensor={"quiet_seconds": 0})


def test_every_change_of_a_store_asks_for_one_run_and_nothing_else_does(
    tmp_path: Path, bucket: str, workshop: Workshop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def packed(seed: int) -> bytes:
        return write_archive(tmp_path / "more.zip", {"a.png": encoded(picture(seed))}).read_bytes()

    changes: list[Callable[[], None]] = [
        lambda: None,  # the first look of all
        lambda: put(f"{bucket}/set/new/9.png", encoded(picture(9))),
        lambda: put(f"{bucket}/set/0.png", encoded(picture(70))),
        lambda: delete(f"{bucket}/set/1.png"),
        lambda: put(f"{bucket}/set/more.zip", packed(4)),
        lambda: put(f"{bucket}/set/more.zip", packed(5)),
    ]
    for change in changes:
        change()
        with monkeypatch.context() as patch:
            patch.setattr(obstore, "get", None)  # to look reads no object
            (request,) = clock.requests()
        clock.record(request, SUCCESS)
        workshop.run(STATEFUL)
        put(f"{bucket}/elsewhere.png", encoded(picture(1)))
        put(f"{bucket}/set/notes.txt", b"beside")
        assert clock.reason().endswith(": up to date")
    rows = workshop.rows("select filepath from samples where content_hash is not null order by 1")
    assert rows == [("0.png",), ("2.png",), ("more.zip!/a.png",), ("new/9.png",)]


def test_to_look_asks_once_per_page_of_the_listing(
    bucket: str, workshop: Workshop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    pages = object_stores._pages
    monkeypatch.setattr(object_stores, "_pages", lambda *given: asked.append(given[1:]) or pages(*given))
    for name in ("head", "get"):
        monkeypatch.setattr(obstore, name, None)
    assert len(clock.requests()) == 1
    assert asked == [("set", None)]


def test_a_store_that_does_not_answer_is_told_and_asks_for_nothing(
    workshop: Workshop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.run(STATEFUL)

    def refuse(*_: object) -> None:
        raise OSError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(object_stores, "_pages", refuse)
        assert clock.reason() == "test: s3://pictures/set cannot be listed: no route to host"
    assert clock.reason().endswith(": up to date")
