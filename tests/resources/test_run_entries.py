"""Editing the runs of a declaration keeps what a person wrote around them."""

import pytest
import yaml

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.run_entries import delete_entry, rename_entry

BLOCK = """\
# My photos.
media: /photos   # a disk
runs:
  # The one with a wide reach.
  - brain_key: wide   # k is 50
    method: similarity
    parameters: {k: 50}
  # Reads the one above - see there.
  - method: uniqueness
    similarity: wide
    brain_key: wide_uniqueness

  - {brain_key: last, method: outliers}
# The end.
keep_first: [test]
"""
FLOW = (
    "media: /photos\nruns: [{brain_key: a, method: outliers}, {brain_key: b, method: outliers, similarity: c}]  # two\n"
)


def comments(text: str) -> list[str]:
    return [line[line.index("#") :] for line in text.splitlines() if "#" in line]


def test_rename_changes_the_key_where_it_stands_and_nothing_else() -> None:
    edited = rename_entry(BLOCK, "wide", "far")
    assert edited == BLOCK.replace("brain_key: wide ", "brain_key: far ").replace("similarity: wide", "similarity: far")


def test_a_name_that_yaml_reads_as_something_else_is_quoted() -> None:
    assert yaml.safe_load(rename_entry(FLOW, "a", "yes"))["runs"][0]["brain_key"] == "yes"


@pytest.mark.parametrize("key", ["wide", "wide_uniqueness", "last"])
def test_delete_takes_the_entry_and_keeps_the_rest(key: str) -> None:
    edited = delete_entry(BLOCK, key)
    before, after = yaml.safe_load(BLOCK), yaml.safe_load(edited)
    assert after == before | {"runs": [run for run in before["runs"] if run["brain_key"] != key]}
    assert set(comments(BLOCK)) - set(comments(edited)) <= {"# k is 50"}


@pytest.mark.parametrize("key", ["a", "b"])
def test_delete_edits_flow_lists_too(key: str) -> None:
    edited = delete_entry(FLOW, key)
    assert [run["brain_key"] for run in yaml.safe_load(edited)["runs"]] == [{"a": "b", "b": "a"}[key]]
    assert edited.endswith("# two\n")


@pytest.mark.parametrize("text", [BLOCK, FLOW])
def test_all_can_be_deleted_one_after_the_other(text: str) -> None:
    before = yaml.safe_load(text)
    for run in before["runs"]:
        text = delete_entry(text, run["brain_key"])
    assert yaml.safe_load(text) == before | {"runs": []}


def test_an_entry_without_a_line_of_its_own_end_can_be_deleted() -> None:
    text = "media: /photos\nruns:\n- brain_key: a\n  method: outliers\n- brain_key: b\n  method: outliers"
    assert yaml.safe_load(delete_entry(text, "b"))["runs"] == [{"brain_key": "a", "method": "outliers"}]


def test_what_cannot_be_edited_in_place_is_refused() -> None:
    merged = "media: /photos\nbase: &base {brain_key: a}\nruns: [{<<: *base, method: outliers}]\n"
    with pytest.raises(ConfigurationError, match="by hand"):
        rename_entry(merged, "a", "c")
