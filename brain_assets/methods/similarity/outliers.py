"""Samples, alone or in groups, that lie apart from the body of a dataset.

A foreign picture is far from all others. Twenty foreign pictures of one kind are near to each other, and yet as far from all
others as a single one: what counts is the distance to the *body*, which is whatever holds a good part of the dataset.

The body is known by some hundred *references*, which the content of a dataset chooses and which are then frozen. Each
has a *level*: the largest step that a way from it to the body cannot do without. How remote a sample is follows from its
distances to the references alone, whatever else there is and whenever it came.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# So many nearest references, or half of them where there are few, say how near anything is.
N_NEIGHBORS = 10
# A sample is joined to the body by so many links: a single one may be a coincidence.
N_LINKS = 5
# What hangs together and holds this share of the references is the body, or one of several parts of it.
BODY_SHARE = 0.2
# Fewer references than that have no body.
LEAST_REFERENCES = 8
# A group that is at least twice as far from the body as its own members are from each other counts as so much farther.
APART = 0.25
# Usual steps that are longer than usual distances by less than that are those of one body with denser places; by more than
# the other, the nearest are copies, which say nothing of what is usual.
STRETCH_LEAST, STRETCH_MOST = 1.25, 2.0
# Smaller differences of distances are those of two processors.
DECIMALS = 6
# The cut lies so many standard deviations above the median.
DEVIATIONS = 3.0
# Quantiles of a normal distribution from which its standard deviation follows, and the most that the outer one may add.
INNER, OUTER = (0.8, 0.8416), (0.95, 1.6449)
OUTER_MOST = 1.5
# What is known beforehand: the standard deviation, relative to the median, and for how many samples this counts.
PRIOR_SPREAD, PRIOR_WEIGHT = 0.2, 20
# A standard deviation below this share of the median is no difference worth a word.
LEAST_SPREAD = 0.1


@dataclass(frozen=True)
class OutlierCalibration:
    """What is unusual in a dataset. An input of the scores, so that new samples do not change old verdicts.

    Attributes
    ----------
    cut : float, in the unit of the metric
        The remoteness above which a sample is an outlier; its score there is .5.
    scale : float, > 0
        The remoteness over which the score rises, a twentieth of the cut or more.
    median : float
        Of the references that it was made from.
    samples : int
        How many they were; 0 for the default.
    """

    cut: float
    scale: float
    median: float = 0.0
    samples: int = 0


# As long as little is known, nothing is unusual.
DEFAULT = OutlierCalibration(cut=math.inf, scale=1.0)


@dataclass(frozen=True)
class Body:
    """Where the body of a dataset is, as its references tell.

    Attributes
    ----------
    levels : (m,) float64, in the unit of the metric
        How large a step each reference is away from the body. Within it, the distance at which it hangs together; outside,
        the mean of the five shortest links to what is already joined, or any longer one on the way there.
    stretch : float in [1, 2]
        How many times longer usual steps are than usual distances to the nearest, less a tolerance: more than 1 where the
        dataset falls into parts. A sample between two parts then is as remote as its distance to the nearest, so stretched.
    """

    levels: Floats
    stretch: float


def body_of(distances: NDArray[np.floating]) -> Body:
    """Return where the body of a dataset is.

    Parameters
    ----------
    distances : (m, m) float, in the unit of the metric
        Of the references, at least eight, from each other, symmetric; the diagonal does not count.

    Notes
    -----
    Two references hang together at the largest distance of the best chain between them, where each also counts as far from
    anything as from its own nearest ten (single linkage of mutual reachability, as in HDBSCAN: Campello, Moulavi and
    Sander, Density-based clustering based on hierarchical density estimates, 2013). The first components that hold a fifth
    of the references are the body; the others join it one after the other, the nearest first. A dataset of many classes
    that lie equally far from each other so has no class that is apart.

    Examples
    --------
    >>> place = np.array([*np.linspace(0, 1, 21), *np.linspace(9, 9.1, 3)])
    >>> body_of(np.abs(place[:, None] - place)).levels.round(1)[[0, 10, 20, 21, 22, 23]].tolist()
    [0.3, 0.2, 0.3, 8.1, 8.1, 8.1]
    """
    apart: Floats = np.asarray(distances, np.float64).round(DECIMALS)
    np.fill_diagonal(apart, np.inf)
    near = _nearest(apart)
    levels = _joined(apart, near, _of_body(apart, near))
    usual = np.quantile(near, INNER[0])
    step = np.quantile(np.maximum(near, _links(apart, levels)), INNER[0])
    return Body(levels, float(np.clip(step / usual / STRETCH_LEAST, 1, STRETCH_MOST)) if usual > 0 else 1.0)


def remoteness(distances: NDArray[np.floating], body: Body) -> Floats:
    """Return how remote samples are from the body, raw.

    Parameters
    ----------
    distances : (n, m) float, in the unit of the metric
        From each sample to each reference; inf to the reference that it is itself.
    body : Body
        From ``body_of``.

    Returns
    -------
    (n,) float64, >= 0
        The largest of: the mean distance to the nearest ten references, stretched as the body says; the mean of the five best
        links to the body, of which a group, where they are longer than the distances within it, has up to a quarter more.

    Notes
    -----
    Incremental: a row depends on its own distances and the references alone.

    Examples
    --------
    >>> body = Body(np.full(20, 0.3), stretch=1.0)
    >>> remoteness(np.array([np.linspace(0.1, 2, 20), np.linspace(3.1, 5, 20)]), body).round(2).tolist()
    [0.55, 3.55]
    """
    apart: Floats = np.asarray(distances, np.float64).round(DECIMALS)
    near = _nearest(apart)
    step = np.maximum(near, _links(apart, body.levels))
    ratio = np.divide(step, near, out=np.full(len(step), 2.0), where=near > step / 2)
    remote: Floats = np.maximum(step * (1 + APART * np.log2(ratio)), body.stretch * near)
    return remote


def calibrate(
    raw: NDArray[np.floating], between: NDArray[np.floating], wanted_share: float | None = None
) -> OutlierCalibration:
    """Return the cut above which a sample is an outlier.

    Parameters
    ----------
    raw : (m,) float
        From ``remoteness``, of the references themselves.
    between : (m, m) float
        How far they are from each other.
    wanted_share : float in (0, 1), optional
        This share of the references lies above the cut, whatever is unusual.

    Returns
    -------
    OutlierCalibration
        ``DEFAULT``, under which nothing is an outlier, for fewer than eight references.

    Notes
    -----
    The cut lies three standard deviations above the median. They are estimated by the percentile 80, or, as far as that gives
    up to a half more, by the percentile 95 where the tail is long; of few references the estimate is drawn to a prior of a
    fifth of the median, which counts as twenty samples. A sample whose nearest are no nearer than two references usually
    are (the median; of few references, whose nearest are half of them all, a higher percentile) is an outlier in any case,
    unless it is hardly farther than the median. So a tenth of a set, or more, may be foreign and found.

    Examples
    --------
    >>> round(calibrate(np.linspace(0.3, 0.5, 101), np.full((101, 101), 0.9)).cut, 2)
    0.62
    """
    if len(raw) < LEAST_REFERENCES:
        return DEFAULT
    median = float(np.median(raw))
    if median == 0:
        return DEFAULT
    inner, outer = ((float(np.quantile(raw, share)) - median) / normal for share, normal in (INNER, OUTER))
    spread = float(np.clip(outer, inner, OUTER_MOST * inner))
    known = (len(raw) * spread + PRIOR_WEIGHT * PRIOR_SPREAD * median) / (len(raw) + PRIOR_WEIGHT)
    scale = max(known, LEAST_SPREAD * median)
    least = (1 + DEVIATIONS * LEAST_SPREAD) * median
    cut = min(median + DEVIATIONS * scale, max(_usual(between), least))
    if wanted_share is not None:
        cut = float(np.quantile(raw, 1 - wanted_share, method="lower"))
    return OutlierCalibration(cut, max(scale, cut / 20), median, len(raw))


def outlier_score(raw: NDArray[np.floating], calibration: OutlierCalibration = DEFAULT) -> Floats:
    """Return how surely each sample is an outlier.

    Parameters
    ----------
    raw : (n,) float
        From ``remoteness``.
    calibration : OutlierCalibration
        ``DEFAULT`` until the dataset is large enough for ``calibrate``.

    Returns
    -------
    (n,) float64 in [0, 1], 1 = surely
        Logistic in the remoteness, .5 at the cut; 0 where there is nothing to differ from.

    Examples
    --------
    >>> outlier_score(np.array([0.4, 0.5, 0.9, np.nan]), OutlierCalibration(cut=0.5, scale=0.1)).round(2).tolist()
    [0.27, 0.5, 0.98, 0.0]
    """
    above = (np.asarray(raw, np.float64) - calibration.cut) / calibration.scale
    score = 0.5 + 0.5 * np.tanh(above / 2)
    return np.where(np.isnan(score), 0.0, score)


def is_outlier(raw: NDArray[np.floating], calibration: OutlierCalibration = DEFAULT) -> NDArray[np.bool_]:
    """Return whether the remoteness lies above the cut.

    Parameters
    ----------
    raw : (n,) float
        From ``remoteness``.
    calibration : OutlierCalibration

    Returns
    -------
    (n,) bool
        False where there is nothing to differ from.

    Examples
    --------
    >>> is_outlier(np.array([0.4, 0.5, 0.9, np.nan]), OutlierCalibration(cut=0.5, scale=0.1)).tolist()
    [False, False, True, False]
    """
    return np.asarray(np.asarray(raw, np.float64) > calibration.cut)


def _usual(between: NDArray[np.floating]) -> float:
    count = len(between)
    share = 0.5 + _counted(count) / count
    return float(np.quantile(between[np.triu_indices(count, 1)], min(share, 1)))


def _counted(references: int) -> int:
    """Return how many of the nearest references count."""
    return min(N_NEIGHBORS, max(1, references // 2))


def _nearest(apart: Floats) -> Floats:
    """Return the mean distance to the nearest references, of each row."""
    count = _counted(apart.shape[1])
    return np.asarray(np.partition(apart, count - 1, axis=1)[:, :count].mean(axis=1))


def _links(apart: Floats, levels: Floats) -> Floats:
    """Return the mean of the best links to references, where a link is as long as its reference is remote."""
    links = np.partition(np.maximum(apart, levels), N_LINKS - 1, axis=1)[:, :N_LINKS]
    return np.asarray(links.mean(axis=1))


def _joined(apart: Floats, near: Floats, levels: Floats) -> Floats:
    """Return the level of every reference, given that of the body and inf for the others."""
    outside, levels = np.isinf(levels), levels.copy()
    links = np.sort(np.maximum(apart, levels), axis=1)[:, : min(N_LINKS, np.count_nonzero(~outside))]
    front = 0.0
    while outside.any():
        steps = np.where(outside, np.maximum(near, links.mean(axis=1)), np.inf)
        joined = int(steps.argmin())
        front = max(front, steps[joined])
        levels[joined], outside[joined] = front, False
        links[:, -1] = np.minimum(links[:, -1], np.maximum(apart[:, joined], front))
        links.sort(axis=1)
    return levels


def _of_body(apart: Floats, near: Floats) -> Floats:
    """Return the level of the references that are the body, inf for the others."""
    from scipy.cluster.hierarchy import cophenet, linkage
    from scipy.spatial.distance import squareform

    reach = np.maximum(np.maximum(apart, near), near[:, None])
    np.fill_diagonal(reach, 0)
    chained = squareform(cophenet(linkage(squareform(reach, checks=False), "single")))
    needed = max(math.ceil(BODY_SHARE * len(apart)), 2)
    level = np.partition(chained, needed - 1, axis=1)[:, needed - 1]
    # Where a part of a component was large enough before, what came to it is no body.
    first = np.where(chained <= level[:, None], level, np.inf).min(axis=1) >= level
    return np.where(first, level, np.inf)
