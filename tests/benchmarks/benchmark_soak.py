"""A simulated year of arrivals, edits, deletions and reviews: what grows by running, and what a day costs.

``python -m tests.benchmarks.benchmark_soak --days 365 --images 2000``

Time is compressed by making the home a day older after each day. Every day one image in 200 comes, as many go and are edited,
somebody says something, and two runs bring all up to date. The dataset stays as large as it was, so everything should, but for
the records that are kept by day and by week. Ratios are of the last fifth of the time to the fifth after the first.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np

from brain_assets.assets import catalog
from brain_assets.resources.store import deltas, seals
from brain_assets.resources.store.events import Event, Events
from brain_assets.resources.store.publishing import MANIFEST
from tests.workshop import Workshop, encoded, picture

DAY = timedelta(days=1)
QUICK = ("reviews", "samples", "media", "embeddings", "similarity", "uniqueness", "issues", "health", "published")
STAMPS = {"health": ["measured_at"], "runs": ["started_at", "finished_at"], "changes": ["written_at"]}
PARTS = ("store.duckdb", "previews*", "published/sets/*", "published/versions", "review", "backups")


def main() -> None:
    """Run the days and print the curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=2, help="a day")
    parser.add_argument("--quick", action="store_true", help="a few assets alone, to see many days")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _soak(Path(folder), options)


def _soak(root: Path, options: argparse.Namespace) -> None:
    world = _World(root / "media", options.images, options.seed)
    workshop = Workshop(root / "home", root / "media", similarity={"k": 5}, visualization={"method": "pca"})
    assets = QUICK if options.quick else catalog.BY_NAME
    workshop.run(assets)
    seen = []
    for day in range(options.days):
        before = resource.getrusage(resource.RUSAGE_SELF)
        for _ in range(options.runs):
            world.live()
            if day % 3 == 0:
                _say(workshop, day)
            workshop.run(assets)
        after = resource.getrusage(resource.RUSAGE_SELF)
        seen.append({"cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, **_state(workshop)})
        _age(workshop)
        if day % max(options.days // 20, 1) == 0 or day == options.days - 1:
            print(
                f"day {day:4}  " + "  ".join(f"{name} {_shown(value)}" for name, value in seen[-1].items()), flush=True
            )
    fifth = max(len(seen) // 5, 1)
    print("last fifth to second fifth: " + ", ".join(
        f"{name} {_median(seen[-fifth:], name) / (_median(seen[fifth : 2 * fifth], name) or 1):.2f}" for name in seen[0]
    ))  # fmt: skip


class _World:
    """A folder of pictures that stays as large as it is."""

    def __init__(self, media: Path, count: int, seed: int) -> None:
        self.media, self.random, self.made = media, np.random.default_rng(seed), 0
        self.daily = max(count // 400, 1)
        media.mkdir()
        for _ in range(count):
            self._write(self.media / f"{self.made:07}.png")

    def live(self) -> None:
        """Let half a day pass."""
        names = sorted(self.media.iterdir())
        chosen = self.random.permutation(len(names))[: 2 * self.daily]
        for place in chosen[: self.daily]:
            names[place].unlink()
        for place in chosen[self.daily :]:
            self._write(names[place])
        for _ in range(self.daily):
            self._write(self.media / f"{self.made:07}.png")

    def _write(self, path: Path) -> None:
        path.write_bytes(encoded(picture(self.made, (32, 24))))
        self.made += 1


def _say(workshop: Workshop, day: int) -> None:
    (row,) = workshop.rows("select sample_id, content_hash from samples order by hash(sample_id) limit 1")
    Events(workshop.paths.events).append(Event("tag", "soak", f"day {day}"), [row])


def _state(workshop: Workshop) -> dict[str, float]:
    held = {
        part.partition("*")[0].rstrip("/").rpartition("/")[2]: sum(map(_size, workshop.paths.folder.glob(part)))
        for part in PARTS
    }
    rows = workshop.rows("select (select count(*) from runs), (select count(*) from health)")[0]
    files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    return {
        **held,
        "whole": _size(workshop.home.root),
        "runs": rows[0],
        "health": rows[1],
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "files": files,
    }


def _size(path: Path) -> int:
    """Return the bytes that a file or folder takes; links to one file count once."""
    found = {one.stat().st_ino: one.stat().st_size for one in ([path] if path.is_file() else _files(path))}
    return sum(found.values())


def _files(folder: Path) -> Iterator[Path]:
    return (one for one in folder.rglob("*") if one.is_file() and not one.is_symlink())


def _age(workshop: Workshop) -> None:
    """Make everything that has a time a day older."""
    with duckdb.connect(str(workshop.paths.store)) as connection:
        for table, columns in STAMPS.items():
            changed = ", ".join(f"{column} = {column} - interval 1 day" for column in columns)
            connection.execute(f"update {table} set {changed}")
    folder = deltas.folder_of(workshop.paths.published)
    for path in folder.glob("*/version.json") if folder.exists() else ():
        if version := deltas._read(path.parent):
            path.write_text(
                json.dumps(seals.sealed(vars(replace(version, published_at=_earlier(version.published_at)))))
            )
    manifest = workshop.paths.published / "current" / MANIFEST
    said = json.loads(manifest.read_text("utf-8"))
    said["published_at"] = _earlier(said["published_at"])
    manifest.write_text(json.dumps(seals.sealed({name: said[name] for name in said if name != seals.SEAL})), "utf-8")
    for path in (workshop.paths.published / "sets").iterdir():
        os.utime(path, (path.stat().st_mtime - DAY.total_seconds(),) * 2)


def _earlier(moment: str) -> str:
    return (datetime.fromisoformat(moment) - DAY).isoformat()


def _median(days: list[dict[str, float]], name: str) -> float:
    return statistics.median(day[name] for day in days)


def _shown(value: float) -> str:
    return f"{value / 1e6:.1f}M" if value > 1e5 else f"{value:.2f}".rstrip("0").rstrip(".")


if __name__ == "__main__":
    main()
