"""Every odd file of the collection in one dataset: a run succeeds, each file has its row, and memory stays bounded."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_assets.assets import catalog
from brain_assets.methods.images.image_quality import measure
from tests.resources.test_decoding import OPTIONAL, STRICTER
from tests.workshop import Workshop

ROOT = Path(__file__).parent.parent.parent
SPINE = ("samples", "media", "exact_duplicates", "embeddings", "issues", "published")
SCRIPT = """
import sys
from pathlib import Path
from tests.helpers import peak_memory
from tests.workshop import Workshop
Workshop(Path(sys.argv[1]), sys.argv[2]).run(sys.argv[3].split(","))
print(peak_memory())
"""


@pytest.fixture
def entries(shared_data: Path) -> dict[str, dict[str, Any]]:
    """What the reference decoder says of each file, by its path."""
    manifest = json.loads((shared_data / "nasty" / "manifest.json").read_text("utf-8"))
    return {entry["path"]: entry for entry in manifest["files"]}


@pytest.fixture
def listed(shared_data: Path, entries: Mapping[str, Any], tmp_path: Path) -> Path:
    """A list of all the files, as a folder would leave out what its name says is no image."""
    names = tmp_path / "files.txt"
    names.write_text("\n".join(str(shared_data / "nasty" / path) for path in entries), "utf-8")
    return names


def run(tmp_path: Path, listed: Path, assets: tuple[str, ...]) -> int:
    """Bring a dataset of the files up to date in a process of its own and return the bytes it and a worker took.

    The statistics are compiled before: that takes memory of its own, once per installation.
    """
    measure(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8))
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "home"), str(listed), ",".join(assets)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return int(done.stdout.splitlines()[-1])


def disagreement(row: Mapping[str, Any], entry: Mapping[str, Any]) -> str | None:
    if row["status"] == "ok":
        wrong = entry["verdict"] == "error" and row["format"] not in OPTIONAL
        sized = entry["verdict"] == "error" or (row["width"], row["height"]) == tuple(entry["rgb_size"])
        return None if sized and not wrong else f"{row}, but the reference says {entry}"
    explained = entry["verdict"] == "error" or any(row["error"].startswith(reason) for reason in STRICTER)
    return None if explained and ": " in row["error"] else f"{row['filepath']}: {row['error']}"


@pytest.mark.slow
def test_each_odd_file_has_a_row_with_a_verdict_that_agrees(
    tmp_path: Path, listed: Path, entries: Mapping[str, Mapping[str, Any]]
) -> None:
    peak = run(tmp_path, listed, SPINE)
    workshop = Workshop(tmp_path / "home", listed)
    names = ("filepath", "status", "error", "format", "width", "height")
    found = [dict(zip(names, row, strict=True)) for row in workshop.rows(f"select {', '.join(names)} from samples")]
    assert sorted(row["filepath"] for row in found) == sorted(entries)
    assert [problem for row in found if (problem := disagreement(row, entries[row["filepath"]]))] == []
    assert {row["status"] for row in found} == {"ok", "error"}
    sound = sum(row["status"] == "ok" for row in found)
    assert workshop.rows("select count(*) from embeddings") == [(sound,)]
    assert workshop.rows("select count(*) from issues where issue = 'unreadable'") == [(len(found) - sound,)]
    assert workshop.wrong(SPINE) == {}
    # Two peaks are added that seldom meet, and a worker's depends on which images it was given.
    assert peak < 1 << 30
    again = workshop.run(SPINE)
    assert again["media"].up_to_date
    assert again["published"].notes["written"] == ""


@pytest.mark.slow
def test_every_asset_stands_the_odd_files(tmp_path: Path, listed: Path) -> None:
    peak = run(tmp_path, listed, tuple(catalog.BY_NAME))
    workshop = Workshop(tmp_path / "home", listed)
    assert workshop.wrong() == {}
    # The compiled kernels and umap come on top of the spine.
    assert peak < 7 << 28
