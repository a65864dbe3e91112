"""What every signal declares to read is what it reads: recorded while all of them run."""

from collections import defaultdict

import pytest

from brain_assets.assets import catalog
from brain_assets.incremental import update
from brain_assets.incremental.update import BOOKKEEPING, Update
from brain_assets.resources.store.store import Transaction
from tests.stories import SUBJECTS, Story, problem

NAMES = [f"{split}/{letter}.png" for split in ("train", "test") for letter in "abcdef"]
WHERE = [
    {"brain_key": f"some_{method}", "method": method, "where": "width > 8"}
    for method in (
        "uniqueness",
        "outliers",
        "representativeness",
        "visualization",
        "label_issues",
        "near_duplicates",
        "similarity",
    )
]
CUTS = [
    {"brain_key": "cuts", "method": "object_embeddings", "model": "python:tests.models:Pixels"},
    {"brain_key": "graph", "method": "similarity", "embeddings": "cuts"},
    {"brain_key": "peer", "method": "uniqueness", "parameters": {"mode": "compat"}},
    {"brain_key": "weighed", "method": "representativeness", "parameters": {"method": "cluster-center-downweight"}},
]
# What this story does not tell of: a map whose points a file gives, and tags of a file that is renamed.
ELSEWHERE = {"visualization": {"samples"}, "samples": {"said_tags"}}
EVERYTHING = Story(
    (*SUBJECTS, "planned_splits"),
    (
        ("set", "splits", {"shares": {"train": 0.5, "test": 0.5}}),
        ("calibrate_early",),
        ("set", "split_from", "column"),
        ("vectors", "main", {name: 2 * number for number, name in enumerate(NAMES)}),
        *(("picture", name, 3 * number) for number, name in enumerate(NAMES)),
        ("labels", "a", {name: "cat" if number % 2 else "dog" for number, name in enumerate(NAMES)}),
        ("predictions", "a", "net", "logits", dict.fromkeys(NAMES, ("cat", 7))),
        ("boxes", {name: [["cat", 0], ["dog", 2]] for name in NAMES}),
        ("found", {name: [["cat", 0, 8], ["dog", 3, 6]] for name in NAMES}, True),
        ("runs", [*WHERE, *CUTS]),
        ("run",),
    ),
)


def test_every_signal_reads_what_it_declares_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: dict[str, set[str]] = defaultdict(set)
    mark = update._mark

    def record(transaction: Transaction, one: Update, reads: set[str]) -> None:
        recorded[one.signal.name] |= reads - BOOKKEEPING - set(one.signal.writes)
        mark(transaction, one, reads)

    monkeypatch.setattr(update, "_mark", record)
    assert problem(EVERYTHING) is None
    ran = [signal for signal in catalog.SIGNALS if signal.name in recorded and not signal.after]
    assert len(ran) > len(SUBJECTS)
    found = {one.name: sorted(recorded[one.name] | ELSEWHERE.get(one.name, set())) for one in ran}
    assert found == {one.name: sorted(one.reads) for one in ran}
