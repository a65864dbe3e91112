"""Labels of objects corrected from the page alone, in a real browser, and what is exported then."""

import json
from pathlib import Path
from typing import Any

import pytest

from brain_assets.app.api import DatasetReader
from tests.review.browser import Visit, serious, served, visiting
from tests.review_data import Synthetic
from tests.workshop import Workshop, write_pictures

QUICK = (
    "reviews",
    "samples",
    "media",
    "ground_truth",
    "predictions",
    "objects",
    "object_mistakenness",
    "issues",
    "published",
)
WIDTH, HEIGHT = 20, 16
RIGHT, SHIFTED, ASIDE = [4, 4, 8, 8], [2, 4, 8, 8], [12, 10, 6, 5]
TRUTH = [("cat", RIGHT)]
# What is labelled in each of 10 images: 3 objects missing, 3 boxes misplaced, 2 objects spurious, 2 classes wrong.
GIVEN = [[]] * 3 + [[("cat", SHIFTED)]] * 3 + [[("cat", RIGHT), ("dog", ASIDE)]] * 2 + [[("dog", RIGHT)]] * 2


def detections(root: Path) -> Workshop:
    write_pictures(root / "media", range(len(GIVEN)))
    images = [{"id": n, "file_name": f"{n:05}.png", "width": WIDTH, "height": HEIGHT} for n in range(len(GIVEN))]
    boxes = [(n, label, box) for n, labels in enumerate(GIVEN) for label, box in labels]
    annotations = [
        {"id": i, "image_id": n, "category_id": ["cat", "dog"].index(label), "bbox": box, "area": 64, "iscrowd": 0}
        for i, (n, label, box) in enumerate(boxes)
    ]
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    (root / "coco.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    found = [{"image_id": n, "category_id": 0, "bbox": RIGHT, "score": 0.95} for n in range(len(GIVEN))]
    (root / "found.json").write_text(json.dumps(found))
    made = Workshop(
        root / "home", root / "media", "demo", labels=[{"uri": str(root / "coco.json")}],
        predictions=[{"uri": str(root / "found.json"), "model": "detector"}],
    )  # fmt: skip
    made.run(QUICK)
    return made


def settled(visit: Visit, count: int) -> None:
    """Wait until so many events are noted, and the page shows them."""
    for _ in range(400):
        if visit.events.last() >= count:
            break
        visit.page.wait_for_timeout(25)
    assert visit.events.last() == count
    visit.page.wait_for_function("() => document.querySelectorAll('#detail .objects [aria-pressed=true]').length === 0")


def correct_all(visit: Visit) -> None:
    page = visit.page
    visit.open("sort=filepath&descending=0")
    page.locator("#grid .card:not(.waiting)").first.click()
    for number in range(len(GIVEN)):
        visit.wait_for_text("#detail h2", f"{number:05}.png")
        page.wait_for_selector("#detail .viewer[data-picture=sharp]")
        pick = page.locator("#detail .objects li.given .pick")
        if number < 3:
            page.locator("#detail .objects li.predicted .pick").click()
            page.keyboard.press("a")
        elif number < 4:
            pick.click()
            page.keyboard.press("m")
        elif number < 6:
            pick.click()
            page.keyboard.press("ArrowRight")
            page.keyboard.press("ArrowRight")
            page.keyboard.press("Escape")
        elif number < 8:
            pick.filter(has_text="dog").click()
            page.keyboard.press("Delete")
        else:
            pick.click()
            page.keyboard.press("r")
            page.fill("#asked-word", "cat")
            page.keyboard.press("Enter")
        settled(visit, number + 1)
        page.keyboard.press("ArrowRight")


def exported(workshop: Workshop, target: Path) -> list[list[tuple[str, list[float]]]]:
    with DatasetReader(workshop.name, str(workshop.home.root)) as reader:
        said = reader.export_objects(target)
    assert (said.images, said.reviewed) == (10, 8)
    content = json.loads(target.read_text())
    names = {one["id"]: one["name"] for one in content["categories"]}
    files = {one["id"]: int(Path(one["file_name"]).stem) for one in content["images"]}
    found: list[list[tuple[str, list[float]]]] = [[] for _ in GIVEN]
    for one in content["annotations"]:
        box = [round(value, 4) for value in one["bbox"]]
        found[files[one["image_id"]]].append((names[one["category_id"]], box))
    return found


@pytest.mark.slow
def test_a_detection_set_is_corrected_and_exported(browser: Any, tmp_path: Path) -> None:
    made = detections(tmp_path)
    with served(made.home.root) as address:
        for visit in visiting(browser, address, made.home.root):
            correct_all(visit)
            assert serious(visit.page) == []
    kinds = [one.kind for one in visit.events.decisions()]
    assert [kinds.count(kind) for kind in ("confirm", "reshape", "drop", "relabel")] == [3, 3, 2, 2]
    made.run(QUICK)
    assert exported(made, tmp_path / "labels.json") == [TRUTH] * len(GIVEN)
    with DatasetReader(made.name, str(made.home.root)) as reader:
        more = reader.export_objects(tmp_path / "more.json", missing_objects=True)
        whole = reader.export(tmp_path / "coco", "coco", retain=("exact_duplicate", "near_duplicate", "leak"))
    assert more.added == {}
    assert (whole.objects, whole.changed) == (10, 10)
    changed = (tmp_path / "coco" / "CHANGES.csv").read_text()
    assert [changed.count(f",object_{word},") for word in ("added", "moved", "dropped", "relabelled")] == [3, 3, 2, 2]


@pytest.fixture
def drawing(own: Visit, small: Synthetic) -> Visit:
    own.open(f"id={small.ids[70]}")
    own.page.wait_for_selector("#detail .viewer[data-picture=sharp]")
    return own


def drag(visit: Visit, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag between two points given as shares of the picture."""
    place = """([x, y]) => {
        const viewer = document.querySelector('#detail .viewer'), image = viewer.querySelector('img');
        const { left, top, width, height } = image.getBoundingClientRect();
        return [left + x * width, top + y * height];
    }"""
    (x, y), (to_x, to_y) = visit.page.evaluate(place, start), visit.page.evaluate(place, end)
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    visit.page.mouse.move((x + to_x) / 2, (y + to_y) / 2)
    visit.page.mouse.move(to_x, to_y)
    visit.page.mouse.up()


def shape_of(visit: Visit) -> list[float]:
    value = json.loads(visit.events.decisions()[-1].value or "{}")
    return [value[name] for name in ("x", "y", "width", "height")]


def test_a_box_is_drawn_moved_resized_and_undone_by_mouse(drawing: Visit, small: Synthetic) -> None:
    page = drawing.page
    page.keyboard.press("b")
    drag(drawing, (0.6, 0.7), (0.8, 0.9))
    page.fill("#asked-word", "wheel")
    page.keyboard.press("Enter")
    drawing.wait_for_text("#detail .objects [aria-pressed=true]", "wheel")
    assert shape_of(drawing) == pytest.approx([0.6, 0.7, 0.2, 0.2], abs=0.01)
    drag(drawing, (0.7, 0.8), (0.6, 0.75))
    drawing.wait_for_text(".notice", "Moved the box")
    assert shape_of(drawing) == pytest.approx([0.5, 0.65, 0.2, 0.2], abs=0.01)
    page.wait_for_timeout(300)
    drag(drawing, (0.7, 0.85), (0.75, 0.95))
    page.wait_for_function("() => document.querySelectorAll('.notice').length > 2")
    assert shape_of(drawing) == pytest.approx([0.5, 0.65, 0.25, 0.3], abs=0.01)
    for left in (2, 1, 0):
        page.keyboard.press("Control+z")
        page.wait_for_timeout(300)
        assert sum(one.undone_at is None for one in drawing.events.decisions()) == left
    page.wait_for_function(
        "() => ![...document.querySelectorAll('#detail .objects li')].some(one => one.innerText.includes('wheel'))"
    )


def test_predictions_are_approved_over_a_filter(own: Visit) -> None:
    own.open("frame=objects&f.source=[%22detector%22]")
    own.wait_for_status("76 of 152 match")
    own.page.keyboard.press("Control+a")
    own.page.click("#select-all")
    own.page.get_by_role("button", name="Approve predictions").click()
    # Each lies on a label of its class.
    own.wait_for_text(".notice.failed", "not labelled yet")
    own.open()
    own.page.click("#select-all")
    own.page.get_by_role("button", name="Approve predictions").click()
    own.wait_for_text(".notice", "Labelled as predicted")
    relabelled = own.events.decisions()
    assert len({one.value for one in relabelled}) > 1
    assert len({one.decision_id.partition("-")[0] for one in relabelled}) == 1


def test_pairs_are_decided_beside_each_other_and_in_groups(own: Visit, small: Synthetic) -> None:
    own.open(f"id={small.ids[2]}&beside={small.ids[0]}")
    own.page.get_by_role("button", name="Not a copy").click()
    own.wait_for_text(".notice", "no copies of each other")
    assert {(one.kind, one.content_hash) for one in own.events.decisions()} == {
        ("not_copy", small.contents[2]), ("not_copy", small.contents[0])
    }  # fmt: skip
    own.open("tab=groups&table=near_duplicates&brain_key=near_duplicates")
    own.page.locator(".duplicates.current").wait_for()
    own.page.keyboard.press("s")
    own.wait_for_text(".duplicates .badge.good", "same scene")
    assert serious(own.page) == []
