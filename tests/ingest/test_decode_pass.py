"""How what the one pass over images finds is committed."""

import time

from brain_assets.ingest import decode_pass


def test_commits_grow_with_what_a_commit_costs_and_lose_nothing() -> None:
    quick = [len(group) for group in decode_pass._paced(range(1200))]
    assert quick == [512, 512, 176]
    slow = []
    for group in decode_pass._paced(range(10_000)):
        slow.append(group)
        time.sleep(0.05)
    assert [len(group) for group in slow] == [512, 4096, 4096, 1296]
    assert [item for group in slow for item in group] == list(range(10_000))
