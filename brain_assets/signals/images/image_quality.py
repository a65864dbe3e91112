"""What is wrong with images as such: dark, blurred, odd in size; rules over statistics and the dataset's thresholds."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.calibrations import (
    CHOSEN,
    Calibration,
    Fitting,
    Measured,
    Wanted,
    calibrated_together,
    keep_visible,
)
from brain_assets.incremental.digests import Slice
from brain_assets.incremental.signal import (
    Check,
    Cutoff,
    Histogram,
    Issue,
    IssueQuery,
    MethodRun,
    PerSubject,
    Publication,
    Signal,
)
from brain_assets.incremental.update import Update, literal, section_settings
from brain_assets.methods.images import quality_rules as rules
from brain_assets.methods.images.image_quality import STATISTICS
from brain_assets.methods.images.quality_measures import COLUMNS
from brain_assets.methods.images.quality_rules import RULES, Threshold
from brain_assets.resources.dataset import Dataset

KEY = "image_quality"
# The calibration that odd sizes are compared with.
MEDIAN_SIDE = "median_side"
LEAST_SCORE = 0.5
SUFFIX_AND_FORMAT = "suffix_and_format"
STORED = [name for name in COLUMNS if name != "extension_matches"]
READ = f"""
    select sample_id, regexp_extract(filepath, '\\.[^.]*$') || '|' || format as {SUFFIX_AND_FORMAT},
        {", ".join(f"{name}::double as {name}" for name in STORED)}
    from readable join samples using (sample_id, content_hash) join media using (content_hash)
    join quality_statistics using (content_hash)"""
JUDGED = pa.schema([
    ("sample_id", pa.string()),
    ("issue", pa.string()),
    ("score", pa.float64()),
    ("is_issue", pa.bool_()),
    ("measure", pa.float64()),
])  # fmt: skip
Values = NDArray[Any]
Fitted = Callable[[], Mapping[str, Threshold]]


def _inputs(update: Update) -> list[Slice]:
    thresholds = _thresholds(update)
    context = {issue: (one.value, one.reference) for issue, one in thresholds.items()}
    return [Slice(READ, json.dumps(context), thresholds)]


def judge_image_quality(_: Update, rows: pa.Table, thresholds: Mapping[str, Threshold]) -> pa.Table:
    """Return what the rules flag."""
    return pa.concat_tables([JUDGED.empty_table(), *_flagged(rows, thresholds)])


def _thresholds(update: Update) -> dict[str, Threshold]:
    """Return the thresholds set by hand, else those fitted to the dataset, else the defaults; all can be seen."""
    by_hand = _by_hand(update.dataset)
    fitted = cache(partial(_fit, update))
    asked = [issue for issue, rule in RULES.items() if by_hand[issue] is None and rule.fit is not None]
    wanted = {issue: Wanted(partial(_kept, fitted, issue), (RULES[issue].default, {})) for issue in asked}
    wanted[MEDIAN_SIDE] = Wanted(lambda: _median_side(fitted), (np.nan, {}))
    when = Fitting(update.value("select count(*) from readable"), rules.MIN_SAMPLES)
    found = calibrated_together(update, wanted, when)
    standing = {issue: found.get(issue) or _not_fitted(issue, by_hand[issue]) for issue in RULES}
    keep_visible(update, {**standing, MEDIAN_SIDE: found[MEDIAN_SIDE]})
    thresholds = {issue: Threshold(one.value) for issue, one in standing.items()}
    return thresholds | {"odd_size": Threshold(standing["odd_size"].value, found[MEDIAN_SIDE].value)}


def _by_hand(dataset: Dataset) -> dict[str, float | None]:
    """Return the thresholds of dataset.yaml, NaN for a rule that is off."""
    given = dataset.settings.image_quality.thresholds.model_dump()
    return {issue: np.nan if value is False else value for issue, value in given.items()}


def _not_fitted(issue: str, by_hand: float | None) -> Calibration:
    value, origin = (RULES[issue].default, "default") if by_hand is None else (by_hand, "settings")
    return Calibration(value, {"origin": origin})


def _fit(update: Update) -> Mapping[str, Threshold]:
    limit = update.dataset.settings.calibration
    contents = CHOSEN.format(limit=limit.sample_size)
    # One sample stands for all of a content; no fitted rule looks at names.
    once = "qualify sample_id = min(sample_id) over (partition by content_hash)"
    sampled = update.query(f"{READ} where content_hash in ({contents}) {once}")
    return rules.calibrate(_columns(sampled), min(rules.MIN_SAMPLES, limit.min_samples))


def _kept(fitted: Fitted, issue: str) -> Measured:
    threshold = fitted()[issue]
    evidence = dict(threshold.evidence)
    return threshold.value, {"measured": evidence.pop("samples"), **evidence}


def _median_side(fitted: Fitted) -> Measured:
    odd_size = fitted()["odd_size"]
    return odd_size.reference, {"measured": odd_size.evidence["samples"]}


def _flagged(samples: pa.Table, thresholds: Mapping[str, Threshold]) -> Iterator[pa.Table]:
    on = {issue: threshold for issue, threshold in thresholds.items() if not np.isnan(threshold.value)}
    for issue, verdict in rules.judge(_columns(samples), on).items():
        rows = np.flatnonzero(verdict.is_issue | (verdict.score >= LEAST_SCORE))
        found = {"score": verdict.score[rows], "is_issue": verdict.is_issue[rows], "measure": verdict.measure[rows]}
        names = {"sample_id": samples.column("sample_id").take(rows), "issue": [issue] * len(rows)}
        yield pa.table({**names, **found}, schema=JUDGED)


def _columns(samples: pa.Table) -> dict[str, Values]:
    """Return what the rules read: (n,) float64 with NaN where unknown."""
    stored = {name: samples.column(name).to_numpy() for name in STORED}
    return stored | {"extension_matches": _extension_matches(samples.column(SUFFIX_AND_FORMAT))}


def _extension_matches(texts: pa.ChunkedArray) -> Values:
    """Ask once for every pair of suffix and format."""
    from brain_assets.resources.decoding.formats import matches_extension

    encoded = texts.combine_chunks().dictionary_encode()
    fits = [matches_extension(*pair.rsplit("|", 1)) for pair in encoded.dictionary.to_pylist()]
    matches: Values = np.array(fits, np.float64)[encoded.indices.to_numpy()]
    return matches


def _runs(dataset: Dataset) -> list[MethodRun]:
    settings = section_settings(dataset.settings.image_quality, dataset.settings.calibration)
    return [MethodRun(KEY, settings)]


# What each rule looks at, for the evidence.
MEANINGS = ", ".join(
    f"({literal(issue)}, {literal(rule.measure.__name__)}, {literal(rule.meaning)})" for issue, rule in RULES.items()
)
FACTS = {
    "width": "Width in pixels as displayed, that is after the EXIF orientation.",
    "height": "Height in pixels as displayed.",
    "bytes": "Size of the file.",
    "mode": "Pixel format as stored, by Pillow's names.",
    "channels": "Bands as decoded.",
    "bits": "Bits per band as stored.",
    "frames": "Frames or pages.",
    "animated": "Whether it plays several frames.",
    "orientation": "EXIF orientation, 1 (upright) to 8.",
    "taken_at": "EXIF time, without a zone.",
    "transparency": "Mean of 1 - alpha, in [0, 1]; 0 for opaque images.",
    "phash": "Perceptual hash, 64 bits.",
}

# An image is as odd in size as its side is far from the median one.
MEASURED = f"select {', '.join(f'{name}::double as {name}' for name in STORED)} from image_quality"
ODDITY = f"""
    select greatest(side / value, value / side) as value from (select sqrt(width * height) as side from image_quality),
        (select value from calibrations where issue = '{MEDIAN_SIDE}')"""


def _cutoff(issue: str) -> Cutoff | None:
    """Return the setting of a rule that measures; facts have none."""
    rule, setting = RULES[issue], f"image_quality.thresholds.{issue}"
    if rule.fit is None:
        return None
    return (
        Cutoff(setting, rule.worse, ODDITY)
        if issue == "odd_size"
        else Cutoff(setting, rule.worse, MEASURED, rule.measure)
    )


def _flaw(name: str, *words: Any, share: float = 0.1) -> Issue:
    """Return an issue; what these rules measure is so, but seldom wrong in itself."""
    return replace(Issue(name, *words), share=share, cutoff=_cutoff(name))


DARK = _flaw("dark", 110, "Dark images", "Even the brightest parts are dark.", "Drop them or expose them again.")
BLURRY = _flaw("blurry", 130, "Blurred images", "Even the strongest edges are wide.", "Drop them where detail matters.")
FLAWS = (
    DARK,
    _flaw("bright", 120, "Bright images", "Light everywhere, or burnt out.", "Drop them or expose them again."),
    BLURRY,
    _flaw("noisy", 140, "Noisy images", "Grain that is no texture.", "Drop them or denoise all alike."),
    _flaw("low_information", 150, "Hardly anything to see", "Next to no contrast anywhere.", "Drop blank images."),
    _flaw(
        "partly_blank",
        152,
        "Partly blank",
        "Bands of one colour along its sides: a download that broke off, or bars.",
        "Fetch broken ones again, and cut bars off.",
        share=0.5,
    ),
    _flaw(
        "placeholder",
        154,
        "Placeholder pages",
        "A sign or some words on an even page instead of a picture.",
        "Fetch the pictures that they stand for, or drop them.",
        share=0.5,
    ),
    _flaw(
        "odd_size", 160, "Odd sizes", "Much larger or smaller than most.", "See whether they are from another source."
    ),
    _flaw(
        "odd_aspect_ratio",
        170,
        "Odd shapes",
        "Much longer than high, or the reverse.",
        "See whether resizing distorts them.",
    ),
    _flaw("tiny", 180, "Tiny images", "Smaller than a model can use.", "Fetch the originals, these may be thumbnails."),
    _flaw(
        "grayscale", 190, "Grey among colour", "Grey though most others are in colour.", "See whether that is meant."
    ),
    _flaw(
        "type_mismatch",
        200,
        "Misnamed files",
        "The content is of another type than the file's name says.",
        "Rename them.",
    ),
    _flaw(
        "rotated",
        210,
        "Stored rotated",
        "Stands upright only where the EXIF orientation is obeyed.",
        "Rotate the pixels: many loaders ignore the mark.",
    ),
    _flaw(
        "animated",
        220,
        "Animated images",
        "Holds several frames, of which loaders take the first.",
        "Split the frames.",
    ),
)

IMAGE_QUALITY = Signal(
    name="image_quality",
    description="Which images are dark, bright, blurred, noisy, empty or odd: rules over the statistics of the decode pass,"
    " with thresholds that fit the dataset or are set by hand.",
    group="media",
    reads=("quality_statistics", "media", "samples"),
    writes=("quality_issues",),
    update=PerSubject("quality_issues", ("sample_id",), _inputs, judge_image_quality),
    runs=_runs,
    version="4",
    kinds=("python", "numpy", "duckdb"),
    checks=(
        Check(
            "no_quality_issue_without_a_readable_sample",
            "select count(*) from quality_issues anti join readable using (sample_id)",
            "No issue is left of a sample that is gone or cannot be read.",
        ),
        Check(
            "every_rule_has_a_threshold_that_can_be_seen",
            f"select {len(RULES)} - count(*) from calibrations where brain_key = {{key}} and issue != '{MEDIAN_SIDE}'",
            "Each rule's threshold is stored in calibrations.",
        ),
    ),
    publishes=(
        Publication(
            "image_quality",
            f"""
            select samples.ordinal // 4096 as part, sample_id, {", ".join([*FACTS, *STATISTICS])}
            from samples join media using (content_hash) join quality_statistics using (content_hash)
            where samples.error is null and media.status = 'ok' and not dropped order by sample_id""",
            {"sample_id": "The sample.", **FACTS}
            | {name: text.replace("NaN", "NULL") for name, text in STATISTICS.items()},
            parts="""
            select ordinal // 4096 as part, bit_xor(hash(hash(sample_id, readable.changed, quality_statistics.changed))) as mark
            from readable join quality_statistics using (content_hash) group by part""",
        ),
    ),
    issues=(
        IssueQuery(
            f"""
            select sample_id as subject_id, sample_id, null as object_id, issue, {{default}} as source, score, is_issue,
                json_object('statistic', statistic, 'meaning', meaning, 'value', measure, 'threshold', value,
                    'origin', evidence->>'origin') as evidence
            from quality_issues join (values {MEANINGS}) as rules(issue, statistic, meaning) using (issue)
            join calibrations using (issue) where brain_key = {{default}}""",
            FLAWS,
        ),
    ),
    chart=Histogram("brightness", "select brightness from quality_statistics"),
    view={"sort": "brightness"},
)
