"""What is said of finished work makes of what was sent what somebody left, whatever they did."""

import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from brain_assets.labelling.comparing import as_sent, compare
from brain_assets.resources.label_tools.door import Content, Region
from brain_assets.resources.store.events import Decision
from brain_assets.resources.store.label_tasks import Place, Task
from brain_assets.review.corrections import corrected

SAMPLE = "5" * 20
LABELS = st.sampled_from(["ant", "bee"])
SIDES = st.integers(1, 8).map(lambda value: value / 16)
BOXES = st.tuples(SIDES, SIDES, SIDES, SIDES)
NAMES = st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=4), unique=True, max_size=4)


@st.composite
def sent(draw: st.DrawFn) -> list[tuple[Region, dict[str, Any]]]:
    """Labels and proposals of a model, each with a box of its own."""
    boxes = draw(st.lists(BOXES, max_size=5, unique=True))
    found = []
    for place, box in enumerate(boxes):
        name = f"{SAMPLE}{place:012}"
        source = draw(st.sampled_from(["ground_truth", "detector"]))
        known = {"object": name, "source": source, "label_field": "ground_truth"}
        found.append((Region(name, draw(LABELS), box), known))
    return found


@st.composite
def left(draw: st.DrawFn, regions: list[Region], *, names: bool) -> list[Region]:
    """What somebody left of regions, some renamed, moved or taken away, with new ones; a tool may give names of its own."""
    kept = [one for one in regions if draw(st.booleans())]
    changed = [
        Region(
            one.name if names else f"own {place}",
            draw(st.one_of(st.just(one.label), LABELS)),
            draw(st.one_of(st.just(one.box), BOXES)),
        )
        for place, one in enumerate(kept)
    ]
    return changed + [Region(f"new {name}", draw(LABELS), draw(BOXES)) for name in draw(NAMES)]


def shown(boxes: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    there = [one for one in boxes if one["source"] == "ground_truth" and not one.get("dropped")]
    return sorted((one["label"], *(round(one[name], 6) for name in ("x", "y", "width", "height"))) for one in there)


@given(st.data(), sent(), st.booleans(), st.booleans())
def test_words_make_of_what_was_sent_what_was_left(
    data: st.DataObject, given: list[tuple[Region, dict[str, Any]]], names: bool, twice: bool
) -> None:
    about = {
        "regions": [as_sent(region, known) for region, known in given],
        "label_field": "ground_truth",
        "labels": None,
    }
    task = Task(Place("tool", "url", "1"), "7", SAMPLE, "content", about)
    boxes = [
        {"object_id": known["object"], "source": known["source"], "label": region.label, "label_field": "ground_truth",
         "polygon": None, **dict(zip(("x", "y", "width", "height"), region.box, strict=True))}
        for region, known in given
    ]  # fmt: skip
    decisions: list[Decision] = []
    regions = [region for region, _ in given]
    for number in range(1 + twice):
        regions = data.draw(left(regions, names=names))
        found = compare(task, Content(regions), {})
        task = task.finished("done", str(number), "ada", found.about)
        for word in found.words:
            event = len(decisions) + 1
            said = Decision(
                f"{event}-{word.subject_id}", word.subject_id, "content", word.kind, word.value, None, "ada", "", None
            )
            decisions.append(said)
        ours = shown(corrected(boxes, decisions, SAMPLE))
        theirs = sorted((one.label, *(round(part, 6) for part in one.box)) for one in regions)
        assert ours == theirs
    # Nothing is said of work that nobody changed since.
    assert not compare(task, Content(regions), {}).words


def test_a_copy_that_kept_the_name_of_what_it_was_copied_from_is_a_region_too() -> None:
    region = Region(f"{SAMPLE}1", "ant", (0.1, 0.1, 0.2, 0.2))
    known = {"object": region.name, "source": "ground_truth", "label_field": "ground_truth"}
    task = Task(Place("tool", "url", "1"), "7", SAMPLE, "content", {"regions": [as_sent(region, known)]})
    copy = Region(region.name, "bee", (0.5, 0.5, 0.2, 0.2))
    assert [one.kind for one in compare(task, Content([region, copy]), {}).words] == ["draw"]


def test_a_class_is_said_as_the_dataset_has_it() -> None:
    task = Task(Place("tool", "url", "1"), "7", SAMPLE, "content", {"labels": ["ant"], "flagged": [SAMPLE]})
    several = Task(task.place, "7", SAMPLE, "content", {**task.about, "several": True})
    assert compare(task, Content(labels=["bee"]), {}).words == [("relabel", SAMPLE, "bee")]
    assert compare(several, Content(labels=["bee", "ant"]), {}).words == [("relabel", SAMPLE, "bee, ant")]
    assert compare(task, Content(labels=["ant"]), {}).words == [("keep", SAMPLE, None)]
    assert "several classes" in compare(task, Content(labels=["bee", "ant"]), {}).unusable[0]
    assert "comma" in compare(several, Content(labels=["a,b"]), {}).unusable[0]
