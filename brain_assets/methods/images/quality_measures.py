"""What each quality rule looks at: one number per sample, from stored statistics.

A measure is NaN where its cause cannot be told from another one: an image of one even colour says nothing about
exposure or colour, an over-exposed one nothing about noise.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
Columns = Mapping[str, ArrayLike]

# The statistics and facts of a file that the measures read; NaN or None where unknown.
COLUMNS = (
    "brightness",
    "brightness_5",
    "brightness_99",
    "white_share",
    "clipped_share",
    "structure",
    "edge_width",
    "noise",
    "chroma_noise",
    "noise_texture",
    "channel_difference_99",
    "blank_share",
    "ground_share",
    "subject_brightness",
    "subject_brightness_5",
    "subject_clipped_share",
    "subject_entropy",
    "width",
    "height",
    "orientation",
    "animated",
    "extension_matches",
)

# Up to this contrast, relative to the brightness, an image has one even colour; up to the other next to nothing on it.
EVEN, EMPTY = 0.005, 0.02
# An even image up to this brightness is a black frame; from this share of white on a white one.
BLACK_FRAME, WHITE_FRAME = 0.05, 0.3
# Nothing is known of the colour of what is darker than that, or whiter.
COLORLESS_DARK, COLORLESS_WHITE = 0.15, 0.9
# From this exposure on, stretched tones look like noise.
OVEREXPOSED = 1.1
# A photo is burnt out with two fifths of its pixels clipped: that is to reach the threshold.
CLIPPED_WEIGHT = 2.9
# With less of it clipped, what stands on a ground was not burnt out, whatever the ground is.
SOUND_CLIPPED = 0.1
# What stands on a ground counts by so much more of its brightness, as there is no white share of its own.
SHOWN_WEIGHT = 1.2
# A page has that much ground, with less variety on it than the other, in bits; what is no page has all that there can be.
PAGE_GROUND, PAGE_VARIETY, VARIED = 0.8, 5.2, 8.0
# What is darker than that is no page, nor one with nothing darker than the other on it.
PAGE_LIGHT, PAGE_INK = 0.4, 0.9
# Roughness of the halved image over that of the image: of noise, and of the finest texture.
NOISE_ONLY, TEXTURE_ONLY = 0.9, 1.4
# Files keep about a quarter of the noise of colours, which counts for at most twice as much as that of brightness.
CHROMA_KEPT, CHROMA_MOST = 0.25, 2.0


def highlights(columns: Columns) -> Values:
    """Return how bright the brightest hundredth of the pixels is, in [0, 1].

    NaN for an even image that is not black. As in cleanvision's rule for dark images.

    Examples
    --------
    >>> highlights({"brightness_99": [0.2, 0.2], "brightness": [0.1, 0.2], "structure": [0.05, 0.0]}).tolist()
    [0.2, nan]
    """
    brightest = _get(columns, "brightness_99")
    return np.where(_even(columns) & (brightest > BLACK_FRAME), np.nan, brightest)


def exposure(columns: Columns) -> Values:
    """Return how far the tones are pushed towards white, in [0, 2.9].

    The larger of two signs: light everywhere, that is the mean brightness plus half of its percentile 5 (nothing dark
    is left) plus half of the share of white; or burnt out, that is the share of pixels with a clipped channel, times
    2.9. Of a picture on an even ground, such as a product on white, only what stands on it is judged, unless that is
    clipped itself. NaN for an even image that is not white, and for a page with little on it.

    Examples
    --------
    >>> columns = dict.fromkeys(COLUMNS, [0.0] * 3)
    >>> columns |= {"brightness": [0.8, 0.6, 0.8], "brightness_5": [0.4, 0.1, 0.4], "white_share": [0.6, 0.2, 0.6]}
    >>> columns |= {"subject_brightness": [np.nan, np.nan, 0.4], "subject_brightness_5": [np.nan, np.nan, 0.2]}
    >>> columns |= {"clipped_share": [0.0, 0.5, 0.6], "subject_clipped_share": [np.nan, np.nan, 0.0]}
    >>> exposure(columns | {"structure": [0.2, 0.2, 0.2]}).round(2).tolist()
    [1.3, 1.45, 0.58]
    """
    white = _get(columns, "white_share")
    light = _get(columns, "brightness") + 0.5 * (_get(columns, "brightness_5") + white)
    pushed = np.maximum(light, CLIPPED_WEIGHT * _get(columns, "clipped_share"))
    shown = SHOWN_WEIGHT * _get(columns, "subject_brightness") + 0.5 * _get(columns, "subject_brightness_5")
    pushed = np.where(_get(columns, "subject_clipped_share") < SOUND_CLIPPED, shown, pushed)
    hidden = (_even(columns) & (white < WHITE_FRAME)) | (variety(columns) <= PAGE_VARIETY)
    return np.where(hidden, np.nan, pushed)


def contrast(columns: Columns) -> Values:
    """Return the contrast between the blocks of an image, relative to its brightness: 0 for one even colour.

    Neither noise nor darkness nor blur changes it much. NaN for an over-exposed image in which something is left.

    Examples
    --------
    >>> columns = dict.fromkeys(COLUMNS, [0.0] * 3)
    >>> columns |= {"structure": [0.0, 0.09, 0.01], "brightness": [0.5, 0.16, 0.95], "white_share": [0, 0, 0.8]}
    >>> columns |= dict.fromkeys(("subject_brightness", "subject_brightness_5", "subject_clipped_share"), [np.nan] * 3)
    >>> contrast(columns | {"brightness_5": [0, 0, 0.9], "clipped_share": [0, 0, 0.8]}).tolist()
    [0.0, 0.5, nan]
    """
    relative = _contrast(columns)
    return np.where((exposure(columns) >= OVEREXPOSED) & (relative > EVEN), np.nan, relative)


def blank(columns: Columns) -> Values:
    """Return the share of bands of one colour along two opposite sides, in [0, 1).

    Examples
    --------
    >>> blank({"blank_share": [0.25]}).tolist()
    [0.25]
    """
    return _get(columns, "blank_share")


def variety(columns: Columns) -> Values:
    """Return how varied what stands on a page is, in bits: little for writing and signs; 8 for what is no page.

    What is dark is none, nor what has no ink on it.

    Examples
    --------
    >>> columns = dict.fromkeys(COLUMNS, [0.2, 0.2]) | {"ground_share": [0.9, 0.0], "brightness_99": [0.9, 0.9]}
    >>> variety(columns | {"subject_entropy": [2.5, np.nan]}).tolist()
    [2.5, 8.0]
    """
    entropy = _get(columns, "subject_entropy")
    page = (_get(columns, "ground_share") >= PAGE_GROUND) & (_get(columns, "brightness_99") >= PAGE_LIGHT)
    page &= (_get(columns, "subject_brightness") < PAGE_INK) & ~np.isnan(entropy)
    return np.where(page, entropy, VARIED)


def blur(columns: Columns) -> Values:
    """Return how wide strong edges are, in pixels; NaN for an image with next to nothing on it.

    Examples
    --------
    >>> blur({"edge_width": [2.5, 2.5], "structure": [0.2, 0.0], "brightness": [0.5, 0.5]}).tolist()
    [2.5, nan]
    """
    return np.where(_contrast(columns) <= EMPTY, np.nan, _get(columns, "edge_width"))


def grain(columns: Columns) -> Values:
    """Return the noise of brightness and colours in levels, as far as it is no texture; NaN for an over-exposed image.

    Noise is as strong at every size, so that halving an image takes most of it away; grass, fur and cloth have more of
    their roughness at larger sizes. The squares of both add up, at either size, which gives the share of noise. Leather
    and carpets are as fine as noise, but have one colour, which noise seldom has.

    Examples
    --------
    >>> columns = dict.fromkeys(COLUMNS, [0.1, 0.1])
    >>> columns |= {"noise": [5.0, 5.0], "noise_texture": [0.9, 1.8], "chroma_noise": [0.5, 0.5]}
    >>> tones = ("brightness", "brightness_5", "white_share", "clipped_share", "structure")
    >>> columns |= dict.fromkeys(("subject_brightness", "subject_brightness_5", "subject_clipped_share"), [np.nan] * 2)
    >>> grain(columns | dict.fromkeys(tones, [0.1, 0.1])).tolist()
    [7.0, 0.0]
    """
    squares = (TEXTURE_ONLY**2 - _get(columns, "noise_texture") ** 2) / (TEXTURE_ONLY**2 - NOISE_ONLY**2)
    share = np.sqrt(np.clip(squares, 0, 1))
    noise, colors = _get(columns, "noise"), _get(columns, "chroma_noise") / CHROMA_KEPT
    grains = share * (noise + np.minimum(colors, CHROMA_MOST * noise))
    return np.where(exposure(columns) >= OVEREXPOSED, np.nan, grains)


def chroma(columns: Columns) -> Values:
    """Return how far apart the channels of the most colourful hundredth are, in levels; 0 for a gray image.

    NaN for an even image, for a page with little on it, and where it is too dark or too white to show a colour.

    Examples
    --------
    >>> columns = dict.fromkeys(COLUMNS, [0.1, 0.1]) | {"brightness_99": [0.9, 0.1]}
    >>> chroma(columns | {"channel_difference_99": [0, 0]}).tolist()
    [0.0, nan]
    """
    dark = _get(columns, "brightness_99") < COLORLESS_DARK
    hidden = dark | (_get(columns, "white_share") > COLORLESS_WHITE) | _even(columns)
    hidden |= variety(columns) <= PAGE_VARIETY
    return np.where(hidden, np.nan, _get(columns, "channel_difference_99"))


def side(columns: Columns) -> Values:
    """Return the side of a square with as many pixels as the image.

    Examples
    --------
    >>> side({"width": [16], "height": [4]}).tolist()
    [8.0]
    """
    root: Values = np.sqrt(_get(columns, "width") * _get(columns, "height"))
    return root


def elongation(columns: Columns) -> Values:
    """Return the longer side over the shorter one, at least 1.

    Examples
    --------
    >>> elongation({"width": [16, 2], "height": [4, 4]}).tolist()
    [4.0, 2.0]
    """
    width, height = _get(columns, "width"), _get(columns, "height")
    longer: Values = np.maximum(width, height) / np.minimum(width, height)
    return longer


def rotated(columns: Columns) -> Values:
    """Return 1 where the EXIF orientation asks for a turn or a mirror image, else 0.

    Examples
    --------
    >>> rotated({"orientation": [1, 6, None]}).tolist()
    [0.0, 1.0, 0.0]
    """
    return (_get(columns, "orientation") > 1).astype(np.float64)


def animated(columns: Columns) -> Values:
    """Return 1 where a file plays several frames, else 0.

    Examples
    --------
    >>> animated({"animated": [True, False, None]}).tolist()
    [1.0, 0.0, 0.0]
    """
    return (_get(columns, "animated") > 0).astype(np.float64)


def type_mismatch(columns: Columns) -> Values:
    """Return 1 where the content is of another type than the file's extension says, 0 where the extension says nothing.

    Examples
    --------
    >>> type_mismatch({"extension_matches": [True, False, None]}).tolist()
    [0.0, 1.0, 0.0]
    """
    mismatch: Values = (_get(columns, "extension_matches") == 0).astype(np.float64)
    return mismatch


def _even(columns: Columns) -> NDArray[np.bool_]:
    return _contrast(columns) <= EVEN


def _contrast(columns: Columns) -> Values:
    # A black frame has brightness 0; the small constant also keeps its compression noise from counting.
    relative: Values = _get(columns, "structure") / (_get(columns, "brightness") + 0.02)
    return relative


def _get(columns: Columns, name: str) -> Values:
    return np.asarray(columns[name], dtype=np.float64)
