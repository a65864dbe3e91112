"""Edges, blur and noise of one luma plane."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.images.filters import block_means, blur, laplacian, roughness, slope, structure_tensor

Plane = NDArray[np.float32]
Tensor = NDArray[np.float64]

# Squared gradient, in levels per pixel, of what counts as an edge.
EDGE = 10.0**2
# The edges by which blur is judged: the strongest share of the pixels, but at least so many, each with some gradient.
STRONG_SHARE, STRONG_LEAST, STRONG_SLOPE = 0.05, 80, 1.0
# A direction with less than about this share of the gradient is taken to be as sharp as the others.
UNSEEN = 1e-3
# Variances, in square pixels, that the first and the further smoothing add: 1/2 for each binomial filter.
SMOOTHED, RESMOOTHED = 0.5, 2.0
# Pixels a side that the smoothings and gradients need for an answer.
EDGE_SIDE, NOISE_SIDE = 32, 112
# Noise is looked for in the flattest share of the blocks; within so many levels of black or white it is clipped away.
FLAT_SHARE, CLIPPED, BLOCKS_LEAST = 0.1, 8.0, 4
# What |x| of Immerkær's mask is on average, over the standard deviation of the noise it sees.
MASK_GAIN = 6 * np.sqrt(2 / np.pi)


class Noise(NamedTuple):
    """Noise of the flattest blocks; NaN where none can be judged.

    Attributes
    ----------
    luma, chroma : float
        Standard deviation in levels.
    texture : float
        Luma noise at half the size over luma noise: at most about 1 for noise, 1.5 and more for texture.
    """

    luma: float
    chroma: float
    texture: float


def laplacian_variance(luma: Plane) -> float:
    """Return the variance of the Laplacian, high for sharp and for noisy images.

    Parameters
    ----------
    luma : (height, width) float32, in [0, 255]

    Returns
    -------
    float
        In square levels; 0 for fewer than 3 pixels a side.

    References
    ----------
    Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, 2000.

    Examples
    --------
    >>> laplacian_variance(np.zeros((4, 4), np.float32))
    0.0
    """
    if min(luma.shape) < 3:
        return 0.0
    answer = laplacian(luma).ravel().astype(np.float64)
    return float(max(np.square(answer).mean() - answer.mean() ** 2, 0.0))


def edges(luma: Plane) -> tuple[float, float]:
    """Return the density of edges, and how wide they are in the direction in which they are widest.

    An edge that a further blur flattens little was blurred before. A lens out of focus widens edges of all directions, a
    camera or thing that moves only those across its way; so the gradients are compared direction by direction. Noise does
    not pass for sharpness, nor a background out of focus for a blurred image, because only the strongest edges are asked.

    Parameters
    ----------
    luma : (height, width) float32, in [0, 255]

    Returns
    -------
    density : float in [0, 1]
        Share of pixels whose gradient, after a slight smoothing, exceeds 10 levels per pixel.
    width : float
        In pixels: the standard deviation of the blur and about a half. NaN with fewer than 80 strong edge pixels, or
        below 32 pixels a side.

    References
    ----------
    Zhuo and Sim, Defocus map estimation from a single image, 2011; Bigün and Granlund, Optimal orientation detection of
    linear symmetry, 1987 (structure tensor).

    Examples
    --------
    >>> step = np.where(np.arange(32) < 16, 50, 200) * np.ones((32, 1))
    >>> density, width = edges(step.astype(np.float32))
    >>> round(density, 2), round(width, 1)
    (0.14, 1.2)
    """
    if min(luma.shape) < EDGE_SIDE:
        return (float((slope(luma) > EDGE).mean()) if min(luma.shape) > 2 else 0.0), np.nan
    smooth = blur(luma, 1)
    return float((slope(smooth) > EDGE).mean()), _edge_width(smooth, blur(smooth, 4))


def _edge_width(fine: Plane, coarse: Plane) -> float:
    slopes = slope(coarse)
    count = max(STRONG_LEAST, int(STRONG_SHARE * slopes.size))
    strong = slopes >= max(np.partition(slopes, -count, axis=None)[-count], STRONG_SLOPE)
    if np.count_nonzero(strong) < STRONG_LEAST:
        return np.nan
    before, after = structure_tensor(fine[4:-4, 4:-4], strong), structure_tensor(coarse, strong)
    flattened = _least_ratio(before, after)
    return float(np.sqrt(max(RESMOOTHED / max(flattened - 1, 1e-4) - SMOOTHED, 0.0)))


def _least_ratio(first: Tensor, second: Tensor) -> float:
    """Return the ratio of two tensors in the direction in which it is least."""
    first, second = (tensor + UNSEEN * tensor.trace() * np.eye(2) for tensor in (first, second))
    return float(np.linalg.eigvals(np.linalg.solve(second, first)).real.min())


def _quantile(values: Plane, share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    rank = max(int(np.ceil(share * len(values))), 1) - 1
    return float(np.partition(values, rank)[rank])


def structure(luma: Plane) -> float:
    """Return the contrast of the image without its noise and finest texture.

    Parameters
    ----------
    luma : (height, width) float32, in [0, 255]

    Returns
    -------
    float in [0, 0.5]
        Standard deviation of the means of blocks, an eighth of the shorter side wide and 2 to 16 pixels.

    Examples
    --------
    >>> structure(np.repeat([[0, 255]], 32, axis=1).repeat(64, axis=0).astype(np.float32))
    0.5
    """
    size = min(_block(luma), *luma.shape)
    return float(block_means(luma, size).std()) / 255


def noise(luma: Plane, chroma: Plane) -> Noise:
    """Return the noise of the flattest blocks, to which texture adds least, and whether it looks like texture.

    Of blocks with equal noise the flattest have about a seventh less.

    Parameters
    ----------
    luma : (height, width) float32, in [0, 255]
    chroma : (height, width) float32
        Difference of two channels, which natural textures leave smooth.

    Returns
    -------
    Noise
        NaN where fewer than four blocks are neither black nor white, or below 112 pixels a side.

    References
    ----------
    Immerkær, Fast noise variance estimation, 1996.

    Examples
    --------
    >>> gray = np.full((256, 256), 128, np.float32)
    >>> grain = np.random.default_rng(0).normal(0, 5, gray.shape).astype(np.float32)
    >>> round(noise(gray + grain, 0 * gray).luma, 1)
    4.3
    """
    if min(luma.shape) < NOISE_SIDE:
        return Noise(np.nan, np.nan, np.nan)
    size = _block(luma)
    halved = luma[: len(luma) // 2 * 2, : luma.shape[1] // 2 * 2]
    halved = 0.25 * (halved[::2, ::2] + halved[1::2, ::2] + halved[::2, 1::2] + halved[1::2, 1::2])
    half, full = _roughness(halved, size // 2), _roughness(luma, size)
    rows, columns = min(len(half), len(full)), min(half.shape[1], full.shape[1])
    level = block_means(luma[1:-1, 1:-1], size)[:rows, :columns]
    judged = (level > CLIPPED) & (level < 255 - CLIPPED)
    if np.count_nonzero(judged) < BLOCKS_LEAST:
        return Noise(np.nan, np.nan, np.nan)
    half, full = half[:rows, :columns][judged], full[:rows, :columns][judged]
    color = _roughness(chroma, size)[:rows, :columns][judged]
    flat = full <= _quantile(full, FLAT_SHARE)
    luma_noise = float(full[flat].mean())
    return Noise(luma_noise, _quantile(color, FLAT_SHARE), float(half[flat].mean()) / max(luma_noise, 0.2))


def _block(plane: Plane) -> int:
    """Return an even block size, an eighth of the shorter side where that is between 4 and 16 pixels."""
    return int(np.clip(min(plane.shape) // 16 * 2, 4, 16))


def _roughness(plane: Plane, size: int) -> Plane:
    """Return per block the standard deviation of white noise that Immerkær's mask would see the same in."""
    rough: Plane = roughness(plane, size) / np.float32(MASK_GAIN)
    return rough
