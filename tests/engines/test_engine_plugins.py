"""An engine in a wheel of its own is named in settings like those of the house, and derives the same."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plugin_wheels import install, run
from tests.test_layers import ROOT

STORY = """
import json, sys
from pathlib import Path
from brain_assets.app.plugins import installed
from brain_assets.resources.dataset import Opening, open_dataset
from tests.workshop import Workshop, write_pictures

root = Path(sys.argv[1])
write_pictures(root / "media", range(90))
(root / "media" / "broken.png").write_bytes(b"no picture")
found = []
for engine in ("threads", "processes"):
    one = Workshop(root / engine, root / "media", engine=engine)
    one.run(("samples", "media", "embeddings", "similarity"))
    with open_dataset(one.home, one.name, Opening("test", "test")) as dataset:
        queries = [
            "select * exclude (changed, preview_offset) from media order by content_hash",
            "select * exclude (changed) from quality_statistics order by content_hash",
            "select input_key, vector from vectors order by all",
            "select input_key, distances from graph join vectors using (node) order by all",
        ]
        found.append([dataset.store.rows(query) for query in queries])
listed = [[one.name, one.distribution] for one in installed() if one.kind == "engine"]
print(json.dumps({"equal": found[0] == found[1], "rows": [len(rows) for rows in found[1]], "listed": listed}))
"""


@pytest.mark.slow
def test_an_engine_of_another_package_derives_the_same(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    installed = install(ROOT / "docs" / "add-an-engine.md", "procengine", tmp_path_factory)
    told: Any = json.loads(run(sys.executable, "-c", STORY, str(tmp_path), path=installed).stdout)
    assert told["equal"]
    assert told["rows"] == [91, 90, 90, 90]
    assert ["threads", "brain-assets"] in told["listed"]
    assert ["processes", "brain-procengine"] in told["listed"]
