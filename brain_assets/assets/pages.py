"""What Dagster's pages show of an asset beside its rows: numbers that plot over time, a small picture, a link to look at it."""

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from brain_assets.incremental.signal import Signal
from brain_assets.resources.dataset import Dataset
from brain_assets.review.links import link

if TYPE_CHECKING:
    from PIL.Image import Image

BINS, POINTS = 24, 1500
TILE, COLUMNS, TILES = 56, 8, 16


@dataclass(frozen=True)
class Histogram:
    """A picture of how the values of a query are spread; NULL and infinite ones are left out."""

    title: str
    values: str


@dataclass(frozen=True)
class Sheet:
    """A picture of the first images of a query of sample ids, such as the members of groups one after the other."""

    title: str
    samples: str


HISTOGRAMS: Mapping[str, Histogram] = {
    "image_quality": Histogram("brightness", "select brightness from quality_statistics"),
    "similarity": Histogram(
        "distance to the nearest", "select distances[1] from neighbors where brain_key = 'neighbors'"
    ),
    "uniqueness": Histogram("raw uniqueness", "select raw from uniqueness where brain_key = 'uniqueness'"),
    "representativeness": Histogram(
        "distance to the cluster's centre", "select raw from representativeness where brain_key = 'representativeness'"
    ),
    "hardness": Histogram("hardness in nats", "select hardness from hardness"),
    "mistakenness": Histogram("mistakenness", "select mistakenness from mistakenness"),
    "object_mistakenness": Histogram("mistakenness of objects", "select mistakenness from object_mistakenness"),
}
GROUPED = "order by count(*) over (partition by group_id) desc, group_id, keep desc, sample_id"
SHEETS: Mapping[str, Sheet] = {
    "exact_duplicates": Sheet("the largest groups", f"select sample_id from exact_duplicates {GROUPED}"),
    "near_duplicates": Sheet(
        "the largest groups",
        "select subject_id from near_duplicates where brain_key = 'near_duplicates'"
        " order by count(*) over (partition by group_id) desc, group_id, keep desc, subject_id",
    ),
    "leaks": Sheet(
        "the nearest pairs",
        "select unnest([subject_id, partner_id]) from (select least(sample_id, partner_id) as subject_id,"
        " greatest(sample_id, partner_id) as partner_id, min(distance) as distance from leaks where brain_key = 'leaks'"
        " group by all order by 3, 1, 2)",
    ),
    "outliers": Sheet(
        "the farthest out", "select subject_id from outliers where brain_key = 'outliers' order by raw desc, subject_id"
    ),
    "label_issues": Sheet(
        "the surest mistakes",
        "select sample_id from label_issues where brain_key = 'label_issues' and is_issue order by score desc, sample_id",
    ),
}
# The view of the review page that is about an asset.
VIEWS: Mapping[str, Mapping[str, Any]] = {
    "samples": {"tab": "queue", "issue": "unreadable"},
    "image_quality": {"sort": "brightness"},
    "exact_duplicates": {"tab": "groups", "table": "exact_duplicates"},
    "near_duplicates": {"tab": "groups", "table": "near_duplicates"},
    "leaks": {"tab": "queue", "issue": "leak"},
    "uniqueness": {"colour": "uniqueness", "sort": "uniqueness"},
    "representativeness": {"colour": "representativeness", "sort": "representativeness"},
    "outliers": {"tab": "queue", "issue": "outlier"},
    "visualization": {},
    "ground_truth": {"colour": "label"},
    "hardness": {"colour": "hardness", "sort": "hardness"},
    "mistakenness": {"colour": "mistakenness", "sort": "mistakenness"},
    "label_issues": {"tab": "queue", "issue": "label_mistake"},
    "object_mistakenness": {"tab": "queue", "issue": "spurious_object"},
    "issues": {"tab": "queue"},
    "health": {"tab": "news"},
    "published": {},
}


def shown(signal: Signal, dataset: Dataset, *, changed: bool) -> dict[str, Any]:
    """Return what the page of an asset shows after a run; numbers and pictures only where something changed."""
    found: dict[str, Any] = {}
    if changed:
        found |= {name: float(dataset.store.value(query)) for name, query in signal.metrics.items()}
        found |= _picture(signal.name, dataset)
    if signal.name in VIEWS:
        address = link(dataset.service.review_url, dataset.paths.name, **VIEWS[signal.name])
        found["review"] = dg.MetadataValue.url(address)
    if signal.name == "report":
        found["report"] = dg.MetadataValue.path(str(dataset.paths.report))
    return found


def _picture(name: str, dataset: Dataset) -> dict[str, Any]:
    drawn: tuple[str, str] | None = None
    if name in HISTOGRAMS:
        drawn = _histogram(HISTOGRAMS[name], dataset)
    elif name in SHEETS:
        drawn = _sheet(SHEETS[name], dataset)
    elif name == "visualization":
        drawn = _map(dataset)
    return {drawn[0]: dg.MetadataValue.md(f"![{drawn[0]}]({drawn[1]})")} if drawn else {}


def _histogram(histogram: Histogram, dataset: Dataset) -> tuple[str, str] | None:
    from brain_assets.report.charts import drawing

    values = f"select value::double as value from ({histogram.values}) as given(value) where isfinite(value::double)"
    low, high = dataset.store.rows(f"select min(value), max(value) from ({values})")[0]
    if low is None or low == high:
        return None
    place = f"least({BINS - 1}, floor((value - {low!r}) / {high - low!r} * {BINS}))::int"
    counted = dict(dataset.store.rows(f"select {place}, count(*) from ({values}) group by 1"))
    return histogram.title, drawing([counted.get(place, 0) for place in range(BINS)], low, high)


def _map(dataset: Dataset) -> tuple[str, str] | None:
    from brain_assets.report.charts import dotted

    points = dataset.store.rows(
        "select x, y from visualization where brain_key = 'visualization' and isfinite(x) and isfinite(y)"
        f" order by hash(subject_id) limit {POINTS}"
    )
    return ("map", dotted([x for x, _ in points], [y for _, y in points])) if points else None


ADDRESSES = """
    select preview_offset, preview_length
    from (select sample_id, row_number() over () as place from ({samples}) as given(sample_id) limit {count}) chosen
    join samples using (sample_id) join media using (content_hash) where preview_length is not null order by place"""


def _sheet(sheet: Sheet, dataset: Dataset) -> tuple[str, str] | None:
    """Return small previews side by side; one that was lost leaves its place empty."""
    from PIL import Image

    addresses = dataset.store.rows(ADDRESSES.format(samples=sheet.samples, count=TILES))
    if not addresses:
        return None
    rows = -(-len(addresses) // COLUMNS)
    whole = Image.new("RGB", (min(len(addresses), COLUMNS) * TILE, rows * TILE), "#888")
    for place, address in enumerate(addresses):
        tile = _tile(lambda address=address: dataset.previews.read(*address))  # type: ignore[misc]
        if tile:
            left, top = place % COLUMNS * TILE, place // COLUMNS * TILE
            whole.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
    out = io.BytesIO()
    whole.save(out, "JPEG", quality=70)
    return sheet.title, f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def _tile(read: Callable[[], bytes]) -> "Image | None":
    from PIL import Image

    try:
        with Image.open(io.BytesIO(read())) as image:
            image.draft("RGB", (TILE, TILE))
            small = image.convert("RGB")
    except (OSError, ValueError):
        return None
    factor = (TILE - 4) / max(small.size)
    return small.resize((max(1, round(small.width * factor)), max(1, round(small.height * factor))), reducing_gap=2)
