"""What the pixels of an image say about its quality: tone, colour, detail, blur and noise, in one pass.

Everything is measured on an image reduced to a longest side of about 256 pixels (a smaller image as it is), so that a
blur of one pixel or a noise of one level means the same for a photo of any size. The figures are raw: what counts as
dark or blurred is decided in `brain_assets.methods.images.quality_rules`, from these figures alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.methods.images.detail import edges, laplacian_variance, noise, structure
from brain_assets.methods.images.grounds import blank_share, ground
from brain_assets.methods.images.jpeg_quality import jpeg_quality

Plane = NDArray[np.float32]
Counts = NDArray[np.int64]
Part = Iterator[tuple[str, float]]

# Of red, green and blue: in the luma of ITU-R BT.601, and in the squared brightness of Finley's HSP colour model.
LUMA, PERCEIVED = (0.299, 0.587, 0.114), (0.241, 0.691, 0.068)

LEVELS = np.arange(256)
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
# A pixel is white from this perceived brightness on, black up to the other one.
WHITE, BLACK = 0.99, 0.02
# From this level on a channel has no room left.
CLIPPED = 253
# A mean colour nearer to gray than this many levels has no hue.
HUELESS = 0.5

STATISTICS = {
    "mean": "Mean of all channel values, in [0, 255].",
    "minimum": "Smallest channel value, in [0, 255].",
    "maximum": "Largest channel value, in [0, 255].",
    "standard_deviation": "Standard deviation of all channel values, in levels.",
    **{f"percentile_{share}": f"Percentile {share} of the luma, in [0, 255]." for share in PERCENTILES},
    "rms_contrast": "Standard deviation of the luma, in [0, 0.5].",
    "entropy": "Shannon entropy of the luma's 256 levels, in bits.",
    "brightness": "Mean perceived brightness, in [0, 1].",
    **{f"brightness_{share}": f"Percentile {share} of the perceived brightness, in [0, 1]." for share in PERCENTILES},
    "white_share": "Share of pixels with a perceived brightness of at least 0.99.",
    "clipped_share": "Share of pixels of which a channel is at 253 or above.",
    "black_share": "Share of pixels with a perceived brightness of at most 0.02.",
    "hue": "Hue of the mean colour, in degrees [0, 360); NaN where it is gray.",
    "saturation": "Mean HSV saturation, in [0, 1].",
    "value": "Mean HSV value, in [0, 1].",
    "red": "Share of red in the mean colour; red, green and blue add up to 1, NaN for black.",
    "green": "Share of green in the mean colour.",
    "blue": "Share of blue in the mean colour.",
    "colorfulness": "Colourfulness by Hasler and Süsstrunk; 0 for gray, above 80 for very colourful.",
    "channel_difference": "Mean difference between the largest and the smallest channel, in levels; 0 for gray.",
    "channel_difference_99": "Percentile 99 of that difference over the pixels, in levels.",
    "unique_colors": "Number of distinct colours of the reduced image.",
    "structure": "Standard deviation of block means of the luma, in [0, 0.5]: contrast without noise.",
    "edge_density": "Share of pixels whose luma gradient exceeds 10 levels per pixel.",
    "laplacian_variance": "Variance of the Laplacian of the luma, in square levels: high for sharp or noisy images.",
    "edge_width": "Width in pixels of strong edges in the direction in which they are widest; NaN without strong edges.",
    "noise": "Standard deviation in levels of the luma noise in the flattest parts; NaN where all are black or white.",
    "chroma_noise": "The same for the difference of red and green.",
    "noise_texture": "Noise at half the size over noise: about 1 or less for noise, 1.5 and more for a fine texture.",
    "blank_share": "Share of bands of one colour along two opposite sides that end in a step across the whole picture.",
    "ground_share": "Share of pixels of one even ground around the rest; 0 where the border has several colours.",
    "subject_brightness": "Mean perceived brightness of what stands on the ground, in [0, 1]; NaN without a ground.",
    "subject_brightness_5": "Percentile 5 of that brightness.",
    "subject_clipped_share": "Share of the pixels on the ground of which a channel is at 253 or above; NaN without one.",
    "subject_entropy": "Shannon entropy of the luma of what stands on the ground, in bits; NaN without one.",
    "aspect_ratio": "Width over height.",
    "megapixels": "Width times height over a million.",
    "bits_per_pixel": "Encoded size over the number of pixels.",
    "jpeg_quality": "Quality in [1, 100] at which a common encoder would use the file's quantisation table; or NaN.",
}


def statistics(rgb: NDArray[np.uint8], facts: Mapping[str, Any]) -> dict[str, float]:
    """Return all statistics of one file: those of its pixels and those of its size.

    Parameters
    ----------
    rgb : (height, width, 3) uint8
        The image, reduced to a longest side of about 256 pixels.
    facts : mapping
        ``width``, ``height`` of the full image in pixels, ``bytes`` of the file, and ``quantization``: the 64 entries of
        the luminance table of a JPEG, or None.

    Returns
    -------
    dict of str to float
        The keys of `STATISTICS`, in that order.

    Examples
    --------
    >>> facts = {"width": 400, "height": 200, "bytes": 10_000, "quantization": None}
    >>> found = statistics(np.zeros((128, 256, 3), np.uint8), facts)
    >>> found["aspect_ratio"], found["bits_per_pixel"], list(found) == list(STATISTICS)
    (2.0, 1.0, True)
    """
    width, height, table = facts["width"], facts["height"], facts.get("quantization")
    return measure(rgb) | {
        "aspect_ratio": width / height,
        "megapixels": width * height / 1e6,
        "bits_per_pixel": 8 * facts["bytes"] / (width * height),
        "jpeg_quality": jpeg_quality(np.asarray(table)) if table else np.nan,
    }


def measure(rgb: NDArray[np.uint8]) -> dict[str, float]:
    """Return the statistics of an image's pixels.

    Parameters
    ----------
    rgb : (height, width, 3) uint8
        The image, reduced to a longest side of about 256 pixels; at least one pixel.

    Returns
    -------
    dict of str to float
        Described in `STATISTICS`. NaN where an image cannot say: ``edge_width`` needs strong edges and 32 pixels a
        side, the three figures of noise need parts that are neither black nor white and 112 pixels a side.

    Raises
    ------
    ValueError
        If ``rgb`` is not a (height, width, 3) uint8 array with pixels in it.

    Notes
    -----
    Incremental: depends on the image alone.

    References
    ----------
    Hasler and Süsstrunk, Measuring colourfulness in natural images, 2003. Zhuo and Sim, Defocus map estimation from a
    single image, 2011 (edge width). Immerkær, Fast noise variance estimation, 1996 (noise).

    Examples
    --------
    >>> found = measure(np.full((20, 30, 3), 255, np.uint8))
    >>> found["brightness"], found["white_share"], found["entropy"], found["unique_colors"]
    (1.0, 1.0, 0.0, 1.0)
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise ValueError(f"expected (height, width, 3) uint8 pixels, got {rgb.dtype} of shape {rgb.shape}")
    channels = np.ascontiguousarray(rgb.reshape(-1, 3).T)
    planes = channels.astype(np.float32)
    luma, chroma = _weighed(planes, LUMA), planes[0] - planes[1]
    largest, smallest = channels.max(axis=0), channels.min(axis=0)
    perceived = np.sqrt(_weighed(np.square(planes), PERCEIVED))
    differences = largest - smallest
    shape = rgb.shape[:2]
    parts = (
        _tone(_counts(luma)),
        _brightness(_counts(perceived)),
        _color(_counts(largest), _counts(differences)),
        _mean_color(channels.sum(axis=1), _products(channels), luma.size),
        _detail(luma.reshape(shape), chroma.reshape(shape)),
        _grounds(rgb, luma.reshape(shape), perceived.reshape(shape)),
    )
    found = {name: float(value) for part in parts for name, value in part}
    found |= {"minimum": float(smallest.min()), "maximum": float(largest.max())}
    saturation = differences / np.maximum(largest, np.float32(1))
    found |= {"saturation": float(saturation.mean()), "unique_colors": _distinct(channels)}
    return {name: found[name] for name in STATISTICS if name in found}


def _weighed(planes: Plane, weights: tuple[float, ...]) -> Plane:
    red: Plane
    red, green, blue = (plane * np.float32(weight) for plane, weight in zip(planes, weights, strict=True))
    red += green
    red += blue
    return red


def _counts(levels: NDArray[np.uint8] | Plane) -> Counts:
    """Return how often each of the 256 levels occurs; those between two count as the nearest."""
    if levels.dtype != np.uint8:
        levels = np.add(levels, np.float32(0.5)).astype(np.uint8)
    return np.bincount(levels, minlength=256)


def _products(channels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the sums of the products of channels with each other, (3, 3), which are whole numbers and exact."""
    exact = channels.astype(np.float64)
    # A product of BLAS would start threads, whose waiting costs more than the work.
    return np.asarray(np.einsum("ip,jp->ij", exact, exact))


def _tone(counts: Counts) -> Part:
    for share, level in zip(PERCENTILES, _percentiles(counts, PERCENTILES), strict=True):
        yield f"percentile_{share}", level
    yield "rms_contrast", _deviation(counts) / 255
    shares = counts[counts > 0] / counts.sum()
    yield "entropy", abs((shares * np.log2(shares)).sum())


def _brightness(counts: Counts) -> Part:
    yield "brightness", _mean(counts) / 255
    for share, level in zip(PERCENTILES, _percentiles(counts, PERCENTILES), strict=True):
        yield f"brightness_{share}", level / 255
    yield "white_share", counts[int(np.ceil(255 * WHITE)) :].sum() / counts.sum()
    yield "black_share", counts[: int(255 * BLACK) + 1].sum() / counts.sum()


def _percentiles(counts: Counts, shares: tuple[int, ...]) -> NDArray[np.intp]:
    cumulated = np.cumsum(counts)
    levels: NDArray[np.intp] = np.searchsorted(cumulated, np.array(shares) / 100 * cumulated[-1])
    return levels


def _mean(counts: Counts) -> float:
    return float(counts @ LEVELS / counts.sum())


def _deviation(counts: Counts) -> float:
    return float(np.sqrt(counts @ np.square(LEVELS - _mean(counts)) / counts.sum()))


def _color(largest: Counts, differences: Counts) -> Part:
    yield "value", _mean(largest) / 255
    yield "clipped_share", largest[CLIPPED:].sum() / largest.sum()
    yield "channel_difference", _mean(differences)
    yield "channel_difference_99", _percentiles(differences, (99,))[0]


def _distinct(channels: NDArray[np.uint8]) -> float:
    codes = channels[0].astype(np.uint32)
    for channel in channels[1:]:
        codes <<= 8
        codes |= channel
    codes.sort()
    return 1.0 + float(np.count_nonzero(codes[1:] != codes[:-1]))


def _mean_color(sums: Counts, products: NDArray[np.float64], count: int) -> Part:
    """Yield what follows from the sums of the channels and of their products, which are exact."""
    mean = sums / count
    covariance = products / count - np.outer(mean, mean)
    yield "mean", mean.mean()
    yield "standard_deviation", np.sqrt(max(covariance.trace() / 3 + mean.var(), 0.0))
    yield from zip(("red", "green", "blue"), mean / (mean.sum() or np.nan), strict=True)
    opponents = np.array([[1, -1, 0], [0.5, 0.5, -1]])
    spread = np.sqrt(max((opponents @ covariance @ opponents.T).trace(), 0.0))
    yield "colorfulness", spread + 0.3 * np.hypot(*(opponents @ mean))
    along, across = mean @ [1, -0.5, -0.5], np.sqrt(0.75) * (mean[1] - mean[2])
    gray = np.hypot(along, across) < HUELESS
    yield "hue", np.nan if gray else np.degrees(np.arctan2(across, along)) % 360


def _detail(luma: Plane, chroma: Plane) -> Part:
    yield "structure", structure(luma)
    yield "laplacian_variance", laplacian_variance(luma)
    yield from zip(("edge_density", "edge_width"), edges(luma), strict=True)
    yield from zip(("noise", "chroma_noise", "noise_texture"), noise(luma, chroma), strict=True)


def _grounds(rgb: NDArray[np.uint8], luma: Plane, perceived: Plane) -> Part:
    names = ("ground_share", "subject_brightness", "subject_brightness_5", "subject_clipped_share", "subject_entropy")
    yield "blank_share", blank_share(rgb)
    yield from zip(names, ground(rgb, luma, perceived), strict=True)
