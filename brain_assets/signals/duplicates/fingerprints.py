"""What the home's ledger keeps of a dataset: fingerprints of all contents that it ever had, no pixels."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from brain_assets.incremental.signal import MethodRun, Signal, Whole
from brain_assets.incremental.update import Update, literal
from brain_assets.incremental.vectors import matrix_of
from brain_assets.ledger import entries
from brain_assets.methods.duplicates.fingerprints import CODE_WORDS, Codes, vector_codes
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.store.store import Merge

IMAGES = literal("embeddings")
# Vectors that are held at once.
BLOCK = 8192
PLACES = """
    select place, node from vectors join asked_vectors using (model_version, input_key) where error is null order by node"""
# The last word on each image, where it is that the image goes.
DROPPED = """
    select content_hash, max(said_at) as dropped_at, arg_max(said_by, said_at) as dropped_by
    from (
        from decisions where undone_at is null and kind in ('keep', 'drop', 'confirm') and sample_of(subject_id) = subject_id
        qualify row_number() over (partition by subject_id order by event_id desc) = 1)
    where kind = 'drop' and content_hash is not null group by content_hash"""
CONTENTS = f"""
    select content_hash, any_value(coalesce(phash, 0)) as phash, min(filepath) as name,
        coalesce(list_sort(list(distinct split) filter (split is not null)), []) as splits, min(added_at) as first_seen,
        bool_and(samples.dropped) as dropped, any_value(model_version) as model, any_value(input_key) as input_key
    from samples join media using (content_hash)
    left join (from embeddings where brain_key = {IMAGES}) as embedded on embedded.subject_id = samples.sample_id
    where media.status = 'ok' and samples.error is null group by content_hash order by content_hash"""


def update_fingerprints(update: Update) -> Iterator[Merge]:
    """Bring the ledger's entry of the dataset up to date; what the dataset has no more stays there."""
    import pyarrow.compute as pc

    home, name = update.dataset.home, update.dataset.paths.name
    former = entries.find(home, "dataset", name)
    present = update.query(CONTENTS)
    gone = _gone(former.rows, present) if former else entries.ROWS.empty_table()
    rows = pa.concat_tables([_rows(present, _codes(update, present, former)), gone])
    rows = _with_history(former, rows)
    kept = present.filter(pc.invert(present.column("dropped"))).column("content_hash").combine_chunks()
    entry = entries.write(home, "dataset", name, _with_drops(update, former, rows, kept))
    update.notes |= {"contents": present.num_rows, "remembered": gone.num_rows}
    moved = pc.greater(pc.list_value_length(entry.rows.column("former_splits")), 0)
    remembered = entry.rows.filter(pc.or_(pc.is_valid(entry.rows.column("dropped_at")), moved))
    if remembered.num_rows or entries.find(home, "remembered", name):
        entries.write(home, "remembered", name, remembered)
    yield from ()


def _rows(present: pa.Table, codes: Codes) -> pa.Table:
    count = present.num_rows
    columns = {
        name: present.column(name) for name in ("content_hash", "phash", "model", "name", "splits", "first_seen")
    }
    columns |= {"code": entries.packed(codes), "present": pa.array([True] * count, pa.bool_())}
    nothing = {one.name: pa.nulls(count, one.type) for one in entries.ROWS if one.name not in columns}
    return pa.table(columns | nothing).select(entries.ROWS.names).cast(entries.ROWS)


def _codes(update: Update, found: pa.Table, former: entries.Entry | None) -> Codes:
    """Return the codes of the contents' vectors; only those that are new are read."""
    import pyarrow.compute as pc

    codes = np.zeros((found.num_rows, CODE_WORDS), np.uint64)
    rows = np.full(found.num_rows, -1)
    if former:
        made = former.rows.filter(pc.is_valid(former.rows.column("code")))
        rows = pc.index_in(_pairs(found), value_set=_pairs(made)).fill_null(-1).to_numpy()
        codes[rows >= 0] = entries.codes_of(made)[rows[rows >= 0]]
    missing = np.flatnonzero(rows < 0)
    codes[missing] = codes_of(update, found.take(pa.array(missing)))
    return codes


def _pairs(rows: pa.Table) -> pa.Array:
    """Return content and model of each row as one word."""
    import pyarrow.compute as pc

    named = (rows.column("content_hash"), rows.column("model").fill_null(""))
    return pc.binary_join_element_wise(*named, " ").combine_chunks()


def codes_of(update: Update, rows: pa.Table) -> Codes:
    """Return the codes of the vectors that rows name by ``model`` and ``input_key``, (n, 2) uint64; 0 without one."""
    codes = np.zeros((rows.num_rows, CODE_WORDS), np.uint64)
    asked = rows.select(["model", "input_key"]).rename_columns(["model_version", "input_key"])
    asked = asked.append_column("place", pa.array(np.arange(rows.num_rows)))
    connection = update.dataset.store.connection
    connection.register("asked_vectors", asked)
    known = update.query(PLACES)
    connection.unregister("asked_vectors")
    places, nodes = (known.column(name).to_numpy() for name in ("place", "node"))
    # In the order in which they lie in the database, which reads each of them once.
    for start in range(0, len(nodes), BLOCK):
        block = slice(start, start + BLOCK)
        codes[places[block]] = vector_codes(matrix_of(update, nodes[block]))
    return codes


def _gone(former: pa.Table, rows: pa.Table) -> pa.Table:
    """Return what was remembered of contents that no sample has now: they are in no split any more."""
    import pyarrow.compute as pc

    known = rows.column("content_hash").combine_chunks()
    gone = former.filter(pc.invert(pc.is_in(former.column("content_hash"), value_set=known)))
    nowhere: list[list[str]] = [[]] * gone.num_rows
    return _replaced(gone, present=[False] * gone.num_rows, splits=nowhere)


def _with_history(former: entries.Entry | None, rows: pa.Table) -> pa.Table:
    """Return the rows with the splits that each content was in, and with when it was first seen."""
    import pyarrow.compute as pc

    if former is None:
        return _replaced(rows, former_splits=[[]] * rows.num_rows)
    known = former.rows.column("content_hash").combine_chunks()
    then = former.rows.select(("splits", "former_splits", "first_seen")).take(
        pc.index_in(rows.column("content_hash"), value_set=known)
    )
    seen, before = rows.column("first_seen"), then.column("first_seen")
    first = pc.if_else(pc.less(before, seen).fill_null(False), before, seen)
    moved = pc.or_(
        pc.greater(pc.list_value_length(then.column("former_splits")), 0),
        pc.not_equal(pc.binary_join(then.column("splits"), "\0"), pc.binary_join(rows.column("splits"), "\0")),
    )
    places = np.flatnonzero(moved.fill_null(False).to_numpy())
    of_moved = (table.take(pa.array(places)).to_pylist() for table in (then, rows.select(("splits",))))
    had = [
        sorted({*one["splits"], *one["former_splits"]} - {*now["splits"]}) for one, now in zip(*of_moved, strict=True)
    ]
    ends = np.zeros(rows.num_rows + 1, np.int32)
    ends[places + 1] = [len(one) for one in had]
    words = pa.array([word for one in had for word in one], pa.string())
    return _replaced(rows, former_splits=pa.ListArray.from_arrays(ends.cumsum(dtype=np.int32), words), first_seen=first)


def _with_drops(update: Update, former: entries.Entry | None, rows: pa.Table, kept: pa.Array) -> pa.Table:
    """Return the rows with who dropped them; a content that was there under another name, and stayed, was not dropped."""
    import pyarrow.compute as pc

    said = {row["content_hash"]: row for row in update.query(DROPPED).to_pylist()}
    recorded: dict[str, Any] = {}
    if former:
        noted = former.rows.filter(pc.is_valid(former.rows.column("recorded_at")))
        recorded = dict(zip(*(noted.column(name).to_pylist() for name in ("content_hash", "recorded_at")), strict=True))
    now, stays = (
        update.value("select now()"),
        {*kept.filter(pc.is_in(kept, pa.array([*said], pa.string()))).to_pylist()},
    )
    drops = {
        content: drop | {"recorded_at": recorded.get(content, now)}
        for content, drop in said.items()
        if content not in stays or content in recorded
    }
    contents = rows.column("content_hash")
    found = pc.index_in(contents, value_set=pa.array([*drops], pa.string()))
    told = [*drops.values()]
    return _replaced(
        rows,
        **{
            name: pa.array([one[name] for one in told], entries.ROWS.field(name).type).take(found)
            for name in ("dropped_at", "dropped_by", "recorded_at")
        },
    )


def _replaced(rows: pa.Table, **columns: Any) -> pa.Table:
    """Return rows with other values, lists or arrays, in some columns."""
    arrays = {
        name: pa.array(values, entries.ROWS.field(name).type) if isinstance(values, list) else values
        for name, values in columns.items()
    }
    return pa.table({name: arrays.get(name, rows.column(name)) for name in rows.column_names}).cast(entries.ROWS)


def _state(dataset: Dataset, _: MethodRun) -> str:
    """Return which state of the entry there is: one that was deleted is written again."""
    entry = entries.find(dataset.home, "dataset", dataset.paths.name)
    return entry.version if entry else ""


FINGERPRINTS = Signal(
    name="fingerprints",
    description="What the home's ledger keeps of the dataset: a perceptual hash and a short code of the vector of every content"
    " that it ever had, the splits that it was in, and whether a reviewer dropped it. No pixels.",
    group="duplicates",
    reads=("samples", "media", "embeddings", "vectors", "decisions"),
    update=Whole(update_fingerprints),
    outside=_state,
)
