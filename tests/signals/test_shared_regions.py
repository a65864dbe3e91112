"""What two pictures share lies in either where the pairs say, whichever of them is asked for first."""

from collections.abc import Mapping
from typing import Any

import duckdb
import pytest

from brain_assets.signals.duplicates.shared_regions import SharedRegion, shared_regions

PAIRS = """
    create table pairs as select * replace (region::double[] as region, partner_region::double[] as partner_region) from (values
        ('main', 'a', 'b', [0.1, 0.2, 0.9, 1.02], [0.0, 0.0, 1.0, 1.0], 3.5),
        ('other', 'a', 'b', [0.5, 0.5, 0.9, 0.9], [0.0, 0.0, 1.0, 1.0], 3.5),
        ('main', 'a', 'c', [0.0, 0.01, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], null),
        ('main', 'b', 'c', null, null, null))
    as rows(brain_key, subject_id, partner_id, region, partner_region, change)"""


def test_regions_are_told_of_the_one_that_is_asked_for_and_only_where_they_say_something() -> None:
    connection = duckdb.connect()
    connection.execute(PAIRS)

    def ask(query: str, values: list[Any]) -> list[Mapping[str, Any]]:
        found = connection.execute(query, values)
        names = [column for column, *_ in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    part, whole = pytest.approx((0.1, 0.2, 0.8, 0.8)), (0.0, 0.0, 1.0, 1.0)
    assert shared_regions(ask, [("a", "b"), ("b", "a"), ("a", "c"), ("c", "b"), ("a", "?"), ("a", "b")]) == {
        ("a", "b"): SharedRegion(part, whole, 3.5),
        ("b", "a"): SharedRegion(whole, part, 3.5),
    }
    assert shared_regions(ask, []) == {}
