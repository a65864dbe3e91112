"""What two pictures are to each other: a copy is closer than is usual for such pictures, or differs nowhere."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.duplicates.verification import PIXEL_WEIGHT

RARE, RARE_SHARED = 0.27, 0.35
"""A copy is at most this share of the usual distance away: the larger one where corners show a region that both share, which
unrelated pictures do not have."""
LISTED, RANK = 10, 8
"""The usual distance is the eighth smallest to the ten nearest neighbours, so that seven copies do not make copies usual."""
UNRELATED = 1.0
UNCHANGED, AGREEING = 8.0, 0.7
FARTHEST_COPY = 1 - PIXEL_WEIGHT * AGREEING
FULL, SAME_BITS, SAME_DISTANCE = 0.97, 4, 0.02
CLOSE = 0.25


class Evidence(NamedTuple):
    """What was found of m pairs.

    Attributes
    ----------
    distance : (m,) float64
        From ``duplicate_distance``.
    verification : (m,) float64
        Agreement of the pixels; NaN where there are none.
    change : (m,) float64, grey levels
        The largest local difference inside the shared region; NaN where none was found by corners.
    regions : (m, 8) float64
        Boxes of the shared region in both pictures, as shares of their sides; NaN where none was found.
    bits : (m,) int64
        In which the hashes differ, none of the two mirrored.
    """

    distance: NDArray[np.float64]
    verification: NDArray[np.float64]
    change: NDArray[np.float64]
    regions: NDArray[np.float64]
    bits: NDArray[np.int64]

    @property
    def unchanged(self) -> NDArray[np.bool_]:
        """Whether nothing inside the shared region differs, so that no other picture needs to be asked."""
        return (self.change <= UNCHANGED) & (self.verification >= AGREEING)

    @property
    def limit(self) -> NDArray[np.float64]:
        """The share of the usual distance within which each pair is a copy."""
        return np.where(np.isnan(self.change), RARE, RARE_SHARED)


def usual_distance(distances: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return how far pictures like each one usually are from it.

    Parameters
    ----------
    distances : (n, 10) float64
        To the ten nearest neighbours by embedding, in any order; 1, as of unrelated pictures, where there are fewer.
    count : int
        Pictures in the set. In one of fewer than 16 the rank is half of the others, at least the second.

    Returns
    -------
    (n,) float64 in [0, 1]

    Notes
    -----
    Score normalisation by background neighbours, as in image copy detection: M. Douze et al., "The 2021 image
    similarity dataset and challenge", 2021. Incremental: a picture's own list decides, so that another picture
    changes only those whose lists it enters; without neighbours the distance of unrelated pictures stands in.

    Examples
    --------
    >>> usual_distance(np.array([[0.1, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9, 1.0, 1.0]]), 500)
    array([0.9])
    """
    rank = min(max(count // 2, 2), RANK)
    return np.asarray(np.minimum(np.partition(distances, rank - 1, axis=1)[:, rank - 1], UNRELATED))


def related(evidence: Evidence, usual: NDArray[np.float64]) -> NDArray[np.object_]:
    """Return the relation of each pair, None where the two are nothing to each other.

    Parameters
    ----------
    evidence : Evidence
    usual : (m,) float64
        The smaller of the usual distances of the two pictures.

    Returns
    -------
    (m,) object
        ``same``: one picture but for its encoding. ``edited``: but for an edit. ``same_scene``: as near as a copy, but so
        are others that are none: another shot, another frame of one camera, another form of one template.

    Examples
    --------
    >>> nothing = np.full((2, 8), np.nan)
    >>> found = Evidence(np.full(2, 0.1), np.ones(2), np.full(2, np.nan), nothing, np.full(2, 9))
    >>> related(found, np.array([0.9, 0.3]))
    array(['edited', 'same_scene'], dtype=object)
    """
    copies = evidence.unchanged | (evidence.distance <= evidence.limit * usual)
    whole = (evidence.regions[:, [0, 1, 4, 5]] <= 1 - FULL).all(axis=1)
    whole &= (evidence.regions[:, [2, 3, 6, 7]] >= FULL).all(axis=1)
    alike = (evidence.unchanged & whole) | (np.isnan(evidence.change) & (evidence.distance <= SAME_DISTANCE))
    found = np.full(len(copies), None, object)
    found[evidence.distance <= CLOSE] = "same_scene"
    found[copies] = "edited"
    found[copies & alike & (evidence.bits <= SAME_BITS)] = "same"
    return found
