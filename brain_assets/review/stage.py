"""What a program and the pages that it opened show each other: some images, and which of them are selected."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from brain_assets.review.sets import OpenSet
from brain_assets.review.subjects import Row


@dataclass
class Told:
    """Some images, numbered so that it is noticed when they are others.

    Attributes
    ----------
    table : str
        Beginning of the name of the table that holds their ids.
    number : int
        0 before anything was said.
    ids : tuple of str, or None
        None for nothing in particular.
    """

    table: str
    number: int = 0
    ids: tuple[str, ...] | None = None

    def say(self, ids: Sequence[str] | None) -> None:
        """Say that it is these."""
        self.ids = None if ids is None else tuple(ids)
        self.number += 1

    @property
    def where(self) -> str:
        """The condition that selects them; empty where nothing is said."""
        return "" if self.ids is None else f"sample_id in (select sample_id from {self.table}_{self.number})"

    def make(self, cursor: Any, memo: dict[Any, Any]) -> None:
        """Make the table that the condition asks, where it is not made yet."""
        name = f"{self.table}_{self.number}"
        if self.ids is None or name in memo:
            return
        for old in [known for known in memo if isinstance(known, str) and known.startswith(f"{self.table}_")]:
            cursor.execute(f"drop table {old}")
            del memo[old]
        cursor.register("told_ids", pa.table({"sample_id": pa.array(self.ids, pa.string())}))
        cursor.execute(f"create table {name} as select * from told_ids")
        cursor.unregister("told_ids")
        memo[name] = True


class Stage:
    """The images that a program shows, and those that are selected by it or on a page.

    Parameters
    ----------
    dataset : str
        Whose images they are.
    """

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.lock = threading.Lock()
        self._shown, self._selected = Told("session_view"), Told("session_selection")
        self._objects: tuple[str, ...] = ()

    def show(self, ids: Sequence[str] | None) -> None:
        """Show images by their ids; None for all."""
        with self.lock:
            self._shown.say(ids)

    def select(self, ids: Sequence[str], objects: Sequence[str] = ()) -> int:
        """Select images by their ids, and objects in them; return the number of this selection."""
        with self.lock:
            self._selected.say(ids)
            self._objects = tuple(objects)
            return self._selected.number

    @property
    def selected(self) -> tuple[Sequence[str], Sequence[str]]:
        """The ids of the images that are selected, and of the objects in them, where it is these."""
        with self.lock:
            return self._selected.ids or (), self._objects

    def state(self) -> Row:
        """Return what a page shows now: a number and a condition (empty for all) of the images, and of those selected."""
        with self.lock:
            shown, selected = self._shown, self._selected
            return {
                "number": shown.number,
                "where": shown.where,
                "selection": selected.number,
                "selected": selected.where if selected.ids else "",
            }

    def make(self, opened: OpenSet) -> None:
        """Make the tables that the conditions ask."""
        with self.lock, opened.lock:
            if opened.paths.name == self.dataset:
                for told in (self._shown, self._selected):
                    told.make(opened.cursor(), opened.memo)
