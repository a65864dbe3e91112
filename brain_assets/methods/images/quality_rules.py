"""What counts as dark, blurred or odd: issues from stored statistics and thresholds, never from pixels.

Each rule is one measure, made from the statistics, and one threshold on it. The measures name causes: a dark image is
not called blurred, an evenly coloured one neither dark nor gray. NaN means that a rule cannot judge an image.

Thresholds are an input. The defaults hold unless a dataset shows that they do not fit it (`calibrate`), and any of them
can be set by hand. A new threshold takes a new `judge`, nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.images import quality_measures as measures
from brain_assets.methods.images.quality_measures import Columns, Values

# Fewer samples than that do not calibrate: a quarter of them would be one or two.
MIN_SAMPLES = 8
# Robust standard deviations from the median to the threshold, where most of a dataset lies beyond the default.
DEVIATIONS = 4.0
# A normal distribution's standard deviation over its median absolute deviation.
NORMAL = 1.4826
# A blurred image has edges so many times wider than the sharpest share of its dataset.
SHARPEST, SOFTER = 0.25, 1.7
# Pages are what a dataset shows where they are more than this share of it.
PAGES_USUAL = 0.25
# A side this many times longer or shorter than the median is odd.
ODD_FACTOR = 3.0
# Useful images of photo models have sides of at least so many pixels; a tiny one is this much smaller than the median.
USEFUL_SIDE, TINY_SHARE = 64.0, 0.25
# Scores rise with this power of measure over threshold.
STEEPNESS = 4


@dataclass(frozen=True)
class Threshold:
    """Where a rule begins to flag, and why there.

    Attributes
    ----------
    value : float
        On the rule's measure; NaN switches the rule off.
    reference : float
        Median side of the dataset's images in pixels, for `odd_size`; else NaN.
    evidence : dict
        ``basis``: ``default``, ``too few`` (samples to calibrate), ``usual`` (most samples lie beyond the default)
        or ``median``; and the numbers it rests on.
    """

    value: float
    reference: float = np.nan
    evidence: Mapping[str, float | str] = field(default_factory=dict)


class Verdict(NamedTuple):
    """What a rule says of each sample.

    Attributes
    ----------
    measure : (n,) float64
        What the rule looks at; NaN where it cannot judge.
    score : (n,) float64 in [0, 1]
        1 = surely an issue, 0.5 at the threshold, 0 where the rule cannot judge or is off.
    is_issue : (n,) bool
        Whether the measure has reached the threshold.
    """

    measure: Values
    score: Values
    is_issue: NDArray[np.bool_]


Fit = Callable[["Rule", Values], Threshold]


@dataclass(frozen=True)
class Rule:
    """One issue: how it is measured, and where the threshold lies.

    Attributes
    ----------
    measure : callable
        Returns (n,) float64 from the columns, not negative; NaN where the rule cannot judge.
    worse : {"above", "below"}
        The side of the threshold that is flagged.
    default : float
        The threshold until a dataset has been calibrated.
    meaning : str
        The measure in words, with its unit.
    fit : callable or None
        Returns the threshold that fits a dataset, from the measure of its samples; None for facts, which need none.
    """

    measure: Callable[[Columns], Values]
    worse: Literal["above", "below"]
    default: float
    meaning: str
    fit: Fit | None = None


def fit_usual(rule: Rule, measure: Values) -> Threshold:
    """Return the default, or a threshold beyond what is usual where the default would flag more than half."""
    share = float(np.mean(_reaches(rule, measure, rule.default)))
    evidence: dict[str, float | str] = {"samples": len(measure), "share_beyond_default": share}
    if share <= 0.5:
        return Threshold(rule.default, evidence={"basis": "default", **evidence})
    logarithms = np.log(np.maximum(measure, 1e-6))
    median = float(np.median(logarithms))
    spread = NORMAL * float(np.median(np.abs(logarithms - median)))
    # Where most samples are alike the spread collapses; a tenth of the measure is no difference worth flagging.
    step = DEVIATIONS * max(spread, np.log(1.1) / DEVIATIONS)
    value = float(np.exp(median + step if rule.worse == "above" else median - step))
    return Threshold(value, evidence={"basis": "usual", **evidence, "median": float(np.exp(median)), "spread": spread})


def fit_page(rule: Rule, measure: Values) -> Threshold:
    """Return the default, and NaN where a quarter of the samples are pages, such as digits: none of them stands for others."""
    share = float(np.mean(measure < measures.VARIED))
    evidence: dict[str, float | str] = {"basis": "default", "samples": len(measure), "share_of_pages": share}
    return Threshold(rule.default if share <= PAGES_USUAL else np.nan, evidence=evidence)


def fit_sharp(rule: Rule, measure: Values) -> Threshold:
    """Return the default, or more where even the sharpest quarter of a dataset is soft, as through a microscope."""
    quartile = float(np.quantile(measure, SHARPEST))
    value = max(rule.default, SOFTER * quartile)
    basis = "default" if value == rule.default else "usual"
    return Threshold(value, evidence={"basis": basis, "samples": len(measure), "quartile": quartile})


def fit_color(rule: Rule, measure: Values) -> Threshold:
    """Return the default in a colour dataset, and NaN where at least half of the samples are gray."""
    share = float(np.mean(_reaches(rule, measure, rule.default)))
    evidence: dict[str, float | str] = {"basis": "default", "samples": len(measure), "share_gray": share}
    return Threshold(rule.default if share < 0.5 else np.nan, evidence=evidence)


def fit_size(rule: Rule, measure: Values) -> Threshold:
    """Return a threshold on the factor to the median side, wider where sides vary by their nature."""
    logarithms = np.log(measure)
    median = float(np.median(logarithms))
    spread = NORMAL * float(np.median(np.abs(logarithms - median)))
    value, side = float(max(ODD_FACTOR, np.exp(DEVIATIONS * spread))), float(np.exp(median))
    return Threshold(value, side, {"basis": "median", "samples": len(measure), "median": side, "spread": spread})


def fit_tiny(rule: Rule, measure: Values) -> Threshold:
    """Return a side that is both of little use to a model and far below the median."""
    median = float(np.median(measure))
    value = min(USEFUL_SIDE, TINY_SHARE * median)
    return Threshold(value, evidence={"basis": "median", "samples": len(measure), "median": median})


RULES: Mapping[str, Rule] = {
    "dark": Rule(measures.highlights, "below", 0.4, "perceived brightness of the brightest hundredth", fit_usual),
    "bright": Rule(measures.exposure, "above", 1.1, "exposure: light everywhere, or burnt out", fit_usual),
    "blurry": Rule(measures.blur, "above", 1.9, "width of strong edges in pixels, longest side 256", fit_sharp),
    "low_information": Rule(measures.contrast, "below", 0.02, "contrast between blocks over brightness", fit_usual),
    "partly_blank": Rule(measures.blank, "above", 0.15, "share of bands of one colour along its sides", fit_usual),
    "placeholder": Rule(measures.variety, "below", measures.PAGE_VARIETY, "bits of variety on an even page", fit_page),
    "noisy": Rule(measures.grain, "above", 3.2, "noise in levels, longest side 256, less what is texture", fit_usual),
    "grayscale": Rule(measures.chroma, "below", 2.5, "difference of channels in levels, percentile 99", fit_color),
    "odd_size": Rule(measures.side, "above", np.nan, "factor between its side and the median side", fit_size),
    "odd_aspect_ratio": Rule(measures.elongation, "above", 2.5, "longer side over shorter side", fit_usual),
    "tiny": Rule(measures.side, "below", 16.0, "side in pixels: the root of width times height", fit_tiny),
    "rotated": Rule(measures.rotated, "above", 0.5, "1 where the EXIF orientation is not 1"),
    "animated": Rule(measures.animated, "above", 0.5, "1 where the file has several frames"),
    "type_mismatch": Rule(measures.type_mismatch, "above", 0.5, "1 where the content is not what the name says"),
}


def defaults() -> dict[str, Threshold]:
    """Return the thresholds of a dataset that has not been calibrated.

    Returns
    -------
    dict of str to Threshold
        By issue. ``odd_size`` is off: it needs the median size.

    Examples
    --------
    >>> defaults()["dark"].value
    0.4
    """
    return {issue: Threshold(rule.default, evidence={"basis": "default"}) for issue, rule in RULES.items()}


def calibrate(columns: Columns, min_samples: int = MIN_SAMPLES) -> dict[str, Threshold]:
    """Return the thresholds that fit a dataset, each with the numbers it rests on.

    A default stays unless the dataset contradicts it: if it flags more than half of the samples, they are what is usual
    here, and the threshold moves beyond them, by medians. Up to half of a dataset may be defective and move nothing.
    Sizes are compared with the median.

    Parameters
    ----------
    columns : mapping of str to (n,) array
        What `brain_assets.methods.images.quality_measures` reads, for a part of the dataset; some thousand rows are enough.
    min_samples : int
        With fewer judged samples the default holds.

    Returns
    -------
    dict of str to Threshold
        By issue.

    Raises
    ------
    KeyError
        If a column is missing.

    Examples
    --------
    >>> columns = {name: np.ones(200) for name in measures.COLUMNS} | {"width": np.full(200, 100.0)}
    >>> found = calibrate(columns)
    >>> found["odd_size"].value, round(found["odd_size"].reference), found["odd_aspect_ratio"].evidence["basis"]
    (3.0, 10, 'usual')
    """
    return {issue: _fit(rule, rule.measure(columns), min_samples) for issue, rule in RULES.items()}


def _fit(rule: Rule, measure: Values, min_samples: int) -> Threshold:
    judged = measure[~np.isnan(measure)]
    if rule.fit is None:
        return Threshold(rule.default, evidence={"basis": "default"})
    if len(judged) < max(min_samples, 1):
        return Threshold(rule.default, evidence={"basis": "too few", "samples": len(judged)})
    return rule.fit(rule, judged)


def judge(columns: Columns, thresholds: Mapping[str, Threshold]) -> dict[str, Verdict]:
    """Return what each rule says of each sample.

    Parameters
    ----------
    columns : mapping of str to (n,) array
        What `brain_assets.methods.images.quality_measures` reads.
    thresholds : mapping of str to Threshold
        From `defaults` or `calibrate`, or set by hand; rules without one are left out.

    Returns
    -------
    dict of str to Verdict
        By issue.

    Raises
    ------
    KeyError
        If a column is missing or an issue has no rule.

    Notes
    -----
    Incremental: a row depends on its own statistics and the thresholds alone.

    Examples
    --------
    >>> columns = {"brightness_99": [0.2, 0.4, 0.9], "structure": [0.1, 0.1, 0.1], "brightness": [0.1, 0.2, 0.3]}
    >>> judge(columns, {"dark": Threshold(0.4)})["dark"].score.round(2).tolist()
    [0.94, 0.5, 0.04]
    """
    return {
        issue: _judge(RULES[issue], RULES[issue].measure(columns), threshold) for issue, threshold in thresholds.items()
    }


def _judge(rule: Rule, measure: Values, threshold: Threshold) -> Verdict:
    if rule.fit is None:
        return Verdict(measure, np.nan_to_num(measure), measure >= threshold.value)
    if rule.fit is fit_size:
        measure = np.exp(np.abs(np.log(measure / threshold.reference)))
    with np.errstate(divide="ignore", over="ignore"):
        ratio = measure / threshold.value if rule.worse == "above" else threshold.value / measure
        score = np.nan_to_num(1 / (1 + ratio**-STEEPNESS))
    return Verdict(measure, score, _reaches(rule, measure, threshold.value))


def _reaches(rule: Rule, measure: Values, threshold: float) -> NDArray[np.bool_]:
    return measure >= threshold if rule.worse == "above" else measure <= threshold
