"""What the ledger keeps of datasets, and what of a dataset it has seen elsewhere."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from brain_assets.ledger import entries, looking
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.events import Event, Events
from tests.workshop import Workshop, picture

CHAIN = (
    "reviews", "samples", "media", "embeddings", "fingerprints", "contamination", "issues", "health", "published",
)  # fmt: skip
SIZE = (96, 80)
SEEN = """
    select filepath, source, source_kind, partner, partner_splits, match, reason
    from contamination join samples using (sample_id)"""


def save(folder: Path, name: str, seed: int, edit: str = "") -> None:
    image = picture(seed, SIZE)
    if edit == "turned":
        image = image.transpose(Image.Transpose.ROTATE_90)
    if edit == "mirrored":
        image = ImageOps.mirror(image)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    image.save(folder / name, quality=85)


def make(root: Path, name: str) -> Workshop:
    return Workshop(root / "home", root / name, name, split_from="folder")


def seen(workshop: Workshop) -> list[tuple]:
    return workshop.rows(f"{SEEN} order by filepath, source")


def decide(workshop: Workshop, path: str, kind: str) -> None:
    ((subject, content),) = workshop.rows(f"select sample_id, content_hash from samples where filepath = '{path}'")
    Events(workshop.paths.events).append(Event(kind, "ann"), [(subject, content)])


def test_the_training_set_of_one_dataset_against_the_test_set_of_another(tmp_path: Path) -> None:
    for number in range(6):
        save(tmp_path / "old", f"train/{number}.png", number)
    save(tmp_path / "new", "test/same.png", 0)
    save(tmp_path / "new", "test/other format.jpg", 1)
    save(tmp_path / "new", "test/turned.png", 2, "turned")
    save(tmp_path / "new", "test/mirrored.png", 3, "mirrored")
    save(tmp_path / "new", "train/both train.png", 4)
    save(tmp_path / "new", "test/never seen.png", 99)
    old, new = make(tmp_path, "old"), make(tmp_path, "new")
    old.run(CHAIN)
    new.run(CHAIN)
    told = ["train"]
    assert seen(new) == [
        ("test/mirrored.png", "old", "dataset", "train/3.png", told, "hash", "trained_on"),
        ("test/other format.jpg", "old", "dataset", "train/1.png", told, "hash", "trained_on"),
        ("test/same.png", "old", "dataset", "train/0.png", told, "bytes", "trained_on"),
        ("test/turned.png", "old", "dataset", "train/2.png", told, "hash", "trained_on"),
        ("train/both train.png", "old", "dataset", "train/4.png", told, "bytes", None),
    ]
    assert new.rows("select count(*) from issues where issue = 'contamination'") == [(4,)]
    # The other way about, the next run sees it; what nothing changed of is not looked at again.
    assert {row[-1] for row in (old.run(CHAIN), seen(old))[1]} == {"tested_on", None}
    assert old.run(CHAIN)["contamination"].up_to_date
    (tmp_path / "new" / "test" / "same.png").unlink()
    new.run(CHAIN)
    # What was there once stays known.
    entry = entries.existing(new.home, "dataset", "new")
    assert [
        row for row in entry.rows.select(["name", "present", "former_splits"]).to_pylist() if not row["present"]
    ] == [{"name": "test/same.png", "present": False, "former_splits": ["test"]}]


def test_what_is_alike_by_nature_is_not_taken_for_seen(tmp_path: Path) -> None:
    """Strokes as different people write a one: many are nearer to each other than edits of photos are to their originals."""
    for number in range(60):
        stroke(tmp_path / "old" / "train" / f"{number}.png", number)
    for number in range(100, 130):
        stroke(tmp_path / "new" / "test" / f"{number}.png", number)
    with Image.open(tmp_path / "old" / "train" / "7.png") as image:
        image.save(tmp_path / "new" / "test" / "copy.bmp")
    old, new = make(tmp_path, "old"), make(tmp_path, "new")
    old.run(CHAIN)
    new.run(CHAIN)
    found = {path: partner for path, _, _, partner, *_ in seen(new)}
    # By hashes that differ in up to eight bits all of them would be.
    assert len(found) <= 10
    assert found.get("test/copy.bmp", "train/7.png") == "train/7.png"


def stroke(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    page = Image.new("L", (280, 280), 0)
    lean, bend = random.uniform(-35, 35), random.uniform(-12, 12)
    points = [(140 + lean, random.uniform(35, 55)), (140 + bend, 140), (140 - lean, random.uniform(225, 245))]
    ImageDraw.Draw(page).line(points, 255, int(random.integers(18, 34)), joint="curve")
    page.filter(ImageFilter.GaussianBlur(6)).resize((28, 28), Image.Resampling.BOX).save(path)


def test_what_was_dropped_is_told_when_it_comes_again(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "media", f"{number}.png", number)
    save(tmp_path / "media", "copy of 2.png", 2)
    one = make(tmp_path, "media")
    one.run(CHAIN)
    decide(one, "0.png", "drop")
    decide(one, "1.png", "drop")
    decide(one, "2.png", "drop")
    one.run(CHAIN)
    assert seen(one) == []
    (tmp_path / "media" / "0.png").unlink()
    one.run(CHAIN)
    save(tmp_path / "media", "again.png", 0)
    save(tmp_path / "media", "again, mirrored.jpg", 1, "mirrored")
    one.run(CHAIN)
    one.run(CHAIN)
    found = {path: rest for path, *rest in seen(one)}
    assert found["again, mirrored.jpg"] == ["media", "itself", "1.png", [], "hash", "dropped"]
    # What stood in for the file that was gone would be dropped with it; a copy that stayed was never dropped.
    assert found.keys() <= {"again.png", "again, mirrored.jpg"}
    ((text,),) = one.rows("select evidence from issues where issue = 'contamination' and evidence like '%1.png%'")
    assert '"dropped_by":"ann"' in text


def test_an_image_that_was_trained_on_before_it_became_a_test(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "media", f"train/{number}.png", number)
    one = make(tmp_path, "media")
    one.run(CHAIN)
    (tmp_path / "media" / "test").mkdir()
    (tmp_path / "media" / "train" / "0.png").rename(tmp_path / "media" / "test" / "0.png")
    one.run(CHAIN)
    one.run(CHAIN)
    assert seen(one) == [("test/0.png", "media", "itself", "test/0.png", ["test", "train"], "bytes", "trained_on")]


def test_pictures_that_a_reviewer_told_apart_are_not_told_again(tmp_path: Path) -> None:
    save(tmp_path / "old", "train/a.png", 0)
    save(tmp_path / "new", "train/a.png", 0)
    save(tmp_path / "new", "test/b.jpg", 0)
    old, new = make(tmp_path, "old"), make(tmp_path, "new")
    old.run(CHAIN)
    new.run(CHAIN)
    assert [row[-1] for row in seen(new) if row[0] == "test/b.jpg"] == ["trained_on"]
    pair = dict(new.rows("select filepath, sample_id from samples"))
    contents = dict(new.rows("select filepath, content_hash from samples"))
    apart = [
        (pair[path], contents[path], json.dumps([contents[other]]))
        for path, other in zip(pair, [*pair][::-1], strict=True)
    ]
    Events(new.paths.events).append(Event("not_copy", "ann"), apart)
    new.run(CHAIN)
    assert [row[-1] for row in seen(new) if row[0] == "test/b.jpg"] == []


def test_of_a_dataset_that_changed_only_what_that_concerns_is_compared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is told then is what a comparison of all tells."""
    # Vectors of these pictures are their pixels, of which most lie within a few planes of each other.
    monkeypatch.setattr(looking, "MOST_CODE", 3)
    for number in range(24):
        save(tmp_path / "new", f"{'test' if number % 2 else 'train'}/{number}.png", number)
    for number in (0, 1, 2, 100, 101, 102):
        save(tmp_path / "old", f"train/{number}.png", number)
    old, new = make(tmp_path, "old"), make(tmp_path, "new")
    old.run(CHAIN)
    new.run(CHAIN)
    judged = []
    for change in range(4):
        match change:
            case 0:  # One comes that is here, too, and one that is not.
                save(tmp_path / "old", "train/turned.png", 7, "turned")
                save(tmp_path / "old", "train/far.png", 107)
            case 1:  # One goes, and one is in another split.
                (tmp_path / "old" / "train" / "0.png").unlink()
                save(tmp_path / "old", "test/turned.png", 7, "turned")
                (tmp_path / "old" / "train" / "turned.png").unlink()
            case 2:  # What went comes again, and another comes here.
                save(tmp_path / "old", "train/0.png", 0)
                save(tmp_path / "new", "test/late.jpg", 101)
            case 3:
                save(tmp_path / "old", "train/mirrored.jpg", 9, "mirrored")
        old.run(CHAIN)
        judged.append(new.run(CHAIN)["contamination"].notes["judged"])
        anew = Workshop(new.home.root, tmp_path / "new", f"anew{change}", split_from="folder")
        anew.run(CHAIN)
        assert [row for row in seen(new) if row[1] == "old"] == [row for row in seen(anew) if row[1] == "old"]
        anew.run(CHAIN)
    assert max(judged) < 12, judged
    assert {row[0] for row in seen(new) if row[1] == "old"} >= {
        "test/7.png",
        "test/9.png",
        "test/late.jpg",
        "train/0.png",
    }


def test_an_entry_that_was_lost_is_written_again(tmp_path: Path) -> None:
    save(tmp_path / "media", "a.png", 0)
    one = make(tmp_path, "media")
    one.run(CHAIN)
    before = entries.existing(one.home, "dataset", "media").version
    entries.remove(one.home, "dataset", "media")
    one.run(CHAIN)
    assert entries.existing(one.home, "dataset", "media").version == before


def test_codes_of_other_models_are_no_surroundings(tmp_path: Path) -> None:
    """A row is rare among those that its code can be compared with, however near another model's codes lie."""
    rng = np.random.default_rng(0)
    hashes, codes = (rng.integers(1, 1 << 63, (60, width), np.uint64) for width in (1, 2))
    codes[30:] = codes[0] ^ (np.uint64(1) << rng.integers(0, 64, (30, 2), np.uint64))
    columns = {
        "content_hash": [f"{row:032x}" for row in range(60)], "phash": hashes[:, 0], "code": entries.packed(codes),
        "model": ["one"] * 30 + ["other"] * 30, "name": [str(row) for row in range(60)],
    }  # fmt: skip
    nothing = {one.name: pa.nulls(60, one.type) for one in entries.ROWS if one.name not in columns}
    entry = entries.write(Home(tmp_path), "file", "both", pa.table(columns | nothing))
    asked = np.zeros((1, 8), np.uint64)
    asked[0, 0] = hashes[0, 0] ^ np.uint64(0b1111111111)
    found = looking.seen(entry, looking.Pictures([None], asked, codes[:1], "one"))
    assert [looking.MATCHES[match] for match in found.match] == ["vector"]
    assert (found.row.tolist(), found.hash_bits.tolist(), found.code_bits.tolist()) == ([0], [10], [0])
