"""The inner loop of ``perceptual_hash``, compiled by numba; import this module inside functions only."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

CHUNKS, CHUNK_BITS = 4, 16
CHUNK_VALUES = 1 << CHUNK_BITS


@numba.njit(cache=True, nogil=True)
def search(
    queries: NDArray[np.uint64],
    codes: NDArray[np.uint64],
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    masks: NDArray[np.int64],
    radius: int,
) -> Any:
    """Return lists of (query, code, bits) within the radius, each once.

    ``order[c, starts[c, v] : starts[c, v + 1]]`` are the codes whose chunk c is v; ``masks`` are the differences that
    one chunk may have. A pair is reported by the first chunk that is as near as that.
    """
    found_query, found_code, found_bits = [0 for _ in range(0)], [0 for _ in range(0)], [0 for _ in range(0)]
    most = radius // CHUNKS
    for query in range(len(queries)):
        for chunk in range(CHUNKS):
            value = _chunk(queries[query], chunk)
            for mask in masks:
                bucket = value ^ mask
                for place in range(starts[chunk, bucket], starts[chunk, bucket + 1]):
                    code = order[chunk, place]
                    difference = queries[query] ^ codes[code]
                    bits = _bits(difference)
                    if bits <= radius and _is_first(difference, chunk, most):
                        found_query.append(query)
                        found_code.append(code)
                        found_bits.append(bits)
    return found_query, found_code, found_bits


@numba.njit(cache=True, nogil=True, inline="always")
def _chunk(code: np.uint64, chunk: int) -> Any:
    return np.int64((code >> np.uint64(CHUNK_BITS * chunk)) & np.uint64(CHUNK_VALUES - 1))


@numba.njit(cache=True, nogil=True, inline="always")
def _is_first(difference: np.uint64, chunk: int, most: int) -> bool:
    is_first = True
    for earlier in range(chunk):
        is_first &= _bits(np.uint64(_chunk(difference, earlier))) > most
    return is_first


@numba.njit(cache=True, nogil=True, inline="always")
def _bits(word: Any) -> Any:
    """Return the number of set bits, by adding neighbours in parallel."""
    pairs = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bytes_ = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bytes_ * np.uint64(0x0101010101010101)) >> np.uint64(56))
