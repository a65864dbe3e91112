"""What computing gives back: scores, indexes, maps, duplicates and leaks, under the names that people know."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import numpy as np
from numpy.typing import ArrayLike, NDArray

from brain_assets.app import views
from brain_assets.app.api import DatasetReader
from brain_assets.app.duplicates import OWN, By, FoundDuplicates, FoundUnique
from brain_assets.app.pictures import Picture, gallery, scatter
from brain_assets.app.views import View
from brain_assets.incremental.update import literal
from brain_assets.python.datasets import whole
from brain_assets.resources.errors import ConfigurationError, MissingError

Ids = Iterable[str]


@dataclass(frozen=True)
class Scores:
    """A score of every sample, as a declared run keeps it current.

    Attributes
    ----------
    samples : DatasetReader
        The dataset, or the view that was asked about.
    brain_key : str
        The run whose rows these are; for labels the field.
    table, column : str
        Where the score is published.
    condition : str
        Which rows of the table are meant.
    names : mapping of str to str
        What some columns are called instead.
    """

    samples: DatasetReader
    brain_key: str
    table: str
    column: str
    condition: str
    names: Mapping[str, str] = field(default_factory=dict)

    def relation(self) -> duckdb.DuckDBPyRelation:
        """Return ``sample_id``, ``filepath`` and the table's own columns, by file."""
        named = ", ".join(f'{column} as "{name}"' for column, name in self.names.items())
        rows = f"select *{f' rename ({named})' if named else ''} from {self.table} where {self.condition}"
        return self.samples.sql(f"""
            select filepath, scores.* from ({rows}) scores join (select sample_id, filepath from samples) using (sample_id)
            order by filepath""")

    def df(self) -> Any:
        """Return the relation as a pandas frame."""
        return self.relation().to_arrow_table().to_pandas()

    @property
    def values(self) -> dict[str, float | None]:
        """Sample id -> score."""
        return dict(self.relation().project(f"sample_id, {self.column}").fetchall())

    def sort(self, *, reverse: bool = False) -> View:
        """Return the samples by their score, the lowest first."""
        way = "desc" if reverse else "asc"
        rows = self.relation().order(f"{self.column} {way} nulls last, sample_id").project("sample_id").fetchall()
        return self.samples.select([row[0] for row in rows], ordered=True)

    def __repr__(self) -> str:
        return f"<{self.column} of {len(self.values)} samples, run {self.brain_key}>"

    def _repr_html_(self) -> str:
        scored = self.relation().filter(f"{self.column} is not null").order(f"{self.column}, sample_id")
        rows = scored.project(f"sample_id, filepath || ': ' || round({self.column}, 3)").fetchall()
        return gallery(self.samples, [rows[:6], rows[-6:]], f"{repr(self).strip('<>')}: lowest and highest").html


@dataclass
class SimilarityIndex:
    """Vectors that answer what is like what, and what is a copy of what at any threshold.

    Attributes
    ----------
    samples : DatasetReader
        The dataset, or the view that answers come from.
    brain_key : str
        The run of the vectors.
    neighbors_key : str
        The run of nearest neighbours over them.
    metric : str
    found : FoundDuplicates or FoundUnique, optional
        What was found last.
    """

    samples: DatasetReader
    brain_key: str = "embeddings"
    neighbors_key: str = "neighbors"
    metric: str = "cosine"
    found: FoundDuplicates | FoundUnique | None = field(default=None, repr=False)

    @property
    def total_index_size(self) -> int:
        """Vectors of the whole dataset."""
        return int(whole(self.samples).sql(f"select count(*) {self._rows}").fetchall()[0][0])

    @property
    def index_size(self) -> int:
        """Vectors of the samples that were asked about."""
        return int(self.samples.sql(f"select count(*) {self._rows}").fetchall()[0][0])

    @property
    def missing_size(self) -> int:
        """Samples that were asked about and have no vector."""
        without = f"select count(*) from samples where sample_id not in (select sample_id {self._rows})"
        return int(self.samples.sql(without).fetchall()[0][0])

    @property
    def sample_ids(self) -> list[str]:
        """The sample of each vector, in the order of `get_embeddings`."""
        return self.get_embeddings()[1]

    @property
    def label_ids(self) -> list[str] | None:
        """The object of each vector, of an index of objects."""
        return self.get_embeddings()[2]

    def get_embeddings(self, ids: Ids | None = None) -> tuple[NDArray[np.float32], list[str], list[str] | None]:
        """Return vectors with the ids of their samples and, of objects, of those.

        Parameters
        ----------
        ids : iterable of str, optional
            Of samples or objects; all by default.
        """
        query = f"select sample_id, object_id, vector {self._rows}"
        if ids is not None:
            query += f" and coalesce(object_id, sample_id) in ({', '.join(map(literal, ids)) or 'null'})"
        rows = self.samples.sql(f"{query} order by coalesce(object_id, sample_id)").fetchall()
        objects = [row[1] for row in rows]
        matrix = np.array([row[2] for row in rows], np.float32)
        return matrix, [row[0] for row in rows], objects if any(objects) else None

    def sort_by_similarity(
        self,
        query: str | Sequence[str] | ArrayLike,
        k: int | None = None,
        *,
        reverse: bool = False,
        aggregation: str = "mean",
    ) -> View:
        """Return the samples by how like they are to a query, the query itself first.

        Parameters
        ----------
        query : str, sequence of str, or array
            Ids or paths, vectors, or a text where the model embeds text.
        k : int, optional
            So many; all by default.
        reverse : bool
            The least like first.
        aggregation : {"mean", "post-mean", "post-min", "post-max"}

        Returns
        -------
        View
            In this order; `distances` tells how far each is away.
        """
        rows = self.distances(query, k, reverse=reverse, aggregation=aggregation).fetchall()
        return self.samples.select(dict.fromkeys(row[2] for row in rows), ordered=True)

    def distances(
        self,
        query: str | Sequence[str] | ArrayLike,
        k: int | None = None,
        *,
        reverse: bool = False,
        aggregation: str = "mean",
    ) -> duckdb.DuckDBPyRelation:
        """Return ``rank``, ``subject_id``, ``sample_id``, ``filepath`` and ``distance`` of what `sort_by_similarity` shows."""
        options = {"farthest": reverse, "aggregate": aggregation, "metric": self.metric, "brain_key": self.brain_key}
        return self.samples.similar(query, k=k or max(self.total_index_size, 1), **options)

    def find_duplicates(self, thresh: float | None = None, fraction: float | None = None) -> FoundDuplicates:
        """Find copies: of each group one is kept, and no two kept ones are nearer than the threshold.

        Parameters
        ----------
        thresh : float, optional
            Of 1 - cosine of the vectors, inclusive. Without it and without a fraction, the evidence of pixels decides, as in
            ``near_duplicates``.
        fraction : float, optional
            Share of the samples to drop, instead of a threshold.
        """
        self._require_images()
        own = thresh is None and fraction is None and self.brain_key == OWN
        by: By = "pixels" if own else "embedding"
        self.found = self.samples.find_duplicates(thresh, fraction=fraction, by=by, brain_key=self.brain_key)
        return self.found

    def find_unique(self, count: int) -> FoundUnique:
        """Find so many samples that are as unlike each other as can be."""
        self._require_images()
        self.found = self.samples.find_unique(count, brain_key=self.brain_key)
        return self.found

    @property
    def thresh(self) -> float:
        """The threshold of what was found last."""
        return self._last().threshold

    @property
    def unique_ids(self) -> list[str]:
        """What is kept."""
        return self._last().unique_ids

    @property
    def duplicate_ids(self) -> list[str]:
        """What duplicates something that is kept."""
        return self._duplicates().duplicate_ids

    @property
    def neighbors_map(self) -> dict[str, list[tuple[str, float]]]:
        """Kept id -> (duplicate id, distance), nearest first."""
        return self._duplicates().neighbors_map

    def duplicates_view(
        self,
        type_field: str | None = None,
        id_field: str | None = None,
        dist_field: str | None = None,
        sort_by: str = "distance",
        *,
        reverse: bool = False,
    ) -> duckdb.DuckDBPyRelation:
        """Return each kept sample followed by its duplicates, with columns under the names that are asked for."""
        found = self._duplicates().duplicates_view("count" if sort_by == "count" else "distance", reverse=reverse)
        if sort_by not in {"distance", "count"}:
            raise ConfigurationError(f"sort_by is 'distance' or 'count', not {sort_by!r}")
        names = {"type": type_field, "nearest_id": id_field, "distance": dist_field}
        listed = ", ".join(f'"{name}" as "{names.get(name) or name}"' for name in found.columns)
        return found.project(listed)

    def unique_view(self) -> View:
        """Return what is kept."""
        return self.samples.select(self.unique_ids)

    def plot_distances(self, bins: int = 100) -> Picture:
        """Return the histogram of distances to the nearest neighbour, with the threshold in it."""
        thresh = self.found.threshold if self.found is not None and np.isfinite(self.found.threshold) else None
        return Picture(self.samples.distance_histogram(bins, self.neighbors_key).svg(thresh))

    def visualize_duplicates(self, visualization: "VisualizationResults | None" = None) -> Picture:
        """Return a map of what is unique, nearest or duplicate, with a line from each duplicate to its nearest."""
        # The map may be newer than what was found.
        found = replace(self._duplicates(), connection=self.samples.connection())
        rows = found.scatter(visualization.brain_key if visualization else "visualization").fetchall()
        place = {row[0]: number for number, row in enumerate(rows)}
        edges = [(place[row[0]], place[row[5]]) for row in rows if row[4] == "duplicate"]
        return scatter([row[1:3] for row in rows], [row[4] for row in rows], edges)

    def visualize_unique(self, visualization: "VisualizationResults | None" = None) -> Picture:
        """Return a map of what is unique among the others."""
        shown, kept = visualization or VisualizationResults(self.samples), set(self.unique_ids)
        return shown.visualize(["unique" if one in kept else "other" for one in shown.sample_ids])

    def _require_images(self) -> None:
        if self.label_ids is not None:
            raise ConfigurationError(
                f"{self.brain_key} has vectors of objects, and copies are of images: give the field as roi_field"
            )

    def _last(self) -> FoundDuplicates | FoundUnique:
        if self.found is None:
            raise ConfigurationError("nothing was looked for yet: call find_duplicates or find_unique")
        return self.found

    def _duplicates(self) -> FoundDuplicates:
        if not isinstance(found := self._last(), FoundDuplicates):
            raise ConfigurationError("find_unique finds no duplicates: call find_duplicates")
        return found

    @property
    def _rows(self) -> str:
        return f"from embeddings where brain_key = {literal(self.brain_key)}"


@dataclass(frozen=True)
class VisualizationResults:
    """A map of samples, or of objects.

    Attributes
    ----------
    samples : DatasetReader
    brain_key : str
    """

    samples: DatasetReader
    brain_key: str = "visualization"

    def relation(self) -> duckdb.DuckDBPyRelation:
        """Return ``subject_id``, ``sample_id``, ``filepath`` and the place of each, by id."""
        return self.samples.sql(f"""
            select visualization.subject_id, sample_id, filepath, visualization.x, visualization.y, visualization.z
            from visualization join (select sample_id, filepath from samples) using (sample_id)
            where brain_key = {literal(self.brain_key)} order by 1""")

    @property
    def points(self) -> NDArray[np.float64]:
        """Places, of shape (n, 2) or (n, 3), by ascending id."""
        rows = self.relation().project("x, y, z").fetchall()
        flat = all(row[2] is None for row in rows)
        return np.array([row[:2] if flat else row for row in rows], float).reshape(len(rows), 2 if flat else 3)

    @property
    def sample_ids(self) -> list[str]:
        """The sample of each point."""
        return [row[0] for row in self.relation().project("sample_id").fetchall()]

    @property
    def label_ids(self) -> list[str] | None:
        """The object of each point, of a map of objects."""
        rows = self.relation().project("subject_id, sample_id").fetchall()
        return [row[0] for row in rows] if any(one != other for one, other in rows) else None

    @property
    def index_size(self) -> int:
        """Points."""
        return len(self.points)

    def values(self, column: str) -> list[Any]:
        """Return a column of the samples, or a score, for each point."""
        known = {row[0]: row[1] for row in self._facts(column)}
        return [known.get(one) for one in self.sample_ids]

    def visualize(self, labels: str | Sequence[Any] | None = None) -> Picture:
        """Return the map, coloured by a column of the samples (``split``, ``label``) or by a word for each point."""
        words = self.values(labels) if isinstance(labels, str) else labels or ()
        if len(words) not in {0, self.index_size}:
            raise ConfigurationError(f"there are {self.index_size} points and {len(words)} labels")
        return scatter(self.points, ["" if word is None else str(word) for word in words])

    def _repr_html_(self) -> str:
        return self.visualize().html

    def _facts(self, column: str) -> list[tuple[Any, ...]]:
        view = self.samples if isinstance(self.samples, View) else views.where(self.samples, "true")
        return view.sql(f"select sample_id, {column} from samples").fetchall()


@dataclass
class LeakySplits:
    """Copies that lie in two splits.

    Attributes
    ----------
    samples : DatasetReader
    splits : mapping of str to ids, sequence of str, or None
        The members of each split, or tags, or None for the samples' own splits.
    threshold : float or None
    brain_key : str or None
        The run of vectors that the threshold is of; None for the distances of pixels.
    """

    samples: DatasetReader
    splits: Mapping[str, Sequence[str]] | Sequence[str] | None = None
    threshold: float | None = None
    brain_key: str | None = None

    @property
    def split_views(self) -> dict[str, View]:
        """A view of each split."""
        if isinstance(self.splits, Mapping):
            return {name: self.samples.select(ids) for name, ids in self.splits.items()}
        if self.splits is not None:
            return {tag: self.samples.match_tags(tag) for tag in self.splits}
        rows = self.samples.sql("select distinct split from samples where split is not null order by 1").fetchall()
        return {split: self.samples.where(f"split = {literal(split)}") for (split,) in rows}

    def find_leaks(self, thresh: float | None) -> None:
        """Use another threshold."""
        self.threshold = thresh

    def leaks(self) -> duckdb.DuckDBPyRelation:
        """Return every pair, in both directions, with splits, distance and kind."""
        return self.samples.leaks(self.splits, self.threshold, self.brain_key)

    @property
    def leak_ids(self) -> list[str]:
        """Samples that leak, ascending."""
        return sorted({row[0] for row in self.leaks().project("sample_id").fetchall()})

    def leaks_view(self) -> View:
        """Return the samples that leak."""
        return self.samples.select(self.leak_ids)

    def no_leaks_view(self, view: DatasetReader | None = None) -> View:
        """Return what is left of the samples, or of a view, without those that leak."""
        return (self.samples if view is None else view).exclude(self.leak_ids)

    def leaks_for_sample(self, sample: str) -> View:
        """Return a sample, by id or path, followed by its copies in other splits, the nearest first."""
        found = self.samples.leaks_for_sample(sample, self.splits, self.threshold, self.brain_key)
        rows = found.order("distance, partner_id").project("partner_id").fetchall()
        return self.samples.select([sample, *(row[0] for row in rows)], ordered=True)

    def tag_leaks(self, tag: str = "leak") -> int:
        """Tag them, as on the review page; return how many did not have the tag yet."""
        return self.samples.tag_leaks(tag, self.splits, self.threshold, self.brain_key)

    def __repr__(self) -> str:
        return f"<{len(self.leak_ids)} samples leak between {', '.join(self.split_views) or 'no splits'}>"

    def _repr_html_(self) -> str:
        rows = self.leaks().order("distance, sample_id").limit(24).fetchall()
        shown = [[(row[0], f"{row[2]}: {row[1]}"), (row[3], f"{row[5]}: {row[4]} ({row[6]:.3f})")] for row in rows]
        return gallery(self.samples, shown[::2], repr(self).strip("<>")).html


def require(relation: duckdb.DuckDBPyRelation, told: str) -> None:
    """Raise MissingError where a relation has no rows."""
    if not relation.limit(1).fetchall():
        raise MissingError(told)
