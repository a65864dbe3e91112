"""Where two pictures show the same, as the published pairs say, for those who draw it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Box = tuple[float, float, float, float]
Ask = Callable[[str, list[Any]], Sequence[Mapping[str, Any]]]

# Two boxes that both cover more of their pictures than that say no more than that all of both is the same.
ALL = 0.96
QUERY = """
    select first, second, (subject_id = first) as told, region, partner_region, change
    from (select distinct unnest(?::varchar[]) as first, unnest(?::varchar[]) as second)
    join pairs on subject_id = least(first, second) and partner_id = greatest(first, second)
    where region is not null
    qualify row_number() over (partition by first, second order by brain_key) = 1"""


class SharedRegion(NamedTuple):
    """What two pictures share.

    Attributes
    ----------
    subject, partner : tuple of float
        Where it lies in either: left, top, width and height as shares of the sides.
    change : float or None
        The largest local difference of light within it, in grey levels.
    """

    subject: Box
    partner: Box
    change: float | None


def shared_regions(ask: Ask, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], SharedRegion]:
    """Return of some pairs what both show, where that is not all of both.

    Parameters
    ----------
    ask : callable
        Returns the rows of a query over the published tables, which have ``pairs``, by the names of its columns.
    pairs : iterable of tuple of str
        Subject and partner, in either order.
    """
    wanted = sorted(set(pairs))
    if not wanted:
        return {}
    first, second = ([pair[side] for pair in wanted] for side in (0, 1))
    found = {}
    for row in ask(QUERY, [first, second]):
        boxes = _box(row["region"]), _box(row["partner_region"])
        subject, partner = boxes if row["told"] else boxes[::-1]
        if min(subject[2] * subject[3], partner[2] * partner[3]) <= ALL:
            found[row["first"], row["second"]] = SharedRegion(subject, partner, row["change"])
    return found


def _box(corners: Sequence[float]) -> Box:
    """Return left, top, width and height of left, top, right and bottom, as far as they lie within the picture."""
    left, top, right, bottom = (min(max(side, 0.0), 1.0) for side in corners)
    return left, top, right - left, bottom - top
