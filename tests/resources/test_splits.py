"""Which split a folder is in, as people lay out datasets; and which folders only look like a split."""

import pytest

from brain_assets.resources.media.splits import FolderSplits

# Folders of a dataset, each with the split that whoever laid it out means.
LAYOUTS: dict[str, dict[str, str | None]] = {
    "top folders": {"train/cat": "train", "val/cat": "val", "Test": "test", "other": None, "": None},
    "years": {"train2017": "train", "val2017": "val", "test-dev2017": "test"},
    "below images and labels": {"images/train": "train", "images/val": "val", "images/test": "test"},
    "Roboflow": {"train/images": "train", "valid/images": "val", "test/images": "test"},
    "sets": {"training_set/cats": "train", "test_set/cats": "test"},
    "scenes": {"seg_train/seg_train/sea": "train", "seg_test/seg_test/sea": "test", "seg_pred/seg_pred": None},
    "darknet": {"obj_train_data": "train", "obj_valid_data": "val"},
    "a folder above": {"data/train/a": "train", "data/validation/a": "val"},
    "CycleGAN": {"trainA": "train", "trainB": "train", "testA": "test"},
    "camel case": {"TrainImages": "train", "ValidationImages": "val"},
    "glued": {"trainset": "train", "testset": "test", "valimages": "val"},
    "one name, several splits": {"DIV2K_train_HR": "train", "DIV2K_valid_HR": "val", "DIV2K_readme": None},
    "cars": {"cars_train/a": "train", "cars_test/a": "test"},
    "dev beside train": {"corpus/train": "train", "corpus/dev": "val"},
    "dev alone": {"dev": None, "src": None},
    "a top folder counts before those below": {"train/test/cat": "train", "test/train/cat": "test"},
    "the level that has several splits": {"test_data/train": "train", "test_data/val": "val"},
    "classes that hold the word": {"test_tube": None, "trains": None, "train station": None, "contest": None},
    "a class called train": {"images/bus": None, "images/car": None, "images/train": None},
    "classes below splits": {"images/train/bus": "train", "images/train/train": "train", "images/val/train": "val"},
    "several splits in a name": {"train_test": None, "train_val": None},
    "archives": {"train.zip!": "train", "val.zip!/a": "val", "a.tar.gz!/test": "test"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders_name_splits_as_people_mean_them(layout: str) -> None:
    folders = LAYOUTS[layout]
    splits = FolderSplits(folders)
    assert {folder: splits.of(folder) for folder in folders} == folders


def test_the_folder_that_names_the_split_is_known() -> None:
    splits = FolderSplits(["images/train/cat", "images/val/cat"])
    assert splits.names_one("images/train")
    assert not splits.names_one("images/train/cat")
    assert not splits.names_one("images")


@pytest.mark.parametrize(
    ("name", "split"), [("train", "train"), ("valid2017", "val"), ("my_train", None), ("dev", None), ("", None)]
)
def test_a_folder_alone_is_named_like_its_split(name: str, split: str | None) -> None:
    assert FolderSplits([name]).of(name) == split
