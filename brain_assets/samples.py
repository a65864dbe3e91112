"""Which images there are: the source's listing, with a hash of every content."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from threading import Lock
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from brain_assets.incremental import Check, Derivation, IssueQuery, MethodRun, Publication, Update
from brain_assets.reviews import holding
from resources.dataset import Dataset
from resources.media_source import Listing, content_hash
from resources.store import Merge

BATCH = 2000
READERS = 8
LARGE_FILE, LARGE_FILE_TURN = 1 << 25, Lock()
READ = pa.schema([("sample_id", pa.string()), ("content_hash", pa.string()), ("error", pa.string())])
SOURCE_STATE = "source_state"


def update_samples(update: Update) -> Iterator[Merge]:
    """List the source, read what is new or touched, and drop what is gone."""
    listing = update.dataset.source.list()
    update.notes |= {"listed": listing.items.num_rows, "source_state": listing.state}
    if listing.unreadable:
        update.notes["unreadable_folders"] = ", ".join(listing.unreadable[:20])
    if not _anything_new(update, listing):
        return
    update.dataset.store.connection.register("listing", listing.items)
    _read_touched(update)
    yield Merge("samples", ROWS, within=_known_to_be_gone(listing))
    yield Merge(
        "files",
        f"{STATES} semi join (from samples where error is null) using (sample_id)",
        within=_known_to_be_gone(listing),
    )
    yield Merge("facts", _fact(SOURCE_STATE, listing.state))


def _anything_new(update: Update, listing: Listing) -> bool:
    """Return whether the source changed, people decided something, or files are left that could not be read."""
    store = update.dataset.store
    if update.since < 0 or store.version(update.derivation.reads) > update.since:
        return True
    failed = store.value("select count(*) from samples where error is not null")
    return bool(failed) or listing.state != store.fact(SOURCE_STATE)


def _read_touched(update: Update) -> None:
    touched = update.query(TOUCHED, [update.dataset.settings.decoding.max_bytes]).to_pylist()
    update.notes["read"] = len(touched)
    with ThreadPoolExecutor(READERS, "read") as pool, tqdm(total=len(touched), desc="read", disable=None) as bar:
        for start in range(0, len(touched), BATCH):
            rows = list(pool.map(partial(_read, update.dataset), touched[start : start + BATCH]))
            bar.update(len(rows))
            _commit_read(update, pa.Table.from_pylist(rows, schema=READ))


def _read(dataset: Dataset, item: dict[str, Any]) -> dict[str, str | None]:
    found: dict[str, str | None] = {"sample_id": item["sample_id"], "content_hash": None, "error": None}
    limit = dataset.settings.decoding.max_bytes
    if item["bytes"] > limit:
        return found | {"error": f"too_large: {item['bytes']} bytes, the limit is {limit} (decoding.max_bytes)"}
    try:
        # One large file at a time, so that memory holds one and not as many as there are readers.
        with LARGE_FILE_TURN if item["bytes"] > LARGE_FILE else nullcontext():
            return found | {"content_hash": content_hash(dataset.source.read(item["uri"]))}
    except (OSError, ValueError) as error:
        return found | {"error": f"unreadable: {getattr(error, 'strerror', None) or error}"}


def _commit_read(update: Update, rows: pa.Table) -> None:
    """Commit a batch of hashes with the file states they were made of, so that a killed run does not read them again."""
    connection = update.dataset.store.connection
    connection.register("read", rows)
    states = f"{STATES} semi join (from read where error is null) using (sample_id)"
    update.commit(Merge("samples", READ_ROWS), Merge("files", states))
    connection.unregister("read")


# What could not be read has no state, so that it is tried again; a limit may have been lowered since a file was read.
TOUCHED = """
    select listing.sample_id, listing.uri, listing.bytes
    from listing left join files using (sample_id, bytes, modified_ns, touched_ns)
    where files.sample_id is null or listing.bytes > ? order by listing.filepath"""
STATES = "select sample_id, bytes, modified_ns, touched_ns from listing"
ROW_COLUMNS = """
    listing.sample_id, listing.filepath, listing.uri, greatest(listing.bytes, 0) as bytes, listing.split, listing.tags,
    make_timestamp_ns(listing.modified_ns)::timestamptz as modified_at,
    coalesce(samples.added_at, now()) as added_at, now() as changed_at,
    coalesce(samples.ordinal, nextval('ordinals')) as ordinal"""
# Who was dropped stays dropped while its content is the one that was looked at.
DROPPED = f"""
    exists (from ({holding("drop")}) as said where said.subject_id = listing.sample_id
        and said.content_hash is not distinct from {{content}}) as dropped"""
READ_ROWS = f"""
    select {ROW_COLUMNS}, read.content_hash, read.error, {DROPPED.format(content="read.content_hash")}
    from listing join read using (sample_id) left join samples using (sample_id)"""
ROWS = f"""
    select {ROW_COLUMNS}, samples.content_hash, samples.error, {DROPPED.format(content="samples.content_hash")}
    from listing join samples using (sample_id)"""


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
    return [MethodRun("samples", named)]


SAMPLES = Derivation(
    name="samples",
    description="Every image of the media source: its stable id, address, content hash and split. Only files that are new or"
    " touched are read; a moved file is recognised by its content. What reviewers dropped stays here, and leaves all signals.",
    group="media",
    reads=("decisions",),
    writes=("samples", "files", "facts"),
    update=update_samples,
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
                content_hash, bytes, width, height, format, split, tags, added_at, changed_at
            from samples left join media using (content_hash) order by filepath""",
            ("samples", "media"),
            {
                "sample_id": "Stable id: hash of the source's name and the path inside it.",
                "uri": "Where the file lies.",
                "filepath": "Path relative to the media root.",
                "status": "ok, error, or dropped by a reviewer; only what is ok has signals.",
                "error": "Why the image cannot be used: a short code and a line; NULL when it can.",
                "content_hash": "BLAKE2b of the file's bytes; NULL when it could not be read.",
                "bytes": "Size of the file.",
                "width": "Width in pixels as displayed, that is after the EXIF orientation.",
                "height": "Height in pixels as displayed.",
                "format": "Format by content, whatever the name says.",
                "split": "train, val, test, or the name that the source gives; NULL without one.",
                "tags": "Tags that the source gives.",
                "added_at": "When the sample was first seen.",
                "changed_at": "When its row last changed.",
            },
        ),
    ),
    issues=(
        IssueQuery(
            """
            select sample_id as subject_id, sample_id, null as object_id, 'unreadable' as issue, 'unreadable' as source,
                1.0 as score, true as is_issue,
                json_object('reason', coalesce(samples.error, media.error), 'bytes', bytes) as evidence
            from samples left join media using (content_hash)
            where (samples.error is not null or media.status = 'error') and not dropped""",
            ("samples", "media"),
        ),
    ),
    metrics={
        "samples": "select count(*) from samples",
        "unreadable": "select count(*) from samples left join media using (content_hash)"
        " where (samples.error is not null or media.status = 'error') and not dropped",
        "unreadable_share": "select coalesce(avg((samples.error is not null or media.status = 'error')::int), 0)"
        " from samples left join media using (content_hash) where not dropped",
    },
)
