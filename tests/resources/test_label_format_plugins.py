"""A label format in a wheel of its own is read, written and declared like those of the house; a broken one is one line."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plugin_wheels import install, run
from tests.test_layers import ROOT

PAGE = ROOT / "docs" / "add-a-label-format.md"
STORY = """
import json, sys
from pathlib import Path
from brain_assets.app.api import DatasetReader
from tests.workshop import Workshop, write_pictures

root = Path(sys.argv[1])
write_pictures(root / "media", range(2))
boxes = [{"label": "fig", "place": {"x": 6, "y": 7, "width": 8, "height": 4}}, {"label": "fig", "place": {"x": "?"}}]
images = [{"photo": "00000.png", "marks": boxes}, {"photo": "00001.png", "marks": []}]
(root / "a.json").write_text(json.dumps(images))
steps = ("samples", "media", "ground_truth", "predictions", "objects", "published")
query = "select label, round(x, 6), round(y, 6), round(width, 6), round(height, 6) from objects"
first = Workshop(root / "home", root / "media", "fruit", labels=[{"uri": str(root / "a.json")}])
first.run(steps)
with DatasetReader("fruit", str(root / "home")) as fruit:
    exported = fruit.export(root / "out", "marks")
declared = [{"uri": str(root / "out" / "annotations.json"), "format": "marks"}]
again = Workshop(root / "home", root / "out" / "images", "again", labels=declared)
again.run(steps)
told = {
    "first": first.rows(query), "rejected": first.rows("select line, reason from rejected_rows"), "again": again.rows(query),
    "images": again.rows("select count(*) from object_images"), "lost": exported.lost,
}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of the page."""
    return install(PAGE, "marks", tmp_path_factory)


def test_it_is_read_and_written_like_those_of_the_house(installed: Path, tmp_path: Path) -> None:
    told: Any = json.loads(run(sys.executable, "-c", STORY, str(tmp_path), path=installed).stdout)
    assert told["first"] == told["again"] == [["fig", 0.1, 0.3125, 0.4, 0.25]]
    assert told["rejected"] == [[2, "unreadable"]]
    assert (told["images"], told["lost"]) == ([[2]], {})


BROKEN = {
    "missing_module": ("", "No module named"),
    "raises": ("raise RuntimeError('no\\nluck')", "RuntimeError: no luck"),
    "no_format": ("FORMAT = 3", "a LabelFormat is wanted, not int"),
    "other_name": ("from marks import Marks as FORMAT", "its name is 'marks'"),
    "yolo": ("from brain_assets.resources.label_formats.yolo import Yolo as FORMAT", "there is a format 'yolo'"),
}


def test_what_is_broken_is_one_line_and_the_rest_goes_on(tmp_path: Path, installed: Path) -> None:
    entries = [f"{name} = broken_{name}:FORMAT" for name in BROKEN]
    for name, (source, _) in BROKEN.items():
        if source:
            (tmp_path / f"broken_{name}.py").write_text(source, "utf-8")
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n", "utf-8")
    (metadata / "entry_points.txt").write_text("\n".join(["[brain_assets.label_formats]", *entries]), "utf-8")
    script = "from brain_assets.resources.label_formats.door import formats, writers; print(*formats(), *writers())"
    done = run(sys.executable, "-c", script, path=Path(f"{tmp_path}{os.pathsep}{installed}"))
    lines = {line.split()[2]: line for line in done.stderr.splitlines()}
    assert lines.keys() == BROKEN.keys()
    for name, (_, reason) in BROKEN.items():
        assert f"label format {name} = broken_{name}:FORMAT is left out: " in lines[name]
        assert reason in lines[name]
    names = done.stdout.split()
    assert names.count("marks") == 2
    assert not set(names) & (BROKEN.keys() - {"yolo"})
