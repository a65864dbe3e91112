"""Copies but for an edit are found and grouped, and every leak across splits is told."""

import io
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from brain_assets.resources.store.store import Store
from tests.workshop import TINY, Workshop, assert_equals_rebuild, encoded

CHAIN = (
    *("samples", "media", "ground_truth", "exact_duplicates", "embeddings", "similarity", "near_duplicates", "leaks"),
    "published",
)


def photo(seed: int) -> Image.Image:
    """Return an image with structure on several scales, unlike any other seed's."""
    chance = np.random.default_rng(seed)
    image = np.zeros((96, 128, 3))
    for cells in (3, 8, 24):
        noise = Image.fromarray(chance.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        image += np.asarray(noise.resize((128, 96), Image.Resampling.BICUBIC), float) / 3
    return Image.fromarray(image.astype(np.uint8))


def jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def write_dataset(media: Path) -> None:
    (media / "train").mkdir(parents=True)
    (media / "test").mkdir()
    for seed in range(20):
        (media / "train" / f"{seed:02}.png").write_bytes(encoded(photo(seed)))
    (media / "train" / "brighter.png").write_bytes(encoded(ImageEnhance.Brightness(photo(3)).enhance(1.2)))
    (media / "test" / "recompressed.jpg").write_bytes(jpeg(photo(3), 60))
    (media / "test" / "copy.png").write_bytes(encoded(photo(5)))
    (media / "test" / "smaller.png").write_bytes(encoded(photo(7).resize((64, 48))))


GROUPS = """
    select k.filepath, m.filepath from near_duplicates n join samples k on k.sample_id = n.group_id
    join samples m on m.sample_id = n.sample_id where not n.keep order by all"""


def test_edits_are_grouped_and_leaks_told(tmp_path: Path) -> None:
    write_dataset(tmp_path / "media")
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=(*CHAIN, "issues"), split_from="folder")
    workshop.run()
    assert workshop.rows(GROUPS) == [
        ("test/copy.png", "train/05.png"),
        ("test/recompressed.jpg", "train/03.png"),
        ("test/recompressed.jpg", "train/brighter.png"),
        ("test/smaller.png", "train/07.png"),
    ]
    leaks = """
        select a.filepath, b.filepath, kind from leaks l join samples a using (sample_id)
        join samples b on b.sample_id = partner_id"""
    assert workshop.rows(f"{leaks} where l.split = 'test' order by all") == [
        ("test/copy.png", "train/05.png", "exact"),
        ("test/recompressed.jpg", "train/03.png", "near"),
        ("test/recompressed.jpg", "train/brighter.png", "near"),
        ("test/smaller.png", "train/07.png", "near"),
    ]
    told = (
        "select issue, count(*) from issues where issue in ('exact_duplicate', 'near_duplicate', 'leak') group by issue"
    )
    assert dict(workshop.rows(told)) == {"exact_duplicate": 1, "near_duplicate": 3, "leak": 7}
    assert workshop.wrong() == {}


def test_only_new_pairs_are_verified_and_a_deletion_undoes_a_group(tmp_path: Path) -> None:
    media = tmp_path / "media"
    write_dataset(media)
    workshop = Workshop(tmp_path / "home", media, select=CHAIN, split_from="folder")
    workshop.run()
    (media / "train" / "new.png").write_bytes(encoded(photo(99)))
    reports = workshop.run()
    assert reports["near_duplicates"].notes["pairs verified in this run"] < 24
    (media / "test" / "recompressed.jpg").unlink()
    assert workshop.run()["near_duplicates"].notes["pairs verified in this run"] == 0
    assert ("train/brighter.png", "train/03.png") in workshop.rows(GROUPS)


def test_a_threshold_by_hand_is_a_filter(tmp_path: Path) -> None:
    write_dataset(tmp_path / "media")
    workshop = Workshop(
        tmp_path / "home", tmp_path / "media", select=CHAIN, split_from="folder", near_duplicates={"threshold": 1e-9}
    )
    workshop.run()
    assert workshop.rows(GROUPS) == [("test/copy.png", "train/05.png")]


def test_what_decides_of_known_pairs_has_none_searched_again(tmp_path: Path) -> None:
    write_dataset(tmp_path / "media")
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=CHAIN, split_from="folder")
    workshop.run()

    def digests() -> list[tuple]:
        with closing(Store(workshop.home.existing(workshop.name).store)) as store:
            return store.rows("select subject, digest from seen where asset = 'near_duplicates' order by all")

    def searched(**rules: object) -> bool:
        before = digests()
        workshop.declare(
            media=str(tmp_path / "media"), embeddings={"model": TINY}, split_from="folder", near_duplicates=rules
        )
        workshop.run()
        rebuild = Workshop(
            tmp_path / "-".join(rules), tmp_path / "media", select=CHAIN, split_from="folder", near_duplicates=rules
        )
        rebuild.run()
        assert_equals_rebuild(workshop, rebuild)
        return digests() != before

    assert not searched(threshold=0.2, keep=["size"], crowd=2, candidates=2)
    assert searched(radius=0.3, hash_bits=12)


def test_a_label_that_arrives_changes_which_copy_is_kept(tmp_path: Path) -> None:
    write_dataset(tmp_path / "media")
    (tmp_path / "media" / "train" / "twin.png").write_bytes(encoded(photo(9)))
    labels = tmp_path / "labels.csv"
    labels.write_text("filepath,label\ntrain/00.png,cat\n")
    declared = {"split_from": "folder", "labels": [{"uri": str(labels)}]}
    workshop = Workshop(tmp_path / "home", tmp_path / "media", select=CHAIN, **declared)
    workshop.run()
    twins = {"train/09.png", "train/twin.png"}
    kept, lost = next(pair for pair in workshop.rows(GROUPS) if set(pair) == twins)
    assert ("test/smaller.png", "train/07.png") in workshop.rows(GROUPS)

    labels.write_text(f"filepath,label\n{lost},cat\ntrain/07.png,cat\n")
    reports = workshop.run()
    assert "candidate pairs" not in reports["near_duplicates"].notes, "none is looked for where pictures are the same"
    assert (lost, kept) in workshop.rows(GROUPS)
    # The protected split still comes first.
    assert ("test/smaller.png", "train/07.png") in workshop.rows(GROUPS)
    why = f"select n.reason from near_duplicates n join samples using (sample_id) where filepath = '{kept}'"
    assert workshop.rows(why) == [(f"{lost} is kept: it is the one kept of exact copies",)]
    exact = "select filepath from exact_duplicates join samples using (sample_id) where keep and filepath like 'train%'"
    assert workshop.rows(exact) == [(lost,)]

    order = ["label", "split", "resolution", "size", "age"]
    workshop.declare(
        media=str(tmp_path / "media"), embeddings={"model": TINY}, **declared, near_duplicates={"keep": order}
    )
    assert workshop.run()["near_duplicates"].notes["pairs verified in this run"] == 0
    assert ("train/07.png", "test/smaller.png") in workshop.rows(GROUPS)
    rebuild = Workshop(
        tmp_path / "rebuild", tmp_path / "media", select=CHAIN, **declared, near_duplicates={"keep": order}
    )
    rebuild.run()
    assert_equals_rebuild(workshop, rebuild)
