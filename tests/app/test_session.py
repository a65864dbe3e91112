"""The review page beside a program: it follows what the program shows."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import brain_assets as brain
from brain_assets.app.session import Session
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from tests.review.browser import launched
from tests.review_data import Synthetic


def eventually(found: Callable[[], Any], seconds: float = 20) -> Any:
    """Return what is found once there is something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


@pytest.fixture
def synthetic(tmp_path: Path) -> Synthetic:
    return Synthetic(tmp_path, count=80).create()


@pytest.fixture
def session(synthetic: Synthetic) -> Iterator[Session]:
    with brain.dataset("demo", home=str(synthetic.home)).show() as session:
        yield session


STATUS = "text => document.querySelector('#status').textContent.includes(text)"


@contextmanager
def opened(session: Session) -> Iterator[Any]:
    """Yield a page of a browser on the session, which shows all of it."""
    with launched() as browser:
        page = browser.new_page()
        page.goto(session.url)
        page.wait_for_function(STATUS, arg="80 images")
        yield page
        browser.close()


def test_a_page_follows_the_view(session: Session) -> None:
    few = session.dataset.where("split = 'train'").take(7)
    with opened(session) as page:
        session.view = few
        page.wait_for_function(STATUS, arg="7 of 80 match")
        session.view = few.take(3)
        page.wait_for_function(STATUS, arg="3 of 80 match")
        other = page.context.browser.new_page()
        other.goto(session.url)
        other.wait_for_function(STATUS, arg="3 of 80 match")
        session.view = None
        page.wait_for_function(STATUS, arg="80 images")


def test_what_is_selected_is_selected_on_both_sides(session: Session) -> None:
    few = session.dataset.where("split = 'train'").take(7)
    with opened(session) as page:
        page.press("#card-3", " ")
        assert len(session.dataset.select(eventually(lambda: session.selected))) == 1
        session.selected = few
        page.wait_for_function(STATUS, arg="7 selected")
        assert session.selected == few.ids
        page.reload()
        page.wait_for_function(STATUS, arg="7 selected")
        page.click("#select-all")
        eventually(lambda: len(session.selected) == 80)
        session.selected = None
        page.wait_for_function("() => document.querySelector('#clear').hidden")
        page.click("#tab-overview")
        session.selected = session.dataset.limit(2).values("filepath")
        page.wait_for_function(STATUS, arg="2 selected")
        page.click("#clear")
        eventually(lambda: not session.selected)
        page.select_option("#frame", "objects")
        page.wait_for_function(STATUS, arg="objects")
        page.click("#select-all")
        assert len(eventually(lambda: session.selected_labels)) > len(session.selected) > 0
        one, held = session.dataset.sql("select sample_id, count(*) from objects group by 1 order by 1").fetchall()[0]
        session.selected = [one]
        page.wait_for_function(STATUS, arg=f"{held} selected")


def test_a_session_is_of_one_dataset_and_ends(session: Session, tmp_path: Path) -> None:
    other = Synthetic(tmp_path / "other", count=80).create()
    with pytest.raises(ConfigurationError, match="needs one of its own"):
        session.view = brain.dataset("demo", home=str(other.home)).where("true")
    with pytest.raises(MissingError, match="no sample 'nobody'"):
        session.selected = ["nobody"]
    with pytest.raises(ConfigurationError, match="samples are several"):
        session.selected = "nobody"
    assert session.selected == session.selected_labels == []
    assert session.url in session._repr_html_().replace("&amp;", "&")
    port = int(session.url.split(":")[2].split("/")[0])
    with pytest.raises(BrainError, match="choose another"):
        session.dataset.show(port=port)
    session.close()
    with session.dataset.where("split = 'test'").show(port=port) as again:
        assert again.view.ids == session.dataset.where("split = 'test'").ids
    assert not again._thread.is_alive()


def test_what_is_not_there_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        brain.dataset("nobody", home=str(tmp_path)).show()
