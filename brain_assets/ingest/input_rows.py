"""The rows of label and prediction files in the store: which files are read again, and what becomes of those that are gone."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from brain_assets.incremental.signal import Publication
from brain_assets.incremental.update import Update
from brain_assets.ingest.row_texts import row_texts
from brain_assets.resources.label_formats.annotations import GROUND_TRUTH, LABEL_TABLES, PREDICTION_TABLES, Together
from brain_assets.resources.label_formats.door import read_together
from brain_assets.resources.label_formats.input_files import InputFile, InputListing, Role, says_of_others
from brain_assets.resources.store.store import Merge
from brain_assets.resources.tabular import WHOLE_FILE, Reading, Rejected

FILES = pa.schema([
    ("role", pa.string()),
    ("source", pa.int32()),
    ("file", pa.string()),
    ("bytes", pa.int64()),
    ("modified_ns", pa.int64()),
    ("touched_ns", pa.int64()),
    ("image_ids", pa.string()),
    ("folder", pa.string()),
])  # fmt: skip
CLASSES = pa.schema([
    ("source", pa.int32()),
    ("file", pa.string()),
    ("classes", pa.list_(pa.string())),
    ("rows_read", pa.int64()),
])  # fmt: skip
REJECTED = pa.schema([
    ("role", pa.string()),
    ("source", pa.int32()),
    ("file", pa.string()),
    ("line", pa.int64()),
    ("reason", pa.string()),
    ("detail", pa.string()),
    ("row_text", pa.string()),
])  # fmt: skip

OBJECT_TABLES: Mapping[Role, tuple[str, ...]] = {"labels": LABEL_TABLES, "predictions": PREDICTION_TABLES}
Reader = Callable[[InputFile], Mapping[str, Reading]]


@dataclass(frozen=True)
class Changes:
    """What is different in the files of one role since they were last read.

    Attributes
    ----------
    role : str
    listing : InputListing
    touched : list of InputFile
        New or changed.
    gone : bool
        Whether a file that was read is no longer there.
    """

    role: Role
    listing: InputListing
    touched: list[InputFile]
    gone: bool

    def __bool__(self) -> bool:
        return bool(self.touched) or self.gone


def changes(update: Update, role: Role, listing: InputListing) -> Changes:
    """Return which files must be read; all of them where settings or code are others."""
    query = "select source, file, bytes, modified_ns, touched_ns from input_files where role = ?"
    known = {tuple(row) for row in update.dataset.store.rows(query, [role])} if update.since >= 0 else set()
    listed = {(one.source, one.name, one.size, one.modified_ns, one.touched_ns): one for one in listing.files}
    # Other names of classes, or numbers of images, are others of all labels beside them.
    renamed = {source for source, name, *_ in known ^ listed.keys() if says_of_others(name)}
    touched = [file for state, file in listed.items() if state not in known or state[0] in renamed]
    names = {state[:2] for state in listed}
    found = Changes(role, listing, touched, update.since < 0 or any(state[:2] not in names for state in known))
    update.notes |= {"files": len(listed), "files read": len(touched)}
    return found


def merge_files(update: Update, found: Changes, read: Reader, schemas: Mapping[str, pa.Schema]) -> Iterator[Merge]:
    """Read what was touched and yield the rows that shall stand in ``schemas``' tables, with what was rejected."""
    together = [(one, _object_rows(found.role, model, one)) for model, one in read_together(found.touched)]
    known = {(file.source, file.name) for one, _ in together for file in one.files}
    alone = [file for file in found.touched if (file.source, file.name) not in known]
    readings = [(file, _read_safely(read, file, schemas)) for file in alone]
    rejected = [(file, one) for file, tables in readings for one in _rejected(tables)]
    counts = pa.concat_tables([_classes(readings), *(_counted(one, tables) for one, tables in together)])
    read_rows = sum(counts["rows_read"].to_pylist())
    update.notes |= {"rows read": read_rows, "rows rejected": len(rejected)}
    if remarks := [f"{file.name}: {one.note}" for file, tables in readings for one in tables.values() if one.note]:
        update.notes["encodings"] = ", ".join(remarks[:20])
    connection = update.dataset.store.connection
    connection.register(f"{found.role}_touched", _files(found.role, found.touched))
    connection.register(f"{found.role}_listed", _files(found.role, found.listing.files))
    connection.register(f"{found.role}_read", counts)
    stale = _stale(found.role)
    for table, schema in schemas.items():
        parts = [tables[table].table for _, tables in readings if table in tables]
        parts += [tables[table] for _, tables in together if table in tables]
        rows = pa.concat_tables([schema.empty_table(), *parts])
        connection.register(f"{table}_read", rows)
        digest = ", hash(labels, confidences, logits, is_probability) as digest" if table == "prediction_rows" else ""
        yield Merge(table, _row_query(table, digest), within=stale)
    yield Merge("rejected_rows", _rejected_rows(found.role, rejected), within=f"role = '{found.role}' and {stale}")
    yield Merge(
        "input_files",
        f"""select listed.* exclude (folder), if(now_read.rows_read is null, before.classes, now_read.classes) as classes,
                coalesce(now_read.rows_read, before.rows_read) as rows_read
            from {found.role}_listed listed left join {found.role}_read now_read using (source, file)
            left join input_files before on before.role = listed.role and before.source = listed.source
                and before.file = listed.file""",
        within=f"role = '{found.role}'",
    )
    yield Merge("facts", f"select '{found.role}_state' as name, to_json('{found.listing.state}') as value")


def _read_safely(read: Reader, file: InputFile, schemas: Mapping[str, pa.Schema]) -> Mapping[str, Reading]:
    """Return what a file says; one that no reader was prepared for is rejected as a whole, and the others are read."""
    try:
        return with_unique_keys(read(file))
    except Exception as error:  # noqa: BLE001 - whatever is in a file, it must not end the run
        line = " ".join(f"{type(error).__name__}: {error}".split()).encode("utf-8", "backslashreplace").decode()[:300]
        table, schema = next(iter(schemas.items()))
        return {table: Reading(schema.empty_table(), [Rejected(WHOLE_FILE, "unreadable", line)])}


# What may stand once in each file of a table, and how a row is called that repeats it.
UNIQUE = {
    "label_rows": ("key", "duplicate"),
    "label_objects": ("line", "duplicate"),
    "prediction_objects": ("line", "duplicate"),
    "label_categories": ("category", "duplicate"),
}


def with_unique_keys(tables: Mapping[str, Reading]) -> Mapping[str, Reading]:
    """Return what a file says without rows that repeat a key, which are listed.

    Two images of one number make all objects of that number doubtful, unless both have one name: those are rejected.
    """
    found = dict(tables)
    for table, (column, reason) in UNIQUE.items():
        if table in found and (gone := _repeated(found[table].table.column(column))):
            found[table] = _without(found[table], gone, reason, "the file has it once more")
    if "label_images" in found and (gone := _repeated(found["label_images"].table.column("image_id"))):
        numbers = _doubtful(found["label_images"].table)
        found["label_images"] = _without_images(found["label_images"], gone, numbers)
        objects = found["label_objects"].table.column("image_id").to_pylist()
        wrong = [place for place, number in enumerate(objects) if number in numbers]
        found["label_objects"] = _without(
            found["label_objects"], wrong, "duplicate_id", "several images have its image_id"
        )
    return found


def _repeated(column: pa.ChunkedArray) -> list[int]:
    """Return the positions of all values but the first of each."""
    values = column.to_numpy()
    _, first = np.unique(values.astype(str) if values.dtype == object else values, return_index=True)
    return np.setdiff1d(np.arange(len(values)), first).tolist() if len(first) < len(values) else []


def _doubtful(images: pa.Table) -> set[str]:
    """Return the numbers of images that go by several names."""
    names: dict[str, set[str]] = {}
    for number, keys in zip(images.column("image_id").to_pylist(), images.column("keys").to_pylist(), strict=True):
        names.setdefault(number, set()).add(str(keys))
    return {number for number, found in names.items() if len(found) > 1}


def _without_images(images: Reading, repeated: Sequence[int], doubtful: Collection[str]) -> Reading:
    numbers = images.table.column("image_id").to_pylist()
    kept = [number not in doubtful for number in numbers]
    for place in repeated:
        kept[place] = False
    said = [Rejected(WHOLE_FILE, "duplicate_id", f"several images have the id {number}") for number in sorted(doubtful)]
    return replace(images, table=images.table.filter(pa.array(kept)), rejected=[*images.rejected, *said])


def _without(reading: Reading, places: Sequence[int], reason: str, detail: str) -> Reading:
    """Return a reading without the rows at some places, which are listed by their lines."""
    lines = reading.table.column("line") if "line" in reading.table.column_names else None
    listed = [Rejected(lines[place].as_py() if lines else WHOLE_FILE, reason, detail) for place in places]
    kept = np.ones(reading.table.num_rows, bool)
    kept[np.asarray(places, np.int64)] = False
    return replace(reading, table=reading.table.filter(pa.array(kept)), rejected=[*reading.rejected, *listed])


def _row_query(table: str, digest: str) -> str:
    return f"select *{digest} from {table}_read"


def _stale(role: str) -> str:
    """Return the condition of rows of files that were read again, or are gone."""
    return (
        f"((source, file) in (select (source, file) from {role}_touched)"
        f" or (source, file) not in (select (source, file) from {role}_listed))"
    )


def _files(role: str, files: Sequence[InputFile]) -> pa.Table:
    rows = [
        (role, one.source, one.name, one.size, one.modified_ns, one.touched_ns, one.image_ids, one.folder)
        for one in files
    ]
    return pa.table(list(zip(*rows, strict=True)), schema=FILES) if rows else FILES.empty_table()


def _classes(readings: Sequence[tuple[InputFile, Mapping[str, Reading]]]) -> pa.Table:
    rows = []
    for file, tables in readings:
        classes = next((one.classes for one in tables.values() if one.classes), None)
        rows.append((file.source, file.name, classes, sum(one.table.num_rows for one in tables.values())))
    return pa.table(list(zip(*rows, strict=True)), schema=CLASSES) if rows else CLASSES.empty_table()


def _object_rows(role: Role, model: str, together: Together) -> Mapping[str, pa.Table]:
    """Return the rows of files that were read together: people speak as one, whatever a model would be called."""
    return together.tables(GROUND_TRUTH if role == "labels" else model, OBJECT_TABLES[role])


def _counted(together: Together, tables: Mapping[str, pa.Table]) -> pa.Table:
    """Return how many rows were read from each of the files that were read together."""
    rows: Counter[str] = Counter()
    for table in tables.values():
        rows.update({one["values"]: one["counts"] for one in table["file"].value_counts().to_pylist()})
    columns = [[one.source for one in together.files], names := [one.name for one in together.files]]
    return pa.table([*columns, [None] * len(names), [rows[name] for name in names]], schema=CLASSES)


def _rejected(tables: Mapping[str, Reading]) -> list[Rejected]:
    found = {(one.line, one.reason, one.detail): one for reading in tables.values() for one in reading.rejected}
    return list(found.values())


def _rejected_rows(role: Role, rejected: Sequence[tuple[InputFile, Rejected]]) -> pa.Table:
    lines: dict[InputFile, list[int]] = {}
    for file, one in rejected:
        lines.setdefault(file, []).append(one.line)
    texts = {file: row_texts(file, wrong) for file, wrong in lines.items()}
    rows = [
        (role, file.source, file.name, one.line, one.reason, one.detail, texts[file].get(one.line))
        for file, one in rejected
    ]
    return pa.table(list(zip(*rows, strict=True)), schema=REJECTED) if rows else REJECTED.empty_table()


REJECTED_ROWS = """
    select role, file, nullif(line, 0) as line, reason, detail from rejected_rows
    union all select 'labels', rows.file, line, reason, unplaced(key, candidates) from label_rows rows
        join label_names names on names.source = rows.source and names.file = rows.file and name = key and reason is not null
    union all select 'predictions', rows.file, line, reason, unplaced(key, candidates) from prediction_rows rows
        join prediction_names names on names.source = rows.source and names.file = rows.file and name = key
            and reason is not null
    union all select if(model = 'ground_truth', 'labels', 'predictions'), file, line, reason, detail from waiting_objects"""
PUBLICATION = Publication(
    "rejected_rows",
    f"""
    select rejected.*, row_text from ({REJECTED_ROWS}) rejected
    left join (select role, file, line, max(row_text) as row_text from rejected_rows group by all) texts
        using (role, file, line)
    order by role, file, line, reason, detail""",
    {
        "role": "labels or predictions.",
        "file": "The file, below the address that the dataset declares.",
        "line": "The line, from 1; the number of the row in a Parquet file; NULL where the whole file is meant.",
        "reason": "Why the row is not used; no_sample waits for its sample to arrive, ambiguous names several.",
        "detail": "What was found, or the name that means no sample, with the samples that it could mean.",
        "row_text": "What stands in the line of a text file, at most its first 500 characters; NULL where it waits.",
    },
)
