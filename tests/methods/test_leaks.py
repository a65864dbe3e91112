"""Leaky splits: every cross-split pair, against a double loop."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.methods.duplicates.duplicates import Pairs
from brain_assets.methods.duplicates.leaks import (
    find_leaks,
    leaks_for_sample,
    leaky,
    overlapping,
    splits_from_labels,
    splits_from_mapping,
    splits_from_tags,
)
from brain_assets.methods.similarity.queries import pairs_within
from tests.methods.test_duplicates import NONE, distance_of, graphs

GOLDEN = Path(__file__).parent.parent / "golden" / "seed7"


def leaks_by_loop(pairs: Pairs, content: np.ndarray, labels: list[list[str]]) -> list[tuple[int, str, int, str, float]]:
    table, rows = distance_of(pairs), []
    for a in range(len(content)):
        for b in range(len(content)):
            same = content[a] == content[b]
            if a != b and (same or (content[a], content[b]) in table):
                distance = 0.0 if same else table[content[a], content[b]]
                rows += [(a, s, b, t, distance) for s in labels[a] for t in labels[b] if s != t]
    return sorted(rows, key=lambda row: (row[0], row[2], row[1], row[3]))


@given(graphs(6), st.data())
def test_leaks_equal_the_double_loop(graph: tuple[Pairs, np.ndarray], data: st.DataObject) -> None:
    pairs, contents = graph[0], len(graph[1])
    spare = data.draw(st.lists(st.integers(0, contents - 1), max_size=6)) if contents else []
    content = np.array([*range(contents), *spare], np.int64)
    some = st.lists(st.sampled_from(["test", "train", "val"]), unique=True, max_size=2)
    labels = [data.draw(some) for _ in content]
    splits = splits_from_labels(labels)
    leaks = find_leaks(pairs, content, splits)
    found = [
        (a, splits.names[s], b, splits.names[t], d)
        for a, s, b, t, d in zip(*(column.tolist() for column in leaks[:5]), strict=True)
    ]
    assert found == leaks_by_loop(pairs, content, labels)
    assert leaks.exact.tolist() == (content[leaks.sample] == content[leaks.partner]).tolist()
    for sample in range(len(content)):
        assert set(leaks_for_sample(leaks, sample).tolist()) == {b for a, _, b, _, _ in found if a == sample}


def golden() -> tuple[np.ndarray, list[str | None]]:
    inputs = np.load(GOLDEN / "inputs.npz")
    return inputs["embeddings"], [name or None for name in inputs["split"].tolist()]


@pytest.mark.parametrize(("threshold", "expected"), [(0.05, 77), (0.1, 169), (0.2, 369), (0.4, 485)])
def test_all_samples_in_a_cross_split_pair_are_found(threshold: float, expected: int) -> None:
    """The peer, which compares only kept samples with their own duplicates, flags 72, 125, 196 and 245 of these."""
    vectors, split = golden()
    pairs = pairs_within(vectors, threshold, centre=vectors.mean(axis=0))
    leaks = find_leaks(pairs, np.arange(len(vectors)), splits_from_labels(split))
    assert leaky(leaks, len(vectors)).sum() == expected


def test_a_mapping_of_splits_finds_what_the_field_finds() -> None:
    """The peer takes a dictionary for a list of tags and finds nothing."""
    vectors, split = golden()
    pairs, content = pairs_within(vectors, 0.1, centre=vectors.mean(axis=0)), np.arange(len(vectors))
    views = {f"my {name}": [row for row, given in enumerate(split) if given == name] for name in set(split) if name}
    tags = [[name, "other"] if name else ["other"] for name in split]
    by_field = find_leaks(pairs, content, splits_from_labels(split))
    for splits in (splits_from_mapping(views), splits_from_tags(tags, ["val", "train", "test"])):
        leaks = find_leaks(pairs, content, splits)
        assert leaks.sample.tolist() == by_field.sample.tolist()
        assert leaks.partner.tolist() == by_field.partner.tolist()


def test_leaks_of_a_sample_whose_neighbour_is_in_no_split() -> None:
    """The peer raises KeyError."""
    pairs = Pairs(np.array([0, 0]), np.array([1, 2]), np.array([0.1, 0.1]))
    leaks = find_leaks(pairs, np.arange(3), splits_from_labels(["train", None, "test"]))
    assert leaks_for_sample(leaks, 0).tolist() == [2]
    assert leaks_for_sample(leaks, 1).tolist() == []


def test_500_near_copies_over_three_splits() -> None:
    rng = np.random.default_rng(0)
    vectors = np.ones((500, 8)) + 0.001 * rng.normal(size=(500, 8))
    split = np.arange(500) % 3
    pairs = pairs_within(vectors, 0.1)
    leaks = find_leaks(pairs, np.arange(500), splits_from_labels([str(code) for code in split]))
    assert len(leaks.sample) == (split[:, None] != split).sum()
    assert leaky(leaks, 500).all()


def test_thousands_of_copies_inside_one_split_cost_nothing() -> None:
    content = np.zeros(200_001, np.int64)
    leaks = find_leaks(NONE, content, splits_from_labels(["train"] * 200_000 + ["test"]))
    assert len(leaks.sample) == 400_000
    assert leaks.exact.all()
    assert not leaks.distance.any()


def test_a_sample_in_two_splits_leaks_into_itself_and_is_named() -> None:
    splits = splits_from_labels([["train", "test"], "train"])
    assert overlapping(splits).tolist() == [0]
    assert len(find_leaks(NONE, np.arange(2), splits).sample) == 0


@pytest.mark.parametrize("labels", [[], [None], [None, None], ["train", ""], ["train", "train"]])
def test_no_splits_no_leaks(labels: list[str | None]) -> None:
    count = len(labels)
    assert len(find_leaks(NONE, np.zeros(count, np.int64), splits_from_labels(labels)).sample) == 0


def test_an_empty_mapping_is_no_split() -> None:
    assert splits_from_mapping({}).names == ()
    assert splits_from_mapping({"a": []}).sample.tolist() == []
