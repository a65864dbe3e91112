"""What no signal does by hand, because the engine does it: tell what is stale, whose rows are whose, and what is gone."""

import re
from pathlib import Path

import pytest

import brain_assets.signals

BY_HAND = {
    "which rows changed": re.compile(r"\bsince\b"),
    "what is deleted by not being there": re.compile(r"\bwithin="),
    "the key of a run": re.compile(r"brain_key = '"),
    "other files": re.compile(r"(?<![\w.])open\(|\bread_text\(|\bread_bytes\("),
    "connections": re.compile(r"\bduckdb\.connect\("),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_signals_leave_to_the_engine(what: str) -> None:
    folder = Path(brain_assets.signals.__path__[0])
    found = [
        f"{path.relative_to(folder)}:{number}"
        for path in sorted(folder.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if BY_HAND[what].search(line)
    ]
    assert not found
