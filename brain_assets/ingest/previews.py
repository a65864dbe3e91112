"""The pack of previews, kept whole and not much larger than what is in use."""

import pyarrow as pa

from brain_assets.incremental.update import Update
from brain_assets.resources.dataset import PREVIEW_PACK, Dataset, fact
from brain_assets.resources.store.previews import PreviewPack
from brain_assets.resources.store.previews import compact as copy_previews
from brain_assets.resources.store.store import Merge

# A pack below this size is not worth rewriting.
SMALL_PACK = 1 << 22
# The tables whose rows have previews.
TABLES = ("media", "crops")
ADDRESSES = " union all ".join(f"select preview_offset, preview_length from {table}" for table in TABLES)
FORGOTTEN = "select * exclude (changed) replace (null as preview_offset, null as preview_length) from {table}"
MOVED = """
    select {table}.* exclude (changed) replace (moved.place as preview_offset)
    from {table} join moved using (preview_offset)"""


def mend(update: Update) -> None:
    """Forget all addresses when the pack is shorter than they say: it was lost, and what comes next must not be mistaken.

    Packs that were replaced are removed; until now they served readers of what was published before.
    """
    dataset = update.dataset
    for path in dataset.paths.folder.glob("previews*.pack"):
        if path.name != dataset.preview_pack:
            path.unlink()
    if dataset.store.value(f"select coalesce(max(preview_offset + preview_length), 0) from ({ADDRESSES})") > _size(
        dataset
    ):
        update.commit(*(Merge(table, FORGOTTEN.format(table=table)) for table in TABLES))


def compact(update: Update) -> None:
    """Copy the previews into a new pack once more than half of the old one belongs to no row.

    The new addresses and the pack's name are committed together.
    """
    dataset = update.dataset
    used = dataset.store.value(f"select coalesce(sum(preview_length), 0) from ({ADDRESSES})")
    if _size(dataset) <= max(SMALL_PACK, 2 * used):
        return
    live = update.query(f"select * from ({ADDRESSES}) where preview_length is not null")
    addresses = list(zip(*(column.to_pylist() for column in live.columns), strict=True))
    target = dataset.paths.folder / f"previews-{dataset.run_id}.pack"
    try:
        moved = copy_previews(dataset.previews, target, addresses)
    except ValueError as error:
        target.unlink()
        update.notes["previews"] = str(error)
        return
    places = live.select([0]).append_column("place", pa.array([place for place, _ in moved], pa.int64()))
    dataset.store.connection.register("moved", places)
    update.commit(*(Merge(table, MOVED.format(table=table)) for table in TABLES), fact(PREVIEW_PACK, target.name))
    dataset.previews.close()
    dataset.previews = PreviewPack(target)


def _size(dataset: Dataset) -> int:
    pack = dataset.paths.folder / dataset.preview_pack
    return pack.stat().st_size if pack.exists() else 0
