"""The workspace of an image in a real browser: looked at closely, step by step, and beside another."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.review.browser import Visit, serious, visiting
from tests.review_data import Synthetic, points_only

THERE = "() => ['there', 'sharp'].includes(document.querySelector('#detail .viewer').dataset.picture)"
ZOOM = "index => Number(document.querySelectorAll('#detail .viewer')[index].dataset.zoom)"


def opened(visit: Visit, query: str) -> Visit:
    visit.open(query)
    visit.page.wait_for_function(THERE)
    return visit


def wait_for_id(visit: Visit, subject: str) -> None:
    visit.page.wait_for_selector(f"#detail[data-id='{subject}']")


def test_next_and_previous_go_through_the_grid_which_stays_beside_it(visit: Visit, synthetic: Synthetic) -> None:
    visit.open("sort=uniqueness&descending=0&f.split=[%22val%22]")
    card = visit.page.locator("#grid .card:not(.waiting)")
    card.nth(2).wait_for()
    ids = [one.get_attribute("data-id") for one in card.all()[:4]]
    card.nth(1).click()
    wait_for_id(visit, ids[1])
    visit.wait_for_text("#detail header [role=status]", "2 of ")
    for key, place in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("ArrowLeft", 1), ("ArrowLeft", 0)):
        visit.page.keyboard.press(key)
        wait_for_id(visit, ids[place])
    visit.page.wait_for_function("() => document.querySelector('#detail [title^=Previous]').disabled")
    visit.page.keyboard.press("ArrowLeft")
    assert visit.page.locator("#grid .card.open").get_attribute("data-id") == ids[0]
    assert visit.page.locator("#grid").bounding_box()["width"] > 200
    visit.page.keyboard.press("Escape")
    visit.page.locator("#detail").wait_for(state="hidden")
    assert visit.page.locator("#map-panel").is_visible()


def test_neighbours_are_fetched_before_they_are_asked_for(visit: Visit, synthetic: Synthetic) -> None:
    visit.open()
    card = visit.page.locator("#grid .card:not(.waiting)")
    card.nth(3).wait_for()
    after = card.nth(3).get_attribute("data-id")
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    card.nth(2).click()
    visit.page.wait_for_function(
        "id => performance.getEntriesByType('resource').some(one => one.name.includes(id) && one.name.includes('large'))",
        arg=after,
    )
    visit.page.wait_for_load_state("networkidle")
    asked.clear()
    visit.page.keyboard.press("ArrowRight")
    wait_for_id(visit, after)
    assert not [url for url in asked if f"subject?version=000001&id={after}" in url or f"{after}?size=large" in url]


def swipe(page: Any, across: int) -> None:
    """Draw a finger over the picture."""
    page.evaluate(
        """across => {
            const viewer = document.querySelector('#detail .viewer');
            const { left, top, width, height } = viewer.getBoundingClientRect();
            const send = (type, x) => viewer.dispatchEvent(new PointerEvent(type, {
                pointerId: 1, pointerType: 'touch', isPrimary: true, bubbles: true, button: type === 'pointermove' ? -1 : 0,
                clientX: left + width / 2 + x, clientY: top + height / 2 }));
            viewer.setPointerCapture = () => {};
            send('pointerdown', 0); send('pointermove', across / 2); send('pointerup', across);
        }""",
        across,
    )


def test_a_swipe_goes_on_unless_it_is_zoomed(browser: Any, address: str, synthetic: Synthetic) -> None:
    for visit in visiting(browser, address, synthetic.home, has_touch=True):
        visit.page.set_viewport_size({"width": 390, "height": 844})
        visit.open()
        visit.page.locator("#grid .card:not(.waiting)").nth(2).wait_for()
        ids = visit.page.evaluate("[...document.querySelectorAll('#grid .card')].map(card => card.dataset.id)")
        opened(visit, f"id={ids[1]}")
        visit.page.wait_for_function("() => document.querySelector('#detail header [role=status]').textContent")
        swipe(visit.page, -120)
        wait_for_id(visit, ids[2])
        visit.page.wait_for_function(THERE)
        visit.page.keyboard.press("+")
        swipe(visit.page, -120)
        assert visit.page.locator("#detail").get_attribute("data-id") == ids[2]
        visit.page.keyboard.press("0")
        swipe(visit.page, 120)
        wait_for_id(visit, ids[1])


def test_zoom_and_pan_reach_every_pixel(visit: Visit, synthetic: Synthetic) -> None:
    opened(visit, f"id={synthetic.ids[70]}")
    visit.page.wait_for_selector("#detail .viewer[data-picture=sharp]")
    box = visit.page.locator("#detail .viewer").first.bounding_box()
    visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(30):
        visit.page.mouse.wheel(0, -400)
    width, height = synthetic.sizes[70]
    fit = min(box["width"] / width, box["height"] / height)
    visit.page.wait_for_function(f"Math.abs(({ZOOM})(0) * {fit} - 64) < 0.5")
    shot = Image.open(io.BytesIO(visit.page.locator("#detail .viewer").first.screenshot())).convert("RGB")
    middle = np.asarray(shot)[shot.height // 2, shot.width // 2]
    original = np.asarray(Image.open(synthetic.media / synthetic.files[70]).convert("RGB"))
    around = original[height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1].reshape(-1, 3)
    assert (np.abs(around.astype(int) - middle).max(1) <= 2).any()
    before = visit.page.locator("#detail .viewer > img").first.get_attribute("style")
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + box["width"] / 2 + 80, box["y"] + box["height"] / 2, steps=3)
    visit.page.mouse.up()
    assert visit.page.locator("#detail .viewer > img").first.get_attribute("style") != before
    visit.page.keyboard.press("0")
    visit.page.wait_for_function(f"({ZOOM})(0) === 1")


def test_objects_are_named_and_shown_by_layers(visit: Visit, synthetic: Synthetic) -> None:
    opened(visit, f"id={synthetic.ids[61]}")
    shapes = visit.page.locator("#detail .viewer >> nth=0").locator("svg > :not(text)")
    names = visit.page.locator("#detail .viewer >> nth=0").locator("svg > text")
    visit.page.wait_for_function("() => document.querySelectorAll('#detail .viewer svg > text').length === 4")
    # This one has outlines.
    assert [one.evaluate("one => one.tagName") for one in shapes.all()] == ["path"] * 4
    assert {one.text_content() for one in names.all()} == {
        text for row in synthetic.object_rows if row["sample_id"] == synthetic.ids[61]
        for text in [row["label"] + (" 0.9" if row["source"] == "detector" else "")]
    }  # fmt: skip
    visit.page.locator("#detail .layer.labels").click()
    assert shapes.count() == 2
    assert visit.page.locator("#detail .viewer path.given").count() == 0
    slider = visit.page.get_by_label("Least confidence of predictions")
    slider.fill("0.95")
    assert shapes.count() == 0
    slider.fill("0.5")
    visit.page.keyboard.press("n")
    assert (shapes.count(), names.count()) == (2, 0)
    visit.page.reload()
    visit.page.wait_for_function("() => document.querySelectorAll('#detail .viewer path.predicted').length === 2")
    assert shapes.count() == 2
    visit.page.locator("#detail .layer.labels").click()


def test_an_image_tells_the_issues_of_its_objects(visit: Visit, synthetic: Synthetic) -> None:
    row = next(row for place, row in enumerate(synthetic.object_rows) if place % 12 == 0)
    opened(visit, f"id={row['sample_id']}")
    visit.wait_for_text("#detail .why", "Spurious object")
    visit.wait_for_text("#detail .run", "Found by run run-one")
    visit.page.get_by_role("button", name="Show the object").first.click()
    wait_for_id(visit, row["object_id"])
    visit.wait_for_text("#detail h3", "Why it is flagged")
    assert visit.page.locator("#detail .viewer .emphasised").count() > 0


def test_two_images_are_compared_with_one_zoom_and_by_difference(visit: Visit, synthetic: Synthetic) -> None:
    opened(visit, f"id={synthetic.ids[2]}")
    visit.page.get_by_role("button", name="Compare with").first.click()
    visit.page.wait_for_function("() => document.querySelectorAll('#detail .viewer')[1].dataset.picture === 'sharp'")
    visit.page.keyboard.press("+")
    visit.page.keyboard.press("+")
    assert visit.page.evaluate(ZOOM, 0) == visit.page.evaluate(ZOOM, 1) > 1
    visit.page.keyboard.press("x")
    visit.wait_for_text("#detail figcaption", "% of pixels differ")
    # The copy is lighter by 12 of 255.
    words = visit.page.locator("#detail figcaption").last.inner_text()
    assert 8 < float(words.partition("by ")[2].partition(" ")[0]) < 16
    assert visit.page.evaluate(ZOOM, 1) > 1
    assert serious(visit.page) == []
    visit.page.keyboard.press("x")
    visit.page.keyboard.press("Escape")
    visit.page.wait_for_function("() => document.querySelectorAll('#detail .pane')[1].hidden")
    assert visit.page.locator("#detail").is_visible()


@pytest.mark.slow
def test_any_two_are_picked_and_compared(visit: Visit) -> None:
    visit.open()
    check = visit.page.locator("#grid .card:not(.waiting)")
    check.nth(5).wait_for()
    ids = [check.nth(place).get_attribute("data-id") for place in (3, 5)]
    for place in (3, 5):
        check.nth(place).click(modifiers=["Control"])
    visit.page.click("#compare")
    wait_for_id(visit, ids[0])
    visit.page.wait_for_function("() => !document.querySelectorAll('#detail .pane')[1].hidden")
    assert f"beside={ids[1]}" in visit.page.url
    visit.page.reload()
    visit.page.wait_for_function("() => !document.querySelectorAll('#detail .pane')[1].hidden")


@pytest.mark.slow
def test_the_next_of_a_hundred_thousand(browser: Any, tmp_path: Any) -> None:
    points_only(tmp_path, 100_000, "demo")
    from tests.review.browser import served

    with served(tmp_path) as address:
        for visit in visiting(browser, address, tmp_path):
            visit.open(timeout=200_000)
            visit.page.locator("#grid .card:not(.waiting)").nth(2).click()
            for _ in range(5):
                before = visit.page.locator("#detail").get_attribute("data-id")
                visit.page.wait_for_load_state("networkidle")
                visit.page.keyboard.press("ArrowRight")
                visit.page.wait_for_selector(f"#detail:not([data-id='{before}'])")
                visit.page.wait_for_function(THERE)
