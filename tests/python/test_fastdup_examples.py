"""What fastdup's documentation shows, on a folder of our own whose answers are known."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import brain_assets as brain
from brain_assets.python.folder_scan import FolderScan
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import load_dataset
from tests.workshop import TINY, write_pictures

BROKEN, DARK = "ants/broken.png", "bees/dark.png"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fastdup")
    ants, bees = (
        write_pictures(root / "images" / "ants", range(7)),
        write_pictures(root / "images" / "bees", range(10, 17)),
    )
    # Twice in its class, and once in the other.
    shutil.copy(ants[0], root / "images" / "ants" / "again.png")
    shutil.copy(ants[0], root / "images" / "bees" / "alien.png")
    shutil.copy(bees[0], root / "images" / "bees" / "again.png")
    (root / "images" / BROKEN).write_bytes(b"\x89PNG\r\n\x1a\nno more")
    Image.new("RGB", (20, 16), (4, 4, 4)).save(root / "images" / DARK)
    return root


@pytest.fixture(scope="module")
def annotations(work: Path) -> pd.DataFrame:
    files = sorted((work / "images").rglob("*.png"))
    return pd.DataFrame({"filename": map(str, files), "label": [file.parent.name for file in files]})


@pytest.fixture(scope="module")
def fd(work: Path, annotations: pd.DataFrame) -> Iterator[FolderScan]:
    with brain.scan(work / "images", annotations=annotations, home=str(work / "home"), model=TINY) as scanned:
        yield scanned


def test_a_run_is_summed_up(fd: FolderScan) -> None:
    lines = fd.summary()
    assert lines[0] == "19 images: 18 valid (94.74%), 1 invalid (5.26%)"
    assert lines[1] == "components: 5 images (26.32%) in 2 groups of copies"


def test_broken_images_are_listed_with_the_reason(fd: FolderScan) -> None:
    [(path, reason, _)] = fd.invalid_instances().fetchall()
    assert (path, bool(reason)) == (BROKEN, True)


def test_of_each_component_one_is_kept(fd: FolderScan) -> None:
    members = fd.connected_components().df()
    assert members["size"].tolist() == [3, 3, 3, 2, 2]
    keep = members.groupby("component_id").first()["filepath"]
    surplus = members[~members["filepath"].isin(keep)]["filepath"]
    assert len(surplus) == 3
    nearest = fd.similarity(k=1).df()
    assert (nearest[nearest.distance < 1e-6].filepath_from.isin(members.filepath)).all()


def test_what_each_image_is_labelled_and_embedded_as(fd: FolderScan, annotations: pd.DataFrame) -> None:
    labels = dict(fd.annotations().project("filepath, labels[1]").fetchall())
    assert labels["bees/alien.png"] == "bees"
    assert len(labels) == len(annotations)
    vectors = fd.embeddings().df()
    assert vectors["vector"].map(len).unique().tolist() == [192]
    assert len(vectors) == 18


def test_statistics_find_dark_images(fd: FolderScan) -> None:
    stats = fd.img_stats().df()
    assert stats[stats["mean"] < 13]["filepath"].tolist() == [DARK]
    dark, bright, blur = (
        fd.vis.stats_gallery(metric=metric, num_images=1).html for metric in ("dark", "bright", "blur")
    )
    assert DARK in dark
    assert DARK in blur
    assert DARK not in bright
    assert fd.vis.stats_gallery("odd_size").html
    assert "RGB" in fd.vis.stats_gallery("mode").html


def test_galleries_of_one_label_and_of_labels_that_differ(fd: FolderScan) -> None:
    assert "alien.png" not in fd.vis.component_gallery(slice="ants").html
    assert "alien.png" in fd.vis.component_gallery().html
    differing = fd.vis.similarity_gallery(slice="diff").html
    assert "alien.png" in differing
    assert "bees/00010.png" not in fd.vis.similarity_gallery(slice="ants").html


def test_a_new_image_is_searched(fd: FolderScan, work: Path) -> None:
    shutil.copy(work / "images" / "bees" / "00012.png", work / "new.png")
    first = fd.search(str(work / "new.png"), k=1).fetchall()[0]
    assert (first[3], first[4]) == ("bees/00012.png", pytest.approx(0, abs=1e-6))


def test_parameters_of_a_run_are_settings_here(work: Path) -> None:
    folder = write_pictures(work / "few", range(5))[0].parent
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 9, 9]}
    image = {"id": 1, "file_name": "00000.png", "width": 20, "height": 16}
    coco = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "wing"}]}
    asked = {
        "num_images": 4,
        "nearest_neighbors_k": 3,
        "threshold": 0.9,
        "ccthreshold": 0.95,
        "overwrite": True,
        "distance": "l2",
    }
    home = str(work / "home")
    with brain.scan(folder, labels=coco, home=home, model=TINY, **asked, **{"outliers.percentile": 20}) as found:
        settings = load_dataset(found.dataset.paths.config).settings
        assert (settings.limit, settings.similarity.k, settings.outliers.percentile) == (4, 3, 20)
        assert settings.similarity.metric == "euclidean"
        near = settings.near_duplicates
        assert (near.threshold, near.component_threshold) == pytest.approx((0.1, 0.05))
        assert found.dataset.sql("select label from objects").fetchall() == [("wing",)]
    with pytest.raises(ConfigurationError, match="no_such: unknown key"):
        brain.scan(folder, home=home, no_such=1)
    with pytest.raises(ConfigurationError, match="bounding_box: boxes of any detector"):
        brain.scan(folder, home=home, bounding_box="face")
    with pytest.raises(ConfigurationError, match=r"brain\.add takes lists"):
        brain.scan([folder], home=home)  # type: ignore[arg-type]


def test_a_picture_is_saved_as_a_page(fd: FolderScan, tmp_path: Path) -> None:
    page = fd.vis.duplicates_gallery(num_images=3).save(tmp_path / "duplicates.html")
    assert page.read_text("utf-8").count("data:image") >= 2
