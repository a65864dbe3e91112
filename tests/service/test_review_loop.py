"""The whole loop: what is said in a browser is taken in by the daemon's sensor, published, shown, and undone again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.events import Decision
from tests.review.browser import Visit, launched, served
from tests.service.test_daemon import Service
from tests.workshop import Workshop, tables_naming, write_pictures

COUNT = 16
OFTEN = "const later = setInterval; setInterval = (run, wait) => later(run, Math.min(wait, 300))"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """Images of which a model contradicts two labels, the first more surely than the second."""
    write_pictures(tmp_path / "media", range(COUNT))
    rows = "".join(f"{number:05}.png,{'cat' if number % 2 else 'dog'}\n" for number in range(COUNT))
    (tmp_path / "labels.csv").write_text("filepath,label\n" + rows)
    sensor = {"quiet_seconds": 0.5}
    labels = [{"uri": str(tmp_path / "labels.csv")}]
    made = Workshop(tmp_path / "home", tmp_path / "media", "flowers", sensor=sensor, labels=labels)
    made.paths.predictions.mkdir()
    sure = {1: ("dog", 0.99), 2: ("cat", 0.95)}
    said = [sure.get(number, ("cat" if number % 2 else "dog", 0.99)) for number in range(COUNT)]
    rows = "".join(f"{number:05}.png,{label},{confidence}\n" for number, (label, confidence) in enumerate(said))
    (made.paths.predictions / "net.csv").write_text("filepath,label,confidence\n" + rows)
    return made


@contextmanager
def visiting(home: Home) -> Iterator[Visit]:
    with launched() as browser, served(home.root) as address:
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        visit = Visit(context.new_page(), address, home.root, "flowers")
        visit.page.add_init_script(OFTEN)
        yield visit
        context.close()
        assert visit.complaints == []


class Loop:
    """A reviewer at the page, and the service that takes in what is said."""

    def __init__(self, visit: Visit, service: Service, workshop: Workshop) -> None:
        self.visit, self.service, self.workshop = visit, service, workshop

    def wait_until(self, query: str, expected: list[Any]) -> None:
        """Wait until a published table holds what is expected, and the page announces it."""
        started = time.monotonic()
        self.service.wait(lambda: self.workshop.rows(query) == expected, f"{expected} from {query}")
        print(f"said to published: {time.monotonic() - started:.1f} s")
        self.visit.page.click("#show-fresh")
        self.visit.page.locator("#fresh").wait_for(state="hidden")

    def id_of(self, number: int) -> str:
        ((found,),) = self.workshop.rows(f"select sample_id from samples where filepath = '{number:05}.png'")
        return str(found)

    def decide(self, key: str) -> Decision:
        before = self.visit.page.locator(".stage").get_attribute("data-id")
        self.visit.page.keyboard.press(key)
        self.visit.page.wait_for_function("id => document.querySelector('.stage')?.dataset.id !== id", arg=before)
        return self.visit.events.decisions()[-1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_is_said_in_the_browser_counts_in_the_tables(workshop: Workshop, tmp_path: Path) -> None:
    service = Service(workshop.home, tmp_path / "service.log")
    try:
        service.wait(lambda: service.statuses("flowers") == ["SUCCESS"], "the first run")
        with visiting(workshop.home) as visit:
            loop = Loop(visit, service, workshop)
            _tag(loop)
            _relabel_and_drop(loop)
            _undo(loop)
        runs = service.statuses("flowers")
        time.sleep(4)
        assert service.statuses("flowers") == runs
        assert set(runs) == {"SUCCESS"}
    finally:
        service.stop()


def _tag(loop: Loop) -> None:
    visit = loop.visit.open()
    visit.lasso([(0.02, 0.15), (0.98, 0.15), (0.98, 0.55), (0.02, 0.55)])
    visit.wait_for_status("selected")
    visit.tag("odd ones")
    tagged = sorted(visit.tagged("odd ones"))
    assert 0 < len(tagged) < COUNT
    loop.wait_until(
        "select subject_id, tag, is_current from tags order by 1", [(one, "odd ones", True) for one in tagged]
    )
    visit.page.get_by_label("odd ones").check()
    visit.wait_for_status(f"{len(tagged)} of {COUNT} match")


def _relabel_and_drop(loop: Loop) -> None:
    visit = loop.visit.open("tab=queue&issue=label_mistake")
    visit.wait_for_text("#queue-status", "1 of 2")
    assert loop.decide("r")[1:5:3] == (loop.id_of(1), "dog")
    assert loop.decide("d")[1:4:2] == (loop.id_of(2), "drop")
    query = "select kind, holds from decisions order by 1"
    loop.wait_until(query, [("drop", True), ("relabel", True)])
    rows = loop.workshop.rows
    assert rows("select sample_id, labels from ground_truth where origin = 'review'") == [(loop.id_of(1), ["dog"])]
    assert rows("select sample_id from samples where status = 'dropped'") == [(loop.id_of(2),)]
    assert tables_naming(loop.workshop, loop.id_of(2)) - {"tags", "tag_history"} == {"samples", "decisions"}
    assert rows("select count(*) from issues where issue = 'label_mistake'") == [(0,)]
    visit.page.reload()
    visit.page.wait_for_selector("body[data-ready]")
    assert visit.page.locator("#issue-list", has_text="Label mistake").count() == 0
    visit.open(f"id={loop.id_of(1)}")
    visit.wait_for_text("#detail", "dog")
    visit.open('f.status=["dropped"]')
    visit.wait_for_status(f"1 of {COUNT} match")


def _undo(loop: Loop) -> None:
    visit = loop.visit.open()
    for _ in range(2):
        visit.page.keyboard.press("Control+z")
        visit.wait_for_text(".notice", "Undone")
        visit.page.wait_for_timeout(200)
    loop.wait_until("select count(*), count(undone_at) from decisions", [(2, 2)])
    rows = loop.workshop.rows
    assert rows("select distinct status from samples") == [("ok",)]
    assert rows("select distinct origin from ground_truth") == [("file",)]
    assert rows("select count(*) from uniqueness") == [(COUNT,)]
    visit.open("tab=queue&issue=label_mistake")
    visit.wait_for_text("#queue-status", "1 of 2")
