"""The one door of label formats: which format a file is in, by its content, and what it says.

A format is an object with the attributes of `LabelFormat`; other packages bring theirs by entry points of the group
``brain_assets.label_formats``. Tables are known here by their suffix and are read elsewhere.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from brain_assets.resources.label_formats.annotations import Annotations, Together, Unusable
from brain_assets.resources.label_formats.content import Content, line_of
from brain_assets.resources.label_formats.gathered import gathered
from brain_assets.resources.label_formats.input_files import TABLES, InputFile, Role
from brain_assets.resources.label_formats.labels import DEFAULT_FIELD
from brain_assets.resources.label_formats.lists import names_in
from brain_assets.resources.settings.configuration import LABEL_FORMATS
from brain_assets.resources.tabular import WHOLE_FILE, Rejected, is_jsonl, objects_of_json

if TYPE_CHECKING:
    from brain_assets.resources.label_formats.labelled import Writer

TABLE_FORMS = frozenset(suffix[1:] for suffix in TABLES)
UNKNOWN = "unknown"
SHOWN = 60
MANY, PROBED, SMALL = 8, 3, 1 << 18
"""From how many files of a folder on it is seen whether they can be read together, of how many, and of how many bytes each."""

PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
}
"""What packed files begin with, and what packs them."""


@runtime_checkable
class LabelFormat(Protocol):
    """How annotations of objects are written in files.

    Attributes
    ----------
    name : str
        What settings call it.
    title : str
        What people call it.
    suffixes : frozenset of str
        Of the files that may be of it, with their dot, in lower case.
    per_image : bool
        Whether each file speaks of one image, so that its name says nothing of a model.
    """

    name: str
    title: str
    suffixes: frozenset[str]
    per_image: bool

    def sniff(self, content: Content) -> bool:
        """Tell by its content whether a file with one of the suffixes is of the format; an error says that it is not."""

    def read(self, content: Content) -> Annotations:
        """Return what a file says; an error costs the whole file, so catch what one odd entry raises."""


@runtime_checkable
class HoldsFields(Protocol):
    """Of a format whose files hold several fields of labels: of people, and of models, whose names are those of the fields."""

    def fields(self, content: Content) -> Mapping[str, Role]:
        """Return which fields a file has, and whether each holds labels or predictions."""

    def read_field(self, content: Content, name: str) -> Annotations:
        """Return what a field says."""


@runtime_checkable
class HoldsColumns(Protocol):
    """Of a format some of whose files say of samples in which split they are, or how they are tagged."""

    def may_hold_columns(self, path: Path) -> bool:
        """Tell by its path whether a file may do so; only then it is read for it."""

    def columns(self, content: Content) -> Sequence[Mapping[str, Any]]:
        """Return ``filepath``, which names a sample, with its ``split`` or None and the list of its ``tags``."""


@runtime_checkable
class ReadsTogether(Protocol):
    """Of a format of a small file per image, thousands of which are read in one pass."""

    def read_together(self, files: Sequence[InputFile]) -> Sequence[Together]:
        """Return what those of them say of which nothing is unusual; all lie in one folder, and others are read one by one."""


@dataclass(frozen=True)
class Recognised:
    """A file whose format is known, or why it is not.

    Attributes
    ----------
    form : str
        A format's name, that of a kind of table such as ``csv``, or ``unknown``.
    file : InputFile
    content : Content
    member : LabelFormat, optional
        What reads it: None for tables and for what is not known.
    fault : str
        What was found instead.
    reason : str
        Why it is not read where it is not: ``unknown_format``, or ``unreadable`` where it is broken.
    """

    form: str
    file: InputFile
    content: Content
    member: LabelFormat | None = None
    fault: str = ""
    reason: str = "unknown_format"

    @property
    def model(self) -> str:
        """The model whose predictions it holds: that of its address, else its name or, where that is an image's, its folder.

        Of a file of several fields it is the one that holds predictions.
        """
        if self.file.model:
            return self.file.model
        if isinstance(self.member, HoldsFields) and len(models := list(self._fields("predictions"))) == 1:
            return models[0]
        if self.member is None or not self.member.per_image:
            return self.file.path.stem
        folders = PurePath(self.file.name).parts[:-1]
        above = self.file.path.parents[len(folders)]
        # Tools write a run's files into its folder `labels`: the run is what the model is called by.
        return folders[0] if folders else above.parent.name if above.name == "labels" else above.name

    def read(self, role: Role = "labels") -> Annotations:
        """Return the objects of the file; what cannot be used is named, not raised."""
        if self.member is None:
            return Annotations(rejected=[Rejected(WHOLE_FILE, self.reason, self.fault)])
        try:
            # To ask whether it is of a protocol takes longer than to read a small file: that it has fields tells the same.
            if self._fields():
                return cast(HoldsFields, self.member).read_field(self.content, self._field(role))
            return self.member.read(self.content)
        except Unusable as fault:
            return Annotations(rejected=[Rejected(WHOLE_FILE, *fault.args)])
        except Exception as error:  # noqa: BLE001 - parsers raise anything, and no file may end a run
            return Annotations(rejected=[Rejected(WHOLE_FILE, "unreadable", line_of(error))])

    def _field(self, role: Role) -> str:
        """Return the field that is meant: the one that is named, else the only one that there is."""
        wanted = self.file.model if role == "predictions" else self.file.field
        known = self._fields()
        if wanted in known:
            return wanted
        said = bool(self.file.model) if role == "predictions" else self.file.field != DEFAULT_FIELD
        if not said and len(found := list(self._fields(role))) == 1:
            return found[0]
        told = ", ".join(f"{name} ({of})" for name, of in known.items()) or "none"
        raise Unusable(
            "which_field", f"say which field is meant, as in --{role} FIELD={self.file.path.name}; fields: {told}"
        )

    def _fields(self, role: Role | None = None) -> dict[str, Role]:
        fields = getattr(self.member, "fields", None)
        given: Mapping[str, Role] = fields(self.content) if fields else {}
        return {name: of for name, of in given.items() if role in {None, of}}


def recognise(file: InputFile) -> Recognised:
    """Return in which format a file is: the declared one, else by its content; a table by its suffix."""
    content, members = Content(file.path, file.size), formats()
    if file.format != "auto":
        member = members.get(file.format)
        known = member is not None or file.format in TABLE_FORMS
        return Recognised(
            file.format if known else UNKNOWN, file, content, member, f"no format is called {file.format}"
        )
    suffix = file.suffix
    for name, member in members.items():
        if suffix in member.suffixes and _sniffed(member, content):
            return Recognised(name, file, content, member)
    if file.suffix in TABLES and _holds_table(content):
        return Recognised(file.suffix[1:], file, content)
    try:
        fault = f"{_what(content)}; understood are {', '.join(_titles())}"
    except Exception as error:  # noqa: BLE001 - damaged in any way
        return Recognised(UNKNOWN, file, content, None, line_of(error), "unreadable")
    return Recognised(UNKNOWN, file, content, None, fault)


# What was left out, by its entry point, and why.
LEFT_OUT: dict[str, str] = {}


def read_together(files: Sequence[InputFile]) -> list[tuple[str, Together]]:
    """Return what many files say that lie beside others of their format, with the model that each folder's are of.

    What is not among them is to be read file by file; the rows are the same either way.
    """
    folders: dict[tuple[int, str], list[InputFile]] = {}
    for one in files:
        folders.setdefault((one.source, one.name.rpartition("/")[0]), []).append(one)
    return [one for beside in folders.values() if len(beside) >= MANY for one in _read_folder(beside)]


def _read_folder(files: Sequence[InputFile]) -> Iterator[tuple[str, Together]]:
    """Yield what the files of a folder say, if they are of one image each, as the content of some of them shows."""
    known = next((one for one in map(recognise, files[:PROBED]) if _is_of_image(one)), None)
    if known is None:
        return
    done = set[str]()
    if isinstance(known.member, ReadsTogether):
        for one in known.member.read_together(files):
            done.update([file.name for file in one.files])
            yield known.model, one
    # Those of some size cost what there is in them, and not that they are files.
    others = (file for file in files if file.name not in done and file.size <= SMALL)
    read = ((file, found.read()) for file in others if _is_of_image(found := recognise(file)))
    yield from ((known.model, one) for one in gathered(read))


def _is_of_image(known: Recognised) -> bool:
    """Tell whether a file is one of an image of its own, in one field."""
    return known.member is not None and known.member.per_image and not hasattr(known.member, "fields")


@cache
def formats() -> Mapping[str, LabelFormat]:
    """Return all formats of annotations by name: those of the house, then those of other packages."""
    from brain_assets.resources.label_formats.house import READ  # Loaded with the first file: most runs read none.

    found: dict[str, LabelFormat] = {one.name: one for one in READ}
    for entry in sorted(entry_points(group=LABEL_FORMATS), key=lambda one: (one.name, one.value)):
        try:
            loaded = entry.load()
            member = loaded() if isinstance(loaded, type) else loaded
            _check(entry.name, member, found)
        except Exception as error:  # noqa: BLE001 - whatever a foreign module raises
            named = f"{entry.name} = {entry.value}"
            LEFT_OUT[named] = line_of(error)
            logging.getLogger("brain").warning(f"label format {named} is left out: {LEFT_OUT[named]}")
        else:
            found[entry.name] = member
    return found


@cache
def writers() -> "Mapping[str, Writer]":
    """Return everything that datasets are written as, by name: formats that write, and those of whole images."""
    from brain_assets.resources.label_formats.house import WRITTEN
    from brain_assets.resources.label_formats.labelled import Writer

    own = [one for one in formats().values() if isinstance(one, Writer)]
    return {one.name: one for one in (*own, *WRITTEN)}


def _check(name: str, member: object, known: Mapping[str, LabelFormat]) -> None:
    if not isinstance(member, LabelFormat):
        raise TypeError(f"a LabelFormat is wanted, not {type(member).__name__}")
    if member.name != name:
        raise ValueError(f"its name is {member.name!r}, its entry point's {name!r}")
    if name in known or name in TABLE_FORMS:
        raise ValueError(f"there is a format {name!r} already")


def _sniffed(member: LabelFormat, content: Content) -> bool:
    try:
        return bool(member.sniff(content))
    except Exception:  # noqa: BLE001 - what is not of a format fails in any way
        return False


def _holds_table(content: Content) -> bool:
    """Tell whether a file whose suffix says table holds one; JSON may be anything."""
    if content.suffix != ".json":
        return True
    try:
        return is_jsonl(content.data) or bool(objects_of_json(content.json))
    except Exception:  # noqa: BLE001 - what is no table fails in any way
        return False


def _titles() -> list[str]:
    return [one.title for one in formats().values()] + [f"tables ({', '.join(sorted(TABLES))})"]


def _what(content: Content) -> str:
    """Return in a few words what a file holds; raises anything where it is damaged."""
    if packed := next((name for mark, name in PACKED.items() if content.data.startswith(mark)), None):
        return f"a file packed by {packed}, which is to be unpacked"
    if content.suffix == ".json":
        return json_in_words(content.json)
    if content.suffix == ".xml":
        return f"XML with the root <{content.xml.tag}>"
    named, fault = names_in(content)
    hint = (
        f"; {fault}"
        if fault
        else "; where each line is a name and a class, say that its format is lists"
        if named
        else ""
    )
    return f"text that begins {content.text.lstrip()[:SHOWN]!r}{hint}"


def json_in_words(tree: object) -> str:
    """Return in a few words what JSON holds."""
    if isinstance(tree, dict):
        return f"a JSON object with {', '.join(map(str, list(tree)[:8])) or 'nothing in it'}"
    if isinstance(tree, list) and tree:
        return f"a JSON list whose first entry is {json_in_words(tree[0])}"
    return f"JSON that is a {type(tree).__name__}"
