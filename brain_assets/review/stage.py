"""What a program wants the page to show: some images, that pages which it opened follow."""

import threading
from collections.abc import Sequence

import pyarrow as pa

from brain_assets.review.sets import OpenSet
from brain_assets.review.subjects import Row

TABLE = "session_view"


class Stage:
    """The images that a program shows, numbered so that pages notice when they are others.

    Parameters
    ----------
    dataset : str
        Whose images they are.
    """

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.lock = threading.Lock()
        self.number = 0
        self.ids: tuple[str, ...] | None = None

    def show(self, ids: Sequence[str] | None) -> None:
        """Show images by their ids; None for all."""
        with self.lock:
            self.ids = None if ids is None else tuple(ids)
            self.number += 1

    def state(self) -> Row:
        """Return what a page shows now: number, and ``where``, the condition that selects the images (empty for all)."""
        with self.lock:
            where = "" if self.ids is None else f"sample_id in (select sample_id from {TABLE}_{self.number})"
            return {"number": self.number, "where": where}

    def make(self, opened: OpenSet) -> None:
        """Make the table that the condition asks, where it is not made yet."""
        with self.lock, opened.lock:
            name = f"{TABLE}_{self.number}"
            if opened.paths.name != self.dataset or self.ids is None or name in opened.memo:
                return
            cursor = opened.cursor()
            for old in [known for known in opened.memo if known.startswith(TABLE)]:
                cursor.execute(f"drop table {old}")
                del opened.memo[old]
            cursor.register("shown_ids", pa.table({"sample_id": pa.array(self.ids, pa.string())}))
            cursor.execute(f"create table {name} as select * from shown_ids")
            cursor.unregister("shown_ids")
            opened.memo[name] = True
