"""What a report says in numbers: health and its course, distributions, classes, properties of the images."""

from collections.abc import Sequence

from brain_assets.report.content import ClassRow, Distribution, Metric, Statistic
from brain_assets.report.tables import Row, Tables
from brain_assets.signals.registry import issue_named

COURSE = 60
CLASSES = 200
BINS = 40
TITLES = {
    "samples": "Images",
    "samples_with_issues": "Images with issues",
    "unreadable": "Unreadable",
    "exact_duplicates": "Exact duplicates",
    "near_duplicates": "Near duplicates",
    "leaks": "Leaks",
    "mean_uniqueness_raw": "Mean uniqueness",
    "mean_hardness": "Mean hardness",
    "mean_mistakenness": "Mean mistakenness",
    "labelled": "Labelled",
}


def title_of(metric: str) -> str:
    """Return what a metric is called."""
    if metric.startswith("issue_"):
        return issue_named(metric.removeprefix("issue_")).title
    return TITLES.get(metric) or metric.replace("_", " ").capitalize()


def metrics(tables: Tables) -> list[Metric]:
    """Return every number of the newest measurement, with what it was before and its course.

    An issue that was not counted in some measurement was not there then.
    """
    if not tables.has("health", "metric", "value", "recorded_at"):
        return []
    moments = "select run_id, max(recorded_at) as moment from health group by 1 order by 2 desc"
    query = f"""
        with moments as (from ({moments}) limit {COURSE}),
        names as (select distinct metric from health semi join moments using (run_id))
        select metric, list(coalesce(value, if(starts_with(metric, 'issue_'), 0, null)) order by moment) as course
        from moments cross join names left join health using (run_id, metric) group by 1 order by 1"""
    found = []
    for row in tables.rows(query):
        course = [value for value in row["course"] if value is not None]
        if row["course"][-1] is not None:
            before = row["course"][-2] if len(row["course"]) > 1 else None
            found.append(Metric(row["metric"], title_of(row["metric"]), course[-1], before, course))
    return found


# Title, what it means, table, column and condition.
SCORES = (
    ("Uniqueness", "1 is unlike all others, 0 a copy", "uniqueness", "uniqueness", "brain_key = 'uniqueness'"),
    (
        "Representativeness",
        "1 is most typical of its cluster",
        "representativeness",
        "representativeness",
        "brain_key = 'representativeness'",
    ),
    ("Outlier score", "above 0.5 is an outlier", "outliers", "outlier_score", "brain_key = 'outliers'"),
    (
        "Distance to the nearest",
        "how alike the closest two are",
        "neighbors",
        "distance",
        "brain_key = 'neighbors' and \"rank\" = 1",
    ),
    ("Hardness", "how unsure the models are, in nats", "hardness", "hardness", "model = '*'"),
    ("Mistakenness", "1 is a label that sure models deny", "mistakenness", "mistakenness", "model = '*'"),
    ("Brightness", "from black, 0, to white, 1", "image_quality", "brightness", "true"),
    ("Entropy", "bits of information per pixel", "image_quality", "entropy", "true"),
    ("Longer side", "in pixels", "image_quality", "greatest(width, height)", "true"),
    ("File size", "in bytes", "image_quality", "bytes", "true"),
)
CUTS = {"outliers": 0.5}


def distributions(tables: Tables) -> list[Distribution]:
    """Return a histogram of every score that is there."""
    found = []
    for title, meaning, table, column, condition in SCORES:
        names = {"greatest(width, height)": ("width", "height")}.get(column, (column,))
        if tables.has(table, *names):
            found += _distribution(tables, title, meaning, (table, column, _models(tables, table, condition)))
    return found


def _models(tables: Tables, table: str, condition: str) -> str:
    """Return the condition, or where no models were averaged, that of the first model; builtin is the last."""
    if condition != "model = '*'" or tables.value(f"select count(*) from {table} where {condition}"):
        return condition
    model = str(tables.value(f"select arg_min(model, (model = 'builtin', model)) from {table}")).replace("'", "''")
    return f"model = '{model}'"


def _distribution(tables: Tables, title: str, meaning: str, source: tuple[str, str, str]) -> list[Distribution]:
    table, column, condition = source
    values = f"select ({column})::double as value from {table} where {condition} and isfinite(({column})::double)"
    (range_,) = tables.rows(
        f"select count(*) as count, min(value) as low, max(value) as high, median(value) as median from ({values})"
    )
    low, high = range_["low"], range_["high"]
    if not range_["count"] or low == high:
        return []
    place = f"least({BINS - 1}, floor((value - {low!r}) / {high - low!r} * {BINS}))::int"
    counted = dict(tables.connection.execute(f"select {place}, count(*) from ({values}) group by 1").fetchall())
    counts = [counted.get(place, 0) for place in range(BINS)]
    return [Distribution(column, title, meaning, range_["count"], low, high, counts, range_["median"], CUTS.get(table))]


def classes(tables: Tables) -> tuple[list[ClassRow], int]:
    """Return the classes, those with the largest share of flagged samples first among the ones shown, and how many there are."""
    if tables.label_field is None:
        return [], 0
    labelled = f"select sample_id, unnest(labels) as label from ({tables.labels})"
    flagged = "select distinct sample_id, 1 as flag from issues where is_issue" if tables.has("issues") else EMPTY
    scores = "".join(
        f" left join ({_scores(tables, score)}) using (sample_id)" for score in ("hardness", "mistakenness")
    )
    rows = tables.rows(f"""
        select label, count(*) as count, count(flag) as flagged, avg(hardness) as hardness, avg(mistakenness) as mistakenness,
            count(*) over () as classes
        from ({labelled}) left join ({flagged}) using (sample_id){scores}
        where label is not null group by 1 order by 2 desc, 1 limit {CLASSES}""")
    found = [_class_row(row) for row in rows]
    return sorted(found, key=lambda row: (-row.flagged / row.count, row.label)), rows[0]["classes"] if rows else 0


EMPTY = "select null::varchar as sample_id, null::int as flag where false"


def _scores(tables: Tables, score: str) -> str:
    if not tables.has(score, score, "label_field"):
        return f"select null::varchar as sample_id, null::double as {score} where false"
    field = str(tables.label_field).replace("'", "''")
    condition = _models(tables, score, "model = '*'")
    return f"select sample_id, {score} from {score} where label_field = '{field}' and {condition}"


def _class_row(row: Row) -> ClassRow:
    return ClassRow(str(row["label"]), row["count"], row["flagged"], row["hardness"], row["mistakenness"])


STATISTICS = {
    "width": "Width in pixels",
    "height": "Height in pixels",
    "bytes": "File size in bytes",
    "brightness": "Perceived brightness",
    "rms_contrast": "Contrast",
    "entropy": "Entropy in bits",
    "edge_density": "Share of edge pixels",
    "jpeg_quality": "JPEG quality",
}


def statistics(tables: Tables) -> list[Statistic]:
    """Return the properties of the images by percentiles."""
    if not tables.has("image_quality"):
        return []
    known = [name for name in STATISTICS if name in tables.columns["image_quality"]]
    quantiles = ", ".join(f"quantile_cont({name}::double, [0, .05, .5, .95, 1]) as {name}" for name in known)
    (row,) = tables.rows(f"select {quantiles} from image_quality")
    return [Statistic(name, STATISTICS[name], *row[name]) for name in known if _complete(row[name])]


def _complete(values: Sequence[float | None] | None) -> bool:
    return values is not None and None not in values


# What reviewers dropped is no part of the dataset any more.
PRESENT = "status is distinct from 'dropped'"


def count_samples(tables: Tables) -> int:
    """Return how many samples there are, without those that reviewers dropped."""
    return int(tables.value(f"select count(*) from samples where {PRESENT}")) if tables.has("samples", "status") else 0


def splits(tables: Tables) -> list[tuple[str, int]]:
    """Return the splits with their sizes, the largest first; none where no sample has one."""
    if not tables.has("samples", "split", "status"):
        return []
    query = f"""
        select split, count(*) as count from samples where split is not null and {PRESENT} group by 1 order by 2 desc, 1"""
    return [(row["split"], row["count"]) for row in tables.rows(query)]
