"""Take the README's pictures from a demo that was run: `python -m tests.review.screenshots --home demo`."""

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from PIL import Image

from brain_assets.app.demo import free_port
from brain_assets.app.demo_digits import DigitsDemo
from brain_assets.app.serving import background, start_pages
from brain_assets.resources.settings.home import Home
from tests.review.browser import Visit, launched, served

DOCS = Path(__file__).parents[2] / "docs"
VIEW = {"width": 1400, "height": 860}
LASSO = [(0.01, 0.5), (0.08, 0.46), (0.21, 0.56), (0.24, 0.67), (0.12, 0.71), (0.02, 0.63)]
MOST_BYTES = 200_000


@click.command()
@click.option("--home", type=click.Path(path_type=Path, exists=True), required=True, help="Home of the demo.")
@click.option("--to", type=click.Path(path_type=Path), default=DOCS, help="Where the pictures go.")
@click.option("--only", help="Only this picture.")
def main(home: Path, to: Path, only: str | None) -> None:
    """Take the pictures."""
    shots = {"lineage": lineage, "asset": asset, "map": review, "queue": review, "duplicates": review, "report": report}
    with launched() as browser:
        for name, take in shots.items():
            if only in (None, name):
                context = browser.new_context(viewport=VIEW, color_scheme="light")
                save(take(context.new_page(), Home(home.absolute()), name), to / f"{name}.png")
                context.close()


def save(shot: bytes, path: Path) -> None:
    """Write a picture with as many of 256 colours as keep it small."""
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    for colours in (256, 128, 64, 32):
        image.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            break
    click.echo(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def review(page: Any, home: Home, name: str) -> bytes:
    """Show the review page: a lasso on the map, the queue of label mistakes, or groups of copies."""
    with served(home.root) as address:
        visit = Visit(page, address, home.root, DigitsDemo.name)
        if name == "map":
            visit.open("colour=label")
            page.wait_for_timeout(1500)
            visit.lasso(LASSO)
            page.wait_for_timeout(2000)
            _outline(visit)
        elif name == "queue":
            visit.open("tab=queue&issue=label_mistake")
        else:
            visit.open("tab=groups&table=near_duplicates&brain_key=near_duplicates")
        page.wait_for_timeout(3000)
        return bytes(page.screenshot())


def _outline(visit: Visit) -> None:
    """Draw the lasso again and do not let go, so that it is seen."""
    box = visit.page.locator("#lasso").bounding_box()
    visit.page.keyboard.down("Shift")
    for place, (x, y) in enumerate(LASSO):
        visit.page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y, steps=4)
        if place == 0:
            visit.page.mouse.down()


def report(page: Any, home: Home, name: str) -> bytes:
    """Show the head of the report that the last run left."""
    page.goto(home.paths(DigitsDemo.name).report.as_uri())
    return bytes(page.screenshot())


def lineage(page: Any, home: Home, name: str) -> bytes:
    """Show in Dagster what leads to the leaks."""
    with dagster(home, page) as address:
        page.set_viewport_size({"width": 1400, "height": 1350})
        page.add_init_script("localStorage.setItem('communityNux', '1')")
        page.goto(f"{address}/assets/leaks?view=lineage&lineageScope=upstream&lineageDepth=6", timeout=120_000)
        page.wait_for_timeout(12_000)
        page.get_by_text("Hide navigation").click()
        page.wait_for_timeout(3000)
        return bytes(page.screenshot())


def asset(page: Any, home: Home, name: str) -> bytes:
    """Show what a run left of one asset."""
    with dagster(home, page) as address:
        page.add_init_script("localStorage.setItem('communityNux', '1')")
        page.goto(f"{address}/assets/uniqueness?view=events", timeout=120_000)
        page.wait_for_timeout(10_000)
        return bytes(page.screenshot())


@contextmanager
def dagster(home: Home, page: Any) -> Iterator[str]:
    """Serve Dagster's pages and sign a browser in; yields their address."""
    address, token = f"http://127.0.0.1:{(port := free_port())}", secrets.token_urlsafe(24)
    with background(home, "screenshots") as service:
        start_pages(service, port, token)
        service.await_answer(address)
        page.goto(f"{address}/?token={token}")
        yield address


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
