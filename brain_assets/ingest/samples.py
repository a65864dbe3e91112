"""Which images there are: the source's listing, with a hash of every content."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from threading import Lock
from typing import Any

import pyarrow as pa

from brain_assets.incremental.signal import Check, Issue, IssueQuery, MethodRun, Publication, Signal, Whole
from brain_assets.incremental.update import Update
from brain_assets.ingest.names import OF_TABLES, resolution
from brain_assets.ingest.reviews import holding
from brain_assets.resources import progress
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.errors import BrainError, Refused, SourceError
from brain_assets.resources.label_formats.input_files import InputListing, list_labels
from brain_assets.resources.label_formats.sample_columns import read_sample_columns
from brain_assets.resources.limits import OUTSIDE
from brain_assets.resources.media.candidates import left_out_told
from brain_assets.resources.media.listing import (
    ITEM,
    Container,
    Listing,
    content_hash,
    distinct,
    groups_of,
    readable,
)
from brain_assets.resources.settings.configuration import DatasetSettings
from brain_assets.resources.store.store import Merge

BATCH = 2000
READERS = 8
LARGE_FILE, LARGE_FILE_TURN = 1 << 25, Lock()
READ = pa.schema([("sample_id", pa.string()), ("content_hash", pa.string()), ("error", pa.string())])
MARKS = pa.schema([("filepath", pa.string()), ("mark", pa.string())])
SOURCE_STATE, LABELS_STATE = "source_state", "label_columns_state"
NAMES = resolution(
    OF_TABLES.format(table="sample_columns"),
    "(select distinct source, file, folder from sample_columns)",
    samples="select sample_id, filepath, uri from listed",
)
WITH_COLUMNS = """
    with said as (
        select sample_id, arg_max(split, place) as split, list_distinct(flatten(list(tags))) as tags,
            list_distinct(flatten(list("groups"))) as "groups"
        from sample_columns columns join ({names}) names
            on names.source = columns.source and names.file = columns.file and name = key
        where sample_id is not null group by sample_id
    )
    select listed.* replace ({split} as split, list_sort(list_distinct(listed.tags || coalesce(said.tags, []))) as tags,
        list_sort(list_distinct(listed."groups" || coalesce(said."groups", []))) as "groups")
    from listed left join said using (sample_id)"""


def update_samples(update: Update) -> Iterator[Merge]:
    """List the source, read what is new or touched, and drop what is gone."""
    listing, store = update.dataset.source.list(), update.dataset.store
    update.notes |= {"source_state": listing.state}
    if listing.unreadable:
        update.notes["unreadable_folders"] = ", ".join(listing.unreadable[:20])
    told = source_told(listing, update.dataset.settings)
    update.notes |= {f"source_{number}": line for number, line in enumerate(told, 1)}
    if not _anything_new(update, listing):
        return
    items, marks = _items(update, listing)
    update.notes["listed"] = items.num_rows
    chosen = first_look(wanted(items, update.dataset.settings), update.dataset.settings.limit)
    items = _with_label_columns(update, with_path_groups(chosen, update.dataset.settings.group_patterns))
    update.notes |= _groups_told(items, update.dataset.settings)
    store.connection.register("listing", items)
    _read_touched(update)
    gone = _known_to_be_gone(listing)
    yield Merge("samples", ROWS, within=gone)
    yield Merge("files", f"{STATES} semi join (from samples where {SETTLED}) using (sample_id)", within=gone)
    yield Merge("containers", marks, within="true")
    yield Merge("facts", _fact(SOURCE_STATE, listing.state))
    yield Merge("facts", _fact(LABELS_STATE, _label_files(update.dataset).state))


def wanted(items: pa.Table, settings: DatasetSettings) -> pa.Table:
    """Return the samples that are large enough and whose path is asked for; of unknown size they are."""
    import pyarrow.compute as pc

    if settings.min_file_size is not None:
        sizes = pc.fill_null(items.column("bytes"), settings.min_file_size)
        items = items.filter(pc.greater_equal(sizes, settings.min_file_size))
    if settings.pattern is not None:
        matches = re.compile(settings.pattern).search
        items = items.filter(
            pa.array([matches(path) is not None for path in items.column("filepath").to_pylist()], pa.bool_())
        )
    return items


def first_look(items: pa.Table, limit: int | None) -> pa.Table:
    """Return as many samples as a first look takes: those with the smallest ids, which fall anywhere in the source."""
    if limit is None or items.num_rows <= limit:
        return items
    return items.sort_by("sample_id").slice(0, limit)


def with_path_groups(items: pa.Table, patterns: Sequence[str]) -> pa.Table:
    """Return the items with the groups that the named parts of regular expressions find in their paths.

    Examples
    --------
    >>> paths = pa.table({"filepath": ["p17/a.png", "b.png"], "groups": [["site=north"], []]})
    >>> with_path_groups(paths, ["p(?P<patient>[0-9]+)/"]).column("groups").to_pylist()
    [['patient=17', 'site=north'], []]
    """
    if not patterns:
        return items
    searches = [re.compile(pattern).search for pattern in patterns]
    found = [
        sorted({*known, *(one for search in searches if (part := search(path)) for one in groups_of(part.groupdict()))})
        for path, known in zip(items.column("filepath").to_pylist(), items.column("groups").to_pylist(), strict=True)
    ]
    place = items.column_names.index("groups")
    return items.set_column(place, "groups", pa.array(found, pa.list_(pa.string())))


def _groups_told(items: pa.Table, settings: DatasetSettings) -> dict[str, str]:
    """Return for each name of groups how many there are, and how many samples are in none."""
    said = [{one.partition("=")[0]: one for one in groups} for groups in items.column("groups").to_pylist()]
    told = {}
    for name in settings.group_names:
        members = [one[name] for one in said if name in one]
        told[f"groups by {name}"] = f"{len(set(members))}, {len(said) - len(members)} samples in none"
    return told


def source_told(listing: Listing, settings: DatasetSettings) -> list[str]:
    """Return what there is to say of a source: which files are no samples, and what it names in vain."""
    without = listing.items.num_rows - wanted(listing.items, settings).num_rows
    unwanted = f"{without} images left out by min_file_size or pattern" if without else ""
    return [line for line in (left_out_told(listing.left_out), unwanted, *listing.told) if line]


def _anything_new(update: Update, listing: Listing) -> bool:
    """Return whether the source changed, people decided something, or files are left that could not be read."""
    store = update.dataset.store
    if update.since < 0 or store.version(update.signal.reads) > update.since:
        return True
    if _label_files(update.dataset).state != store.fact(LABELS_STATE):
        return True
    return bool(store.value(FAILED)) or listing.state != store.fact(SOURCE_STATE)


def _label_files(dataset: Dataset) -> InputListing:
    """Return the files of labels, which may say in which split a sample is; an address that names nothing says nothing."""
    try:
        return list_labels(dataset.settings, dataset.paths)
    except SourceError:
        return InputListing((), "", 0.0)


def _with_label_columns(update: Update, items: pa.Table) -> pa.Table:
    """Return the items with the tags and groups that files of labels give, and with the splits where columns shall give them."""
    columns = read_sample_columns(_label_files(update.dataset).files, update.dataset.settings.group_columns)
    if not columns.num_rows:
        return items
    connection = update.dataset.store.connection
    connection.register("listed", items)
    connection.register("sample_columns", columns.append_column("place", pa.array(range(columns.num_rows))))
    wanted = update.dataset.settings.split_from == "column"
    split = "coalesce(said.split, listed.split)" if wanted else "listed.split"
    return update.query(WITH_COLUMNS.format(split=split, names=NAMES)).cast(ITEM)


def _items(update: Update, listing: Listing) -> tuple[pa.Table, pa.Table]:
    """Return all items, and the marks of the containers that were listed.

    A container whose mark is unchanged is not opened: its members are those that are known. So are those of one that cannot be
    read this time.
    """
    store = update.dataset.store
    marks = dict(store.rows("select filepath, mark from containers"))
    if _label_files(update.dataset).state != store.fact(LABELS_STATE):
        # What is known of members has the splits and tags of labels that were.
        marks = {}
    tables, listed = [listing.items], []
    for container in listing.containers:
        try:
            stands = marks.get(container.filepath) == container.mark
            tables.append(_known(update, container, container.filepath) if stands else container.items())
            listed.append({"filepath": container.filepath, "mark": container.mark})
        except BrainError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a container holds, it must not end the run
            tables += [_known(update, container), container.unreadable(error)]
    return distinct(pa.concat_tables(tables)), pa.Table.from_pylist(listed, schema=MARKS)


def _known(update: Update, container: Container, own: str | None = None) -> pa.Table:
    return update.query(MEMBERS, [container.prefix, own]).cast(ITEM)


def _read_touched(update: Update) -> None:
    touched = update.query(TOUCHED, [update.dataset.settings.decoding.max_bytes]).to_pylist()
    update.notes["read"] = sum(not item["content_hash"] and not item["error"] for item in touched)
    with ThreadPoolExecutor(READERS, "read") as pool, progress.bar("read", len(touched)) as bar:
        for start in range(0, len(touched), BATCH):
            rows = list(pool.map(partial(_read, update.dataset), touched[start : start + BATCH]))
            bar.update(len(rows))
            _commit_read(update, pa.Table.from_pylist(rows, schema=READ))


def _read(dataset: Dataset, item: dict[str, Any]) -> dict[str, Any]:
    limit = dataset.settings.decoding.max_bytes
    found = {"sample_id": item["sample_id"], "content_hash": item["content_hash"], "error": item["error"]}
    if item["error"]:
        return found
    if item["bytes"] > limit:
        error = f"too_large: {item['bytes']} bytes, the limit is {limit} (decoding.max_bytes)"
        return found | {"error": error, "content_hash": None}
    return found if item["content_hash"] else found | _hashed(dataset, item)


def _hashed(dataset: Dataset, item: dict[str, Any]) -> dict[str, Any]:
    """Return the hash of what is read, or the reason why not."""
    try:
        # One large file at a time, so that memory holds one and not as many as there are readers.
        with LARGE_FILE_TURN if item["bytes"] > LARGE_FILE else nullcontext():
            return {"content_hash": content_hash(dataset.source.read(item["uri"]))}
    except Refused as refused:
        return {"error": readable(str(refused))}
    except BrainError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever one item is, it must not end the run
        line = getattr(error, "strerror", None) or (
            str(error) if isinstance(error, OSError | ValueError) else repr(error)
        )
        return {"error": readable(f"unreadable: {line}")}


def _commit_read(update: Update, rows: pa.Table) -> None:
    """Commit a batch of hashes with the file states they were made of, so that a killed run does not read them again."""
    connection = update.dataset.store.connection
    connection.register("read", rows)
    states = f"{STATES} semi join (from read where {SETTLED}) using (sample_id)"
    # Of a first listing nobody knows what was moved.
    moves = [Merge("moves", MOVES)] if update.dataset.store.fact(SOURCE_STATE) else []
    update.commit(*moves, Merge("samples", READ_ROWS), Merge("files", states))
    connection.unregister("read")


# What could not be read has no state, so that it is tried again; a limit may have been lowered since a file was read.
# A member that is damaged inside its archive stays so until the archive changes.
ANOTHER_TIME = " or ".join(f"starts_with(error, '{code}:')" for code in ("unreadable", *OUTSIDE))
SETTLED = f"(error is null or not ({ANOTHER_TIME} or ends_with(error, '(decoding.max_bytes)')))"
FAILED = f"select count(*) from samples where not {SETTLED}"
TOUCHED = """
    select listing.sample_id, listing.uri, listing.bytes, listing.content_hash, listing.error
    from listing left join files using (sample_id, bytes, modified_ns, touched_ns)
    where files.sample_id is null or (listing.bytes > ? and listing.error is null) order by listing.filepath"""
STATES = "select sample_id, bytes, modified_ns, touched_ns from listing"
# Members of a container that did not change, and its own row where it is damaged; those without a state are read again.
MEMBERS = f"""
    select sample_id, filepath, uri, coalesce(files.bytes, samples.bytes) as bytes,
        coalesce(modified_ns, epoch_ns(modified_at)) as modified_ns, coalesce(touched_ns, 0) as touched_ns, split, tags, "groups",
        content_hash, if({SETTLED}, error, null) as error
    from samples left join files using (sample_id) where starts_with(filepath, ?) or filepath = ?"""
ROW_COLUMNS = """
    listing.sample_id, listing.filepath, listing.uri, greatest(listing.bytes, 0) as bytes, listing.split, listing.tags,
    listing."groups",
    make_timestamp_ns(listing.modified_ns)::timestamptz as modified_at,
    coalesce(samples.added_at, now()) as added_at, now() as changed_at,
    coalesce(samples.ordinal, nextval('ordinals')) as ordinal"""
# A file that comes with the content of one that is gone is that file under another name: what was said of it, and of the
# objects in it, counts on.
MOVES = """
    select distinct sample_id, sample_of(said_of) as former_id
    from read join (
        select subject_id, said_of, content_hash from borne_decisions
        union select subject_id, said_of, content_hash from borne_tags) borne using (content_hash)
    where read.error is null and sample_id not in (select sample_id from samples)
        and sample_id != sample_of(said_of) and sample_of(subject_id) not in (select sample_id from listing)"""
# Who was dropped stays dropped while its content is the one that was looked at.
DROPPED = f"""
    exists (from ({holding("drop")}) as said where said.subject_id = listing.sample_id
        and said.content_hash is not distinct from {{content}})"""
READ_ROWS = f"""
    select {ROW_COLUMNS}, read.content_hash, read.error, {DROPPED.format(content="read.content_hash")} as dropped
    from listing join read using (sample_id) left join samples using (sample_id)"""
ROWS = f"""
    select {ROW_COLUMNS}, samples.content_hash, samples.error, {DROPPED.format(content="samples.content_hash")} as dropped
    from listing join samples using (sample_id)"""


# All rows as they are, but for who was dropped: what decisions alone change of them.
DECIDED = f"""
    select listing.* exclude (changed) replace ({DROPPED.format(content="listing.content_hash")} as dropped)
    from samples as listing"""


def _known_to_be_gone(listing: Listing) -> str:
    """Return the condition of rows that are gone when they are not listed: all but those below unreadable folders."""
    folders = [folder.replace("'", "''") + "/" for folder in listing.unreadable]
    below = " or ".join(f"starts_with(filepath, '{folder}')" for folder in folders)
    if not below:
        return "true"
    return f"sample_id not in (select sample_id from samples where {below})"


def _fact(name: str, value: str) -> str:
    return f"select '{name}' as name, to_json('{value}') as value"


def _runs(dataset: Dataset) -> list[MethodRun]:
    settings = dataset.settings
    named = {"media": settings.media, "split_from": settings.split_from, "max_bytes": settings.decoding.max_bytes}
    chosen = {name: getattr(settings, name) for name in ("limit", "min_file_size", "pattern", "groups")}
    return [MethodRun("samples", named | {name: value for name, value in chosen.items() if value})]


# What is decoded again, as something outside of its file was wrong, is not called unreadable yet.
UNREADABLE = "(samples.error is not null or (media.status = 'error' and retry_at is null))"

UNREADABLE_FILE = Issue(
    "unreadable",
    10,
    "Unreadable files",
    "Their stream cannot be decoded to its end.",
    "Export or fetch them again; nothing else is known of them.",
    lambda evidence, labels, partner: str(evidence.get("reason") or ""),
    share=1,
)

SAMPLES = Signal(
    name="samples",
    description="Every image of the media source, inside archives too: its stable id, address, content hash and split. Only"
    " files that are new or touched are read; a moved file is recognised by its content. What reviewers dropped stays here, and"
    " leaves all signals.",
    group="media",
    reads=("decisions", "said_tags"),
    writes=("samples", "files", "containers", "moves", "facts"),
    update=Whole(update_samples),
    runs=_runs,
    always=True,
    checks=(
        Check(
            "every_sample_was_read",
            "select count(*) from samples where content_hash is null and error is null",
            "Each sample has a content hash or a reason why not.",
        ),
    ),
    publishes=(
        Publication(
            "samples",
            """
            select sample_id, uri, filepath,
                case when dropped then 'dropped' when media.status = 'ok' and samples.error is null then 'ok'
                    else 'error' end as status,
                coalesce(samples.error, media.error, if(media.status is null, 'pending: not decoded yet', null)) as error,
                retry_at, content_hash, bytes, width, height, format, split, tags, "groups", taken_at, modified_at, added_at,
                changed_at
            from samples left join media using (content_hash) order by filepath""",
            {
                "sample_id": "Stable id: hash of the source's name and the path inside it.",
                "uri": "Location of the file.",
                "filepath": "Path relative to the media root.",
                "status": "ok, error, or dropped by a reviewer; only what is ok has signals.",
                "error": "Why the image cannot be used: a short code and a line; NULL when it can.",
                "retry_at": "When an image is decoded again that failed for a reason outside of its file, such as a killed"
                " process; NULL where the file is to blame, or no further try is due.",
                "content_hash": "BLAKE2b of the file's bytes; NULL when it could not be read.",
                "bytes": "Size of the file.",
                "width": "Width in pixels as displayed, that is after the EXIF orientation.",
                "height": "Height in pixels as displayed.",
                "format": "Format by content, whatever the name says.",
                "split": "train, val, test, or the name that the source gives; NULL without one.",
                "tags": "Tags that the source gives.",
                "groups": "What it belongs to, as NAME=VALUE: the columns and parts of paths that the setting groups names.",
                "taken_at": "When the picture was taken, by EXIF and without a zone; NULL where it does not say.",
                "modified_at": "When the file was last changed.",
                "added_at": "When the sample was first seen.",
                "changed_at": "When its row last changed.",
            },
        ),
    ),
    issues=(
        IssueQuery(
            f"""
            select sample_id as subject_id, sample_id, null as object_id, 'unreadable' as issue, 'unreadable' as source,
                1.0 as score, true as is_issue,
                json_object('reason', coalesce(samples.error, media.error), 'bytes', bytes) as evidence
            from samples left join media using (content_hash)
            where {UNREADABLE} and not dropped""",
            (UNREADABLE_FILE,),
        ),
    ),
    metrics={
        "samples": "select count(*) from samples where not dropped",
        "unreadable": "select count(*) from samples left join media using (content_hash)"
        f" where {UNREADABLE} and not dropped",
        "unreadable_share": f"select coalesce(avg(({UNREADABLE})::int), 0)"
        " from samples left join media using (content_hash) where not dropped",
    },
    view={"tab": "queue", "issue": UNREADABLE_FILE.name},
)
