"""At which quality a JPEG was written, by its quantisation table."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

# Luminance table K.1 of the JPEG standard (ITU-T T.81), which libjpeg scales by the quality.
BASE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


@cache
def _tables() -> NDArray[np.int64]:
    """Return libjpeg's tables for the qualities 1 to 100: (100, 64)."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables: NDArray[np.int64] = np.clip((BASE.ravel() * scale[:, None] + 50) // 100, 1, 255)
    return tables


def jpeg_quality(table: NDArray[np.integer]) -> float:
    """Return the quality at which libjpeg would use the table most like this one.

    Parameters
    ----------
    table : (64,) int
        Luminance quantisation table in row order.

    Returns
    -------
    float in [1, 100]
        Exact for files written by libjpeg and its like; for encoders with tables of their own the nearest.

    Raises
    ------
    ValueError
        If ``table`` does not have 64 entries.

    References
    ----------
    Independent JPEG Group, ``jpeg_quality_scaling`` and ``jpeg_add_quant_table`` of libjpeg.

    Examples
    --------
    >>> jpeg_quality(BASE.ravel()), jpeg_quality(np.ones(64, int))
    (50.0, 100.0)
    """
    if np.shape(table) != (64,):
        raise ValueError(f"a JPEG quantisation table has 64 entries, not shape {np.shape(table)}")
    return 1.0 + float(np.abs(_tables() - np.asarray(table, np.int64)).sum(axis=1).argmin())
