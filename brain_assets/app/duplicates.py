"""What a notebook asks of copies: at any threshold or share, as ids, views, numbers to plot.

All of it is answered from the published tables, so that nothing waits for a run and nothing is computed twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.update import literal
from brain_assets.methods.duplicates import duplicates as method
from brain_assets.methods.duplicates import keep_policy as policy
from brain_assets.methods.similarity.queries import pairs_within
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.settings.configuration import DatasetSettings
from brain_assets.signals.duplicates.keeping import TIME, keep_criteria
from brain_assets.signals.duplicates.near_duplicates import linked_by

Rows = NDArray[np.int64]
By = Literal["pixels", "embedding"]
# What a notebook may compare at once; 32 bytes each.
MOST_PAIRS = 20_000_000
FIRST_RADIUS, LARGEST_RADIUS = 0.02, 2.0
OWN = "embeddings"
NO_PAIRS = method.Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
MEMBERS = f"""
    select samples.*, coalesce(group_id, sample_id) as identity, {TIME} as existed_at, not coalesce(keep, true) as is_copy,
        sample_id in (select sample_id from ground_truth where len(labels) > 0
            union select sample_id from objects where source = 'ground_truth') as labelled
    from samples left join exact_duplicates using (sample_id)
    where sample_id in (select sample_id from embeddings where brain_key = {{key}}) order by sample_id"""
VECTORS = """
    select any_value(vector order by sample_id) as vector from embeddings left join exact_duplicates using (sample_id)
    where brain_key = {key} group by coalesce(group_id, sample_id) order by coalesce(group_id, sample_id)"""
LINKS = """
    with members as (
        select sample_id, coalesce(group_id, sample_id) as identity
        from samples left join exact_duplicates using (sample_id))
    select least(a.identity, b.identity) as one, greatest(a.identity, b.identity) as other, min(distance) as distance
    from pairs join members a on a.sample_id = subject_id join members b on b.sample_id = partner_id
    where brain_key = 'near_duplicates' and a.identity != b.identity and {linked} group by all order by all"""


@dataclass(frozen=True)
class Copies:
    """The samples of a dataset, and how far apart those that may be copies are.

    Attributes
    ----------
    rows : pyarrow.Table
        ``samples``, by ascending id, with ``identity``, ``labelled``, ``existed_at`` and ``is_copy``.
    identity : (n,) int64
        Equal for samples with equal bytes or pixels.
    rank : (n,) int64
        0 is kept first.
    measured : method.Pairs, optional
        Of identities, where they were measured; else they follow from ``vectors``.
    vectors : (i, d) float32, optional
        Of identities.
    """

    rows: pa.Table
    identity: Rows
    rank: Rows
    measured: method.Pairs | None
    vectors: NDArray[np.float32] | None

    @property
    def ids(self) -> NDArray[np.object_]:
        """The sample ids."""
        return np.array(self.rows.column("sample_id").to_pylist(), dtype=object)

    @property
    def best(self) -> Rows:
        """The sample that is kept first of each identity."""
        by_rank = np.argsort(self.rank)
        return np.asarray(by_rank[np.unique(self.identity[by_rank], return_index=True)[1]], np.int64)

    @property
    def surplus(self) -> Rows:
        """The other samples of each identity, those that are kept first leading."""
        others = np.setdiff1d(np.arange(len(self.identity)), self.best)
        return np.asarray(others[np.argsort(self.rank[others])], np.int64)

    @property
    def identity_rank(self) -> Rows:
        """The place of each identity in the order of keeping: that of its best sample."""
        return np.argsort(np.argsort(self.rank[self.best]))

    def pairs_within(self, radius: float) -> method.Pairs:
        """Return the pairs of identities at most ``radius`` apart."""
        if self.vectors is None:
            return self.measured.within(radius) if self.measured else NO_PAIRS
        pairs = pairs_within(self.vectors, radius)
        if len(pairs.first) > MOST_PAIRS:
            raise BrainError(
                f"{len(pairs.first)} pairs are too many to compare at once: ask for more samples, a smaller threshold or"
                " a smaller share, or let the run 'selections' choose"
            )
        return pairs

    def pairs_for(self, target: int) -> method.Pairs:
        """Return pairs up to a radius at which no more than ``target`` identities are kept, where there is one."""
        if self.vectors is None:
            return self.pairs_within(np.inf)
        radius = FIRST_RADIUS
        pairs = self.pairs_within(radius)
        while radius < LARGEST_RADIUS and method.greedy_cover(pairs, self.identity_rank).keep.sum() > target:
            radius *= 2
            pairs = self.pairs_within(radius)
        return pairs


@dataclass(frozen=True)
class FoundDuplicates:
    """Which samples are kept at a threshold, and which of them each of the others duplicates.

    Attributes
    ----------
    threshold : float
        NaN where everything or nothing is kept, or where the evidence for each pair decides.
    """

    connection: duckdb.DuckDBPyConnection
    copies: Copies
    cover: method.Cover
    threshold: float

    def __repr__(self) -> str:
        at = "" if np.isnan(self.threshold) else f" at {self.threshold:.4g}"
        return f"<{int((~self.cover.keep).sum())} duplicates of {int(self.cover.keep.sum())} that are kept{at}>"

    @property
    def unique_ids(self) -> list[str]:
        """Ids of the kept samples, ascending."""
        return list(self.copies.ids[self.cover.keep])

    @property
    def duplicate_ids(self) -> list[str]:
        """Ids of the others, ascending."""
        return list(self.copies.ids[~self.cover.keep])

    @property
    def neighbors_map(self) -> dict[str, list[tuple[str, float]]]:
        """Kept id -> (duplicate id, true distance), nearest first; kept samples without duplicates do not appear."""
        ids = self.copies.ids
        return {
            str(ids[kept]): [(str(ids[row]), distance) for row, distance in group]
            for kept, group in method.neighbors_map(self.cover).items()
        }

    def duplicates_view(self, sort_by: method.SortBy = "distance", *, reverse: bool = False) -> duckdb.DuckDBPyRelation:
        """Return the groups one after another, each kept sample followed by its duplicates.

        Parameters
        ----------
        sort_by : {"distance", "count"}
            Order of the groups: by their smallest distance, or by their number of duplicates.
        reverse : bool
            Largest first.

        Returns
        -------
        duckdb.DuckDBPyRelation
            ``place``, ``sample_id``, ``filepath``, ``type`` (nearest or duplicate), ``nearest_id`` and ``distance``.

        Raises
        ------
        ConfigurationError
            If ``sort_by`` is neither.
        """
        try:
            view = method.duplicates_view(self.cover, sort_by, reverse=reverse)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        return self._relation(view.order, view.kind, view.nearest, view.distance)

    def unique_view(self) -> duckdb.DuckDBPyRelation:
        """Return the kept samples by id, as rows of ``samples``."""
        return _samples(self.connection, self.copies, self.cover.keep)

    def scatter(self, brain_key: str = "visualization") -> duckdb.DuckDBPyRelation:
        """Return every sample's place on a map, to be plotted by ``type``, with an edge to ``nearest_id``.

        Parameters
        ----------
        brain_key : str
            The map.

        Returns
        -------
        duckdb.DuckDBPyRelation
            ``sample_id``, ``x``, ``y``, ``z``, ``type`` (unique, nearest or duplicate), ``nearest_id``, ``nearest_x``,
            ``nearest_y``, ``nearest_z`` and ``distance``; samples that are not on the map are left out.
        """
        kinds = method.duplicate_kinds(self.cover)
        everyone = self._relation(np.arange(len(kinds)), kinds, self.cover.nearest, self.cover.distance)
        places = f"select sample_id, x, y, z from visualization where brain_key = {literal(brain_key)}"
        self.connection.register("found_duplicates", everyone.to_arrow_table())
        joined = self.connection.sql(
            f"""select sample_id, here.x, here.y, here.z, type, nearest_id, there.x as nearest_x, there.y as nearest_y,
                there.z as nearest_z, distance
            from found_duplicates join ({places}) here using (sample_id)
            join (select sample_id as nearest_id, x, y, z from ({places})) there using (nearest_id) order by sample_id"""
        ).to_arrow_table()
        self.connection.unregister("found_duplicates")
        return self.connection.from_arrow(joined)

    def _relation(
        self, order: Rows, kind: NDArray[np.str_], nearest: Rows, distance: NDArray[np.float64]
    ) -> duckdb.DuckDBPyRelation:
        files, ids = self.copies.rows.column("filepath"), self.copies.rows.column("sample_id")
        return self.connection.from_arrow(
            pa.table({
                "place": pa.array(range(len(order)), pa.int64()),
                "sample_id": ids.take(pa.array(order)),
                "filepath": files.take(pa.array(order)),
                "type": pa.array(kind.tolist(), pa.string()),
                "nearest_id": ids.take(pa.array(nearest)),
                "distance": pa.array(distance),
            })
        )  # fmt: skip


@dataclass(frozen=True)
class FoundUnique:
    """Samples of which no two are nearer than the threshold, NaN where none was needed."""

    connection: duckdb.DuckDBPyConnection
    copies: Copies
    keep: NDArray[np.bool_]
    threshold: float

    def __repr__(self) -> str:
        return f"<{int(self.keep.sum())} samples that are unlike each other>"

    @property
    def unique_ids(self) -> list[str]:
        """Their ids, ascending."""
        return list(self.copies.ids[self.keep])

    def unique_view(self) -> duckdb.DuckDBPyRelation:
        """Return them by id, as rows of ``samples``."""
        return _samples(self.connection, self.copies, self.keep)


def _samples(
    connection: duckdb.DuckDBPyConnection, copies: Copies, chosen: NDArray[np.bool_]
) -> duckdb.DuckDBPyRelation:
    return connection.from_arrow(
        copies.rows.filter(pa.array(chosen)).drop_columns(["identity", "labelled", "existed_at", "is_copy"])
    )


def find_duplicates(
    connection: duckdb.DuckDBPyConnection,
    settings: DatasetSettings,
    threshold: float | None = None,
    fraction: float | None = None,
    vectors: str | None = None,
) -> FoundDuplicates:
    """Return the duplicates at a threshold, or so many that a share of the samples is dropped.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Sees the published tables.
    settings : DatasetSettings
    threshold : float, optional
        Inclusive; by default what the dataset itself takes for copies.
    fraction : float, optional
        Share of the samples to drop, in [0, 1], instead of a threshold; rounded to a number of samples. Of equally
        distant ones, those that rank last (``near_duplicates.keep``, then the larger id) are dropped.
    vectors : str, optional
        The run of vectors of which 1 - cosine is the distance; by default it is that of the table ``pairs``.

    Raises
    ------
    BrainError
        In one line, if both are given, one is out of range, or there is nothing to answer from.
    """
    if threshold is not None and fraction is not None:
        raise ConfigurationError("give a threshold or a fraction, not both")
    if fraction is not None and not 0 <= fraction <= 1:
        raise ConfigurationError(f"fraction must lie between 0 and 1, not be {fraction}")
    check_threshold(threshold)
    if threshold is None and fraction is None:
        if vectors is not None:
            raise ConfigurationError("a threshold on embeddings has no default: give one, or a fraction")
        own = settings.near_duplicates
        copies = own_copies(connection, settings, own.relations)
        return _found(connection, copies, np.inf, float("nan") if own.threshold is None else own.threshold)
    copies = copies_of(connection, settings, vectors)
    if fraction is not None:
        return _share(connection, copies, round((1 - fraction) * len(copies.identity)))
    limit = np.inf if threshold is None else threshold
    return _found(connection, copies, limit, limit)


def find_unique(
    connection: duckdb.DuckDBPyConnection, settings: DatasetSettings, count: int, vectors: str | None
) -> FoundUnique:
    """Return so many samples that are as unlike each other as can be.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    settings : DatasetSettings
    count : int
    vectors : str, optional
        As for `find_duplicates`.

    Raises
    ------
    BrainError
        In one line, if the count is negative, or the distances do not reach far enough.
    """
    if count < 0:
        raise ConfigurationError(f"count must not be negative, got {count}")
    copies = copies_of(connection, settings, vectors)
    best, identity_rank = copies.best, copies.identity_rank
    # Copies come last: they are at distance 0 from one that was chosen.
    surplus = copies.surplus[: max(count - len(best), 0)]
    try:
        found = method.find_unique(copies.pairs_for(count), identity_rank, count)
    except ValueError as error:
        raise BrainError(f"{error}: ask with by='embedding'") from None
    keep = np.zeros(len(copies.identity), np.bool_)
    keep[best[found.keep]] = True
    keep[surplus] = True
    return FoundUnique(connection, copies, keep, found.threshold)


def own_copies(connection: duckdb.DuckDBPyConnection, settings: DatasetSettings, relations: Sequence[str]) -> Copies:
    """Return the samples with the distances of the pairs that the dataset itself takes for copies.

    Those are the pairs within the threshold set by hand, else those of one of the relations.
    """
    return copies_of(connection, settings, None, linked_by(settings.near_duplicates.threshold, relations))


def check_threshold(threshold: float | None) -> None:
    """Raise ConfigurationError for a threshold that no distance can meet or exceed."""
    if threshold is not None and not 0 <= threshold <= 2:
        raise ConfigurationError(f"threshold must lie between 0 and 2, not be {threshold}")


def _share(connection: duckdb.DuckDBPyConnection, copies: Copies, target: int) -> FoundDuplicates:
    """Keep ``target`` samples, and drop the others at the smallest threshold that drops as many."""
    count, identities = len(copies.identity), len(copies.best)
    own = np.arange(count)
    if target >= count or target <= 0:
        cover = method.Cover(np.full(count, target > 0), own, np.zeros(count), own)
        return FoundDuplicates(connection, copies, cover, float("nan"))
    if target >= identities:
        kept = np.isin(own, np.append(copies.best, copies.surplus[: target - identities]))
        nearest = np.where(kept, own, copies.best[copies.identity])
        return FoundDuplicates(connection, copies, method.Cover(kept, nearest, np.zeros(count), nearest), 0.0)
    try:
        pairs = copies.pairs_for(target)
        found = method.find_duplicates(pairs, copies.identity_rank, fraction=1 - target / identities)
    except ValueError as error:
        raise BrainError(f"{error}: ask with by='embedding'") from None
    cover = method.told_of_copies(found.cover, copies.identity, copies.best)
    return FoundDuplicates(connection, copies, cover, found.threshold)


def _found(connection: duckdb.DuckDBPyConnection, copies: Copies, limit: float, threshold: float) -> FoundDuplicates:
    cover = method.cover_with_copies(copies.pairs_within(limit), copies.identity, copies.rank)
    return FoundDuplicates(connection, copies, cover, threshold)


def compared_by(by: By, brain_key: str) -> str | None:
    """Return the run of vectors that distances are of, None for those of pixels; raises ConfigurationError."""
    if by not in ("pixels", "embedding"):
        raise ConfigurationError(f"by is 'pixels' or 'embedding', not {by!r}")
    return brain_key if by == "embedding" else None


def copies_of(
    connection: duckdb.DuckDBPyConnection, settings: DatasetSettings, vectors: str | None = None, linked: str = "true"
) -> Copies:
    """Return the samples with their vectors of a run, or by default with the distances of the table ``pairs``."""
    rows = connection.sql(MEMBERS.format(key=literal(vectors or OWN))).to_arrow_table()
    if vectors not in (None, OWN) and not len(rows):
        raise MissingError(f"no vectors of images are published of run {vectors!r}")
    names, identity = np.unique(np.array(rows.column("identity").to_pylist(), np.str_), return_inverse=True)
    criteria = keep_criteria(rows, settings.near_duplicates.keep, settings.keep_first)
    rank = policy.keep_rank(criteria, rows.column("sample_id").to_pylist())
    if vectors is not None:
        listed = connection.sql(VECTORS.format(key=literal(vectors))).to_arrow_table().column("vector").combine_chunks()
        values = listed.flatten().to_numpy(zero_copy_only=False)
        matrix = values.reshape(len(names), -1) if len(names) else np.zeros((0, 1), np.float32)
        return Copies(rows, identity.astype(np.int64), rank, None, matrix)
    links = connection.sql(LINKS.format(linked=linked)).to_arrow_table()
    first, second = (
        np.searchsorted(names, np.array(links.column(name).to_pylist(), np.str_)) for name in ("one", "other")
    )
    pairs = method.Pairs(first, second, links.column("distance").to_numpy())
    return Copies(rows, identity.astype(np.int64), rank, pairs, None)


@dataclass(frozen=True)
class Histogram:
    """How many samples have their nearest other how far away, to choose a threshold by.

    Attributes
    ----------
    counts : (bins,) int64
    edges : (bins + 1,) float64
    """

    counts: Rows
    edges: NDArray[np.float64]

    def svg(self, threshold: float | None = None, width: int = 640, height: int = 200) -> str:
        """Return the histogram as an SVG picture, with a line at a threshold."""
        step, highest = width / max(len(self.counts), 1), max(int(self.counts.max(initial=0)), 1)
        bars = "".join(
            f'<rect x="{place * step:.2f}" y="{height * (1 - count / highest):.2f}" width="{step:.2f}"'
            f' height="{height * count / highest:.2f}" fill="#4477aa"/>'
            for place, count in enumerate(self.counts.tolist())
        )
        x = 0.0 if threshold is None else width * (threshold - self.edges[0]) / (self.edges[-1] - self.edges[0])
        line = "" if threshold is None else f'<line x1="{x:.2f}" x2="{x:.2f}" y1="0" y2="{height}" stroke="#ee6677"/>'
        texts = [(0.0, "start", self.edges[0]), (float(width), "end", self.edges[-1])]
        texts += [] if threshold is None else [(x, "middle", threshold)]
        told = "".join(
            f'<text x="{at:.2f}" y="{height + 13}" text-anchor="{anchor}">{value:.3g}</text>'
            for at, anchor, value in texts
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 18}" style="max-width:{width}px"'
            f' font-family="sans-serif" font-size="11" fill="currentColor">{bars}{line}{told}</svg>'
        )


def distance_histogram(connection: duckdb.DuckDBPyConnection, bins: int, brain_key: str) -> Histogram:
    """Return the histogram of distances to the nearest neighbour, as the similarity run ``brain_key`` has them."""
    if bins < 1:
        raise ConfigurationError(f"bins must be at least 1, not {bins}")
    query = "select distance from neighbors where brain_key = ? and rank = 1"
    distances = connection.execute(query, [brain_key]).fetchnumpy()["distance"]
    if not len(distances):
        raise MissingError(f"no neighbours are published of run {brain_key!r}")
    return Histogram(*method.distance_histogram(np.asarray(distances, np.float64), bins))
