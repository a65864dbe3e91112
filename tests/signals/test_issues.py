"""Issues are named by the signals that raise them, and nowhere else."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from brain_assets.assets import catalog
from brain_assets.signals.registry import ISSUES
from tests.test_layers import ROOT

# Where signals, what they compute by, and the settings of their rules are.
HOMES = ("brain_assets/signals", "brain_assets/ingest", "brain_assets/methods", "resources/settings/configuration.py")
# What another tool calls its measures, some of them as we call issues.
FOREIGN = ("brain_assets/python/folder_scan.py",)
SOURCES = [
    path
    for top in ("brain_assets", "resources", "sensors")
    for path in (ROOT / top).rglob("*")
    if path.suffix in {".py", ".js", ".html", ".sql"} and "brain_assets/resources" not in str(path)
    and "brain_assets/sensors" not in str(path) and not str(path.relative_to(ROOT)).startswith((*HOMES, *FOREIGN))
]  # fmt: skip
# As a string or as a key of an object in JavaScript.
NAMED = re.compile(r"""["']({0})["']|^\s*({0}):""".format("|".join(ISSUES)), re.MULTILINE)


def named_in(text: str) -> set[str]:
    return {name for found in NAMED.findall(text) for name in found if name}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_list_of_issues_is_kept_beside_the_signals(path: Path) -> None:
    """One word may be something else, such as the dark theme of the page."""
    assert len(named_in(path.read_text("utf-8"))) < 2


def test_the_check_can_fail() -> None:
    assert named_in('x = {"leak": 1, "dark": 2}') == {"leak", "dark"}
    assert named_in("  bad_box: () => 1,\n  tiny: () => 2,\n") == {"bad_box", "tiny"}


def test_an_issue_is_defined_once_and_has_words_and_a_place_of_its_own() -> None:
    raised = [issue for signal in catalog.ALL for query in signal.issues for issue in query.issues]
    assert {id(issue) for issue in raised} == {id(issue) for issue in ISSUES.values()}
    assert all(issue.title and issue.meaning and issue.advice for issue in ISSUES.values())
    assert all(one.place < other.place for one, other in pairwise(ISSUES.values()))
