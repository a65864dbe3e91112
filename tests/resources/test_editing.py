"""Values are changed in a file that people edit, and all else in it stays as they wrote it."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.editing import appended, assigned

FILE = """\
# Dataset of birds.
media: /pictures  # where they lie

similarity:
  # more than usual
  k: 30   # thirty
labels:
- uri: a.csv  # the first
- {uri: b.csv, field: color}
# Between labels and classes.
classes: [cat, dog]
image_quality: {thresholds: {dark: .1}}
calibration:
# The end.
"""


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("media", "/other", "media: /other  # where they lie"),
        ("similarity.k", 5, "  k: 5   # thirty"),
        ("similarity.metric", "euclidean", "  metric: euclidean"),
        ("labels.0.uri", "c.csv", "- uri: c.csv  # the first"),
        ("labels.1.field", "size", "- {uri: b.csv, field: size}"),
        ("labels.1.format", "csv", "- {uri: b.csv, field: color, format: csv}"),
        ("labels", [], "labels: []"),
        ("classes", ["a b", "no", "\u00e9"], "classes: [a b, 'no', \u00e9]"),
        ("image_quality.thresholds.dark", False, "image_quality: {thresholds: {dark: false}}"),
        ("image_quality.thresholds.noisy", 2.5, "image_quality: {thresholds: {dark: .1, noisy: 2.5}}"),
        ("calibration.min_samples", 50, "calibration: {min_samples: 50}"),
        ("split_from", "folder", "split_from: folder"),
        ("near_duplicates.threshold", 0.1, "near_duplicates: {threshold: 0.1}"),
    ],
)
def test_one_line_changes_and_comments_stay(key: str, value: Any, line: str) -> None:
    edited = assigned(FILE, key, value)
    assert line in edited.splitlines()
    before = [text for text in FILE.splitlines() if text.strip().startswith("#")]
    assert [text for text in edited.splitlines() if text.strip().startswith("#")] == before


@pytest.mark.parametrize("key", ["media.inner", "labels.7.uri", "labels.uri", "similarity.k.deeper"])
def test_a_key_that_leads_nowhere_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no "):
        assigned(FILE, key, 1)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "media: a"])
def test_a_key_is_added_to_any_file(text: str) -> None:
    edited = assigned(text, "similarity.k", 3)
    assert edited.startswith(text)
    assert yaml.safe_load(edited)["similarity"] == {"k": 3}


@pytest.mark.parametrize(
    "layout", ["- {uri: a}  # first\n", "  - uri: a  # first\n    field: b\n  # end\n", "  [{uri: a}]  # all\n", ""]
)
def test_entries_are_added_to_a_list(layout: str) -> None:
    text = f"media: x\nlabels:\n{layout}# below\nclasses: [a]\n"
    edited = appended(text, "labels", [{"uri": "c"}, {"uri": "d e"}])
    assert [one["uri"] for one in yaml.safe_load(edited)["labels"]][-2:] == ["c", "d e"]
    assert edited.count("#") == text.count("#")
    assert yaml.safe_load(edited)["classes"] == ["a"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=6,
)
TREES = st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), VALUES, max_size=4)


@given(
    TREES, st.sampled_from([True, False, None]), st.from_regex(r"[a-z]{1,4}(\.[a-z]{1,4}){0,2}", fullmatch=True), VALUES
)
def test_any_file_either_gets_the_value_or_is_left_alone(tree: dict, style: bool | None, key: str, value: Any) -> None:
    text = yaml.safe_dump(tree, default_flow_style=style, allow_unicode=True)
    try:
        edited = yaml.safe_load(assigned(text, key, value))
    except ConfigurationError:
        return
    for part in key.split("."):
        edited = edited[part]
    assert edited == value
