"""Scan a folder from Python, and look at it as fastdup's users do: frames, and galleries that a notebook shows."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import duckdb

from brain_assets.app.api import DatasetReader
from brain_assets.app.pictures import Picture, gallery
from brain_assets.app.scans import Scan
from brain_assets.app.scans import scan as scan_folder
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.home import Home
from brain_assets.signals.similarity.outliers import OUTLIER

NAMED = "(select sample_id, filepath from samples)"


def scan(
    folder: str | Path, *, labels: Any = None, predictions: Any = None, home: str | None = None, **settings: Any
) -> "FolderScan":
    """Scan a folder without declaring it; the next time, what changed alone.

    Parameters
    ----------
    folder : str or Path
    labels, predictions : str or sequence of str, optional
        Addresses; by default what surely is such.
    home : str, optional
        Its folder ``scans`` keeps what is derived; by default that of ``$BRAIN_HOME``, else ``~/.brain``.
    **settings
        ``contract``, ``split_from``, ``model``, ``limit`` and whatever else ``dataset.yaml`` may say.
    """
    given: dict[str, Any] = {"labels": _several(labels), "predictions": _several(predictions)}
    return FolderScan(scan_folder(Home.default(home), Path(folder).expanduser(), **given, **settings))


def _several(given: Any) -> list[str] | None:
    if given is None:
        return None
    return [str(given)] if isinstance(given, str | Path) else [str(one) for one in given]


class FolderScan:
    """What was found in a folder; ``vis`` shows it, ``found`` has the verdict, ``dataset`` everything else."""

    def __init__(self, found: Scan) -> None:
        self.found = found
        self.dataset = DatasetReader(found.name, str(found.home.root))
        self.vis = Galleries(self.dataset)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dataset.close()

    def summary(self) -> list[str]:
        """Return what there is in a few lines, with shares, and what to look at next."""
        images, invalid = self.found.samples, self.found.errors
        groups = self._one(
            "select count(distinct component_id) from components where brain_key = 'near_duplicates' and size > 1"
        )
        members = self._one("select count(*) from components where brain_key = 'near_duplicates' and size > 1")
        outliers = self.found.counts.get(OUTLIER.name, 0)
        whole, valid = max(images, 1), images - invalid
        lines = [
            f"{images} images: {valid} valid ({valid / whole:.2%}), {invalid} invalid ({invalid / whole:.2%})",
            f"components: {members} images ({members / whole:.2%}) in {groups} groups of copies",
            f"outliers: {outliers} ({outliers / whole:.2%})",
        ]
        hints = {"invalid_instances()": invalid, "vis.component_gallery()": groups, "vis.outliers_gallery()": outliers}
        return lines + [f"look at them with .{call}" for call, count in hints.items() if count]

    def invalid_instances(self) -> duckdb.DuckDBPyRelation:
        """Return the images that cannot be used: ``filepath`` and the reason."""
        return self.dataset.sql("select filepath, error, sample_id from samples where status = 'error' order by 1")

    def outliers(self) -> duckdb.DuckDBPyRelation:
        """Return the outliers, the surest first, with the image most like each and its distance."""
        return self.dataset.sql(f"""
            select one.filepath, nearest.filepath as nearest, distance, outlier_score, outliers.sample_id
            from outliers join {NAMED} one using (sample_id)
            left join (select subject_id, neighbor_id, distance from neighbors where brain_key = 'neighbors' and rank = 1) near
                on near.subject_id = outliers.sample_id
            left join (select sample_id as neighbor_id, filepath from samples) nearest using (neighbor_id)
            where brain_key = 'outliers' and is_outlier order by outlier_score desc, 1""")

    def similarity(self, k: int = 2) -> duckdb.DuckDBPyRelation:
        """Return the nearest neighbours of every image: ``filepath_from``, ``filepath_to`` and ``distance``."""
        return self.dataset.sql(f"""
            select one.filepath as filepath_from, other.filepath as filepath_to, distance, rank
            from neighbors join {NAMED} one using (sample_id)
            join (select sample_id as neighbor_id, filepath from samples) other using (neighbor_id)
            where brain_key = 'neighbors' and rank <= {k:d} order by distance, 1, 2""")

    def connected_components(self) -> duckdb.DuckDBPyRelation:
        """Return the groups of copies with more than one member, the largest first."""
        return self.dataset.sql("""
            select component_id, size, filepath, subject_id as sample_id from components
            join (select sample_id as subject_id, filepath from samples) using (subject_id)
            where brain_key = 'near_duplicates' and size > 1 order by size desc, component_id, filepath""")

    def img_stats(self) -> duckdb.DuckDBPyRelation:
        """Return every measured property of every image."""
        return self.dataset.sql(
            f"select filepath, image_quality.* from image_quality join {NAMED} using (sample_id) order by 1"
        )

    def _one(self, query: str) -> int:
        return int(self.dataset.sql(query).fetchall()[0][0])

    def __repr__(self) -> str:
        return f"<scan of {self.found.folder}: {self.found.samples} images, {len(self.found.findings)} findings>"

    def _repr_html_(self) -> str:
        return f"<pre>{'<br>'.join(self.summary())}</pre>{self.vis.duplicates_gallery(6).html}"


class Galleries:
    """Pictures of what was found."""

    def __init__(self, dataset: DatasetReader) -> None:
        self.dataset = dataset

    def duplicates_gallery(self, num_images: int = 20) -> Picture:
        """Return pairs of copies, the nearest first."""
        rows = self.dataset.sql(f"""
            select subject_id, one.filepath, nearest_id, other.filepath, distance from near_duplicates
            join (select sample_id as subject_id, filepath from samples) one using (subject_id)
            join (select sample_id as nearest_id, filepath from samples) other using (nearest_id)
            where brain_key = 'near_duplicates' and subject_id != nearest_id order by distance, 1 limit {num_images:d}""")
        pairs = [
            [(a, path), (b, f"{other}, distance {distance:.3f}")] for a, path, b, other, distance in rows.fetchall()
        ]
        return gallery(self.dataset, pairs, "Duplicates")

    def outliers_gallery(self, num_images: int = 20) -> Picture:
        """Return the outliers, the surest first."""
        return self._sorted(
            "outliers", "outlier_score", "is_outlier and brain_key = 'outliers'", num_images, "Outliers"
        )

    def component_gallery(self, num_images: int = 20, per_component: int = 6) -> Picture:
        """Return groups of copies, the largest first."""
        rows = self.dataset.sql(f"""
            select component_id, list((subject_id, filepath) order by filepath) from components
            join (select sample_id as subject_id, filepath from samples) using (subject_id)
            where brain_key = 'near_duplicates' and size > 1
            group by component_id order by count(*) desc, 1 limit {num_images:d}""")
        return gallery(self.dataset, [members[:per_component] for _, members in rows.fetchall()], "Groups of copies")

    def similarity_gallery(self, num_images: int = 20, per_image: int = 4) -> Picture:
        """Return images with those most like them, the nearest first."""
        rows = self.dataset.sql(f"""
            select sample_id, any_value(one.filepath), list((neighbor_id, other.filepath, distance) order by rank)
            from neighbors join {NAMED} one using (sample_id)
            join (select sample_id as neighbor_id, filepath from samples) other using (neighbor_id)
            where brain_key = 'neighbors' and rank <= {per_image:d}
            group by 1 order by min(distance), 1 limit {num_images:d}""")
        shown = [
            [(sample, path), *((one, f"{name}, distance {distance:.3f}") for one, name, distance in near)]
            for sample, path, near in rows.fetchall()
        ]
        return gallery(self.dataset, shown, "Look-alikes")

    def stats_gallery(self, metric: str = "blurry", num_images: int = 20, *, reverse: bool = True) -> Picture:
        """Return images by a measured property, or by how sure an issue of their quality is; the highest first."""
        known = self.dataset.table("image_quality").columns
        if metric in known:
            return self._sorted("image_quality", metric, "true", num_images, metric, reverse=reverse)
        issues = [row[0] for row in self.dataset.sql("select distinct issue from issues order by 1").fetchall()]
        if metric not in issues:
            raise ConfigurationError(
                f"nothing is measured or found that is called {metric!r} (known: {', '.join([*known, *issues])})"
            )
        return self._sorted("issues", "score", f"issue = '{metric}'", num_images, metric, reverse=reverse)

    def _sorted(
        self, table: str, column: str, condition: str, count: int, title: str, *, reverse: bool = True
    ) -> Picture:
        way = "desc" if reverse else "asc"
        rows = self.dataset.sql(f"""
            select sample_id, filepath || ': ' || round({column}, 3) from {table} join {NAMED} using (sample_id)
            where {condition} order by {column} {way}, 1 limit {count:d}""")
        return gallery(self.dataset, _rows_of(rows.fetchall(), 5), title)


def _rows_of(cells: list[Any], width: int) -> Iterable[list[Any]]:
    return [cells[start : start + width] for start in range(0, len(cells), width)]
