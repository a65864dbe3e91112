"""What a box takes to be saved and the next image to be there, in a browser, and what large pictures take of the server's memory.

    python -m tests.benchmarks.benchmark_workspace [--images N] [--pictures N]

needs playwright and Chromium. Boxes are drawn and images walked through at N images; then a fresh server is asked for N
pictures of 24 megapixels at once, with every pixel, beside one alone. Of 0 a part is left out.
"""

import argparse
import hashlib
import io
import os
import tempfile
import threading
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, build_opener

import numpy as np
from PIL import Image

from tests.benchmarks.benchmark_review import megabytes, server
from tests.review.browser import Visit, launched
from tests.review.client import TOKEN
from tests.review_data import points_only

TIMES = 12
PORT = 3960
# From the key until the next image is named and its picture shown, in milliseconds.
NEXT = """async () => {
    const root = document.querySelector('#detail'), before = root.dataset.id, frame = () => new Promise(requestAnimationFrame);
    const begun = performance.now();
    dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
    const isThere = () => ['there', 'sharp'].includes(root.querySelector('.viewer').dataset.picture);
    while (root.dataset.id === before || !isThere()) await frame();
    return performance.now() - begun;
}"""
# From the key that gives a drawn box its class until the list of objects has it, and what the server took of that.
SAVED = """async () => {
    const count = () => document.querySelectorAll('#detail .objects li').length;
    const frame = () => new Promise(requestAnimationFrame);
    const before = count(), begun = performance.now();
    document.querySelector('dialog .primary').click();
    while (count() === before) await frame();
    const asked = performance.getEntriesByType('resource').filter((one) => one.name.includes('/correct')).at(-1);
    return [performance.now() - begun, asked.duration];
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--pictures", type=int, default=12)
    asked = parser.parse_args()
    if asked.images:
        walk_and_draw(asked.images)
    if asked.pictures:
        memory(asked.pictures)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def walk_and_draw(images: int) -> None:
    """Tell what the next image and a box take in a browser."""
    with tempfile.TemporaryDirectory() as folder:
        points_only(Path(folder), images, "demo", side=1600)
        with launched() as browser, server(Path(folder), PORT):
            context = browser.new_context(viewport={"width": 1400, "height": 900})
            visit = Visit(context.new_page(), f"http://127.0.0.1:{PORT}", Path(folder))
            tell("the next image, ms", walk(visit))
            saved = [draw(visit, place) for place in range(TIMES)]
            tell("a box saved and listed, ms", [one for one, _ in saved])
            tell("of which asking the server, ms", [one for _, one in saved])
            context.close()


def tell(what: str, times: list[float]) -> None:
    print(f"{what:34} median {np.median(times):7.1f}  most {max(times):7.1f}", flush=True)


def walk(visit: Visit) -> list[float]:
    """Go through images as fast as somebody looks at them, at a second each."""
    visit.page.set_default_timeout(200_000)
    visit.open(timeout=200_000)
    visit.page.locator("#grid .card:not(.waiting)").nth(2).click()
    found = []
    for _ in range(TIMES):
        visit.page.wait_for_timeout(1000)
        found.append(float(visit.page.evaluate(NEXT)))
    return found


def draw(visit: Visit, place: int) -> tuple[float, float]:
    page = visit.page
    page.wait_for_timeout(300)
    page.keyboard.press("b")
    box = page.locator("#detail .viewer img").first.bounding_box()
    left, top = box["x"] + box["width"] * (0.1 + 0.05 * place), box["y"] + box["height"] * 0.2
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(left + 20, top + 20)
    page.mouse.move(left + 60, top + 80)
    page.mouse.up()
    page.fill("#asked-word", "wheel")
    total, server_part = page.evaluate(SAVED)
    return float(total), float(server_part)


def memory(count: int) -> None:
    """Tell what the server takes at most for one large picture, and for many at once."""
    with tempfile.TemporaryDirectory() as folder:
        points_only(Path(folder), count, "demo")
        random = np.random.default_rng(0)
        noise = Image.fromarray(random.integers(0, 256, (400, 600, 3), dtype=np.uint8)).resize((6000, 4000))
        encoded = io.BytesIO()
        noise.save(encoded, "JPEG", quality=85)
        for picture in (Path(folder) / "media" / "demo").iterdir():
            picture.write_bytes(encoded.getvalue())
        for at_once in (1, count):
            with server(Path(folder), PORT + 1) as process:
                before = megabytes(process.pid, "VmRSS")
                fetch(at_once)
                print(
                    f"{at_once} of 24 megapixels at once: {before:.0f} MB before, {megabytes(process.pid):.0f} MB at most"
                )


def fetch(count: int) -> None:
    opener = build_opener(HTTPCookieProcessor())
    address = f"http://127.0.0.1:{PORT + 1}"
    opener.open(f"{address}/?token={TOKEN}").read()
    ids = [hashlib.blake2b(b"%d" % i, digest_size=16).hexdigest() for i in range(count)]
    got: list[Any] = []
    threads = [
        threading.Thread(target=lambda one=one: got.append(opener.open(f"{address}/image/demo/{one}?size=full").read()))
        for one in ids
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == count


if __name__ == "__main__":
    main()
