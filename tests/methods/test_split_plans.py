"""Splits never leak, never move what is planned, keep the shares of classes, and are repaired by the fewest moves."""

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.methods.splits.planning import NOWHERE, Bonds, leaking, plan, repaired, units_of

SHARES = [0.6, 0.2, 0.2]


@st.composite
def bonded(draw: st.DrawFn, largest: int = 24) -> Bonds:
    """Draw samples, each with a content of its own or of another, some with further keys, and links of contents."""
    count = draw(st.integers(0, largest))
    content = draw(st.lists(st.integers(0, max(count - 1, 0)), min_size=count, max_size=count))
    some = st.integers(0, max(count - 1, 0))
    groups = draw(st.lists(st.tuples(some, st.integers(0, 5)), max_size=count)) if count else []
    links = draw(st.lists(st.tuples(some, some), max_size=count // 3)) if count else []
    sample = np.array([*range(count), *(one for one, _ in groups)], np.int64)
    key = np.array([*content, *(count + group for _, group in groups)], np.int64)
    first, second = (np.array([link[end] for link in links], np.int64) for end in (0, 1))
    return Bonds(sample, key, first, second, count, count + 6)


def together(bonds: Bonds) -> set[tuple[int, int]]:
    """Return the pairs of samples that share a key or have linked ones, by trying all."""
    keys: list[set[int]] = [set() for _ in range(bonds.samples)]
    for sample, key in zip(bonds.sample.tolist(), bonds.key.tolist(), strict=True):
        keys[sample].add(key)
    links = set(zip(bonds.first.tolist(), bonds.second.tolist(), strict=True))
    return {
        (one, other)
        for one, other in product(range(bonds.samples), repeat=2)
        if one != other
        and any(a == b or (a, b) in links or (b, a) in links for a, b in product(keys[one], keys[other]))
    }


def crossing(bonds: Bonds, split: np.ndarray) -> set[tuple[int, int]]:
    return {(a, b) for a, b in together(bonds) if split[a] != split[b] and min(split[a], split[b]) >= 0}


def classes_of(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(count), np.arange(count) % 3


def order(count: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 1 << 62, count).astype(np.uint64)


@given(bonded())
def test_a_plan_from_nothing_places_all_and_tears_nothing_apart(bonds: Bonds) -> None:
    found = plan(bonds, classes_of(bonds.samples), np.full(bonds.samples, NOWHERE), SHARES, order(bonds.samples))
    assert not crossing(bonds, found.split)
    assert (found.split >= 0).all()
    assert all(found.unit[one] == found.unit[other] for one, other in together(bonds))
    assert len(leaking(bonds, found.split)) == 0


@given(bonded(), st.data())
def test_growth_moves_nothing_and_does_not_leak(bonds: Bonds, data: st.DataObject) -> None:
    """What is planned of some samples, whose keys and links are those known then, stays when the others come."""
    count = bonds.samples
    there = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), np.bool_)
    shown = there[bonds.sample]
    held = np.zeros(bonds.keys, np.bool_)
    held[bonds.key[shown]] = True
    linked = held[bonds.first] & held[bonds.second]
    early = Bonds(bonds.sample[shown], bonds.key[shown], bonds.first[linked], bonds.second[linked], count, bonds.keys)
    nowhere = np.full(count, NOWHERE)
    before = plan(early, classes_of(count), nowhere, SHARES, order(count)).split
    kept = np.where(there, before, NOWHERE)
    after = plan(bonds, classes_of(count), kept, SHARES, order(count))
    assert (after.split[there] == kept[there]).all()
    assert not crossing(bonds, after.split)
    # Only what belongs to samples of several splits is left out, and it does so by others that are left out at most.
    for one in np.flatnonzero(after.split == NOWHERE):
        unit = after.unit == after.unit[one]
        assert len(set(after.split[unit & there])) > 1


@given(bonded(10), st.data())
@settings(max_examples=30)
def test_a_repair_moves_as_few_as_can_be(bonds: Bonds, data: st.DataObject) -> None:
    count = min(bonds.samples, 7)
    at = np.array(data.draw(st.lists(st.integers(-1, 1), min_size=count, max_size=count)), np.int64)
    given_ = np.r_[at, np.full(bonds.samples - count, NOWHERE)].astype(np.int64)
    found = repaired(bonds, given_, 2)
    assert ((found >= 0) == (given_ >= 0)).all()
    assert not crossing(bonds, found)
    placed = np.flatnonzero(given_ >= 0)
    fewest = len(placed)
    for tried in product(range(2), repeat=len(placed)):
        split = given_.copy()
        split[placed] = tried
        if not crossing(bonds, split):
            fewest = min(fewest, int((split != given_).sum()))
    assert (found != given_).sum() == fewest


def test_of_a_tie_what_was_tested_on_is_not_trained_on() -> None:
    alone = np.array([0, 1], np.int64)
    bonds = Bonds(alone, np.zeros(2, np.int64), alone[:0], alone[:0], 2, 1)
    assert repaired(bonds, np.array([0, 2]), 3).tolist() == [2, 2]


def test_a_new_copy_of_another_split_costs_itself_alone() -> None:
    """A patient's new image that is a copy of a test image is left out; the patient's other new images are not."""
    # Samples 0 (train) and 1 (test); 2 and 3 are new, all but 1 of one patient, 2 has the content of 1.
    sample, key = np.array([0, 2, 3, 1, 2]), np.array([0, 0, 0, 1, 1])
    bonds = Bonds(sample, key, key[:0], key[:0], 4, 2)
    found = plan(bonds, classes_of(4), np.array([0, 1, NOWHERE, NOWHERE]), [0.5, 0.5], order(4))
    assert found.split.tolist() == [0, 1, NOWHERE, 0]
    assert units_of(bonds).tolist() == [0, 0, 0, 0]


@given(st.integers(0, 1 << 32), st.integers(2, 5))
@settings(max_examples=15)
def test_classes_keep_their_shares(seed: int, kinds: int) -> None:
    """Of groups that are small beside the dataset, each class deviates by the smallest groups at most."""
    random = np.random.default_rng(seed)
    group, kind = random.integers(0, 400, 2000), random.integers(0, kinds, 2000)
    none = np.zeros(0, np.int64)
    bonds = Bonds(np.arange(2000), group, none, none, 2000, 400)
    found = plan(bonds, (np.arange(2000), kind), np.full(2000, NOWHERE), SHARES, order(2000)).split
    total = np.bincount(kind, minlength=kinds)
    for split, share in enumerate(SHARES):
        assert abs(np.bincount(kind[found == split], minlength=kinds) / total - share).max() < 0.02


def test_nothing_is_planned_of_nothing() -> None:
    none = np.zeros(0, np.int64)
    found = plan(Bonds(none, none, none, none, 0, 0), (none, none), none, SHARES, none.astype(np.uint64))
    assert (
        found.split.tolist()
        == found.unit.tolist()
        == repaired(Bonds(none, none, none, none, 0, 0), none, 2).tolist()
        == []
    )
