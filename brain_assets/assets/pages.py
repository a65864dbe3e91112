"""What Dagster's pages show of an asset beside its rows: numbers that plot over time, a small picture, a link to look at it."""

import base64
import io
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from brain_assets.answers.health import measured, newest
from brain_assets.incremental.signal import Histogram, Scatter, Sheet, Signal
from brain_assets.resources.dataset import Dataset
from brain_assets.review.links import link

if TYPE_CHECKING:
    from PIL.Image import Image

BINS, POINTS = 24, 1500
TILE, COLUMNS, TILES = 56, 8, 16


def shown(signal: Signal, dataset: Dataset, *, changed: bool) -> dict[str, Any]:
    """Return what the page of an asset shows after a run; pictures only where something changed, numbers as they were last."""
    found: dict[str, Any] = dict(_numbers(signal, dataset, changed=changed))
    if changed:
        found |= _picture(signal, dataset)
    if signal.view is not None:
        address = link(dataset.service.review_url, dataset.paths.name, **signal.view)
        found["review"] = dg.MetadataValue.url(address)
    if signal.name == "report":
        found["report"] = dg.MetadataValue.path(str(dataset.paths.report))
    return found


def _numbers(signal: Signal, dataset: Dataset, *, changed: bool) -> Mapping[str, float]:
    """Return the numbers of a signal, remembered until it changes; those of health are its rows."""
    if signal.name == "health" and not changed:
        return newest(dataset)
    if not signal.metrics:
        return {}
    name = f"numbers.{signal.name}"
    known: dict[str, float] | None = dataset.store.fact(name)
    if known is not None and not changed:
        return known
    found = measured(signal, dataset)
    if found != known:
        with dataset.store.write(dataset.run_id, signal.name) as transaction:
            # Under the number that is there already: nothing that reads facts is to be woken.
            transaction.put("facts", name=name, value=json.dumps(found), changed=dataset.store.number)
    return found


def _picture(signal: Signal, dataset: Dataset) -> dict[str, Any]:
    drawn: tuple[str, str] | None = None
    match signal.chart:
        case Histogram():
            drawn = _histogram(signal.chart, dataset)
        case Sheet():
            drawn = _sheet(signal.chart, dataset)
        case Scatter():
            drawn = _scatter(signal.chart, dataset)
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


def _scatter(scatter: Scatter, dataset: Dataset) -> tuple[str, str] | None:
    from brain_assets.report.charts import dotted

    points = dataset.store.rows(f"{scatter.points} limit {POINTS}")
    return (scatter.title, dotted([x for x, _ in points], [y for _, y in points])) if points else None


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
