"""Which images have to be looked for again in a dataset of the ledger that has changed.

Those that had anything near there, as how rare a match has to be follows from all that is there; and those that are near to
what is new there. All others had nothing there, and have nothing now.
"""

import json
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from brain_assets.incremental.signal import Table
from brain_assets.incremental.update import Update, literal
from brain_assets.ledger import entries
from brain_assets.ledger.looking import Flags, Pictures, near_to, oriented
from brain_assets.methods.duplicates.fingerprints import CODE_WORDS, Codes
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.store.store import Merge

LOOKED = Table(
    "contamination_looked",
    {
        "sample_id": ("varchar", "A sample that has, or had, anything near there."),
        "state": ("varchar", "The last state of what is there that concerned it."),
        "near": ("boolean", "Whether it has."),
    },
    key=("sample_id",),
    published=False,
)
ROWS = Table(
    "contamination_rows",
    {"mark": ("ubigint", "Of a row of what is there, see `Entry.marks`.")},
    key=("mark",),
    published=False,
)
IMAGES = literal("embeddings")
# Of a content with several vectors the ledger has the code of one.
OWN = f"""
    select samples.sample_id, samples.content_hash, phash, phash_mirrored, phash_turned, model_version as model,
        coalesce(looked.near, false) as near,
        coalesce(min(input_key) over contents <> max(input_key) over contents, false) as is_several
    from samples join media using (content_hash)
    left join (from embeddings where brain_key = {IMAGES}) as embedded on embedded.subject_id = samples.sample_id
    left join (from {LOOKED.name} where brain_key = {{key}}) as looked on looked.sample_id = samples.sample_id
    where samples.sample_id in (select sample_id from readable)
    window contents as (partition by samples.content_hash)"""


def note_changes(update: Update, entry: entries.Entry) -> None:
    """Give the images that a change of an entry concerns its new state, which is among what they are judged by."""
    state = update.dataset.store.fact(_name(update.run.brain_key))
    if state == entry.version:
        return
    marks = entry.marks
    known = update.query(f"select mark from {ROWS.name} where {update.rows_of(ROWS.name)}").column(0).to_numpy()
    concerned = LOOKED_ROWS.empty_table()
    if state is not None:
        concerned = _concerned(update, entry, np.flatnonzero(~np.isin(marks, known)))
    gone = f"{update.rows_of(LOOKED.name)} and sample_id not in (select sample_id from samples)"
    with update.write() as transaction:
        transaction.delete(LOOKED.name, gone)
        transaction.merge(update.own(Merge(LOOKED.name, concerned)))
        transaction.merge(update.own(update.replace(ROWS.name, pa.table({"mark": np.unique(marks)}))))
        fact = {"name": _name(update.run.brain_key), "value": json.dumps(entry.version)}
        transaction.put("facts", **fact, changed=transaction.number)


def note_near(update: Update, rows: pa.Table, near: Iterable[int]) -> None:
    """Note which of the samples that were looked for have anything near; of those that never had, nothing is noted."""
    has = np.zeros(rows.num_rows, np.bool_)
    has[[*near]] = True
    noted = pa.table({"sample_id": rows.column("sample_id"), "state": rows.column("looked"), "near": has})
    kept = has | np.array([bool(state) for state in rows.column("looked").to_pylist()], np.bool_)
    with update.write() as transaction:
        transaction.merge(update.own(Merge(LOOKED.name, noted.filter(pa.array(kept)))))


def forget(dataset: Dataset, brain_key: str) -> None:
    """Forget what was seen of an entry that is gone."""
    with dataset.store.write(dataset.run_id, "contamination") as transaction:
        transaction.execute("delete from facts where name = ?", [_name(brain_key)])


LOOKED_ROWS = pa.schema([("sample_id", pa.string()), ("state", pa.string()), ("near", pa.bool_())])


def _name(brain_key: str) -> str:
    return f"looked:{brain_key}"


def _concerned(update: Update, entry: entries.Entry, fresh: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Table:
    """Return the rows of `LOOKED` of those that had anything near, or are near to new rows; of which it is not known, too."""
    rows = update.query(OWN.format(key=update.key))
    codes, known = _codes(update, rows)
    pictures = Pictures(rows.column("content_hash").to_pylist(), oriented(rows), codes, None)
    had, several = (rows.column(name).to_numpy() for name in ("near", "is_several"))
    chosen = pa.array(had | several | ~known | near_to(pictures, entry, fresh))
    found = rows.select(["sample_id", "near"]).filter(chosen)
    states = pa.array([entry.version] * found.num_rows, pa.string())
    return found.append_column("state", states).select(LOOKED_ROWS.names).cast(LOOKED_ROWS)


def _codes(update: Update, rows: pa.Table) -> tuple[Codes, Flags]:
    """Return the codes of the dataset's own images as the ledger has them, and of which it has any."""
    own = entries.find(update.dataset.home, "dataset", update.dataset.paths.name)
    if own is None:
        return np.zeros((rows.num_rows, CODE_WORDS), np.uint64), np.zeros(rows.num_rows, np.bool_)
    places = {pair: place for place, pair in enumerate(_named(own.rows))}
    found = np.array([places.get(pair, -1) for pair in _named(rows)], np.int64)
    return np.vstack([own.codes.codes, np.zeros((1, CODE_WORDS), np.uint64)])[found], found >= 0


def _named(rows: pa.Table) -> Iterable[tuple[str, str | None]]:
    return zip(*(rows.column(name).to_pylist() for name in ("content_hash", "model")), strict=True)
