"""Samples that lie unusually far from even their nearest neighbours."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_NEIGHBORS = 10
# Of a normal distribution: half of the mass above the median lies within .6745 standard deviations of it.
HALF_NORMAL = 0.6745


@dataclass(frozen=True)
class OutlierCalibration:
    """What is unusual in a dataset. An input of the scores, so that new samples do not change old verdicts.

    Attributes
    ----------
    cut : float, in the unit of the metric
        The distance above which a sample is an outlier; its score there is .5.
    scale : float, > 0
        The distance over which the score rises, a twentieth of the cut or more.
    median : float
        Of the distances it was made from.
    samples : int
        How many they were; 0 for the default.
    """

    cut: float
    scale: float
    median: float = 0.0
    samples: int = 0


# As long as little is known, nothing is unusual.
DEFAULT = OutlierCalibration(cut=math.inf, scale=1.0)


def neighbor_distance(
    distances: NDArray[np.floating], n_neighbors: int = N_NEIGHBORS, copy_distance: float = 0.0
) -> NDArray[np.float32]:
    """Return the mean distance to the nearest neighbours that are not copies, raw.

    Parameters
    ----------
    distances : (n, k) float, in the unit of the metric
        Self excluded, each row ascending; inf or NaN where a sample has fewer than k neighbours.
    n_neighbors : int
        How many of them count.
    copy_distance : float
        Neighbours up to it are copies and are skipped: they say nothing about how far apart different samples lie.
        Give the near-duplicate threshold where there are many near copies, such as frames of videos.

    Returns
    -------
    (n,) float32, > 0
        Over the neighbours that exist; NaN for a sample that has none, or none but copies.

    Raises
    ------
    ValueError
        If ``distances`` is not two-dimensional.

    Notes
    -----
    Angiulli and Pizzuti, Fast outlier detection in high dimensional spaces, 2002; there copies count. The mean rather
    than the nearest one, so that an outlier and its double do not vouch for each other. Incremental: a row changes
    only with its own distances.

    Examples
    --------
    >>> neighbor_distance(np.array([[0.25, 0.75], [0.5, np.inf]])).tolist()
    [0.5, 0.5]
    """
    if distances.ndim != 2:
        raise ValueError(f"distances must have shape (n, k), got {distances.shape}")
    different = np.isfinite(distances) & (distances > copy_distance)
    counted = different & (np.cumsum(different, axis=1) <= n_neighbors)
    total = np.where(counted, distances, 0.0).sum(axis=1, dtype=np.float64)
    mean = np.full(len(distances), np.nan)
    np.divide(total, counted.sum(axis=1), out=mean, where=counted.any(axis=1))
    return mean.astype(np.float32)


def calibrate(raw: NDArray[np.floating], deviations: float = 3.5, max_share: float = 0.05) -> OutlierCalibration:
    """Return the cut above which a distance is unusual, by the median and the spread above it.

    Parameters
    ----------
    raw : (n,) float
        From ``neighbor_distance``.
    deviations : float
        Of the cut above the median, in robust standard deviations; 3.5 is the usual one for modified z-scores.
    max_share : float in [0, 1]
        No more of the distances than that lie above the cut.

    Returns
    -------
    OutlierCalibration
        ``DEFAULT``, under which nothing is an outlier, if there is no distance.

    Notes
    -----
    The spread is the median of the upper half less the median, as the upper tail alone matters. It counts as at least
    a tenth of the median, so that among evenly spaced samples a slightly wider gap is no outlier.
    Iglewicz and Hoaglin, How to detect and handle outliers, 1993.

    Examples
    --------
    >>> round(calibrate(np.array([0.3, 0.4, 0.4, 0.4, 0.5]), max_share=1.0).cut, 2)
    0.54
    """
    known = np.asarray(raw[np.isfinite(raw) & (raw > 0)], np.float64)
    if len(known) == 0:
        return DEFAULT
    median = float(np.median(known))
    spread = float(np.median(known[known >= median])) - median
    scale = max(spread / HALF_NORMAL, median / 10)
    share = float(np.quantile(known, 1 - max_share, method="higher"))
    cut = max(median + deviations * scale, share)
    return OutlierCalibration(cut, max(scale, cut / 20), median, len(known))


def outlier_score(raw: NDArray[np.floating], calibration: OutlierCalibration = DEFAULT) -> NDArray[np.float64]:
    """Return how surely each sample is an outlier.

    Parameters
    ----------
    raw : (n,) float
        From ``neighbor_distance``.
    calibration : OutlierCalibration
        ``DEFAULT`` until the dataset is large enough for ``calibrate``.

    Returns
    -------
    (n,) float64 in [0, 1], 1 = surely
        Logistic in the distance, .5 at the cut; 0 where there is nothing to differ from.

    Examples
    --------
    >>> outlier_score(np.array([0.4, 0.5, 0.9, np.nan]), OutlierCalibration(cut=0.5, scale=0.1)).round(2).tolist()
    [0.27, 0.5, 0.98, 0.0]
    """
    above = (np.asarray(raw, np.float64) - calibration.cut) / calibration.scale
    score = 0.5 + 0.5 * np.tanh(above / 2)
    return np.where(np.isnan(score), 0.0, score)


def is_outlier(raw: NDArray[np.floating], calibration: OutlierCalibration = DEFAULT) -> NDArray[np.bool_]:
    """Return whether the distance lies above the cut.

    Parameters
    ----------
    raw : (n,) float
        From ``neighbor_distance``.
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
