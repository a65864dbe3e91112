"""Scan a folder from Python, and look at it as fastdup's users do: frames, and galleries that a notebook shows."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import duckdb

from brain_assets.app.api import DatasetReader
from brain_assets.app.pictures import Picture, gallery
from brain_assets.app.scans import Scan, name_of
from brain_assets.app.scans import scan as scan_folder
from brain_assets.app.session import Session
from brain_assets.app.views import facts
from brain_assets.incremental.update import literal
from brain_assets.methods.similarity.metrics import CALLED
from brain_assets.python.datasets import GIVEN, addresses
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.home import Home
from brain_assets.signals.registry import ISSUES
from brain_assets.signals.similarity.outliers import OUTLIER

NAMED = "(select sample_id, filepath from samples)"


# What is measured by fastdup's names: the column, and whether the highest come first.
METRICS = {
    "dark": ("brightness", False),
    "bright": ("brightness", True),
    "blur": ("laplacian_variance", False),
    "min": ("minimum", True),
    "max": ("maximum", True),
    "stdv": ("standard_deviation", True),
    "size": ("bytes", True),
    "unique": ("unique_colors", True),
    "contrast": ("rms_contrast", True),
    "mean_hue": ("hue", True),
    "mean_saturation": ("saturation", True),
    "mean_val": ("value", True),
}
# Its parameters by the settings that they are here; it says how alike, and distances say how far apart.
SETTINGS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "num_images": ("limit", lambda count: count or None),
    "nearest_neighbors_k": ("similarity.k", int),
    "threshold": ("near_duplicates.threshold", lambda alike: round(1 - alike, 9)),
    "ccthreshold": ("near_duplicates.component_threshold", lambda alike: round(1 - alike, 9)),
    "cc_threshold": ("near_duplicates.component_threshold", lambda alike: round(1 - alike, 9)),
    "outlier_percentile": ("outliers.percentile", lambda share: 100 * share if share < 1 else share),
    "model_path": ("model", str),
    "find_regex": ("pattern", str),
    "distance": ("similarity.metric", lambda metric: CALLED.get(metric, metric)),
}
# These are asked for in another way.
ELSEWHERE = {
    "high_accuracy": "name a larger model, as in model='dinov2b'",
    "bounding_box": "boxes of any detector come in as predictions=[...], and are objects then",
    "data_type": "boxes among the labels are objects by themselves",
    "run_mode": "every scan goes on from what is there",
}
# Nothing follows from these: what changed is read, and nothing twice.
MACHINE = ("overwrite", "resume", "num_threads", "verbose", "run_cc", "run_stats", "run_advanced_stats")


def scan(
    folder: str | Path, *, labels: Any = None, predictions: Any = None, home: str | None = None, **settings: Any
) -> "FolderScan":
    """Scan a folder without declaring it; the next time, what changed alone.

    Parameters
    ----------
    folder : str or Path
    labels, predictions : str or sequence of str, frame or mapping, optional
        Addresses; or a frame with columns ``filepath`` and ``label``, or the content of a COCO file. By default what surely is
        such.
    home : str, optional
        Its folder ``scans`` keeps what is derived; by default that of ``$BRAIN_HOME``, else ``~/.brain``.
    **settings
        ``contract``, ``split_from``, ``model``, ``limit`` and whatever else ``dataset.yaml`` may say, also by dotted keys;
        and fastdup's ``annotations``, ``num_images``, ``nearest_neighbors_k``, ``threshold`` and ``ccthreshold`` (how alike, not
        how far apart).
    """
    if not isinstance(folder, str | Path):
        raise ConfigurationError("a scan is of one folder; brain.add takes lists of folders and files")
    place, path = Home.default(home), Path(folder).expanduser()
    labels = settings.pop("annotations", None) if labels is None else labels
    given = Home(place.root / "scans").paths(name_of(path.absolute())).folder / GIVEN
    asked: dict[str, Any] = {
        "labels": addresses(labels, given, "labels"),
        "predictions": addresses(predictions, given, "predictions"),
    }
    return FolderScan(scan_folder(place, path, **asked, **_here(settings)))


def _here(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return fastdup's parameters as the settings that they are here."""
    for name, instead in ELSEWHERE.items():
        if settings.get(name):
            raise ConfigurationError(f"{name}: {instead}")
    named = [
        (SETTINGS[name][0], SETTINGS[name][1](value)) if name in SETTINGS else (name, value)
        for name, value in settings.items()
        if name not in {*MACHINE, *ELSEWHERE}
    ]
    return dict(named)


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

    def embeddings(self) -> duckdb.DuckDBPyRelation:
        """Return the vector of every image, as the model gave it."""
        return self.dataset.sql(f"""
            select filepath, vector, sample_id from embeddings join {NAMED} using (sample_id)
            where brain_key = 'embeddings' order by 1""")

    def annotations(self) -> duckdb.DuckDBPyRelation:
        """Return every image with its labels."""
        return self.dataset.where("true").sql("select filepath, labels, split, sample_id from samples")

    def search(self, image: str | Path | bytes, k: int = 15) -> duckdb.DuckDBPyRelation:
        """Return the images most like a picture that need not be among them, the nearest first."""
        return self.dataset.similar(Path(image) if isinstance(image, str) else image, k)

    def explore(self, *, browser: bool = True) -> Session:
        """Open the review page of what was found."""
        return self.dataset.show(browser=browser)

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

    def component_gallery(self, num_images: int = 20, per_component: int = 6, *, slice: str | None = None) -> Picture:
        """Return groups of copies, the largest first; of one label by ``slice``."""
        if slice is not None:
            return self._of_label(slice).component_gallery(num_images, per_component)
        rows = self.dataset.sql(f"""
            select component_id, list((subject_id, filepath) order by filepath) from components
            join (select sample_id as subject_id, filepath from samples) using (subject_id)
            where brain_key = 'near_duplicates' and size > 1
            group by component_id order by count(*) desc, 1 limit {num_images:d}""")
        return gallery(self.dataset, [members[:per_component] for _, members in rows.fetchall()], "Groups of copies")

    def similarity_gallery(self, num_images: int = 20, per_image: int = 4, *, slice: str | None = None) -> Picture:
        """Return images with those most like them, the nearest first; of one label, or with another (``diff``), by ``slice``."""
        if slice not in {None, "diff"}:
            return self._of_label(str(slice)).similarity_gallery(num_images, per_image)
        other_label = "true"
        if slice == "diff":
            label = f"(select sample_id, label from ({facts(self.dataset.connection())}))"
            other_label = (
                f"(select count(distinct label) from {label} where sample_id in (one.sample_id, neighbor_id)) > 1"
            )
        rows = self.dataset.sql(f"""
            select sample_id, any_value(one.filepath), list((neighbor_id, other.filepath, distance) order by rank)
            from neighbors join {NAMED} one using (sample_id)
            join (select sample_id as neighbor_id, filepath from samples) other using (neighbor_id)
            where brain_key = 'neighbors' and rank <= {per_image:d} and {other_label}
            group by 1 order by min(distance), 1 limit {num_images:d}""")
        shown = [
            [(sample, path), *((one, f"{name}, distance {distance:.3f}") for one, name, distance in near)]
            for sample, path, near in rows.fetchall()
        ]
        return gallery(self.dataset, shown, "Look-alikes")

    def stats_gallery(self, metric: str = "blurry", num_images: int = 20, *, reverse: bool = True) -> Picture:
        """Return images by a measured property, or by how sure an issue of their quality is; the highest first.

        fastdup's names are known, too, and show first what they are asked for: ``dark`` the darkest, ``blur`` the least sharp.
        """
        title, (metric, highest) = metric, METRICS.get(metric, (metric, True))
        known = self.dataset.table("image_quality").columns
        if metric in known:
            return self._sorted("image_quality", metric, "true", num_images, title, reverse=reverse == highest)
        if metric not in ISSUES:
            raise ConfigurationError(
                f"nothing is measured or found that is called {metric!r} (known: {', '.join([*known, *METRICS, *ISSUES])})"
            )
        return self._sorted("issues", "score", f"issue = '{metric}'", num_images, metric, reverse=reverse)

    def _of_label(self, label: str) -> "Galleries":
        return Galleries(self.dataset.where(f"label = {literal(label)}"))

    def _sorted(
        self, table: str, column: str, condition: str, count: int, title: str, *, reverse: bool = True
    ) -> Picture:
        way = "desc" if reverse else "asc"
        value = f"coalesce(round(try_cast({column} as double), 3)::varchar, {column}::varchar)"
        rows = self.dataset.sql(f"""
            select sample_id, filepath || ': ' || {value} from {table} join {NAMED} using (sample_id)
            where {condition} order by {column} {way} nulls last, 1 limit {count:d}""")
        return gallery(self.dataset, _rows_of(rows.fetchall(), 5), title)


def _rows_of(cells: list[Any], width: int) -> Iterable[list[Any]]:
    return [cells[start : start + width] for start in range(0, len(cells), width)]
