"""Arrays and sets of positions as bytes: what the browser reads without parsing."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.review.refusal import Refused

Array = NDArray[Any]
ALIGNMENT = 8


def pack(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """Return a header and named arrays as one message.

    The message is the header's length (4 bytes, little endian), the header (JSON, padded with blanks so that what
    follows lies at a multiple of 8), then each array, little endian and padded likewise. The header's ``arrays``
    names each array with its type and length.

    >>> message = pack({"kind": "number"}, {"values": np.array([1, 2], "f4")})
    >>> message[-8:] == np.array([1, 2], "<f4").tobytes()
    True
    """
    described = {name: [array.dtype.name, len(array)] for name, array in arrays.items()}
    text = json.dumps({**header, "arrays": described}).encode()
    text += b" " * (-(4 + len(text)) % ALIGNMENT)
    parts = [len(text).to_bytes(4, "little"), text]
    for array in arrays.values():
        raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        parts += [raw, b"\0" * (-len(raw) % ALIGNMENT)]
    return b"".join(parts)


def bits_of(positions: Array, count: int) -> NDArray[np.uint8]:
    """Return the set of ``positions`` below ``count`` as a bit per position, lowest bit first.

    >>> bits_of(np.array([0, 9]), 10).tolist()
    [1, 2]
    """
    member = np.zeros(count, bool)
    member[positions] = True
    return np.packbits(member, bitorder="little")


def positions_of(text: str, count: int) -> NDArray[np.int64]:
    """Return the positions below ``count`` whose bits are set in base64 ``text``, ascending.

    Raises
    ------
    Refused
        If the text is not base64 of exactly the bits of ``count`` positions.

    >>> positions_of("AQI=", 10).tolist()
    [0, 9]
    """
    try:
        raw = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except (binascii.Error, ValueError):
        raise Refused(422, "the selection is not base64") from None
    if len(raw) != -(-count // 8):
        raise Refused(422, "the selection does not fit this version of the dataset; reload the page")
    return np.flatnonzero(np.unpackbits(raw, count=count, bitorder="little"))
