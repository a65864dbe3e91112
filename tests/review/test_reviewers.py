"""Who reviewed how much, and how far two agree."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from brain_assets.resources.store.events import Event, Events
from brain_assets.review.reviewers import agreement, reviewers

WORDS = st.sampled_from(["keep", "drop", "confirm"])


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=30))
def test_kappa_is_cohens(pairs: list[tuple[str, str]]) -> None:
    found = agreement(pairs)
    if len({word for pair in pairs for word in pair}) == 1:
        assert math.isnan(found.kappa)
    else:
        assert math.isclose(found.kappa, cohen_kappa_score(*zip(*pairs, strict=True)), abs_tol=1e-9)


def test_each_reviewers_last_word_counts_and_what_is_undone_does_not(tmp_path: Path) -> None:
    events = Events(tmp_path / "events.sqlite")
    subjects = [(f"id-{number}", "hash") for number in range(6)]
    events.append(Event("drop", "ada"), subjects[:4])
    events.append(Event("keep", "ada"), subjects[:1])
    events.append(Event("keep", "bo"), subjects[:2])
    events.append(Event("drop", "bo"), [subjects[2], ("id-3", "another content")])
    events.append(Event("relabel", "bo", "cat"), subjects[4:5])
    events.append(Event("tag", "cy", "odd"), subjects)
    events.undo(events.append(Event("drop", "cy"), subjects), "cy")
    found = reviewers(events)
    assert [(one["by"], one["decisions"], one["subjects"]) for one in found["people"]] == [("bo", 5, 5), ("ada", 4, 4)]
    assert found["people"][1]["kinds"] == {"drop": 3, "keep": 1}
    assert found["pairs"] == [{"by": ["bo", "ada"], "both": 3, "same": 2, "kappa": pytest.approx(0.4)}]
    assert reviewers(Events(tmp_path / "none.sqlite")) == {"people": [], "pairs": []}
