"""What no sample refers to is kept for its return, and dropped once it is the larger part."""

import shutil
from pathlib import Path

import pytest

from brain_assets.ingest import previews as module
from brain_assets.resources.dataset import Opening, open_dataset
from tests import models
from tests.workshop import Workshop, assert_equals_rebuild, encoded, picture, previews, write_pictures

ASSETS = ("samples", "media", "exact_duplicates", "embeddings", "published")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "media", range(10))
    return tmp_path / "media"


@pytest.fixture
def workshop(tmp_path: Path, folder: Path) -> Workshop:
    return Workshop(tmp_path / "home", folder)


def counts(workshop: Workshop) -> dict[str, int]:
    with open_dataset(workshop.home, workshop.name, Opening("look", "test")) as dataset:
        tables = ("media", "vectors", "pixel_hashes", "quality_statistics")
        return {table: dataset.store.value(f"select count(*) from {table}") for table in tables}


def packs(workshop: Workshop) -> list[str]:
    return sorted(path.name for path in workshop.paths.folder.glob("*.pack"))


def test_a_few_that_are_gone_are_kept_and_cost_nothing_when_they_return(workshop: Workshop, folder: Path) -> None:
    workshop.run(ASSETS)
    aside = folder.parent / "aside"
    aside.mkdir()
    for number in range(5):
        shutil.move(folder / f"{number:05}.png", aside)
    workshop.run(ASSETS)
    assert counts(workshop) == {"media": 10, "vectors": 10, "pixel_hashes": 0, "quality_statistics": 10}
    models.EMBEDDED.clear()
    for path in aside.iterdir():
        shutil.move(path, folder)
    assert workshop.run(ASSETS)["media"].notes["decoded"] == 0
    assert models.EMBEDDED == []


def test_most_that_are_gone_are_dropped_and_computed_again_when_they_return(workshop: Workshop, folder: Path) -> None:
    (folder / "copy.bmp").write_bytes(encoded(picture(0), "BMP"))
    workshop.run(ASSETS)
    assert counts(workshop)["pixel_hashes"] == 2
    for number in range(7):
        (folder / f"{number:05}.png").unlink()
    (folder / "copy.bmp").unlink()
    workshop.run(ASSETS)
    assert counts(workshop) == {"media": 3, "vectors": 3, "pixel_hashes": 0, "quality_statistics": 3}
    write_pictures(folder, range(7))
    assert workshop.run(ASSETS)["media"].notes["decoded"] == 7
    assert workshop.wrong(ASSETS) == {}


def test_vectors_of_a_model_before_are_kept_for_its_return_until_there_is_a_third(
    workshop: Workshop, folder: Path
) -> None:
    for model, kept in (("Pixels", 10), ("Silent", 20), ("Pixels", 20), ("Bright", 10)):
        models.EMBEDDED.clear()
        workshop.declare(media=str(folder), embeddings={"model": f"python:tests.models:{model}"})
        workshop.run(ASSETS)
        assert counts(workshop)["vectors"] == kept
    assert sum(models.EMBEDDED) == 10


def test_what_was_decoded_with_other_settings_does_not_return(workshop: Workshop, folder: Path) -> None:
    workshop.run(ASSETS)
    shutil.move(folder / "00000.png", folder.parent / "aside.png")
    workshop.run(ASSETS)
    workshop.declare(
        media=str(folder), embeddings={"model": "python:tests.models:Pixels"}, decoding={"max_pixels": 100}
    )
    models.EMBEDDED.clear()
    assert workshop.run(ASSETS)["media"].notes["decoded"] == 9
    shutil.move(folder.parent / "aside.png", folder / "00000.png")
    workshop.run(ASSETS)
    assert workshop.rows("select count(*) from samples where error like 'too_large%'") == [(10,)]
    workshop.declare(media=str(folder), embeddings={"model": "python:tests.models:Pixels"})
    workshop.run(ASSETS)
    # Only what has no vector is embedded again: the content that was dropped still had its own.
    assert models.EMBEDDED == []
    assert workshop.rows("select count(*) from embeddings") == [(10,)]


@pytest.fixture
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALL_PACK", 0)


@pytest.mark.usefixtures("small_packs")
def test_a_pack_that_is_mostly_dead_is_rewritten_and_every_preview_is_still_there(
    workshop: Workshop, folder: Path, tmp_path: Path
) -> None:
    workshop.run(ASSETS)
    before, size = previews(workshop), (workshop.paths.folder / "previews.pack").stat().st_size
    assert packs(workshop) == ["previews.pack"]
    for number in range(7):
        (folder / f"{number:05}.png").unlink()
    workshop.run(ASSETS)
    after = previews(workshop)
    assert after.items() <= before.items()
    assert len(after) == 3
    # The old pack stays for readers of the set before, until the next change.
    old, new = sorted(packs(workshop), key=lambda name: name == "previews.pack", reverse=True)
    assert old == "previews.pack"
    assert (workshop.paths.folder / new).stat().st_size < size / 2
    write_pictures(folder, [20])
    workshop.run(ASSETS)
    assert packs(workshop) == [new]
    assert len(previews(workshop)) == 4
    rebuild = Workshop(tmp_path / "rebuild", folder)
    rebuild.run(ASSETS)
    assert_equals_rebuild(workshop, rebuild)


@pytest.mark.usefixtures("small_packs")
def test_a_kill_before_the_new_pack_is_named_leaves_the_old_one(
    workshop: Workshop, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.run(ASSETS)
    for number in range(7):
        (folder / f"{number:05}.png").unlink()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "fact", killed)
        with pytest.raises(KeyboardInterrupt):
            workshop.run(ASSETS)
    assert len(packs(workshop)) == 2
    assert len(previews(workshop)) == 10
    workshop.run(ASSETS)
    assert len(previews(workshop)) == 3
    write_pictures(folder, [20])
    workshop.run(ASSETS)
    assert len(packs(workshop)) == 1


@pytest.mark.usefixtures("small_packs")
def test_a_damaged_preview_keeps_the_pack_and_ends_no_run(workshop: Workshop, folder: Path) -> None:
    workshop.run(ASSETS)
    pack = workshop.paths.folder / "previews.pack"
    pack.write_bytes(bytes(pack.stat().st_size))
    for number in range(7):
        (folder / f"{number:05}.png").unlink()
    notes = workshop.run(ASSETS)["media"].notes
    assert "no intact preview" in notes["previews"]
    assert packs(workshop) == ["previews.pack"]
    assert workshop.rows("select count(*) from samples") == [(3,)]


def test_a_pack_that_is_lost_is_made_again_with_the_next_change(workshop: Workshop, folder: Path) -> None:
    workshop.run(ASSETS)
    before = previews(workshop)
    (workshop.paths.folder / "previews.pack").unlink()
    models.EMBEDDED.clear()
    write_pictures(folder, [20])
    assert workshop.run(ASSETS)["media"].notes["decoded"] == 11
    assert sum(models.EMBEDDED) == 1
    assert previews(workshop).items() >= before.items()
    assert len(previews(workshop)) == 11
