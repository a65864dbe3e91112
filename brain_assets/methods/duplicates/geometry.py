"""Whether a part of one picture is a part of another, by corners that lie alike and by the pixels between them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.duplicates.local_features import Grey, Matches, Rows, View, matched

Motion = NDArray[np.float64]
Plane = NDArray[np.float32]
Boxes = NDArray[np.float64]
Places = NDArray[np.float64]

FEWEST_CORNERS = 4
TOLERANCES = (6.0, 4.0, 3.0)
SMALLEST_SCALE, LARGEST_SCALE, MOST_STRETCHED = 0.1, 8.0, 2.2
SAME_CORNER = 3.0
# A motion is corrected at half size where the outlines agree, and at full size where the details of half size do then.
WORTH_CORRECTING, WORTH_REFINING = 0.35, 0.45
LEAST_SEEN = 0.01
FARTHEST_CORRECTION = 0.25
STEPS_COARSE, STEPS_FINE, PRECISION, BLUR = 25, 6, 1e-4, 3
FINE, BROAD, WINDOW, STRIDE = 0.8, 2.0, 4.0, 4
OUTLINE, BACKGROUND, OUTLINE_WINDOW = 0.8, 6.0, 3.0
FULL_CONTRAST = 1.0
CHANGE_WINDOW = 3.0


class Overlap(NamedTuple):
    """What two pictures share.

    Attributes
    ----------
    agreement : float in [0, 1]
        Correlation of the details inside the shared region, times twice the share of the picture of which it is the
        larger part, where that is below a half.
    change : float, grey levels
        The largest difference of light anywhere in the region, gain and offset allowed for, in a window of 3 of 192 pixels.
    shares : (2,) float64
        The share of each picture that the region covers.
    regions : (2, 4) float64, left, top, right, bottom in [0, 1]
        The box around the region in each picture.
    """

    agreement: float
    change: float
    shares: NDArray[np.float64]
    regions: Boxes


def overlap(first: View, second: View) -> Overlap | None:
    """Return what two pictures share under the best turn, flip, scale, stretch and shift; None where nothing is found.

    Parameters
    ----------
    first, second : View

    Examples
    --------
    >>> from brain_assets.methods.duplicates.local_features import view_of
    >>> noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    >>> picture = np.kron(noise, np.ones((8, 8, 1), np.uint8))
    >>> found = overlap(view_of(picture), view_of(np.rot90(picture)))
    >>> round(found.agreement, 1), found.shares.round(1).tolist()
    (1.0, [1.0, 1.0])
    """
    return overlaps([first, second], np.array([0]), np.array([1])).get(0)


def overlaps(views: Sequence[View], first: Rows, second: Rows) -> dict[int, Overlap]:
    """Return what pairs of pictures share, by the pair's place; pairs of which nothing is found are left out.

    Parameters
    ----------
    views : sequence of View
    first, second : (m,) int64
        Rows of ``views``.

    Notes
    -----
    The affine motion through corners that lie alike is refined by enhanced correlation: G. D. Evangelidis and
    E. Z. Psarakis, "Parametric image alignment using enhanced correlation coefficient maximization", 2008. Incremental:
    depends on the two pictures only.
    """
    found = {}
    matches = matched(views, first, second)
    for pair in np.flatnonzero(matches.counts.any(axis=1)).tolist():
        if shared := _overlap(views[first[pair]], views[second[pair]], Matches(*(column[pair] for column in matches))):
            found[pair] = shared
    return found


def _overlap(first: View, second: View, matches: Matches) -> Overlap | None:
    ways = [
        _motion(first.plain.places[rows[:count, 0]], corners.places[rows[:count, 1]], voters[:count])
        for corners, rows, count, voters in zip((second.plain, second.mirrored), *matches, strict=True)
    ]
    mirrored = ways[1][0] > ways[0][0]
    corners, motion = ways[mirrored]
    if motion is None or corners < FEWEST_CORNERS:
        return None
    other = np.ascontiguousarray(second.grey[:, ::-1]) if mirrored else second.grey
    found = _compared(first.grey, other, motion)
    if found is not None and mirrored:
        found.regions[1, [0, 2]] = 1 - found.regions[1, [2, 0]]
    return found


def _motion(here: Places, there: Places, voters: NDArray[np.bool_]) -> tuple[int, Motion | None]:
    """Return how many corners lie alike, and the (2, 3) motion that takes the second picture's to the first's."""
    points = np.column_stack([there, np.ones(len(there))])
    near = voters
    for tolerance in TOLERANCES:
        if near.sum() < FEWEST_CORNERS:
            return 0, None
        solution = np.linalg.lstsq(points[near], here[near], rcond=None)[0]
        motion = np.asarray(solution.T, np.float64)
        near = np.hypot(*(points @ motion.T - here).T) < tolerance
    if not _is_plausible(motion):
        return 0, None
    return min(_distinct(here[near]), _distinct(there[near])), motion


def _is_plausible(motion: Motion) -> bool:
    large, small = np.linalg.svd(motion[:, :2], compute_uv=False)
    return bool(small >= SMALLEST_SCALE and large <= LARGEST_SCALE and large <= MOST_STRETCHED * small)


def _distinct(places: NDArray[np.float64]) -> int:
    """Return the number of corners of which several levels may have found the same."""
    return len(np.unique(np.rint(places / SAME_CORNER), axis=0))


def _compared(first: Grey, second: Grey, motion: Motion) -> Overlap | None:
    """Compare two pictures in the one that shows the shared region smaller, so that no detail is made up."""
    import cv2

    if _area(motion) > 1:
        found = _compared(second, first, cv2.invertAffineTransform(motion))
        return found and found._replace(shares=found.shares[::-1], regions=found.regions[::-1].copy())
    target, source = first.astype(np.float32), _reduced(second, np.sqrt(_area(motion)))
    halves = [cv2.resize(plane, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for plane in (target, source)]
    half = _scaled(motion, 0.5)
    if _outlines(halves[0], *_laid_over(halves[1], half, halves[0])) < WORTH_CORRECTING:
        return None
    half = _corrected(halves[0], halves[1], half, STEPS_COARSE)
    if _details(halves[0], *_laid_over(halves[1], half, halves[0])) < WORTH_REFINING:
        return None
    motion = _corrected(target, source, _scaled(half, 2.0), STEPS_FINE)
    moved, seen = _laid_over(source, motion, target)
    seen = cv2.erode(seen, np.ones((3, 3)))
    if seen.mean() < LEAST_SEEN:
        return None
    shares = np.array([seen.mean(), min(seen.sum() / max(_area(motion) * second.size, 1.0), 1.0)])
    agreement = _details(target, moved, seen) * min(1.0, 2 * float(shares.max()))
    return Overlap(agreement, _change(target, moved, seen), shares, _regions(first, second, motion))


def _area(motion: Motion) -> float:
    return float(abs(np.linalg.det(motion[:, :2])))


def _reduced(picture: Grey, scale: float) -> Plane:
    """Return the picture without the details that get lost when it is scaled down."""
    import cv2

    blur = 0.5 * np.sqrt(max(scale**-2 - 1, 0.0))
    return np.asarray(
        cv2.GaussianBlur(picture.astype(np.float32), (0, 0), blur) if blur > 0.25 else picture, np.float32
    )


def _laid_over(source: Plane, motion: Motion, target: Plane) -> tuple[Plane, Plane]:
    """Return the source where it lies on the target, and 1 where it does, else 0."""
    import cv2

    size = target.shape[::-1]
    seen = cv2.warpAffine(np.ones_like(source), motion, size) > 0.99
    return np.asarray(cv2.warpAffine(source, motion, size), np.float32), seen.astype(np.float32)


def _scaled(motion: Motion, factor: float) -> Motion:
    """Return the motion between two pictures that are both scaled."""
    return np.asarray(motion * np.array([1.0, 1.0, factor]))


def _outlines(target: Plane, moved: Plane, seen: Plane) -> float:
    """Return how far two pictures agree roughly, so that a motion off by some pixels still shows."""
    return _agreement(target, moved, seen, (OUTLINE, BACKGROUND, OUTLINE_WINDOW))


def _details(target: Plane, moved: Plane, seen: Plane) -> float:
    """Return how far the details of two pictures agree, which unrelated pictures' do not by chance."""
    return _agreement(target, moved, seen, (FINE, BROAD, WINDOW))


def _agreement(target: Plane, moved: Plane, seen: Plane, band: tuple[float, float, float]) -> float:
    if seen.mean() < LEAST_SEEN:
        return 0.0
    fine, broad, window = band
    moved = np.where(seen > 0, moved, target)
    target, moved = ((_blurred(plane, fine) - _blurred(plane, broad)) * seen for plane in (target, moved))
    return _correlation(target, moved, seen, window)


def _correlation(target: Plane, moved: Plane, seen: Plane, window: float) -> float:
    """Return the mean correlation in windows, plain ones left out by weight."""
    places = slice(STRIDE // 2, None, STRIDE)
    grid = (places, places)
    inside = seen[grid] > 0
    weights = _blurred(seen, window)[grid][inside]
    ours, theirs, both = (
        _blurred(product, window)[grid][inside] / weights for product in (target**2, moved**2, target * moved)
    )
    contrast = np.minimum(np.sqrt(np.maximum(np.maximum(ours, theirs), 0)), FULL_CONTRAST)
    correlation = np.clip(both / (np.sqrt(np.maximum(ours * theirs, 0)) + 0.5), 0, 1)
    return float((contrast * correlation).sum() / max(float(contrast.sum()), 1.0))


def _blurred(plane: Plane, deviation: float) -> Any:
    import cv2

    return cv2.GaussianBlur(plane, (0, 0), deviation)


def _corrected(target: Plane, source: Plane, motion: Motion, steps: int) -> Motion:
    """Return the motion that correlates the two best nearby, or the given one where the search leads astray."""
    import cv2

    stop = cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, steps, PRECISION
    back = cv2.invertAffineTransform(motion).astype(np.float32)
    try:
        _, back = cv2.findTransformECC(target, source, back, cv2.MOTION_AFFINE, stop, None, BLUR)
    except cv2.error:
        return motion
    corrected = np.asarray(cv2.invertAffineTransform(back.astype(np.float64)), np.float64)
    astray = np.abs(_frame(source.shape, corrected) - _frame(source.shape, motion)).max()
    return corrected if astray <= FARTHEST_CORRECTION * max(target.shape) else motion


def _frame(shape: tuple[int, ...], motion: Motion) -> NDArray[np.float64]:
    """Return where the corners of a picture come to lie, (4, 2)."""
    height, width = shape
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], np.float64)
    return np.asarray(corners @ motion.T)


def _change(target: Plane, moved: Plane, seen: Plane) -> float:
    """Return the largest local difference of light, gain and offset allowed for."""
    ours, theirs = target[seen > 0], moved[seen > 0]
    gain = np.float32(np.cov(theirs, ours)[0, 1] / max(float(theirs.var()), 1.0))
    residual = (target - ours.mean() - gain * (moved - theirs.mean())) * seen
    return float(np.abs(_blurred(residual.astype(np.float32), CHANGE_WINDOW)).max())


def _regions(first: Grey, second: Grey, motion: Motion) -> Boxes:
    """Return the box of the shared region in each picture, as shares of its width and height."""
    import cv2

    frames = _frame(second.shape, motion), _frame(first.shape, cv2.invertAffineTransform(motion))
    boxes = [
        np.concatenate([frame.min(axis=0), frame.max(axis=0)]) / np.tile(picture.shape[::-1], 2)
        for frame, picture in zip(frames, (first, second), strict=True)
    ]
    return np.asarray(np.clip(np.stack(boxes), 0.0, 1.0), np.float64)
