"""A vector index in a wheel of its own is named in settings like those of the house."""

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
from brain_assets.app.api import DatasetReader
from tests.workshop import Workshop, write_pictures

root = Path(sys.argv[1])
write_pictures(root / "media", range(12))
settings = {"similarity": {"backend": "plain"}, "embeddings": {"model": "python:tests.models:Pixels"}}
select = ("samples", "media", "embeddings", "similarity", "vector_indexes", "published")
one = Workshop(root / "home", root / "media", "fruit", select=select, **settings)
one.run()
with DatasetReader("fruit", str(root / "home")) as fruit:
    by_index, by_all = (fruit.similar("00003.png", 5, index=index).fetchall() for index in ("neighbors_index", "exact"))
print(json.dumps({"index": one.rows("select backend, vectors, recall from vector_indexes"), "equal": by_index == by_all}))
"""


@pytest.mark.slow
def test_an_index_of_another_package_is_filled_and_asked(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    installed = install(ROOT / "docs" / "add-a-vector-index.md", "plainindex", tmp_path_factory)
    told: Any = json.loads(run(sys.executable, "-c", STORY, str(tmp_path), path=installed).stdout)
    assert told == {"index": [["plain", 12, 1.0]], "equal": True}
