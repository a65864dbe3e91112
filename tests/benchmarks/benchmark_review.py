"""Time from request to map, from lasso, filter and colour to what they show, weight of the page, memory of server and tab.

    python -m tests.benchmarks.benchmark_review [--beside FOLDER] [COUNT ...]

needs playwright and Chromium. FOLDER is a checkout of another version, whose page is measured in the same run with the same
data. The browser draws in software here, so that a machine with a graphics card is faster; the server's part is told apart.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.review.browser import Visit, launched
from tests.review.client import TOKEN
from tests.review_data import points_only

COUNTS = (10_000, 100_000, 1_000_000)
LASSO = [(0.12, 0.1), (0.6, 0.05), (0.9, 0.35), (0.72, 0.8), (0.5, 0.42), (0.3, 0.9), (0.06, 0.6)]
ROOT = Path(__file__).parents[2]
# What a change of the page's state takes until an element says another thing and two frames are drawn, in milliseconds.
CHANGED = """async ([changes, selector]) => {
    const { set } = await import('/static/js/state.js');
    const shown = document.querySelector(selector), frame = () => new Promise(requestAnimationFrame);
    const before = shown.textContent, begun = performance.now();
    set(changes);
    while (shown.textContent === before) await frame();
    await frame();
    await frame();
    return performance.now() - begun;
}"""
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN"
TRANSFERRED = """
performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
    .map(entry => [entry.name, entry.transferSize || entry.encodedBodySize])
"""


@contextmanager
def server(home: Path, port: int, version: Path = ROOT) -> Iterator[subprocess.Popen[bytes]]:
    """Run the page of a version in a process of its own, so that its memory is its own."""
    asked = ["--home", str(home), "--port", str(port), "--token", TOKEN]
    if (version / "brain_assets" / "review" / "__main__.py").exists():
        command = [sys.executable, "-m", "brain_assets.review", *asked]
    else:
        program = [sys.executable, "-m", "brain_assets.app.cli"]
        command = [*program, *asked[:2], "review", *asked[2:], "--no-browser"]
    environment = os.environ | {"PYTHONPATH": str(version)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=version, env=environment) as process:
        assert process.stdout
        process.stdout.readline()
        time.sleep(1)
        yield process
        process.terminate()


def megabytes(process: int, field: str = "VmHWM") -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def weight(visit: Visit) -> tuple[float, float]:
    """Return kilobytes of the page itself and of the data it asked for."""
    sizes: dict[bool, float] = {True: 0, False: 0}
    for name, size in visit.page.evaluate(TRANSFERRED):
        sizes["/api/" in name or "/image/" in name] += size / 1000
    return sizes[False], sizes[True]


def measure(browser: Any, count: int, port: int, version: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        points_only(Path(folder), count, "demo")
        with server(Path(folder), port, version) as process:
            context = browser.new_context(viewport={"width": 1400, "height": 900})
            visit = Visit(context.new_page(), f"http://127.0.0.1:{port}", Path(folder))
            visit.page.set_default_timeout(300_000)
            cold = open_timed(visit)
            warm = open_timed(visit)
            page, data = weight(visit)
            before = cpu_seconds(process.pid)
            visit.page.wait_for_timeout(1500)
            visit.lasso(LASSO)
            visit.page.wait_for_function("() => document.querySelector('#status').textContent.includes('selected')")
            visit.page.wait_for_function(
                "() => JSON.parse(document.querySelector('#grid').dataset.ready).count < " + str(count)
            )
            ready = json.loads(visit.page.locator("#grid").get_attribute("data-ready"))
            spent = cpu_seconds(process.pid) - before
            visit.page.keyboard.press("Escape")
            visit.page.wait_for_timeout(1000)
            found = {
                **{f"cold {name}": value for name, value in cold.items()},
                **{f"warm {name}": value for name, value in warm.items()},
                "lasso to grid, s": ready["ms"] / 1000,
                "lassoed": ready["count"],
                "server CPU for it, s": spent,
                "filter, s": visit.page.evaluate(CHANGED, [{"filters": {"split": ["test"]}}, "#status"]) / 1000,
                "colour, s": visit.page.evaluate(CHANGED, [{"colour": "uniqueness"}, "#legend"]) / 1000,
                "page, kB": page,
                "data, kB": data,
                "server at most, MB": megabytes(process.pid),
                "tab's heap, MB": visit.page.evaluate("performance.memory.usedJSHeapSize") / 2**20,
            }
            context.close()
    return found


def open_timed(visit: Visit) -> dict[str, float]:
    visit.open(timeout=300_000)
    at = visit.page.evaluate("[document.body.dataset.mapped, document.body.dataset.ready].map(Number)")
    return {"first paint, s": visit.page.evaluate(PAINTED) / 1000, "map, s": at[0] / 1000, "all, s": at[1] / 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=COUNTS)
    parser.add_argument("--beside", type=Path, help="A checkout of another version.")
    asked = parser.parse_args()
    versions = [ROOT, *([asked.beside.absolute()] if asked.beside else [])]
    columns = []
    with launched() as browser:
        for place, (count, version) in enumerate((count, version) for count in asked.counts for version in versions):
            name = f"{count:,}" + (" other" if version != ROOT else "")
            columns.append((name, measure(browser, count, 3970 + place, version)))
    print(f"{'':24}" + "".join(f"{name:>18}" for name, _ in columns))
    for name in columns[0][1]:
        print(f"{name:24}" + "".join(f"{column[name]:18,.2f}" for _, column in columns))
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
