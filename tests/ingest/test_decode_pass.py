"""How what the one pass over images finds is committed."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from brain_assets.ingest import decode_pass


@pytest.mark.parametrize(
    ("commit", "sizes"),
    [
        pytest.param(0, [512, 512, 176], id="takes no time"),
        pytest.param(20, [512, 512, 176], id="takes less than a twentieth of the work"),
        pytest.param(50, [512, 1000, 1000, 1000, 488], id="takes longer"),
        pytest.param(1000, [512, 4096, 4096, 1296], id="takes very long"),
    ],
)
def test_commits_grow_with_what_a_commit_costs_and_lose_nothing(
    commit: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0

    def worked(count: int) -> Iterator[int]:
        nonlocal now
        for item in range(count):
            now += 1
            yield item

    monkeypatch.setattr(decode_pass, "time", SimpleNamespace(monotonic=lambda: float(now)))
    groups = []
    for group in decode_pass._paced(worked(sum(sizes))):
        groups.append(group)
        now += commit
    assert [len(group) for group in groups] == sizes
    assert [item for group in groups for item in group] == list(range(sum(sizes)))
