"""The cells of a run of many contents as they are stored: fitted, given to those that come, and audited."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.update import Update, literal
from brain_assets.methods.similarity.cells import Cells
from brain_assets.methods.similarity.centers import (
    cells_needed,
    fit_centers,
    nearest_cells,
    recall_of,
    spaced,
    true_neighbors,
)
from brain_assets.methods.similarity.similarity import NeighborGraph
from brain_assets.resources.store.store import Merge

# Contents that are compared with all others, to choose how many cells are near one, and at every run to tell what is missed.
AUDITED = 256
# Centres are fitted anew to so many times the contents, or to so few.
OUTGROWN = 2
# Cells are given up below so much of the limit: a few images more or fewer around it do not build the graph anew each time.
KEPT = 0.9


@dataclass(frozen=True)
class Standing:
    """Cells as they stand.

    Attributes
    ----------
    centers : (c, d) float32
    near : (n, p) int32
        The cells near each content, -1 where it has not been given any yet.
    fitted_to : int
        Contents that there were when the centres were fitted.
    is_new : bool
        Whether they were fitted in this run, so that none of what is stored of graph or cells holds any more.
    """

    centers: NDArray[np.float32]
    near: NDArray[np.int32]
    fitted_to: int
    is_new: bool = False

    @property
    def cells(self) -> Cells:
        """Which contents are compared."""
        return Cells(self.near, len(self.centers))

    def outgrown_by(self, count: int) -> bool:
        """Return whether the contents are so many more or fewer than those the centres were fitted to."""
        return not self.fitted_to <= OUTGROWN * count <= OUTGROWN**2 * self.fitted_to

    def given_to(self, vectors: NDArray[np.float32]) -> "Standing":
        """Return the cells with those that were near nobody yet filled in."""
        bare = np.flatnonzero(self.near[:, 0] < 0)
        near = self.near.copy()
        if len(bare):
            near[bare] = nearest_cells(vectors[bare], self.centers, near.shape[1]).near
        return replace(self, near=near)


def are_needed(update: Update, count: int) -> bool:
    """Return whether so many contents are too many for each to be compared with all."""
    return count > update.dataset.settings.similarity.exact_limit


def are_kept(update: Update, before: Standing, count: int) -> bool:
    """Return whether stored cells hold for so many contents: the limit asked for them, and not many fewer are left."""
    limit = update.dataset.settings.similarity.exact_limit
    return before.fitted_to > limit and count > KEPT * limit


def stored_cells(update: Update, nodes: NDArray[np.int64]) -> Standing | None:
    """Return the stored cells of a run, or None where all are compared with all."""
    of_run = f"where brain_key = {literal(update.run.brain_key)}"
    centers = update.query(f"select center, fitted_to from cells {of_run} order by cell")
    if not len(centers):
        return None
    rows = update.query(f"select node, cells from near_cells {of_run} order by node")
    known = rows.column("node").to_numpy()
    lists = rows.column("cells").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    place = np.searchsorted(known, nodes).clip(max=len(known) - 1)
    near = np.where((known[place] == nodes)[:, None], lists.reshape(len(known), -1)[place], -1).astype(np.int32)
    matrix = centers.column("center").combine_chunks().flatten().to_numpy().reshape(len(centers), -1)
    return Standing(matrix, near, int(centers.column("fitted_to")[0].as_py()))


def fitted(update: Update, vectors: NDArray[np.float32]) -> Standing:
    """Return cells for all contents, so many near each that the share of neighbours asked for is compared."""
    k, metric = update.run.settings["k"], update.run.settings["metric"]
    centers = fit_centers(vectors, round(2 * len(vectors) ** 0.5))
    asked = spaced(len(vectors), AUDITED)
    neighbors, _ = true_neighbors(vectors, asked, k, metric)
    pairs = np.repeat(asked, neighbors.shape[1]), neighbors.ravel()
    needed = cells_needed(vectors, centers, pairs, update.dataset.settings.similarity.recall)
    return Standing(centers, nearest_cells(vectors, centers, needed).near, len(vectors), is_new=True)


def cell_rows(
    update: Update, before: Standing | None, now: Standing | None, nodes: NDArray[np.int64]
) -> Iterator[Merge]:
    """Yield what of the stored cells is to be written: all of new ones, else those of contents that came."""
    if now is None:
        if before is not None:
            yield from (update.drop(table) for table in ("cells", "near_cells"))
        return
    if now.is_new:
        yield update.replace("cells", _center_rows(update, now))
        yield update.replace("near_cells", _near_rows(update, now, nodes, np.arange(len(nodes))))
        return
    came = np.flatnonzero(before.near[:, 0] < 0) if before is not None else np.arange(len(nodes))
    yield update.put("near_cells", _near_rows(update, now, nodes, came), without="node not in (from live_nodes)")


def _center_rows(update: Update, now: Standing) -> pa.Table:
    count, width = now.centers.shape
    return pa.table({
        "brain_key": pa.array([update.run.brain_key] * count, pa.string()),
        "cell": pa.array(np.arange(count, dtype=np.int32)),
        "center": pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * width, now.centers.ravel()),
        "fitted_to": pa.array([now.fitted_to] * count, pa.int64()),
    })  # fmt: skip


def _near_rows(update: Update, now: Standing, nodes: NDArray[np.int64], places: NDArray[np.int64]) -> pa.Table:
    near = now.near[places]
    return pa.table({
        "brain_key": pa.array([update.run.brain_key] * len(places), pa.string()),
        "node": pa.array(nodes[places]),
        "cells": pa.ListArray.from_arrays(np.arange(len(places) + 1, dtype=np.int32) * near.shape[1], near.ravel()),
    })  # fmt: skip


def audit(
    update: Update, graph: NeighborGraph, now: Standing | None, vectors: NDArray[np.float32] | None
) -> Iterator[Merge]:
    """Yield what share of the true neighbours the lists hold: all where all are compared, else by a sample."""
    if now is None:
        yield _recall_row(update, len(graph), "null", "null", "null", 1.0)
    elif vectors is not None:
        asked = spaced(len(vectors), AUDITED)
        _, distances = true_neighbors(vectors, asked, update.run.settings["k"], update.run.settings["metric"])
        recall = recall_of(graph, asked, distances)
        update.notes |= {"cells": len(now.centers), "neighbor_recall": round(recall, 4)}
        yield _recall_row(update, len(graph), len(now.centers), now.near.shape[1], len(asked), recall)


def _recall_row(update: Update, *numbers: object) -> Merge:
    values = ", ".join(
        f"{number} as {name}"
        for name, number in zip(("contents", "cells", "near", "sampled", "recall"), numbers, strict=True)
    )
    return update.replace("neighbor_recall", f"select {update.key} as brain_key, {values}")
