"""Pictures of whose pixels newer rules make others are decoded again, and no others; the result is that of a rebuild."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brain_assets.ingest import decode_pass
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.resources.decoding import colors
from brain_assets.resources.store import schema
from tests.workshop import Workshop, assert_equals_rebuild, give_calibrations, write_pictures

# What follows from pixels.
PIXELS = (
    *(
        "samples",
        "media",
        "image_quality",
        "exact_duplicates",
        "embeddings",
        "similarity",
        "near_duplicates",
        "outliers",
    ),
    *("issues", "published"),
)


def write_icons(folder: Path, lightness: int) -> None:
    for seed in range(3):
        alpha = np.zeros((40, 40), np.uint8)
        for left, top in np.random.default_rng(seed).integers(0, 28, (4, 2)):
            alpha[top : top + 12, left : left + 8] = 255
        pixels = np.dstack([np.full((40, 40, 3), lightness, np.uint8), alpha])
        Image.fromarray(pixels).save(folder / f"icon_{lightness}_{seed}.png")


def write_media(folder: Path) -> None:
    write_pictures(folder, range(4))
    write_icons(folder, 255)
    for seed in range(2):
        scene = (np.random.default_rng(seed).random((6, 6)) * 4000).astype(np.float32)
        deep = (
            np.asarray(Image.fromarray(scene).resize((40, 40), Image.Resampling.BICUBIC))
            .clip(0, 4095)
            .astype(np.uint16)
        )
        deep[3, 3] = 65535
        Image.fromarray(deep).save(folder / f"deep_{seed}.png")


def upgrade(workshop: Workshop) -> None:
    """Do with a store what the schema did that came with the rules."""
    (file,) = Path(str(schema.__file__)).parent.glob("*_colors.sql")
    # Outliers came to be measured by vectors later, and were all measured again then.
    statements = f"{file.read_text()} delete from seen where asset = 'outliers';"
    with open_dataset(workshop.home, workshop.name, Opening("upgrade", "test")) as dataset:
        dataset.store.connection.execute("update media set colors = null")
        dataset.store.connection.execute(statements.replace("alter table media add column colors integer;", ""))


def test_different_icons_on_a_transparent_ground_are_no_copies(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    for lightness in (0, 255):
        write_icons(tmp_path / "media", lightness)
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=PIXELS)
    workshop.run()
    assert workshop.rows("select count(*) from issues where issue like '%duplicate%'") == [(0,)]
    flat = """
        select filepath, issue from issues join samples using (sample_id)
        where issue in ('low_information', 'bright', 'dark') and is_issue and filepath like 'icon_255%'"""
    assert workshop.rows(flat) == []


def test_odd_pictures_alone_are_decoded_again_and_all_equals_a_rebuild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_media(tmp_path / "media")
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=PIXELS)
    with monkeypatch.context() as before:
        before.setattr(decode_pass, "COLORS_VERSION", 1)
        before.setattr(colors, "_ground", lambda image: colors.WHITE)
        before.setattr(colors, "_range", lambda image: (*colors._extrema(image), None))
        workshop.run()
    upgrade(workshop)
    assert workshop.run()["media"].notes["decoded"] == 5
    rebuild = Workshop(tmp_path / "rebuild", tmp_path / "media", select=PIXELS)
    give_calibrations(workshop, rebuild)
    rebuild.run()
    assert_equals_rebuild(workshop, rebuild)
    assert workshop.run()["media"].up_to_date
