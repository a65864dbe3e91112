"""Look at a folder before it is declared: which splits, labels and predictions lie there, and how to declare them."""

import math
import os
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from brain_assets.ingest.accounting import in_order, splits_told
from brain_assets.resources.fiftyone_samples import FILE as SAMPLES
from brain_assets.resources.fiftyone_samples import columns_of
from brain_assets.resources.label_formats.columns import recognised as known_columns
from brain_assets.resources.label_formats.content import Content
from brain_assets.resources.label_formats.door import (
    TABLE_FORMS,
    HoldsFields,
    LabelFormat,
    Recognised,
    formats,
    json_in_words,
    recognise,
)
from brain_assets.resources.label_formats.glances import GROUPS, MOSTLY, ROLES, Glance, Pictures, glance_at
from brain_assets.resources.label_formats.input_files import FOLDERS, IN_PATHS, NAMES, NUMBERS, InputFile, list_labels
from brain_assets.resources.label_formats.lists import names_in, says_splits_alone
from brain_assets.resources.label_formats.sample_columns import read_sample_columns
from brain_assets.resources.label_formats.webdataset import says_of_images
from brain_assets.resources.local_files import open_local
from brain_assets.resources.media.archives import SEPARATOR as ARCHIVED
from brain_assets.resources.media.archives import other_members
from brain_assets.resources.media.candidates import IMAGE_SUFFIXES
from brain_assets.resources.media.class_names import class_in, may_be_class
from brain_assets.resources.media.listing import status_of
from brain_assets.resources.media.masks import Place, is_mask, mask_places, without_masks
from brain_assets.resources.media.media_source import LIST_SUFFIXES, MANIFEST_SUFFIXES, open_source
from brain_assets.resources.media.splits import IMAGE_FOLDERS, FolderSplits, class_folders, split_of
from brain_assets.resources.media.videos import DEFAULT_SECONDS
from brain_assets.resources.settings.configuration import DatasetSettings, LabelSettings
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.tabular import WHOLE_FILE, keys, read_table, texts

# What folders of labels are called that may lie beside folders of images.
LABEL_FOLDERS = {"labels", "annotations", "annotation", "anns", "xmls", "xml", "label_2", "labeltxt"}
TABLES, ANNOTATIONS = {".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".json", ".xlsx"}, (".json", ".xml", ".txt")
# What lies in archives with such suffixes is taken for labels that are not read there.
LABEL_SUFFIXES = {*TABLES, ".xml"}
COMPRESSED = {".gz", ".bz2", ".xz", ".zst"}
WORDS_OF_A_CLASS = 3
# So many files that nothing was found in are looked into for what they are.
MOST_UNREAD = 500
# Archives that tell what is in them without being read to their end.
INDEXED = {".zip", ".tar"}
MOST_PACKED = 1 << 28
# Tables that are read as a whole, and so only where they are small.
WHOLE = {".json", ".xlsx"}
# So many files are looked at, and so much of each; a first look must not take as long as reading everything.
MOST_FILES, MOST_BYTES, SMALL, TRIED = 200_000, 1 << 26, 1 << 22, 20
# What annotations have of objects, or of images as a whole; captions have neither.
OF_COCO = (b'"bbox"', b'"category_id"')
# What lists of classes are called that say nothing else.
CLASS_LISTS = {"classes.txt", "class_names.txt", "labels.txt", "wnids.txt", "categories.txt"}
# Where YOLO's tools leave what a model found, with pictures into which it is drawn.
RUNS = re.compile(r"((?:.*/)?runs/)(?:detect|segment|pose|obb|classify|train|val|predict)\w*/")
PICTURE_NAME = re.compile(r"[^\s\"'<>,;|]+\.(?:jpe?g|png|bmp|gif|tiff?|webp)\b", re.IGNORECASE)
# Formats whose lists say in which split an image is.
LISTING = {"voc", "lists", "numbered"}


@dataclass(frozen=True)
class Found:
    """Labels or predictions of one format: where they lie, how many files, and how sure it is that they are such.

    What says nothing of objects in images may stand beside what does, and lists of images by split beside anything.
    """

    kind: str
    form: str
    addresses: list[str]
    files: int
    sure: bool = True
    role: str = "labels"
    objects: bool = True
    aside: bool = False

    @property
    def is_read(self) -> bool:
        """Whether this version reads the format."""
        return self.form in {*formats(), "auto", *IN_PATHS}


@dataclass(frozen=True)
class Look:
    """What lies in and beside a folder.

    Attributes
    ----------
    folder : str
    samples : int
        Files that hold images; archives and videos count once.
    splits : dict of str to int
        How many of them the folders put into each split, ``none`` for those in none.
    found : list of Found
    manifest : str
        A file in it that names its samples, their splits and tags; empty where there is none.
    listed : bool
        Whether files of labels say in which split a sample is.
    videos : int
        Files of which frames can be taken; 0 beside images, among which frames are taken only where somebody asks for it.
    left_out : dict of str to str
        Tables that have to do with images and are not proposed, with the reason.
    masks : dict of (str, str) to int
        Folders, and endings of names, of pictures that are masks of others, with how many they are.
    groups : list of str
        What must not lie in two splits: columns of the tables, such as a patient, or a pattern of folders.
    drawn : dict of (str, str) to int
        Folders in which a model's runs left pictures with what they found drawn into them, as of ``masks``.
    """

    folder: str
    samples: int
    splits: dict[str, int]
    found: list[Found] = field(default_factory=list)
    manifest: str = ""
    listed: bool = False
    videos: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    masks: dict[Place, int] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    drawn: dict[Place, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return what was seen, for people."""
        splits = splits_told(self.splits, "none")
        by = "column" if self.manifest else "list" if self.listed else "folder"
        by = "tag" if self.manifest.endswith(SAMPLES) else by
        lines = [
            f"{self.folder}: {self.samples} image{'s'[: self.samples != 1]}"
            + (f"; splits by {by}: {splits}" if splits else "")
        ]
        if self.videos:
            lines.append(f"  {self.videos} video{'s'[: self.videos != 1]}, of which frames are taken, one a second")
        for one in self.found:
            unread = "" if one.is_read else "; this format is not read yet"
            shown = ", ".join(self._shown(uri) for uri in one.addresses[:4])
            more = f" and {len(one.addresses) - 4} more" if one.addresses[4:] else ""
            lines.append(f"  {one.kind} ({one.files} file{'s'[: one.files != 1]}): {shown}{more}{unread}")
        lines += [
            f"  masks of these, which are no images ({count}): {folder or f'*{ending}'}"
            for (folder, ending), count in self.masks.items()
        ]
        lines += [
            f"  pictures that a model's runs left, which are no images ({count}): {folder}"
            for (folder, _), count in self.drawn.items()
        ]
        return lines + [f"  {one}" for one in self.told_of_rest()]

    def told_of_rest(self) -> list[str]:
        """Return which files have to do with the images and are not proposed, with why, for people."""
        return [f"left out: {self._shown(path)}: {reason}" for path, reason in self.left_out.items()]

    def _shown(self, address: str) -> str:
        named = "=" in address and not os.path.exists(address)
        name, equals, path = address.partition("=") if named else ("", "", address)
        start = self.folder if os.path.isdir(self.folder) else os.path.dirname(self.folder)
        return address if address in IN_PATHS else f"{name}{equals}{os.path.relpath(path, start)}"

    def proposal(self, *, unsure: bool) -> dict[str, Any]:
        """Return the settings that take in what was seen; what may be no labels at all only where ``unsure`` is asked for."""
        chosen = [one for one in self.found if one.is_read and (one.sure or unsure)]
        # What was given itself is known.
        settings: dict[str, Any] = {"media": [self.manifest]} if self.manifest.endswith(SAMPLES) else {}
        if set(self.splits) - {"none"}:
            settings["split_from"] = "column" if self.manifest or self.listed else "folder"
        settings |= {"frames": DEFAULT_SECONDS} if self.videos else {}
        settings |= {"groups": self.groups} if self.groups else {}
        settings |= {"pattern": without_masks(self.masks | self.drawn)} if self.masks or self.drawn else {}
        for role in ("labels", "predictions"):
            if taken := _taken([one for one in chosen if one.role == role]):
                settings |= _declared(role, taken)
        return settings

    def not_taken(self, settings: Mapping[str, Any], roles: Sequence[str] = ROLES) -> Iterator[tuple[str, str]]:
        """Yield why something of some roles that lies there is not among settings, and the options that take it in."""
        everything = self.proposal(unsure=True)
        sure = [one for one in self.found if one.is_read and one.sure and one.role in roles]
        taken = [one for role in roles for one in _taken([other for other in sure if other.role == role])]
        for one in sure:
            if one not in taken:
                form = {f"{one.role}_format": one.form} if one.form in formats() else {}
                options = as_options({one.role: one.addresses} | form)
                yield "not taken beside them, as it may say the same in another format", options
        left: dict[str, Any] = {
            role: [one for one in everything.get(role, ()) if one not in settings.get(role, ())] for role in roles
        }
        if any(left.values()):
            yield "not taken, as it may be none", as_options(left)


def _taken(found: Sequence[Found]) -> list[Found]:
    """Return what is taken together: the format that most files are in, and what says something else beside it."""
    main = [one for one in found if not one.aside]
    # Lists and folders of classes say the same of other images.
    if {one.form for one in main} == {"lists", FOLDERS}:
        return list(found)
    if not main:
        return list(found)
    form = Counter({one.form: one.files for one in main}).most_common(1)[0][0]
    objects = any(one.objects for one in main if one.form == form)
    beside = Counter({one.form: one.files for one in main if objects and not one.objects}).most_common(1)
    forms = {form, *(name for name, _ in beside)}
    return [one for one in found if one.aside or (one.form in forms and (one.form == form or not one.objects))]


def _declared(role: str, taken: Sequence[Found]) -> dict[str, Any]:
    """Return the settings of what is taken; a format for all where they have one, else each with its own."""
    forms = {one.form for one in taken}
    if len(forms) == 1:
        form = forms.pop()
        said = {role: [uri for one in taken for uri in one.addresses]}
        return said | ({f"{role}_format": form} if form in formats() else {})
    own = [(uri, one.form) for one in taken for uri in one.addresses]
    return {role: [{"uri": uri} | ({"format": form} if form in formats() else {}) for uri, form in own]}


def says_where_to_look(media: Sequence[str], settings: Mapping[str, Any]) -> Path | None:
    """Return the folder or archive to look at where nothing else was said of a dataset than that its images lie there."""
    said = any(
        settings.get(key) for key in ("split_from", "labels", "labels_format", "predictions", "predictions_format")
    )
    folder = Path(media[0]).expanduser()
    return (
        folder.absolute() if len(media) == 1 and not said and "://" not in media[0] and _holds_images(folder) else None
    )


def _holds_images(path: Path) -> bool:
    """Tell whether a path is a folder, a list or manifest, or an archive that can be listed in a moment."""
    if not path.is_file():
        return path.is_dir()
    packed = path.name.lower().endswith((".tar.gz", ".tgz"))
    known = {*INDEXED, *MANIFEST_SUFFIXES, *LIST_SUFFIXES}
    return path.suffix.lower() in known or (packed and path.stat().st_size <= MOST_PACKED)


def folders_told(filepaths: Sequence[str], settings: DatasetSettings) -> Iterator[tuple[str, str]]:
    """Yield what the folders of images seem to say that settings make no use of, and the rest of a command that does."""
    splits = FolderSplits({path.rpartition("/")[0] for path in filepaths})
    counts = Counter(splits.of(path.rpartition("/")[0]) or "none" for path in filepaths)
    if settings.split_from == "none" and len(set(counts) - {"none"}) > 1:
        yield f"folders are called like splits ({splits_told(in_order(counts), 'none')})", "set {} split_from=folder"
    if not settings.labels:
        found = [*_class_folders(filepaths)] or [*_class_names(filepaths)]
        yield from ((one.kind, f"attach {{}} --labels {one.form}") for one in found)


def as_options(settings: Mapping[str, Any]) -> str:
    """Return settings as options of ``brain add``.

    Examples
    --------
    >>> as_options({"split_from": "folder", "labels": ["a b", "c"]})
    "--split-from folder --labels 'a b' --labels c"
    """
    several = [(key, one) for key, value in settings.items() for one in (value if isinstance(value, list) else [value])]
    # Of several formats none is said: they are recognised by content, or written into the declaration.
    plain = [(key, one["uri"] if isinstance(one, Mapping) else one) for key, one in several]
    return " ".join(f"--{key.replace('_', '-')} {shlex.quote(str(one))}" for key, one in plain)


def look_at(folder: Path) -> Look:
    """Look at a folder of images and what lies beside it, or into an archive.

    Nothing is decoded but a few pictures that may be masks, and of label files only beginnings are read.
    """
    if named := _fiftyone(folder) or _manifest(folder) or _list(folder):
        return named
    listing = open_source(str(folder), "folder").list()
    zips = [one for one in listing.containers if one.uri.lower().endswith(".zip")]
    inside = not folder.is_dir() or 0 < len(zips) == len(listing.containers) <= TRIED
    items = listing.expanded() if inside else listing.items
    listed_names = items.column("filepath").to_pylist()
    drawn = _drawn(listed_names)
    masks = mask_places(folder, [one for one in listed_names if not is_mask(one, drawn)]) if folder.is_dir() else {}
    in_split = zip(listed_names, items.column("split").to_pylist(), strict=True)
    left = {**masks, **drawn}
    names = [name for name in listed_names if not is_mask(name, left)]
    splits = Counter(split or "none" for name, split in in_split if not is_mask(name, left))
    archives = [Path(one.uri) for one in listing.containers if one.separator == ARCHIVED]
    files = list(_files_around(folder))
    glances = _glances(files, names)
    left_out = {path: one.reason for path, one in glances.items() if one.reason}
    lists = [one for one in _lists(files, names, left_out) if not (one.aside and set(splits) - {"none"})]
    found = [*_objects(folder, files, names), *lists, *_shards(folder, archives), *_tables(glances)]
    groups = sorted({name for one in glances.values() for name in one.groups})
    if not found and not groups and (numbered := _numbered_folders(names)):
        groups = [numbered]
    else:
        found += _folders_beside(found, names, files)
    beside = [path for path in files if path.suffix.lower() in INDEXED and path.parent == folder.parent]
    left_out |= _unread(files, found, names, left_out) | _packed([*archives, *beside], names) | _compressed(files)
    listed = {} if set(splits) - {"none"} else _listed_splits(found, names)
    size = len(names) + (0 if inside else len(listing.containers))
    videos = 0 if size or find_spec("av") is None else listing.left_out.get("videos", 0)
    split = in_order(listed or splits)
    return Look(
        str(folder),
        size,
        split,
        found,
        listed=bool(listed),
        videos=videos,
        left_out=left_out,
        masks=masks,
        groups=groups,
        drawn=drawn,
    )


def _drawn(names: Sequence[str]) -> dict[Place, int]:
    """Return the folders in which YOLO's tools leave pictures of what a model found; none where all images lie in such."""
    found = Counter(match[1] for name in names if (match := RUNS.match(name)))
    return {(folder, ""): count for folder, count in found.items()} if found.total() < len(names) else {}


def _listed_classes(files: Iterable[Path]) -> frozenset[str]:
    """Return the classes that lists of classes name which lie there."""
    lists = [path for path in files if path.name.lower() in CLASS_LISTS][:TRIED]
    return frozenset(line.strip() for path in lists for line in Content(path).text.splitlines())


def _unread(files: Sequence[Path], found: Sequence[Found], names: Sequence[str], told: Iterable[str]) -> dict[str, str]:
    """Return files that seem to say something of the images and are of no format that is read: one of each kind, with why."""
    taken = {*told, *(uri for one in found for uri in one.addresses)}
    pictures = Pictures(names)
    kinds: dict[str, list[Path]] = defaultdict(list)
    folders = {
        inner for inner in {path.parent for path in files} if not taken.intersection(map(str, (inner, *inner.parents)))
    }
    untold = (path for path in files if path.parent in folders and str(path) not in taken)
    for path in islice((path for path in untold if path.suffix.lower() in ANNOTATIONS), MOST_UNREAD):
        if _speaks_of(path, pictures):
            kinds[path.suffix.lower()].append(path)
    unread = {}
    for paths in kinds.values():
        if (seen := next(filter(None, map(_recognised, paths[:TRIED])), None)) and (fault := _fault_of(seen)):
            more = f" ({len(paths)} such files or more)" if len(paths) > 1 else ""
            unread[str(seen.file.path)] = f"{fault}: of no format that is read{more}"
    return unread


def _fault_of(seen: Recognised) -> str:
    """Return what a file holds instead of something that is read; JSON that may be a table is none if nobody took it."""
    if seen.form == "json":
        return json_in_words(seen.content.json)
    return seen.fault.partition("; ")[0]


def _packed(archives: Sequence[Path], names: Sequence[str]) -> dict[str, str]:
    """Return a file of each archive that seems to be of labels, which are not read there."""
    pictures, packed = Pictures(names), dict[str, str]()
    for archive in archives[:TRIED]:
        if archive.suffix.lower() in INDEXED and not says_of_images(archive):
            paths = [PurePosixPath(name) for name in other_members(str(archive))]
            found = [one for one in paths if one.suffix.lower() in LABEL_SUFFIXES or one.stem in pictures]
            more = f" ({len(found)} such files)" if len(found) > 1 else ""
            said = f"labels in an archive are not read: unpack it, and give the folder{more}"
            packed |= {f"{archive}{ARCHIVED}{one}": said for one in found[:1]}
    return packed


def _compressed(files: Sequence[Path]) -> dict[str, str]:
    """Return a file, of those that are labels but for their being compressed, with why it is not read."""
    found = [
        path for path in files if path.suffix.lower() in COMPRESSED and Path(path.stem).suffix.lower() in LABEL_SUFFIXES
    ]
    more = f" ({len(found)} such files)" if len(found) > 1 else ""
    return {str(path): f"compressed labels are not read: unpack it{more}" for path in found[:1]}


def _speaks_of(path: Path, pictures: Pictures) -> bool:
    """Tell whether a file is called like an image, or names one in its beginning."""
    if path.stem in pictures or pictures.begin(path.stem):
        return True
    return any(name in pictures for name in PICTURE_NAME.findall(_head(path).decode("utf-8", "replace"))[:TRIED])


def _folders_beside(found: Sequence[Found], names: Sequence[str], files: Sequence[Path]) -> list[Found]:
    """Return classes in the names of folders or images, where nothing but lists says something of images, or not of all."""
    labels = [one for one in found if one.role == "labels"]
    if any(one.form != "lists" for one in labels):
        return []
    rest, classes = _beyond(labels, names)
    return [*_class_folders(rest, classes | _listed_classes(files))] or [*_class_names(rest)]


def _beyond(found: Sequence[Found], names: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """Return the images of which lists say no class, and the classes that these name."""
    said: dict[str, str] = {}
    for path in [Path(uri) for one in found for uri in one.addresses]:
        if recognised := _recognised(path):
            said |= {name: row["labels"][0] for name, row in recognised.read().labels.items()}
    return [name for name in names if not any(form in said for form in _forms(name))], frozenset(said.values())


def _listed_splits(found: Sequence[Found], names: Sequence[str]) -> Counter[str]:
    """Return how many images lists that are labels, or lie beside them, put into each split; none where there are none."""
    listing = [one for one in found if one.form in LISTING or (one.form == "auto" and one.kind.startswith("table"))]
    labels = [
        LabelSettings(uri=uri, format=one.form) for one in listing if one.role == "labels" for uri in one.addresses
    ]
    files = list_labels(DatasetSettings(media="", labels=labels), DatasetPaths(Path())).files
    rows = read_sample_columns(files).to_pylist()
    said: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for tail in _tails(row["key"]) if row["split"] else ():
            said[tail].add(row["split"])
    splits = {tail: min(several) for tail, several in said.items() if len(several) == 1}
    told = (next((splits[form] for form in _forms(name) if form in splits), "none") for name in names)
    return Counter(told) if splits else Counter()


def _tails(key: str) -> Iterator[str]:
    """Yield the ends of a path, the whole of it last: a list may name more folders than lie below the media root."""
    parts = [part for part in key.replace("\\", "/").split("/") if part != "."]
    yield from ("/".join(parts[start:]) for start in range(len(parts) - 1, -1, -1))


def _forms(name: str) -> Iterator[str]:
    """Yield by what a list may name an image: the ends of its path, the longest first, with and without its suffix."""
    parts = name.split("/")
    for start in range(len(parts)):
        yield (tail := "/".join(parts[start:]))
        yield os.path.splitext(tail)[0]


def _fiftyone(folder: Path) -> Look | None:
    """Return what lies in a folder that FiftyOne exported a dataset to; None where it is none."""
    path = folder / SAMPLES
    if not (recognised := _recognised(path, MOST_BYTES)) or not isinstance(recognised.member, HoldsFields):
        return None
    rows = columns_of(recognised.content.json, folder)
    splits = Counter(split_of(row["split"]) or "none" for row in rows)
    fields = recognised.member.fields(recognised.content)
    labels = [name for name, role in fields.items() if role == "labels"]
    # The only field of labels is what is meant by none in particular: its name need not be said.
    alone = labels[0] if len(labels) == 1 else None
    addresses = {name: str(path) if name == alone else f"{name}={path}" for name in fields}
    found = [
        Found(f"{role} of FiftyOne, field {name}", recognised.form, [addresses[name]], 1, role=role)
        for name, role in fields.items()
    ]
    return Look(str(folder), len(rows), in_order(splits), found, str(path))


def _numbered_folders(names: Sequence[str]) -> str:
    """Return the pattern of folders that are called alike but for a number, by what the images in them are of; empty for none."""
    folders = {name.rpartition("/")[0].rpartition("/")[2] for name in names}
    parted = [re.fullmatch(r"([A-Za-z]+)([ _-]?)(\d+)", folder) for folder in folders]
    words = {(one[1], one[2]) for one in parted if one}
    if len(folders) < 2 or not all(parted) or len(words) > 1:
        return ""
    ((word, between),) = words
    return f"(?P<{word.lower()}>{word}{between}[0-9]+)/" if word.lower() in GROUPS else ""


def _class_folders(names: Sequence[str], known: frozenset[str] = frozenset()) -> Iterator[Found]:
    """Yield the names of folders as classes: surely where several splits have the same ones, or lists name most of them."""
    folders = class_folders({name.rpartition("/")[0] for name in names})
    splits = FolderSplits(folders)
    classes: dict[str | None, set[str]] = defaultdict(set)
    for folder in set(folders.values()):
        if folder and not splits.names_one(folder) and folder.rpartition("/")[2].lower() not in IMAGE_FOLDERS:
            classes[splits.of(folder)].add(folder.rpartition("/")[2])
    outside = classes.pop(None, set()) if len(classes) > 1 else set()
    named = set().union(*classes.values())
    in_all = set.intersection(*classes.values()) if classes else set()
    # Folders that lie in one split each, such as the cities of a drive, are what splits were made by, and no classes.
    if len(named) > 1 and (in_all or len(classes) == 1):
        shared = len(classes) > 1 and len(in_all) * 2 > len(named)
        shared = shared or len(named & known) * 2 > len(named)
        # What is called alike in several folders may be what these were parted by.
        places = Counter((splits.of(folder), folder.rpartition("/")[2]) for folder in set(folders.values()))
        shared = shared and not outside and max(places.values()) == 1
        shown = ", ".join(sorted(named)[:3])
        kind = f"folders {'of' if shared else 'that may be'} classes, {len(named)} such as {shown}"
        yield Found(kind, FOLDERS, [FOLDERS], len(names), sure=shared, objects=False)


def _class_names(names: Sequence[str]) -> Iterator[Found]:
    """Yield what stands before the numbers in the names of images, as classes that these may be of."""
    said = Counter(one for one in map(class_in, names) if one and may_be_class(one))
    several = {one: count for one, count in said.items() if count > 1}
    shared = sum(several.values())
    if len(several) > 1 and shared * 10 >= said.total() * 9 and shared * 2 > len(names) and shared >= 3 * len(several):
        shown = ", ".join(sorted(several)[:3])
        kind = f"names of images that may hold classes, {len(several)} such as {shown}"
        yield Found(kind, NAMES, [NAMES], len(names), sure=False, objects=False)


def _manifest(path: Path) -> Look | None:
    """Return what a table says of the images that it names; None where it is none."""
    if path.suffix.lower() not in MANIFEST_SUFFIXES or not path.is_file():
        return None
    rows = read_table(path, path.suffix[1:].lower())
    try:
        known = known_columns(rows, "labels", {})
    except ValueError:
        return Look(str(path.parent), 0, {})
    names = keys(known).to_pylist() if known.lines.size else []
    seen = glance_at(path, Pictures(filter(None, names)))
    splits = Counter(split_of(one) or "none" for one in texts(known.column("split"), len(names)).to_pylist())
    found = list(_tables({str(path): seen})) if seen else []
    groups = list(seen.groups) if seen else []
    return Look(str(path.parent), len(names), in_order(splits), found, str(path), groups=groups)


def _list(path: Path) -> Look | None:
    """Return what a list says of the images that it names; None where it is none."""
    if path.suffix.lower() not in LIST_SUFFIXES or not path.is_file():
        return None
    recognised = _recognised(path, MOST_BYTES)
    read = recognised.read() if recognised and recognised.form == "lists" else None
    found = (
        [Found("lists of paths and classes", "lists", [str(path)], 1, objects=False)] if read and read.labels else []
    )
    return Look(str(path.parent), len(read.labels) if read else 0, {}, found, str(path))


def _objects(folder: Path, others: Sequence[Path], names: Sequence[str]) -> Iterator[Found]:
    """Yield annotations of objects: files that are called like an image, and files for many images."""
    images, pictures = {Path(name).stem for name in names} | {Path(name).name for name in names}, Pictures(names)
    files = [path for path in others if path.suffix.lower() in ANNOTATIONS]
    yield from _coco([path for path in files if path.suffix.lower() == ".json"])
    for suffix in ANNOTATIONS:
        own = [path for path in files if path.suffix.lower() == suffix and path.stem in images]
        member = next(filter(None, map(_format_of, own[:TRIED])), None)
        if member and member.per_image:
            yield from _per_image(member, own, folder)
            images = images | {path.stem for path in own}
        else:
            images = images - {path.stem for path in own}
    alike = [path for path in files if path.suffix.lower() == ".json" and path.stem not in images]
    alike = [path for path in alike if pictures.begin(path.stem)]
    if (member := next(filter(None, map(_format_of, alike[:TRIED])), None)) and member.per_image:
        yield from _per_image(member, alike, folder)
    shared: dict[str, list[str]] = defaultdict(list)
    for path in [path for path in files if path.suffix.lower() != ".txt" and path.stem not in images][:TRIED]:
        if (member := _format_of(path)) and not member.per_image and member.name != "coco":
            shared[member.name].append(str(path))
    yield from (Found(formats()[form].title, form, found, len(found)) for form, found in shared.items())


def _lists(others: Sequence[Path], names: Sequence[str], left_out: dict[str, str]) -> Iterator[Found]:
    """Yield lists of images with their classes; those that name images by bare names only where these are of images here.

    Of lists that say the same at several levels the finest is taken; those of numbers stand for each other.
    """
    files = [path for path in others if path.suffix.lower() in {".txt", ".lst"}][:TRIED]
    seen = {path: _seen_list(path) for path in files}
    left_out |= {str(path): fault for path, (_, fault) in seen.items() if fault}
    forms = {path: "other" if fault else form for path, (form, fault) in seen.items()}
    for form in ("lists", "numbered", "widerface"):
        if found := [str(path) for path, one in forms.items() if one == form and not _is_coarse(path)]:
            given = [one for one in found if form != "numbered" or Path(one).name.lower() == NUMBERS]
            labelled = [one for one in given if form != "lists" or not says_splits_alone(Content(Path(one)))]
            if labelled:
                yield Found(formats()[form].title, form, labelled, len(found), objects=form != "lists")
    pictures = Pictures(names if None in forms.values() else ())
    bare = {path: names_in(Content(path)) for path, one in forms.items() if one is None and path.stem not in pictures}
    here = {path: fault for path, (named, fault) in bare.items() if named and pictures.share_of(named) > MOSTLY}
    left_out |= {str(path): fault for path, fault in here.items() if fault}
    if found := [str(path) for path, fault in here.items() if not fault]:
        yield Found("lists of names and classes", "lists", found, len(found), objects=False)
    by_split = [
        path for path, one in forms.items() if one in {None, "lists", "yolo"} and says_splits_alone(Content(path))
    ]
    if found := [str(path) for path in by_split if Pictures(names).share_of(Content(path).text.split("\n")) > MOSTLY]:
        yield Found("lists of images by split", "lists", found, len(found), objects=False, aside=True)


def _seen_list(path: Path) -> tuple[str | None, str]:
    """Return the format of a list, and why most of its lines say nothing of their images.

    The format is None for what is of none, and ``other`` for what cannot be read for a first look.
    """
    recognised = _recognised(path)
    if not recognised:
        return "other", ""
    if not recognised.member or recognised.form != "lists":
        return recognised.form if recognised.member else None, ""
    read = recognised.read()
    refused = [one for one in read.rejected if one.line != WHOLE_FILE]
    if _are_sentences([row["labels"][0] for row in read.labels.values()]):
        return "lists", "sentences stand behind its paths, and no classes"
    return "lists", refused[-1].detail if len(refused) > len(read.labels) else ""


def _are_sentences(labels: Sequence[str]) -> bool:
    """Tell whether most of some texts are of several words and of one image each."""
    long = sum(len(one.split()) > WORDS_OF_A_CLASS for one in labels)
    return long > MOSTLY * len(labels) and len(set(labels)) > MOSTLY * len(labels)


def _is_coarse(path: Path) -> bool:
    """Tell whether a list is of families or makers of aircraft while their variants, or another level, are beside it."""
    level = next((one for one in ("manufacturer", "family") if f"_{one}_" in path.name), None)
    finer = ("family", "variant") if level == "manufacturer" else ("variant",)
    return level is not None and any(path.with_name(path.name.replace(level, one)).is_file() for one in finer)


def _shards(folder: Path, archives: Sequence[Path]) -> Iterator[Found]:
    """Yield tar files that have what is known of their images beside them."""
    shards = [path for path in archives[:TRIED] if says_of_images(path)]
    if shards:
        # What names their classes lies there, too, and is of another format.
        yield Found("WebDataset", "auto", [str(folder)], len(shards))


def _per_image(member: LabelFormat, files: Sequence[Path], folder: Path) -> Iterator[Found]:
    """Yield files of one image each: those of folders in which objects have confidences are a model's."""
    tops = _tops(files, folder)
    under = {top: [path for path in files if path.is_relative_to(top)] for top in tops}
    said = {top: any(map(_is_prediction, inner[:TRIED])) for top, inner in under.items()}
    for role, predicted in (("labels", False), ("predictions", True)):
        if chosen := [top for top in tops if said[top] == predicted]:
            kind = f"{member.title} with confidences" if predicted else member.title
            yield Found(kind, member.name, chosen, sum(len(under[top]) for top in chosen), role=role)


def _format_of(path: Path) -> LabelFormat | None:
    """Return the format of a file that is small enough to be read for a first look; None for what is none."""
    recognised = _recognised(path)
    return recognised.member if recognised else None


def _is_prediction(path: Path) -> bool:
    if not (recognised := _recognised(path)):
        return False
    read = recognised.read()
    sure = [value for row in read.labels.values() for value in row["confidences"] if not math.isnan(value)]
    return bool(sure) or any(one.get("confidence") is not None for one in read.objects)


def _recognised(path: Path, most: int = SMALL) -> Recognised | None:
    status = status_of(str(path))
    if not 0 < status.bytes <= most:
        return None
    known = (status.bytes, status.modified_ns, status.touched)
    return recognise(InputFile(0, path.name, path, "auto", "ground_truth", None, *known))


def _coco(files: Sequence[Path]) -> Iterator[Found]:
    labels = [path for path in files[:TRIED] if _holds(path, b'"images"', b'"annotations"', any_of=OF_COCO)]
    # COCO's own keypoint files hold the same boxes of one class once more.
    if instances := [path for path in labels if path.name.startswith("instances")]:
        labels = [path for path in labels if not path.name.startswith("person_keypoints")] or instances
    scored = [path for path in labels if _holds(path, b'"score"')]
    if found := [str(path) for path in labels if path not in scored]:
        yield Found("COCO", "coco", found, len(found))
    if scored:
        yield Found("COCO with scores", "coco", [str(path) for path in scored], len(scored), role="predictions")
    results = [
        path
        for path in files[:TRIED]
        if path not in labels and _holds(path, b'"image_id"', b'"score"') and _is_coco(path)
    ]
    if results:
        yield Found("COCO results", "coco", [str(path) for path in results], len(results), role="predictions")


def _is_coco(path: Path) -> bool:
    """Tell whether a file is a list, or of COCO; what is too large to be read for a first look is a list if it is any."""
    recognised = None if _head(path).lstrip().startswith(b"[") else _recognised(path, MOST_BYTES)
    return recognised is None or recognised.form == "coco"


def _glances(others: Sequence[Path], names: Sequence[str]) -> dict[str, Glance]:
    """Return what each table seems to hold that has to do with images which are there."""
    paths = [path for path in others if path.suffix.lower() in TABLES]
    pictures = Pictures(names if paths else ())
    # A text that is called like an image says something of that one alone.
    several = [path for path in paths if path.suffix.lower() != ".json" or path.stem not in pictures]
    return {
        str(path): seen
        for path in several[:TRIED]
        if _may_be_table(path) and (seen := glance_at(path, pictures)) is not None
    }


def _may_be_table(path: Path) -> bool:
    """Tell whether a file may hold rows; what is read as a whole only where it is small and of no format of annotations."""
    if path.suffix.lower() not in WHOLE:
        return True
    recognised = _recognised(path)
    return recognised is not None and recognised.form in TABLE_FORMS


def _tables(glances: Mapping[str, Glance]) -> Iterator[Found]:
    """Yield tables of labels and of predictions."""
    for role in ROLES:
        if found := [path for path, one in glances.items() if role in one.roles and not one.aside]:
            objects = any(glances[path].objects for path in found)
            yield Found(f"table of {role}", "auto", found, len(found), role=role, objects=objects)
    if found := [path for path, one in glances.items() if one.aside]:
        yield Found("table of splits", "auto", found, len(found), objects=False, aside=True)


def _files_around(folder: Path) -> Iterator[Path]:
    """Yield what is no image in a folder; of one called like a folder of images, also what lies beside it."""
    yield from _below(folder)
    if folder.name.lower() not in IMAGE_FOLDERS:
        return
    try:
        beside = sorted(folder.parent.iterdir())
    except OSError:
        return
    for path in beside:
        if path.is_dir() and path.name.lower() in LABEL_FOLDERS:
            yield from _below(path)
        elif path.is_file():
            yield path


def _below(folder: Path) -> Iterator[Path]:
    seen = 0
    for inner, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES and not name.startswith("."):
                yield Path(inner) / name
        seen += len(names)
        if seen > MOST_FILES:
            return


def _tops(files: Iterable[Path], folder: Path) -> list[str]:
    """Return the folders that hold some files: those called like labels in and beside a folder, else where the files lie."""
    found = {_top(inner, folder) for inner in {path.parent for path in files}}
    return sorted(str(one) for one in found if not any(other != one and one.is_relative_to(other) for other in found))


def _top(inner: Path, folder: Path) -> Path:
    inside = [one for one in (inner, *inner.parents) if one != folder.parent and one.is_relative_to(folder.parent)]
    called = [one for one in inside if one.name.lower() in LABEL_FOLDERS]
    return called[-1] if called else inner


def _head(path: Path, size: int = 4096) -> bytes:
    try:
        with open_local(path) as file:
            return file.read(size)
    except OSError:
        return b""


def _holds(path: Path, *words: bytes, any_of: Sequence[bytes] = (b"",)) -> bool:
    data = _head(path, MOST_BYTES)
    return all(word in data for word in words) and any(word in data for word in any_of)
