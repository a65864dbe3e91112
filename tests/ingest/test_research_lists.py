"""Lists as research sets have them, of names without a suffix or of numbers: seen by a first look, read as labels and splits."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from brain_assets.app.scanning import look_at
from brain_assets.resources.label_formats.class_names import names_classes
from brain_assets.resources.label_formats.input_files import says_of_others
from tests.workshop import Workshop, write_pictures

CHAIN = ("samples", "media", "ground_truth", "objects", "published")
LABELS = """
    select parse_filename(filepath), split, labels[1] from samples left join ground_truth using (sample_id) order by 1"""
Answer = list[tuple[str, str | None, str | None]]


def pictures(folder: Path, names: list[str]) -> None:
    write_pictures(folder, range(len(names)))
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{number:05}.png").rename(folder / name)


def texts(folder: Path, given: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in given.items():
        (folder / name).write_text(text)


def aircraft(root: Path) -> Answer:
    pictures(root / "images", ["0000001.png", "0000002.png", "0000003.png"])
    lines = {"train": "0000001 Cessna 208\n", "val": "0000002 707-320\n", "test": "0000003 Cessna 208\n"}
    lines["trainval"] = lines["train"] + lines["val"]
    texts(root, {f"images_variant_{split}.txt": text for split, text in lines.items()})
    texts(root, {f"images_manufacturer_{split}.txt": text.replace("208", "") for split, text in lines.items()})
    texts(root, {"images_box.txt": "0000001 3 1 9 9\n0000002 1 1 9 9\n", "variants.txt": "707-320\nCessna 208\n"})
    return [
        ("0000001.png", "train", "Cessna 208"),
        ("0000002.png", "val", "707-320"),
        ("0000003.png", "test", "Cessna 208"),
    ]


def birds(root: Path) -> Answer:
    names = ["001.Albatross/a_1.png", "002.Auklet/a_2.png", "002.Auklet/a_3.png"]
    pictures(root / "images", names)
    numbered = dict(enumerate(names, 1))
    texts(
        root,
        {
            "images.txt": "".join(f"{number} {name}\n" for number, name in numbered.items()),
            "classes.txt": "1 001.Albatross\n2 002.Auklet\n",
            "image_class_labels.txt": "1 1\n2 2\n3 2\n",
            "train_test_split.txt": "1 1\n2 0\n3 1\n",
            "bounding_boxes.txt": "1 1.0 2.0 5.0 4.0\n3 0.0 0.0 4.0 4.0\n",
        },
    )
    return [
        ("a_1.png", "train", "001.Albatross"),
        ("a_2.png", "test", "002.Auklet"),
        ("a_3.png", "train", "002.Auklet"),
    ]


def pets(root: Path) -> Answer:
    pictures(root / "images", ["Abyssinian_1.png", "great_dane_1.png", "great_dane_2.png"])
    train, test = "Abyssinian_1 1 1 1\ngreat_dane_1 2 2 1\n", "great_dane_2 2 2 1\n"
    listed = f"#Image CLASS-ID SPECIES BREED ID\n{train}{test}"
    texts(root / "annotations", {"list.txt": listed, "trainval.txt": train, "test.txt": test})
    return [
        ("Abyssinian_1.png", "train", "Abyssinian"),
        ("great_dane_1.png", "train", "great_dane"),
        ("great_dane_2.png", "test", "great_dane"),
    ]


def bare(root: Path) -> Answer:
    pictures(root / "photos", ["s1.png", "s2.png", "s3.png", "s4.png"])
    texts(root / "photos", {"train.txt": "s1 0\ns2 1\ns4 1\n", "val.txt": "s3 1\n"})
    return [("s1.png", "train", "0"), ("s2.png", "train", "1"), ("s3.png", "val", "1"), ("s4.png", "train", "1")]


def celebrities(root: Path) -> Answer:
    pictures(root / "faces", ["000001.png", "000002.png", "000003.png"])
    attributes = "3\nMale Young\n000001.png  1 -1\n000002.png -1 -1\n000003.png  1  1\n"
    identities = "000001.png 2880\n000002.png 2937\n000003.png 2880\n"
    parts = "000001.png 0\n000002.png 1\n000003.png 2\n"
    texts(
        root, {"list_attr_celeba.txt": attributes, "identity_CelebA.txt": identities, "list_eval_partition.txt": parts}
    )
    return [("000001.png", "train", "2880"), ("000002.png", "val", "2937"), ("000003.png", "test", "2880")]


SETS: dict[Callable[[Path], Answer], str] = {
    aircraft: "images",
    birds: "images",
    pets: "",
    bare: "photos",
    celebrities: "",
}


@pytest.mark.parametrize("made", SETS, ids=lambda one: one.__name__)
def test_what_a_first_look_proposes_gives_labels_and_splits(tmp_path: Path, made: Callable[[Path], Answer]) -> None:
    wanted = made(tmp_path / "set")
    media = tmp_path / "set" / SETS[made]
    look = look_at(media)
    proposed = look.proposal(unsure=False)
    labels = [{"uri": uri, "format": proposed["labels_format"]} for uri in proposed["labels"]]
    workshop = Workshop(tmp_path / "home", media, labels=labels, split_from=proposed["split_from"])
    workshop.run(CHAIN)
    assert workshop.rows(LABELS) == wanted
    assert workshop.rows("select * from rejected_rows") == []
    if made is birds:
        boxes = """select round(x * s.width), round(y * s.height), label from objects join samples s using (sample_id)
            order by filepath"""
        assert workshop.rows(boxes) == [(1, 2, "001.Albatross"), (0, 0, "002.Auklet")]
        # The numbers of images change, and what is said of them is read again.
        swapped = "2 001.Albatross/a_1.png\n1 002.Auklet/a_2.png\n3 002.Auklet/a_3.png\n"
        (tmp_path / "set" / "images.txt").write_text(swapped)
        workshop.run(CHAIN)
        assert [label for _, _, label in workshop.rows(LABELS)] == ["002.Auklet", "001.Albatross", "002.Auklet"]
    if made is celebrities:
        assert {Path(path).name for path in look.left_out} == {"list_attr_celeba.txt"}
    if made is aircraft:
        assert {Path(path).name for path in look.left_out} == {"images_box.txt"}


def test_boxes_behind_classes_are_told_and_classes_read_alone(tmp_path: Path) -> None:
    """As tiny ImageNet has them."""
    pictures(tmp_path / "val", ["val_0.png", "val_1.png"])
    (tmp_path / "val" / "val_annotations.txt").write_text(
        "val_0.png\tn03444034\t0\t32\t44\t62\nval_1.png\tn04067472\t52\t55\t57\t59\n"
    )
    labels = [{"uri": uri} for uri in look_at(tmp_path / "val").proposal(unsure=False)["labels"]]
    workshop = Workshop(tmp_path / "home", tmp_path / "val", labels=labels)
    workshop.run(CHAIN)
    assert [label for _, _, label in workshop.rows(LABELS)] == ["n03444034", "n04067472"]
    assert workshop.rows("select reason, line from rejected_rows") == [("box", None)]


def test_a_line_of_a_megabyte_is_a_class_like_any_other(tmp_path: Path) -> None:
    """What is read by patterns must not look back at each letter."""
    pictures(tmp_path / "val", ["a.png"])
    (tmp_path / "val" / "list.txt").write_text(f"a.png {'x' * 1_000_000}\n")
    workshop = Workshop(tmp_path / "home", tmp_path / "val", labels=[{"uri": str(tmp_path / "val" / "list.txt")}])
    workshop.run(CHAIN)
    assert [len(label) for _, _, label in workshop.rows(LABELS)] == [1_000_000]


def test_what_may_be_anything_is_told_and_not_guessed(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", ["s1.png", "s2.png"])
    texts(tmp_path / "photos", {"val.txt": "s1 1\ns2 2\n", "notes.txt": "two cats\nthree dogs\n"})
    look = look_at(tmp_path / "photos")
    assert (look.found, list(look.left_out.values())) == ([], ["each name has a number of its own, which is no class"])
    labels = [{"uri": str(tmp_path / "photos" / name)} for name in ("val.txt", "notes.txt")]
    workshop = Workshop(tmp_path / "home", tmp_path / "photos", labels=labels)
    workshop.run(CHAIN)
    query = """select file, reason, contains(detail, 'its format is lists'), contains(detail, 'a number of its own')
        from rejected_rows order by file"""
    told = [("notes.txt", "unknown_format", True, False), ("val.txt", "unknown_format", False, True)]
    assert workshop.rows(query) == told


def test_files_that_name_what_others_number_are_known_by_name() -> None:
    assert [says_of_others(name) for name in ("a/images.txt", "data.yaml", "1.txt")] == [True, True, False]
    assert not names_classes("images.txt")
