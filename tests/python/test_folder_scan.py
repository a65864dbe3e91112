"""A folder that fastdup's users look at: a summary, frames and galleries."""

import shutil
from collections.abc import Iterator

import pytest

import brain_assets as brain
from brain_assets.python.folder_scan import FolderScan
from brain_assets.resources.errors import BrainError, ConfigurationError
from tests.workshop import TINY, write_pictures


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FolderScan]:
    root = tmp_path_factory.mktemp("scan")
    paths = write_pictures(root / "pictures", range(8))
    shutil.copy(paths[0], root / "pictures" / "copy.png")
    (root / "pictures" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    with brain.scan(root / "pictures", home=str(root / "home"), model=TINY) as scanned:
        yield scanned


def test_the_summary_counts_and_says_what_to_look_at(found: FolderScan) -> None:
    first, second, *rest = found.summary()
    assert first == "10 images: 9 valid (90.00%), 1 invalid (10.00%)"
    assert second == "components: 2 images (20.00%) in 1 groups of copies"
    assert any("invalid_instances()" in line for line in rest)
    assert repr(found).startswith("<scan of ")


def test_everything_is_a_frame(found: FolderScan) -> None:
    assert found.invalid_instances().project("filepath").fetchall() == [("broken.png",)]
    assert {row[2] for row in found.connected_components().fetchall()} == {"00000.png", "copy.png"}
    nearest = found.similarity(k=1).fetchall()
    assert nearest[0][:2] in {("00000.png", "copy.png"), ("copy.png", "00000.png")}
    assert found.img_stats().to_arrow_table().num_rows == 9
    assert set(found.outliers().columns) >= {"filepath", "nearest", "distance", "outlier_score"}


def test_galleries_show_pictures(found: FolderScan) -> None:
    for shown in (
        found.vis.duplicates_gallery(),
        found.vis.component_gallery(),
        found.vis.similarity_gallery(),
        found.vis.stats_gallery("brightness"),
    ):
        assert "data:image" in shown.html
    assert "nothing to show" in found.vis.stats_gallery("odd_size").html
    with pytest.raises(ConfigurationError, match="known: "):
        found.vis.stats_gallery("nothing")
    assert "data:image" in found._repr_html_()


def test_a_folder_that_is_not_there_is_one_line(found: FolderScan) -> None:
    with pytest.raises(BrainError, match="there is no folder"):
        brain.scan("/no/such/folder", home=str(found.found.home.root))
