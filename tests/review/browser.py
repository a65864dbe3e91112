"""A served page in a real browser; tests skip where playwright or Chromium is not installed."""

import importlib.util
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from brain_assets.resources.store.events import Events
from brain_assets.review import create_app
from tests.review.client import TOKEN

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
]
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@contextmanager
def served(home: Path, **options: Any) -> Iterator[str]:
    """Serve the page on a free port from a thread; yields its address."""
    import uvicorn

    config = uvicorn.Config(
        create_app(home, token=TOKEN, **options), host="127.0.0.1", port=0, log_level="error", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)


@contextmanager
def launched() -> Iterator[Any]:
    """Yield a browser, or skip the test."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no browser is installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def serious(page: Any, **options: Any) -> list[tuple[str, str]]:
    """Return what axe finds serious on a page, by rule, with the place; skips the test where axe is not installed."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe is not installed: pip install axe-playwright-python")
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate((Path(found.origin).parent / "axe.min.js").read_text("utf-8"))
    problems = page.evaluate("async options => (await axe.run(document, options)).violations", options)
    grave = [one for one in problems if one["impact"] in ("serious", "critical")]
    return [(one["id"], one["nodes"][0]["html"][:150]) for one in grave]


@dataclass
class Visit:
    """A page of a browser on one server, with what a reviewer does there."""

    page: Any
    address: str
    home: Path
    dataset: str = "demo"
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(20_000)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("console", lambda message: self.listen(message))

    def listen(self, message: Any) -> None:
        # The console notes every refusal, such as that of an image that cannot be shown.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    def open(self, query: str = "", *, timeout: float = 30_000) -> "Visit":
        """Go to a link as somebody who has just been given it, and wait until it can be used."""
        self.page.goto(f"{self.address}/?token={TOKEN}&dataset={self.dataset}&{query or 'tab=explore'}")
        self.page.wait_for_selector("body[data-ready]", timeout=timeout)
        return self

    @property
    def events(self) -> Events:
        return Events(self.home / "datasets" / self.dataset / "review" / "events.sqlite")

    @property
    def status(self) -> str:
        return str(self.page.inner_text("#status"))

    def wait_for_status(self, text: str) -> None:
        self.page.wait_for_function("text => document.querySelector('#status').textContent.includes(text)", arg=text)

    def wait_for_text(self, selector: str, text: str) -> None:
        self.page.locator(selector, has_text=text).first.wait_for()

    def lasso(
        self, places: list[tuple[float, float]], modifiers: tuple[str, ...] = ("Shift",)
    ) -> list[tuple[float, float]]:
        """Draw a lasso through shares of the map's width and height; returns it in coordinates of the map."""
        self.page.wait_for_function("() => document.querySelector('#lasso').dataset.view")
        box = self.page.locator("#lasso").bounding_box()
        points = [(round(box["width"] * x), round(box["height"] * y)) for x, y in places]
        for key in modifiers:
            self.page.keyboard.down(key)
        mouse = self.page.mouse
        mouse.move(box["x"] + points[0][0], box["y"] + points[0][1])
        mouse.down()
        for x, y in points[1:]:
            mouse.move(box["x"] + x, box["y"] + y)
        mouse.up()
        for key in modifiers:
            self.page.keyboard.up(key)
        view = json.loads(self.page.locator("#lasso").get_attribute("data-view"))
        return [self.to_map(view, x, y) for x, y in points]

    @staticmethod
    def to_map(view: dict[str, Any], x: float, y: float) -> tuple[float, float]:
        right = (x - view["width"] / 2) / view["scale"] + view["centre"][0]
        up = (view["height"] / 2 - y) / view["scale"] + view["centre"][1]
        return right, up

    @staticmethod
    def quoted(value: Any) -> str:
        return quote(value if isinstance(value, str) else json.dumps(value), safe="")

    def tag(self, word: str) -> None:
        self.page.click("[data-say=tag]")
        self.page.fill("#asked-word", word)
        self.page.keyboard.press("Enter")
        self.wait_for_text(".notice", f"Tagged “{word}”")

    def tagged(self, word: str) -> set[str]:
        return {state.subject_id for state in self.events.tags() if state.present and state.tag == word}


def visiting(browser: Any, address: str, home: Path, **options: Any) -> Iterator[Visit]:
    """Yield a visit in a window of its own; what the page complains about fails the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, **options)
    visit = Visit(context.new_page(), address, home)
    yield visit
    context.close()
    assert not visit.complaints, visit.complaints
