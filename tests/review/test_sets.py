import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from brain_assets.resources.settings.home import Home
from brain_assets.resources.store import locks
from brain_assets.resources.store.publishing import prune
from brain_assets.review.refusal import Refused
from brain_assets.review.sets import Sets, literal, quote
from tests.review_data import Synthetic


@pytest.fixture
def sets(small: Synthetic) -> Iterator[Sets]:
    sets = Sets(Home(small.home))
    yield sets
    sets.close()


def test_positions_follow_the_order_of_ids(sets: Sets, small: Synthetic) -> None:
    with sets.use("demo") as opened:
        ids = sorted(small.ids)
        assert opened.count("images") == 100
        assert opened.positions("images", [ids[0], ids[99], ids[40]]) == [0, 99, 40]
        assert opened.positions("images", ["", "zzz", ids[0][:-1], "é\udcff"]) == [-1] * 4
        assert opened.positions("images", []) == []


def test_a_set_stays_readable_while_newer_ones_come(sets: Sets, small: Synthetic) -> None:
    with sets.use("demo") as before:
        Synthetic(small.home, count=120).publish("000002")
        with sets.use("demo") as after:
            assert (before.version, after.version) == ("000001", "000002")
            assert (before.count("images"), after.count("images")) == (100, 120)
    with sets.use("demo", "000001") as again:
        assert again.count("images") == 100


def test_a_set_that_was_given_up_is_gone(small: Synthetic) -> None:
    sets = Sets(Home(small.home), capacity=1)
    with sets.use("demo", "000001"):
        pass
    Synthetic(small.home, count=120).publish("000002")
    with sets.use("demo"):
        pass
    with pytest.raises(Refused, match="newer data") as refused, sets.use("demo", "000001"):
        pass
    assert refused.value.status == 410
    sets.close()


def test_an_open_set_is_not_pruned(sets: Sets, small: Synthetic) -> None:
    lease = small.folder / "published" / "sets" / "000001" / "lease"
    with sets.use("demo"):
        pass
    with locks.unless_shared(lease) as free:
        assert not free
    sets.close()
    with locks.unless_shared(lease) as free:
        assert free
    prune(small.folder / "published", 1)
    assert lease.exists()


def test_many_threads_open_one_database(sets: Sets) -> None:
    seen: list[object] = []

    def look() -> None:
        with sets.use("demo") as opened:
            opened.frame("images")
            seen.append(opened)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(map(id, seen))) == 1


@pytest.mark.parametrize("name", ["", "nothing", "..", "../demo", "demo/..", "a\0b"])
def test_other_names_are_no_datasets(sets: Sets, name: str) -> None:
    with pytest.raises(Refused) as refused, sets.use(name):
        pass
    assert refused.value.status == 404


def test_a_home_without_datasets_has_none(tmp_path: Path) -> None:
    assert Sets(Home(tmp_path)).datasets() == []


@pytest.mark.parametrize("text", ["plain", "it's", 'a"b', "'; drop table x; --", "\\", "ü"])
def test_quoting(sets: Sets, text: str) -> None:
    with sets.use("demo") as opened:
        row = opened.cursor().execute(f"select {literal(text)} as {quote(text)}").fetchone()
    assert row == (text,)
