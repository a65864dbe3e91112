"""Damage to valid bytes, of the kinds that finds most: flips, cuts, repeats, lengths that lie, and parts of other files."""

import random
import re
from collections.abc import Sequence

# Numbers at which readers break, in the widths and orders in which formats store lengths.
NUMBERS = [
    number.to_bytes(width, order)
    for width in (1, 2, 4, 8)
    for number in (
        0,
        1,
        (1 << (8 * width - 1)) - 1,
        1 << (8 * width - 1),
        (1 << (8 * width)) - 1,
        13000 % (1 << (8 * width)),
    )
    for order in ("big", "little")
]
# What text formats trip over.
WORDS = [
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\n", b'"', b"'", b"{", b"[", b"]", b"}", b"<", b"&", b",", b";", b":", b"- ",
    b"nan", b"-inf", b"1e999", b"-1", b"99999999999999999999", b"null", b"../../x", b"/etc/passwd", b"%00", b"*a", b"&a",
    b"!!python/object/apply:os.system", b"<!ENTITY a 'b'>", b"=1+1", b"\x1b[31m", b"true", b"" * 0 + b"[" * 300, b"{\"a\":" * 200,
]  # fmt: skip
DIGITS = re.compile(rb"-?\d+(?:\.\d+)?")
MOST = 1 << 20


def mutated(data: bytes, others: Sequence[bytes], source: random.Random) -> bytes:
    """Return bytes with one to four kinds of damage."""
    for _ in range(source.randint(1, 4)):
        data = source.choice(KINDS)(data, others, source)[:MOST]
    return data


def _flip(data: bytes, _: Sequence[bytes], source: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(source.randint(1, 8) if found else 0):
        found[source.randrange(len(found))] ^= 1 << source.randrange(8)
    return bytes(found)


def _number(data: bytes, _: Sequence[bytes], source: random.Random) -> bytes:
    number, place = source.choice(NUMBERS), _place(data, source)
    return data[:place] + number + data[place + len(number) :]


def _head(data: bytes, _: Sequence[bytes], source: random.Random) -> bytes:
    """Lie in the first bytes, where headers are."""
    number, place = source.choice(NUMBERS), source.randint(0, min(len(data), 64))
    return data[:place] + number + data[place + len(number) :]


def _digits(data: bytes, _: Sequence[bytes], source: random.Random) -> bytes:
    found = list(DIGITS.finditer(data))
    if not found:
        return data
    one = source.choice(found)
    return (
        data[: one.start()] + source.choice([b"0", b"-1", b"1e400", b"9" * 30, b"0.5", b"x", b""]) + data[one.end() :]
    )


def _word(data: bytes, _: Sequence[bytes], source: random.Random) -> bytes:
    place = _place(data, source)
    return data[:place] + source.choice(WORDS) + data[place + source.choice((0, 0, 1, 4)) :]


def _cut(data: bytes, _: Sequence[bytes], source: random.Random) -> bytes:
    return data[: _place(data, source)]


def _remove(data: bytes, _: Sequence[bytes], source: random.Random) -> bytes:
    start, end = sorted((_place(data, source), _place(data, source)))
    return data[:start] + data[min(end, start + 2000) :]


def _repeat(data: bytes, _: Sequence[bytes], source: random.Random) -> bytes:
    start, end = sorted((_place(data, source), _place(data, source)))
    return data[:end] + data[start:end] * source.choice((1, 2, 30)) + data[end:]


def _splice(data: bytes, others: Sequence[bytes], source: random.Random) -> bytes:
    other = source.choice(others)
    return data[: _place(data, source)] + other[_place(other, source) :]


def _place(data: bytes, source: random.Random) -> int:
    return source.randint(0, len(data))


KINDS = (_flip, _flip, _number, _head, _digits, _word, _cut, _remove, _repeat, _splice)
