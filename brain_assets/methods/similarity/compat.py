"""The peer's numbers: similarity, duplicates and leaky splits exactly as FiftyOne Brain computes them, bugs included.

Everything here reproduces observed behaviour of fiftyone-brain 0.25 for those who compare. What users were promised is
in ``duplicates``, ``leaks`` and ``queries``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.duplicates.duplicates import DuplicatesView, SortBy
from brain_assets.methods.similarity.queries import Query

Rows = NDArray[np.int64]
Distances = NDArray[np.float64]
FULL_MATRIX_LIMIT = 15_000
TOLERANCE = 1e-6


class PeerDuplicates(NamedTuple):
    """What the peer's index holds after ``find_duplicates`` or ``find_unique``.

    Attributes
    ----------
    threshold : float or None
        None where all or nothing is kept without a search.
    unique, duplicates : (m,) int64
        Positions, ascending.
    neighbors : dict or None
        Kept position -> [(duplicate, distance), ...], in the peer's order; None after ``find_unique``.
    """

    threshold: float | None
    unique: Rows
    duplicates: Rows
    neighbors: dict[int, list[tuple[int, float]]] | None


def centred_distances(vectors: NDArray[np.floating], metric: str = "cosine") -> Distances:
    """Return the peer's distance matrix: of vectors less their mean, NaN on the diagonal.

    Examples
    --------
    >>> centred_distances(np.array([[0.0], [1.0]]), "euclidean")
    array([[nan,  1.],
           [ 1., nan]])
    """
    from sklearn.metrics import pairwise_distances

    distances = np.asarray(pairwise_distances(vectors - vectors.mean(axis=0, keepdims=True), metric=metric))
    np.fill_diagonal(distances, np.nan)
    return distances


class PeerIndex:
    """The peer's scikit-learn similarity index over vectors, with a state that queries change.

    Parameters
    ----------
    vectors : (n, d) float
        Copied. ``stored`` holds them as the index sees them now.
    metric : str
        A metric of ``sklearn.metrics.pairwise_distances``.
    limit : int
        Number of vectors up to which the full matrix is used; above it, cosine distances become Euclidean ones
        between unit vectors.

    Notes
    -----
    The first query that needs all distances centres the stored vectors in place: later vector queries, and averages of
    several samples, then give other answers than before.

    Examples
    --------
    >>> index = PeerIndex(np.array([[0.0], [1.0], [5.0]]), metric="euclidean")
    >>> index.find_duplicates(1.0).unique
    array([0, 2])
    >>> index.stored.ravel()
    array([-2., -1.,  3.])
    """

    def __init__(self, vectors: NDArray[np.floating], metric: str = "cosine", limit: int = FULL_MATRIX_LIMIT) -> None:
        self.stored: Distances = np.array(vectors, np.float64)
        self.metric = metric
        self.limit = limit
        self._matrix: Distances | None = None

    @property
    def is_large(self) -> bool:
        """Whether the index holds more vectors than the full matrix takes."""
        return len(self.stored) > self.limit

    def find_duplicates(
        self, threshold: float | None = None, fraction: float | None = None, view: Rows | None = None
    ) -> PeerDuplicates:
        """Return the greedy cover in index order, with the peer's distances to the nearest kept.

        Parameters
        ----------
        threshold : float, optional
            Inclusive; with ``fraction``, where the search starts (1 by default).
        fraction : float, optional
            Share to drop.
        view : (m,) int64, optional
            Positions to look at, ascending; distances stay those of the whole index.
        """
        rows = np.arange(len(self.stored)) if view is None else view
        if fraction is None:
            kept, found = self._kept_within(rows, float(threshold or 0.0)), threshold
        else:
            target = round((1.0 - min(max(fraction, 0.0), 1.0)) * len(rows))
            kept, found = self._kept_by_count(rows, target, 1.0 if threshold is None else threshold)
        duplicates = rows[~kept]
        return PeerDuplicates(found, rows[kept], duplicates, self._neighbors(rows[kept], duplicates))

    def find_unique(self, count: int) -> PeerDuplicates:
        """Return what the peer's threshold search for ``count`` kept samples ends with."""
        rows = np.arange(len(self.stored))
        kept, threshold = self._kept_by_count(rows, count, 1.0)
        return PeerDuplicates(threshold, rows[kept], rows[~kept], None)

    def kneighbors(self, k: int) -> tuple[Rows, Distances]:
        """Return (n, k) neighbours without self; a large index gives Euclidean distances of unit vectors for cosine."""
        if not self.is_large:
            matrix = self._distances()
            order = np.argsort(matrix, axis=1, kind="stable")[:, :k]
            return order, np.take_along_axis(matrix, order, axis=1)
        self._centre()
        distances, rows = self._searcher(self.stored).kneighbors(n_neighbors=k)
        return np.asarray(rows, np.int64), np.asarray(distances, np.float64)

    def sort_by_similarity(self, query: Query, view: Rows | None = None) -> tuple[Rows, Distances]:
        """Return the positions in order and their distances, by the rules of the peer; of equals the lower one first."""
        answers = np.arange(len(self.stored)) if view is None else view
        rows = np.asarray(query.rows, np.int64)
        inside = len(rows) > 0 and bool(np.isin(rows, answers).all())
        if inside and not self.is_large and (len(rows) == 1 or query.aggregation != "mean"):
            distances = self._post(self._distances()[np.ix_(rows, answers)], query)
        else:
            distances = self._post(self._from_stored(query, answers), query)
        # The peer's sort leaves the order of equals to the processor; here the position breaks ties.
        order = np.argsort(-distances if query.reverse else distances, kind="stable")[: query.k]
        return answers[order], distances[order]

    def _from_stored(self, query: Query, answers: Rows) -> Distances:
        from sklearn.metrics import pairwise_distances

        asked = self.stored[np.asarray(query.rows, np.int64)] if query.vectors is None else query.vectors
        asked = np.atleast_2d(asked)
        if query.aggregation == "mean":
            asked = asked.mean(axis=0, keepdims=True)
        return np.asarray(pairwise_distances(asked, self.stored[answers], metric=self.metric))

    @staticmethod
    def _post(distances: Distances, query: Query) -> Distances:
        if len(distances) == 1:
            combined = distances[0]
        elif query.aggregation == "post-min":
            combined = np.nanmin(distances, axis=0)
        else:
            combined = (np.nanmax if query.aggregation == "post-max" else np.nanmean)(distances, axis=0)
        return np.where(np.isnan(combined), 0.0, combined)

    def _centre(self) -> None:
        self.stored -= self.stored.mean(axis=0, keepdims=True)

    def _distances(self) -> Distances:
        if self._matrix is None:
            self._matrix = centred_distances(self.stored, self.metric)
            self._centre()
        return self._matrix

    def _kept_within(self, rows: Rows, threshold: float) -> NDArray[np.bool_]:
        near = self._near(rows, threshold)
        keep = np.ones(len(rows), np.bool_)
        for row in range(len(rows)):
            if keep[row]:
                others = near(row)
                keep[others[others > row]] = False
        return keep

    def _near(self, rows: Rows, threshold: float) -> Callable[[int], Rows]:
        if not self.is_large:
            matrix = self._distances()[np.ix_(rows, rows)]
            return lambda row: np.flatnonzero(matrix[row] <= threshold)
        self._centre()
        radius = np.sqrt(2.0 * threshold) if self.metric == "cosine" else threshold
        lists = self._searcher(self.stored[rows]).radius_neighbors(radius=radius, return_distance=False)
        return lambda row: np.asarray(lists[row], np.int64)

    def _searcher(self, vectors: Distances) -> Any:
        from sklearn.neighbors import NearestNeighbors

        vectors = vectors - vectors.mean(axis=0, keepdims=True)
        if self.metric != "cosine":
            return NearestNeighbors(metric=self.metric).fit(vectors)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return NearestNeighbors(metric="euclidean").fit(vectors / np.where(norms > 0, norms, 1.0))

    def _kept_by_count(self, rows: Rows, target: int, threshold: float) -> tuple[NDArray[np.bool_], float | None]:
        if target <= 0 or target >= len(rows):
            return np.full(len(rows), target > 0), None
        lower, upper, last = 0.0, np.inf, -1
        while True:
            kept = self._kept_within(rows, threshold)
            size = int(kept.sum())
            if size == target or (size == last and upper - lower < TOLERANCE) or not np.isfinite(threshold):
                return kept, threshold
            last = size
            if size < target:
                upper, threshold = threshold, 0.5 * (lower + threshold)
            else:
                lower, threshold = threshold, 0.5 * (threshold + upper) if np.isfinite(upper) else 2.0 * threshold

    def _neighbors(self, kept: Rows, duplicates: Rows) -> dict[int, list[tuple[int, float]]]:
        """Map duplicates to kept samples by the distance of a vector that is not unit length to some that are."""
        if not len(kept) or not len(duplicates):
            return {}
        distances, places = self._searcher(self.stored[kept]).kneighbors(self.stored[duplicates], n_neighbors=1)
        groups: dict[int, list[tuple[int, float]]] = {}
        for duplicate, place, distance in zip(duplicates.tolist(), places[:, 0], distances[:, 0], strict=True):
            groups.setdefault(int(kept[place]), []).append((duplicate, float(distance)))
        return {row: sorted(group, key=lambda entry: entry[1]) for row, group in groups.items()}


def peer_duplicates_view(
    found: PeerDuplicates, sort_by: SortBy = "distance", *, reverse: bool = False
) -> DuplicatesView:
    """Return the peer's groups one after another, sorted by its own distances or by count; ties in index order.

    Examples
    --------
    >>> found = PeerIndex(np.array([[0.0], [1.0], [5.0]]), metric="euclidean").find_duplicates(1.0)
    >>> peer_duplicates_view(found).kind.tolist()
    ['nearest', 'duplicate']
    """
    size = (lambda group: group[0][1]) if sort_by == "distance" else len
    groups = sorted((found.neighbors or {}).items(), key=lambda item: size(item[1]), reverse=reverse)
    entries = [(row, kept, d) for kept, group in groups for row, d in [(kept, 0.0), *group]]
    order, nearest = (np.array([entry[place] for entry in entries], np.int64) for place in (0, 1))
    kind = np.where(order == nearest, "nearest", "duplicate")
    return DuplicatesView(order, kind, nearest, np.array([entry[2] for entry in entries], np.float64))


def peer_splits(tags: Sequence[Sequence[str]], names: Sequence[str]) -> dict[int, str]:
    """Return the one split the peer puts each sample into: the last of ``names`` among its tags.

    A dictionary of views given to the peer is taken for a list of tags, its keys; so pass ``list(views)`` as names.

    Examples
    --------
    >>> peer_splits([["train"], ["other"], ["test", "train"]], ["train", "test"])
    {0: 'train', 2: 'test'}
    """
    return {row: name for name in names for row, given in enumerate(tags) if name in given}


def peer_leaks(found: PeerDuplicates, split_of: Mapping[int, str]) -> Rows:
    """Return the peer's leaks in its order: of kept samples against their own duplicates only.

    Examples
    --------
    >>> found = PeerIndex(np.array([[0.0], [1.0], [5.0]]), metric="euclidean").find_duplicates(1.0)
    >>> peer_leaks(found, {0: "train", 1: "test", 2: "test"})
    array([0, 1])
    """
    leaks: list[int] = []
    for kept, group in (found.neighbors or {}).items():
        others = [row for row, _ in group if split_of.get(row, split_of.get(kept)) != split_of.get(kept)]
        if kept in split_of and others:
            leaks += [kept, *others]
    return np.array(leaks, np.int64)


def peer_leaks_for_sample(found: PeerDuplicates, split_of: Mapping[int, str], sample: int) -> Rows:
    """Return the sample, then what the peer calls its leaks.

    Raises
    ------
    KeyError
        As the peer does, if the sample or one of its group is in no split.

    Examples
    --------
    >>> found = PeerIndex(np.array([[0.0], [1.0], [5.0]]), metric="euclidean").find_duplicates(1.0)
    >>> peer_leaks_for_sample(found, {0: "train", 1: "test", 2: "test"}, 1)
    array([1, 0])
    """
    groups = {kept: [row for row, _ in group] for kept, group in (found.neighbors or {}).items()}
    kept = next((kept for kept, group in groups.items() if sample in group), None)
    candidates = groups.get(sample if kept is None else kept, [])
    others = [row for row in candidates if row != sample and split_of[row] != split_of[sample]]
    return np.array([sample, *others] if kept is None else [sample, *others, kept], np.int64)
