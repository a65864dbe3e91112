"""Which split a sample is in, by the names of the folders that it lies in."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test",
}  # fmt: skip
# Words that mean a split only beside a folder that names another one.
BESIDE_ANOTHER = {"dev": "val", "eval": "val", "evaluation": "val"}
# Words that say what is in a folder and not which of several things it is: train_images, obj_train_data, train2017.
TELL_NOTHING = {
    "a", "annotations", "b", "clean", "crops", "data", "dataset", "examples", "files", "fold", "folder", "frames", "full",
    "image", "images", "img", "imgs", "jpeg", "jpegs", "jpg", "labels", "masks", "obj", "original", "part", "photos", "pictures",
    "png", "raw", "resized", "rgb", "samples", "seg", "set", "small", "split", "splits", "subset", "v",
}  # fmt: skip
GLUED = re.compile(r"^(train|training|val|valid|validation|test|testing)(set|data|images|imgs|img|split)$")
TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")
# So many folders beside one that is called like a split, none of which is a split: they are classes, and so is it.
CLASSES_BESIDE = 2
# What folders are called that say no more than that images lie there.
IMAGE_FOLDERS = frozenset({
    "images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "data", "image_2",
})  # fmt: skip


def class_folders(folders: Iterable[str]) -> dict[str, str]:
    """Return the folder by which each folder of images is called: itself, or the one above what only says *images*.

    Where others lie beside it, as photos beside sketches, its name says something after all.

    Examples
    --------
    >>> class_folders(["train/cat/images", "train/dog", "photos", "sketches"])
    {'train/cat/images': 'train/cat', 'train/dog': 'train/dog', 'photos': 'photos', 'sketches': 'sketches'}
    """
    given = list(folders)
    below = Counter(folder.rpartition("/")[0] for folder in given)
    parts = {folder: folder.rpartition("/") for folder in given}
    return {
        folder: above if above and name.lower() in IMAGE_FOLDERS and below[above] == 1 else folder
        for folder, (above, _, name) in parts.items()
    }


@dataclass(frozen=True)
class _Name:
    """What a folder's name says: the split, the words beside that, and whether it says it by itself."""

    split: str
    rest: frozenset[str]
    alone: bool


class FolderSplits:
    """Which split each folder of a source is in.

    The words of a split count as whole words at any depth, beside years and such words as *images* or *set*. With other
    words beside them (``cars_train``), they count where a folder beside has the same words and another split
    (``cars_test``): a class called *test_tube* is no split. Of several folders on the way the first counts; before them the
    top one where it is called like a split and nothing else.

    Parameters
    ----------
    folders : iterable of str
        All folders that hold samples, relative to the media root; a part that ends in ``!`` is an archive.

    Examples
    --------
    >>> splits = FolderSplits(["images/train2017", "images/val2017", "lab/test_tube"])
    >>> [splits.of(folder) for folder in ("images/train2017", "images/val2017", "lab/test_tube", "")]
    ['train', 'val', None, None]
    """

    def __init__(self, folders: Iterable[str]) -> None:
        self._known: dict[str, str | None] = {}
        self._beside: dict[str, set[str]] = defaultdict(set)
        seen: set[str] = set()
        for folder in folders:
            while folder and folder not in seen:
                seen.add(folder)
                above, _, name = folder.rpartition("/")
                self._beside[above].add(name)
                folder = above
        self._paired = {
            (above, rest) for above, names in self._beside.items() for rest in _rests_of_several_splits(names)
        }

    def of(self, folder: str) -> str | None:
        """Return the split of what lies in a folder."""
        if folder not in self._known:
            found = self._decisive(folder)
            self._known[folder] = found[1] if found else None
        return self._known[folder]

    def names_one(self, folder: str) -> bool:
        """Tell whether a folder is itself the one that says in which split its content is."""
        found = self._decisive(folder)
        return found is not None and found[0] == folder

    def _decisive(self, folder: str) -> tuple[str, str] | None:
        """Return the folder on the way that says the split, and the split."""
        ways = _ways(folder)
        plain = [way for way in ways if not way.endswith("!")]
        if plain and (split := SPLITS.get(_name(plain[0]).lower())):
            return plain[0], split
        # What is inside an archive says more than what the archive is called.
        ordered = [*plain, *(way for way in ways if way.endswith("!"))]
        for accepts in (self._is_paired, self._says_alone):
            for way in ordered:
                said = _said(_name(way))
                if said and accepts(way, said):
                    return way, said.split
        return None

    def _is_paired(self, way: str, said: _Name) -> bool:
        return (way.rpartition("/")[0], said.rest) in self._paired

    def _says_alone(self, way: str, said: _Name) -> bool:
        if not said.alone:
            return False
        beside = self._beside[way.rpartition("/")[0]]
        return sum(_is_class(_name(name)) for name in beside) < CLASSES_BESIDE


def split_of(name: str | None) -> str | None:
    """Return the split that a column or a list names, spelled one way.

    Examples
    --------
    >>> split_of("Validation"), split_of("holdout"), split_of(None)
    ('val', 'holdout', None)
    """
    if not name:
        return None
    return SPLITS.get(str(name).strip().lower(), str(name).strip())


def _ways(folder: str) -> list[str]:
    """Return a folder and all above it, the top one first."""
    parts = folder.split("/") if folder else []
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _name(way: str) -> str:
    """Return the last part of a path; of an archive without its suffix."""
    name = way.rpartition("/")[2]
    return re.sub(r"(\.tar)?\.\w+!$", "", name) if name.endswith("!") else name


def _tokens(name: str) -> list[str]:
    words = [GLUED.sub(r"\1 \2", token.lower()) for token in TOKEN.findall(name)]
    return " ".join(words).split()


def _said(name: str) -> _Name | None:
    tokens = _tokens(name)
    strong = {SPLITS[token] for token in tokens if token in SPLITS}
    weak = {BESIDE_ANOTHER[token] for token in tokens if token in BESIDE_ANOTHER}
    splits = strong or weak
    if len(splits) != 1:
        return None
    rest = frozenset(token for token in tokens if token not in TELL_NOTHING | SPLITS.keys() | BESIDE_ANOTHER.keys())
    return _Name(next(iter(splits)), rest, bool(strong) and not rest)


def _is_class(name: str) -> bool:
    return _said(name) is None and bool(set(_tokens(name)) - TELL_NOTHING)


def _rests_of_several_splits(names: Iterable[str]) -> list[frozenset[str]]:
    """Return the words that several folders have beside words of different splits."""
    found: dict[frozenset[str], set[str]] = defaultdict(set)
    for name in names:
        if said := _said(_name(name)):
            found[said.rest].add(said.split)
    return [rest for rest, splits in found.items() if len(splits) > 1]
