"""From a graph over distinct contents to neighbours per sample: copies stand at distance 0 and share their lists."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.similarity.similarity import NeighborGraph


@dataclass(frozen=True)
class Members:
    """Which samples share which content.

    Attributes
    ----------
    samples : (m,) int64
        Positions of samples, those of one content together and in the order in which ties are told.
    offsets : (n + 1,) int64
        ``samples[offsets[i]:offsets[i + 1]]`` have content ``i``.
    """

    samples: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, contents: NDArray[np.int64], count: int) -> "Members":
        """Return the members of ``count`` contents, given the content of every sample."""
        samples = np.argsort(contents, kind="stable")
        return cls(samples, np.concatenate([[0], np.cumsum(np.bincount(contents, minlength=count))]))


@dataclass(frozen=True)
class Lists:
    """Neighbours of some samples, as ragged rows.

    Attributes
    ----------
    offsets : (r + 1,) int64
    neighbors : (t,) int64
        Positions of samples.
    distances : (t,) float32
    """

    offsets: NDArray[np.int64]
    neighbors: NDArray[np.int64]
    distances: NDArray[np.float32]


def neighbors_of_samples(
    graph: NeighborGraph, members: Members, contents: NDArray[np.int64], rows: NDArray[np.int64], k: int
) -> Lists:
    """Return the nearest ``k`` other samples of some samples: first the copies of their own content, at distance 0.

    Parameters
    ----------
    graph : NeighborGraph
        Over contents.
    members : Members
    contents : (m,) int64
        The content of every sample.
    rows : (r,) int64
        Samples to tell the neighbours of.
    k : int
        Length of the lists.

    Examples
    --------
    >>> graph = NeighborGraph(np.array([[1], [0]], np.int32), np.array([[0.5], [0.5]], np.float32), np.array([1, 1]))
    >>> contents = np.array([0, 1, 0])
    >>> lists = neighbors_of_samples(graph, Members.of(contents, 2), contents, np.arange(3), 2)
    >>> [row.tolist() for row in np.split(lists.neighbors, lists.offsets[1:-1])]
    [[2, 1], [0, 2], [0, 1]]
    """
    parts = [_expanded(graph, members, contents, rows[at : at + 4096], k) for at in range(0, len(rows), 4096)]
    if not parts:
        return Lists(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    return Lists(
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate([part.neighbors for part in parts]),
        np.concatenate([part.distances for part in parts]),
    )


def _expanded(
    graph: NeighborGraph, members: Members, contents: NDArray[np.int64], rows: NDArray[np.int64], k: int
) -> Lists:
    own = contents[rows]
    listed = np.column_stack([own, graph.neighbors[own]]).astype(np.int64)
    distances = np.column_stack([np.zeros(len(rows), np.float32), graph.distances[own]])
    known = listed >= 0
    row_of, content, distance = np.nonzero(known)[0], listed[known], distances[known]
    sizes = members.offsets[content + 1] - members.offsets[content]
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    neighbor = members.samples[np.repeat(members.offsets[content], sizes) + within]
    row_of, distance = np.repeat(row_of, sizes), np.repeat(distance, sizes)
    other = neighbor != rows[row_of]
    row_of, neighbor, distance = row_of[other], neighbor[other], distance[other]
    place = np.arange(len(row_of)) - np.searchsorted(row_of, row_of)
    kept = place < k
    lengths = np.bincount(row_of[kept], minlength=len(rows))
    return Lists(np.concatenate([[0], np.cumsum(lengths)]), neighbor[kept], distance[kept])
