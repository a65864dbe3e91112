"""Published tables in the formats of others' data stacks, where `publish.format` asks for it.

What is written is the published set, so a table is there as a whole or not at all, and no run waits for those who read it. Each
format is a run of its own: one whose destination cannot be written fails alone, after the set itself was published.
"""

import hashlib
import json
import logging
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from brain_assets.incremental.signal import MethodRun, Signal, Whole
from brain_assets.incremental.update import Update, reason
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.alerts import alert
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.store.publishing import manifest_of, open_set, tables_in
from brain_assets.resources.store.store import Merge
from brain_assets.resources.table_formats.door import (
    Place,
    TableFormat,
    make_folder,
    place_of,
    streamed,
    table_format,
    told,
)

NAME = "table_formats"
SUFFIX = "_tables"


@dataclass
class Written:
    """What became of a format: where it was written, of which set, and what is to be said of it.

    Attributes
    ----------
    to : str
    number : int
        The set.
    at : str
        When it was last looked at.
    tables : list of str
        What is there, as it is published.
    left : list of str
        What is there, though it is not published any more.
    error : str or None
        Why it could not be written.
    """

    to: str
    number: int = 0
    at: str = ""
    tables: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    error: str | None = None

    def __str__(self) -> str:
        """Say it in a line."""
        if self.error:
            return f"failed: {self.error}"
        left = f"; not published any more: {', '.join(self.left)}" if self.left else ""
        return f"set {self.number}, {len(self.tables)} tables in {self.to}{left}"


def written(paths: DatasetPaths, formats: Sequence[str]) -> dict[str, Written]:
    """Return what became of formats that a dataset is published in, by the keys of their runs."""
    noted = _noted(paths).get("runs", {})
    return {key: Written(**noted[key]) for key in (f"{name}{SUFFIX}" for name in formats) if key in noted}


def _noted(paths: DatasetPaths) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(paths.formats.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _note(paths: DatasetPaths, noted: Mapping[str, Any]) -> None:
    draft = paths.formats.with_suffix(".draft")
    draft.write_text(json.dumps(noted, indent=1), "utf-8")
    draft.replace(paths.formats)


def _owner(paths: DatasetPaths) -> str:
    """Return what names the dataset in what it has written, also where its folder moves or its store is made anew."""
    noted = _noted(paths)
    if "owner" not in noted:
        _note(paths, noted := {"runs": {}, **noted, "owner": uuid.uuid4().hex})
    return str(noted["owner"])


def update_tables(update: Update) -> Iterator[Merge]:
    """Write the tables of the current set that are others than those that are there."""
    paths, key = update.dataset.paths, update.run.brain_key
    before = written(paths, [update.run.settings["format"]]).get(key)
    try:
        found = _brought_up_to_date(update, before)
    except Exception as error:
        found = Written(**{**vars(before or Written("")), "error": reason(error)})
        if before is None or before.error != found.error:
            message = f"{key} of {NAME}: {found.error}"
            alert(update.dataset.home, paths.name, update.dataset.run_id, message, logging.getLogger("brain").warning)
        raise
    finally:
        noted = _noted(paths)
        noted["runs"][key] = vars(found) | {"at": datetime.now(UTC).isoformat(timespec="seconds")}
        _note(paths, noted)
    yield from ()


def _brought_up_to_date(update: Update, before: Written | None) -> Written:
    settings, paths = update.run.settings, update.dataset.paths
    place = place_of(settings["format"], settings["to"], _owner(paths), paths.folder)
    member = table_format(settings["format"])
    make_folder(member, place)
    found, changed = Written(place.root), []
    with open_set(paths.published) as path:
        said = manifest_of(path) or {}
        found.number = said.get("number", 0)
        files = {name: _files(where) for name, where in tables_in(path).items()}
        wanted = _wanted(settings["tables"], files)
        for table in wanted:
            state = _state(said, path, table, files[table])
            with told(member, place, table):
                if _written(member, place, table, state, files[table]):
                    changed.append(table)
                    member.forget(place, table, timedelta(days=settings["keep_days"]))
            found.tables.append(table)
    gone = {*before.tables, *before.left} - set(wanted) if before and before.to == place.root else set()
    found.left = [table for table in sorted(gone) if _is_there(member, place, table)]
    update.notes |= {
        f"{member.name}: written": ", ".join(changed),
        f"{member.name}: unchanged": len(wanted) - len(changed),
    }
    if found.left:
        update.notes[f"{member.name}: not published any more"] = ", ".join(found.left)
    return found


def _files(where: str) -> list[Path]:
    path = Path(where)
    return sorted(path.parent.glob(path.name)) if "*" in path.name else [path]


def _wanted(named: Sequence[str], there: Collection[str]) -> list[str]:
    unknown = [table for table in named if table not in there]
    if unknown:
        raise ConfigurationError(
            f"publish.tables: there is no table {unknown[0]!r} (tables: {', '.join(sorted(there))})"
        )
    return sorted(set(named) or there)


def _state(said: Mapping[str, Any], path: Path, table: str, files: Sequence[Path]) -> str:
    """Return what is another where the rows or columns of a table are: the checksums of its files in the set."""
    sums = [said["files"][file.relative_to(path).as_posix()]["checksum"] for file in files]
    text = json.dumps([said["columns"].get(table), sums])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _written(member: TableFormat, place: Place, table: str, state: str, files: Sequence[Path]) -> bool:
    """Write a table where its rows are not there already; return whether it was."""
    mark, known = place.mark(state), member.known(place, table)
    if known == mark:
        return False
    if known is not None and known.split(" ")[:2] != mark.split(" ")[:2]:
        raise ConfigurationError(
            f"{member.title}: the table {table} in {place.root} is not of this dataset, and stays as it is: name another place by"
            " publish.to, or delete it"
        )
    member.write(place, table, streamed(files, unsigned=member.unsigned), mark)
    return True


def _is_there(member: TableFormat, place: Place, table: str) -> bool:
    with told(member, place, table):
        return member.known(place, table) is not None


def _runs(dataset: Dataset) -> list[MethodRun]:
    settings = dataset.settings.publish.model_dump(mode="json")
    formats = dict.fromkeys(settings.pop("format"))
    return [MethodRun(f"{name}{SUFFIX}", {"format": name, **settings}) for name in formats]


TABLE_FORMATS = Signal(
    name=NAME,
    description="Published tables as Delta Lake, Iceberg or Lance, in a folder or an object store: only tables that changed are"
    " written, each as a version of its own. Only where publish.format names a format.",
    group="answers",
    reads=(),
    writes=(),
    update=Whole(update_tables),
    runs=_runs,
    always=True,
    on_request=True,
    kinds=("parquet",),
    after=("published",),
)
