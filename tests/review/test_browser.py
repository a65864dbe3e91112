"""The page as a reviewer meets it, in a real browser."""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from brain_assets.resources.store.events import Decision, Event
from brain_assets.review import link
from tests.review.browser import Visit, serious, served, visiting
from tests.review.client import TOKEN
from tests.review_data import HOSTILE, Synthetic, points_only


def inside(
    polygon: list[tuple[float, float]], x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return which points lie inside, edge by edge over all points: slow and plain."""
    found = np.zeros(len(x), bool)
    for (ax, ay), (bx, by) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if ay != by:
            found ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return found


def coordinates(home: Path, dataset: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    table = pq.read_table(home / "datasets" / dataset / "published" / "current" / "visualization.parquet")
    table = table.filter(pq.filters_to_expression([("brain_key", "=", "visualization")]))
    return (np.array(table["subject_id"].to_pylist()), *(table[axis].to_numpy().astype(np.float32) for axis in "xy"))


def drawn_colours(visit: Visit) -> set[tuple[int, ...]]:
    shot = Image.open(io.BytesIO(visit.page.locator("#plot").screenshot())).convert("RGB")
    colours = shot.getcolors(1 << 20) or []
    return {colour for count, colour in colours if count > 20}  # type: ignore[misc]


LASSO = [(0.12, 0.1), (0.6, 0.05), (0.9, 0.35), (0.72, 0.8), (0.5, 0.42), (0.3, 0.9), (0.06, 0.6)]


def test_lasso_tag_filter_save_and_come_back(own: Visit, small: Synthetic) -> None:
    own.open()
    assert own.status == "100 images"
    ids, x, y = coordinates(small.home, "demo")
    chosen = inside(own.lasso(LASSO), x, y)
    assert 10 < chosen.sum() < 90
    own.wait_for_status(f"{chosen.sum()} selected")
    own.tag("odd  cluster")
    assert own.tagged("odd cluster") == set(ids[chosen])

    own.page.select_option("#colour", "split")
    own.wait_for_text("#legend", "train")
    own.page.locator(".facet[data-column=tags] input[type=checkbox]").first.wait_for()
    own.page.get_by_label("odd cluster").check()
    own.wait_for_status(f"{chosen.sum()} of 100 match")
    own.page.click("#save-view")
    own.page.fill("#asked-word", "my odd ones")
    own.page.keyboard.press("Enter")
    own.wait_for_text(".notice", "Saved the view")
    address = own.page.url
    assert "f.tags" in address

    own.page.goto(f"{own.address}/?tab=explore")
    own.wait_for_status("100 images")
    own.page.select_option("#views", "my odd ones")
    own.wait_for_status(f"{chosen.sum()} of 100 match")
    assert own.page.url == address
    assert own.page.input_value("#colour") == "split"

    own.page.keyboard.press("Control+z")
    own.wait_for_text(".notice", "Undone")
    own.wait_for_status("0 of 100 match")
    assert own.tagged("odd cluster") == set()


def test_lasso_adds_and_removes(visit: Visit, synthetic: Synthetic) -> None:
    visit.open()
    _, x, y = coordinates(synthetic.home, "demo")
    left = inside(visit.lasso([(0, 0), (0.4, 0), (0.4, 1), (0, 1)]), x, y)
    visit.wait_for_status(f"{left.sum()} selected")
    visit.page.click("[data-tool=add]")
    top = inside(visit.lasso([(0, 0), (1, 0), (1, 0.4), (0, 0.4)], ()), x, y)
    visit.wait_for_status(f"{(left | top).sum()} selected")
    both = inside(visit.lasso([(0.2, 0.2), (0.7, 0.2), (0.7, 0.7), (0.2, 0.7)], ("Shift", "Alt")), x, y)
    visit.wait_for_status(f"{((left | top) & ~both).sum()} selected")
    visit.page.keyboard.press("Escape")
    visit.wait_for_status("300 images")


def lasso_and_tag(browser: Any, home: Path, count: int) -> tuple[set[str], set[str]]:
    points_only(home, count, "demo")
    with served(home) as address:
        for visit in visiting(browser, address, home):
            visit.page.set_default_timeout(200_000)
            visit.open(timeout=200_000)
            ids, x, y = coordinates(home, "demo")
            chosen = inside(visit.lasso(LASSO), x, y)
            visit.wait_for_status(f"{chosen.sum():,} selected")
            visit.tag("found")
            return set(ids[chosen]), visit.tagged("found")
    raise AssertionError


def test_ten_thousand_points(browser: Any, tmp_path: Path) -> None:
    lassoed, tagged = lasso_and_tag(browser, tmp_path, 10_000)
    assert len(lassoed) > 2_000
    assert lassoed == tagged


@pytest.mark.slow
def test_a_million_points(browser: Any, tmp_path: Path) -> None:
    lassoed, tagged = lasso_and_tag(browser, tmp_path, 1_000_000)
    assert len(lassoed) > 200_000
    assert lassoed == tagged


@pytest.mark.parametrize("renderer", ["webgl", "canvas"])
def test_points_are_drawn_in_the_colours_of_the_legend(visit: Visit, renderer: str) -> None:
    if renderer == "webgl":
        visit.page.add_init_script("WebGL2RenderingContext.prototype.getExtension = () => null")
    visit.open("size=uniqueness")
    kind = visit.page.evaluate("document.querySelector('#points').getContext('webgl2') ? 'webgl' : 'canvas'")
    assert kind == renderer
    visit.page.wait_for_timeout(400)
    swatches = visit.page.eval_on_selector_all(
        ".swatch", "found => found.map(one => getComputedStyle(one).backgroundColor)"
    )
    wanted = {tuple(int(part) for part in swatch[4:-1].split(",")) for swatch in swatches[:8]}
    assert len(wanted) == 8
    drawn = drawn_colours(visit)
    near = {
        want for want in wanted if any(max(abs(a - b) for a, b in zip(want, got, strict=True)) < 32 for got in drawn)
    }
    assert near == wanted
    box = visit.page.locator("#lasso").bounding_box()
    visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visit.page.mouse.wheel(0, -3000)
    visit.page.wait_for_timeout(400)
    assert len(drawn_colours(visit)) < len(drawn)


@dataclass
class QueueWork:
    """Works through the queue of label mistakes by keyboard."""

    visit: Visit

    def __post_init__(self) -> None:
        self.visit.open("tab=queue&issue=label_mistake")
        self.visit.page.locator(".stage").wait_for()

    @property
    def shown(self) -> str:
        return str(self.visit.page.locator(".stage").get_attribute("data-id"))

    def press(self, key: str) -> None:
        self.visit.page.keyboard.press(key)

    def decide(self, key: str) -> Decision:
        """Press a key that decides, wait for the next subject and return what was noted on the one before."""
        before = self.shown
        self.press(key)
        self.visit.page.wait_for_function("id => document.querySelector('.stage')?.dataset.id !== id", arg=before)
        decision = self.visit.events.decisions()[-1]
        assert (decision.subject_id, decision.issue) == (before, "label_mistake")
        return decision

    def answer(self, key: str, word: str) -> None:
        self.press(key)
        self.visit.page.fill("#asked-word", word)
        self.press("Enter")


def test_queue_by_keyboard(own: Visit, small: Synthetic) -> None:
    order = sorted(small.wrong, key=lambda i: (-small.mistakenness_scores[i], small.ids[i]))
    right = small.labels[small.classes[order[1]]]
    work = QueueWork(own)
    assert work.shown == small.ids[order[0]]
    assert work.decide("k").kind == "keep"
    assert work.shown == small.ids[order[1]]
    assert work.decide("d").kind == "drop"
    work.press("u")
    own.wait_for_text(".notice", "Undone")
    own.page.wait_for_function("id => document.querySelector('.stage')?.dataset.id === id", arg=small.ids[order[1]])
    assert own.events.decisions()[-1].undone_at is not None
    decision = work.decide("r")
    assert (decision.kind, decision.value) == ("relabel", right)
    work.press("s")
    own.wait_for_text("#queue", "All done")
    own.page.reload()
    own.wait_for_text("#queue-status", "1 of 1")
    assert work.shown == small.ids[order[2]]


def test_queue_tags_relabels_and_thinks_again(own: Visit) -> None:
    work = QueueWork(own)
    work.answer("t", "ask ada")
    own.wait_for_text(".stage .badge", "ask ada")
    first = work.shown
    work.answer("l", "yak")
    own.page.wait_for_function("id => document.querySelector('.stage')?.dataset.id !== id", arg=first)
    work.press("ArrowLeft")
    own.wait_for_text(".decided", "relabel to “yak”")
    assert work.decide("k").kind == "keep"
    assert [(d.kind, d.value, bool(d.undone_at)) for d in own.events.decisions()] == [
        ("relabel", "yak", True),
        ("keep", None, False),
    ]


def test_groups_are_settled_by_keyboard(own: Visit, small: Synthetic) -> None:
    own.open("tab=groups&table=near_duplicates&brain_key=near_duplicates")
    own.page.locator(".duplicates.current").wait_for()
    first = own.page.locator(".duplicates.current").get_attribute("data-group")
    members = {i for i in range(60) if small.ids[small.original(i)] == first}
    own.page.keyboard.press("a")
    own.page.wait_for_function("() => document.querySelectorAll('.duplicates .badge.bad').length === 2")
    assert {d.subject_id for d in own.events.decisions()} == {small.ids[i] for i in members} - {first}
    assert {d.kind for d in own.events.decisions()} == {"drop"}
    own.page.keyboard.press("2")
    own.page.wait_for_function("() => document.querySelectorAll('.duplicates .badge.bad').length === 4")
    second = own.page.locator(".duplicates").nth(1).get_attribute("data-group")
    assert second in {d.subject_id for d in own.events.decisions()}
    own.page.keyboard.press("u")
    own.page.wait_for_function("() => document.querySelectorAll('.duplicates .badge.bad').length === 2")


def test_what_both_pictures_of_a_pair_show_is_outlined(visit: Visit, synthetic: Synthetic) -> None:
    visit.open("tab=queue&issue=near_duplicate")
    visit.wait_for_text(".shared-note", "Outlined: what both show; no place in it differs by more than 4 grey levels")
    outlines = visit.page.locator(".stage rect.shared")
    outlines.nth(1).wait_for(state="attached")
    sides = [[float(one.get_attribute(side)) for side in ("x", "y", "width", "height")] for one in outlines.all()]
    # Both pictures are equally large; of the one it is all, of the other the part that was cut out.
    (x, _, width, height), (left, _, *part) = sorted(sides, key=lambda one: -one[2])
    assert [left, *part] == pytest.approx([x + 0.1 * width, 0.8 * width, 0.8 * height], rel=0.02)
    visit.open("tab=groups&table=near_duplicates&brain_key=near_duplicates")
    visit.page.locator(".member:not(.keeper) rect.shared").first.wait_for(state="attached")
    assert visit.page.locator(".keeper rect.shared").count() == 0


def test_filters_sql_and_search(visit: Visit, synthetic: Synthetic) -> None:
    visit.open("f.uniqueness=[0.5,null]")
    expected = (synthetic.uniqueness_scores[synthetic.good] >= np.float32(0.5)).sum()
    visit.wait_for_status(f"{expected} of 300 match")
    visit.page.click("text=Clear all")
    visit.wait_for_status("300 images")
    visit.page.click("text=SQL condition")
    visit.page.fill("#where", "split = 'test' and sample_id in (select sample_id from leaks)")
    visit.page.keyboard.press("Enter")
    leaking = {synthetic.ids[i] for i in range(60) if synthetic.splits[i] == "test"}
    visit.wait_for_status(f"{len(leaking)} of 300 match")
    visit.page.fill("#where", "nonsense > 1")
    visit.page.click("text=Apply")
    visit.wait_for_text(".notice.failed", "nonsense")
    visit.page.click("text=Clear all")
    visit.page.fill("#search", "-0007.JPG")
    visit.wait_for_status("1 of 300 match")
    visit.page.reload()
    visit.wait_for_status("1 of 300 match")


def test_histogram_limits_by_dragging(visit: Visit) -> None:
    visit.open()
    visit.page.locator(".facet[data-column=uniqueness] summary").click()
    chart = visit.page.locator(".facet[data-column=uniqueness] .histogram")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    visit.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20)
    visit.page.mouse.up()
    visit.wait_for_status(" match")
    assert "f.uniqueness=" in visit.page.url


def test_a_hundred_classes_are_found_by_name(visit: Visit) -> None:
    visit.open("colour=label")
    visit.page.locator("#legend .plain.small", has_text="more").click()
    assert visit.page.locator("#legend li").count() == 12 + len(HOSTILE)
    visit.page.fill("#legend input", "lyn")
    assert visit.page.locator("#legend li").all_inner_texts()[0].startswith("lynx")
    visit.page.locator("#legend .word").first.click()
    visit.page.fill("#legend input", "")
    assert visit.page.locator("#legend [aria-pressed=true]").inner_text().startswith("lynx")


def test_detail_says_why_and_shows_the_partner(visit: Visit, synthetic: Synthetic) -> None:
    visit.open(f"id={synthetic.ids[2]}")
    detail = visit.page.locator("#detail")
    visit.wait_for_text("#detail .why", f"a copy of {synthetic.files[0]}; distance")
    assert synthetic.files[0].split("/")[1] in detail.inner_text()
    detail.locator(".partner").first.click()
    visit.wait_for_text("#detail h2", synthetic.files[0].split("/")[1])
    detail.get_by_text("Similar to this").click()
    visit.wait_for_status("48 most similar")
    detail.wait_for(state="hidden")
    visit.page.keyboard.press("Escape")
    visit.wait_for_status("300 images")


def test_links_open_what_they_say(visit: Visit, synthetic: Synthetic) -> None:
    visit.open()
    visit.page.goto(
        link(visit.address, "demo", colour="split", filters={"label": ["<b>none</b>", "ant"], "width": [None, 100]})
    )
    chosen = [i for i in synthetic.good if synthetic.given[i] == "ant" and synthetic.sizes[i][0] <= 100]
    visit.wait_for_status(f"{len(chosen)} of 300 match")
    assert visit.page.input_value("#colour") == "split"
    visit.page.goto(link(visit.address, "demo", tab="queue", issue="outlier"))
    visit.wait_for_text("#queue h2", "Outliers")


def test_a_link_in_a_message_opens_the_page(visit: Visit) -> None:
    visit.open()
    shared = link(visit.address, "demo", tab="news")
    body = f"<a href='{shared}'>look</a>"
    visit.page.route("http://chat.example/*", lambda route: route.fulfill(body=body, content_type="text/html"))
    visit.page.goto("http://chat.example/")
    visit.page.click("a")
    visit.wait_for_text("#news h2", "What is new")


def test_news_lead_to_what_is_new(visit: Visit, synthetic: Synthetic) -> None:
    visit.open("tab=news")
    visit.page.locator(".tile", has_text="images added").click()
    visit.wait_for_status(f"{synthetic.count // 5} of {synthetic.count} match")


def test_objects_have_a_map_and_crops(visit: Visit) -> None:
    visit.open("frame=objects&map=object_map")
    visit.wait_for_status("240 objects")
    visit.page.locator("#grid .card:not(.waiting) img").first.wait_for()
    assert visit.page.evaluate("[...document.querySelectorAll('#grid img')].every(one => one.src.includes('object='))")


def test_labels_of_objects_are_changed_but_not_what_models_found(own: Visit, small: Synthetic) -> None:
    given, found = (
        next(row["object_id"] for row in small.object_rows if (row["source"] == "ground_truth") == wanted)
        for wanted in (True, False)
    )
    own.open(f"frame=objects&id={found}")
    own.page.get_by_role("button", name="Keep", exact=True).last.wait_for()
    assert own.page.locator("#detail").get_by_role("button", name="Relabel…").count() == 0
    own.open(f"frame=objects&id={given}")
    own.page.locator("#detail").get_by_role("button", name="Relabel…").click()
    own.page.fill("#asked-word", "yak")
    own.page.keyboard.press("Enter")
    own.wait_for_text(".notice", "Relabelled to “yak”")
    (decision,) = own.events.decisions()
    assert (decision.subject_id, decision.kind, decision.value) == (given, "relabel", "yak")
    # Another reviewer says the same: the first screen tells who said how much, and how far they agree.
    own.events.append(Event("relabel", "bo", "yak"), [(given, decision.content_hash)])
    own.open("tab=overview")
    own.wait_for_text("#overview .reviewers", "agree on 1 of 1 that both decided")
    assert own.page.locator("#overview .reviewers tbody tr").count() == 2
    assert serious(own.page) == []


def words_of(text: str) -> str:
    """Return a text as a browser shows it, its beginning only: blanks folded."""
    return " ".join(text[:100].split())


def test_hostile_strings_are_only_ever_text(visit: Visit, synthetic: Synthetic) -> None:
    visit.open(f"colour=label&sort=label&f.label={Visit.quoted(HOSTILE)}")
    visit.wait_for_status(f"{len(HOSTILE)} of 300 match")
    seen = "([selector, text]) => document.querySelector(selector)?.innerText.replaceAll(/\\s+/g, ' ').includes(text)"
    for index, text in enumerate(HOSTILE):
        visit.page.wait_for_function(seen, arg=["#grid", words_of(text)[:12]])
        visit.page.locator(f"#grid [data-id='{synthetic.ids[200 + index]}']").click()
        visit.page.wait_for_function(seen, arg=["#detail", words_of(text)])
        visit.page.keyboard.press("Escape")
    visit.page.goto(
        f"{visit.address}/?colour={Visit.quoted(HOSTILE[0])}&dataset={Visit.quoted(HOSTILE[1])}&issue=%3Cb%3E"
        f"&tab={Visit.quoted(HOSTILE[0])}&f.x={Visit.quoted(HOSTILE[1])}&f.split=%7B%7D"
    )
    visit.wait_for_status("300 images")
    assert visit.page.evaluate("window.attacked") is None


def test_newer_data_is_announced_and_shown(own: Visit, small: Synthetic) -> None:
    own.page.add_init_script("const later = setInterval; setInterval = (run, wait) => later(run, Math.min(wait, 300))")
    own.open()
    Synthetic(small.home, count=120).publish("000002")
    own.page.click("#show-fresh")
    own.wait_for_status("120 images")


def test_themes_follow_the_system_and_the_user(browser: Any, address: str, synthetic: Synthetic) -> None:
    for visit in visiting(browser, address, synthetic.home, color_scheme="dark"):
        visit.open()
        ground = "getComputedStyle(document.body).backgroundColor"
        assert visit.page.evaluate(ground) == "rgb(14, 17, 21)"
        visit.page.click("#theme")
        assert visit.page.evaluate(ground) == "rgb(244, 245, 247)"
        visit.page.reload()
        assert visit.page.evaluate(ground) == "rgb(244, 245, 247)"


VIEWS = ["tab=overview", "f.uniqueness=[0,1]", "tab=queue&issue=leak", "tab=groups", "tab=evaluation", "tab=news"]
CONTRAST = {"runOnly": ["color-contrast"]}


def test_axe_finds_nothing_serious(visit: Visit, synthetic: Synthetic) -> None:
    for view in [*VIEWS, f"id={synthetic.ids[2]}"]:
        visit.open(view)
        for theme, options in (("light", {}), ("dark", CONTRAST)):
            # All that a theme changes is colour.
            visit.page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            visit.page.wait_for_timeout(200)
            assert serious(visit.page, **options) == [], (view, theme)


def test_map_and_grid_by_keyboard(own: Visit) -> None:
    own.open()
    press = own.page.keyboard.press
    own.page.focus("#lasso")
    press("Enter")
    own.wait_for_status("98 selected")
    press("t")
    own.page.keyboard.type("seen")
    press("Enter")
    own.wait_for_text(".notice", "Tagged “seen”")
    assert len(own.tagged("seen")) == 98
    press("Escape")
    own.page.locator("#grid .card").first.focus()
    press("ArrowRight")
    press("Space")
    own.wait_for_status("1 picked")
    press("Shift+ArrowRight")
    own.wait_for_status("2 picked")
    press("d")
    own.wait_for_text(".notice", "Dropped: 2 images.")
    press("Enter")
    own.page.locator("#detail h2").wait_for()
    press("Escape")
    own.page.wait_for_function("() => document.activeElement.classList.contains('card')")


def test_from_the_first_screen_to_a_decision_by_keyboard_alone(own: Visit, small: Synthetic) -> None:
    page = own.page
    page.goto(f"{own.address}/?token={TOKEN}&dataset=demo")
    own.wait_for_text("#overview .next h3", "Leaks between splits")
    press = page.keyboard.press
    asked: list[str] = []
    page.on("request", lambda request: "/queue?" in request.url and asked.append(request.url))
    tabbed = 0
    while not page.evaluate("document.activeElement.textContent.startsWith('Review ')"):
        press("Tab")
        tabbed += 1
        assert tabbed < 40, page.evaluate("document.activeElement.outerHTML")
        # Whoever sees no pointer sees where they are.
        assert page.evaluate("document.activeElement.matches(':focus-visible')")
    press("Enter")
    own.wait_for_text("#queue-status", "flagged")
    subject = page.locator("#queue .stage").get_attribute("data-id")
    press("d")
    own.wait_for_text("#queue-status", "1 decision")
    (decision,) = own.events.decisions()
    assert (decision.subject_id, decision.kind, decision.issue) == (subject, "drop", "leak")
    press("u")
    own.wait_for_text("#queue-status", "0 decisions")
    # Asked twice for one queue, the page would show the later answer over the first decision.
    assert len(asked) == 1


def test_a_selection_is_downloaded(visit: Visit) -> None:
    visit.open()
    visit.page.click("#select-all")
    visit.wait_for_status("300 selected")
    with visit.page.expect_download() as taken:
        visit.page.select_option("#take", "paths")
    assert taken.value.suggested_filename == "demo.txt"
    assert Path(taken.value.path()).read_bytes().count(b"\n") == 300


def test_of_two_queues_asked_for_the_later_one_is_shown(visit: Visit) -> None:
    held: list[Any] = []
    visit.page.route("**/queue?*issue=leak*", lambda route: held.append(route))
    visit.open("tab=queue&issue=leak")
    visit.page.wait_for_function("() => document.querySelectorAll('#issue-list button').length > 1")
    visit.page.locator("#issue-list button:not([aria-current])").first.click()
    visit.wait_for_text("#queue-status", "flagged")
    shown = visit.page.inner_text("#queue h2")
    for route in held:
        route.continue_()
    visit.page.wait_for_load_state("networkidle")
    assert visit.page.inner_text("#queue h2") == shown != "Leaks between splits"


def test_the_first_screen_leads_to_what_matters_most(visit: Visit, synthetic: Synthetic) -> None:
    page = visit.page
    page.goto(f"{visit.address}/?token={TOKEN}&dataset=demo")
    visit.wait_for_text("#overview .next h3", "Leaks between splits")
    assert page.locator("#tab-overview").get_attribute("aria-selected") == "true"
    visit.wait_for_text("#overview .next", "Remove one side of each pair")
    visit.wait_for_text("#overview header", f"{synthetic.count // 5} added")
    assert serious(page) == []
    # Queue, side bar and first screen tell one count.
    entry = page.locator("#overview [data-issue=outlier]")
    (count,) = re.findall(r"(\d+) flagged", entry.inner_text())
    entry.get_by_role("button", name="Review").click()
    visit.wait_for_text("#queue-status", f" · {count} flagged")
    assert page.locator("#issue-list [aria-current] .count").inner_text() == count
    page.get_by_label("Below the threshold").check()
    visit.wait_for_text("#queue-status", "below the threshold")
    page.go_back()
    page.locator("#overview [data-issue=outlier]").get_by_role("button", name="On the map").click()
    visit.wait_for_status(f"{count} of 300 match")


def test_tabs_help_and_search_by_keyboard(visit: Visit) -> None:
    visit.open()
    press = visit.page.keyboard.press
    for key, tab in (("4", "groups"), ("ArrowLeft", "queue"), ("6", "news"), ("1", "overview"), ("2", "explore")):
        press(key)
        visit.page.wait_for_selector(f"#tab-{tab}[aria-selected=true]")
        visit.page.focus(f"#tab-{tab}")
    press("?")
    visit.page.locator("dialog.tell").wait_for()
    press("Escape")
    press("/")
    visit.page.keyboard.type("ant-")
    visit.wait_for_status(" match")


def test_a_colleague_signs_in_and_a_lost_connection_mends_itself(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{visit.address}/?dataset=demo&tab=queue&issue=outlier")
    visit.wait_for_text("h1", "Sign in")
    page.keyboard.type("wrong token, but long")
    page.keyboard.press("Enter")
    visit.wait_for_text("[role=alert]", "not the token")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    visit.wait_for_text("#queue-status", "flagged")
    assert page.url.endswith("/?dataset=demo&tab=queue&issue=outlier")
    # The server goes away; what is asked meanwhile is answered once it is back.
    page.route("**/api/**", lambda route: route.abort("connectionrefused"))
    page.locator("#issue-list button", has_text="Leaks").click()
    page.locator("#lost").wait_for()
    page.keyboard.press("k")
    visit.wait_for_text(".notice", "Not noted")
    page.unroute("**/api/**")
    page.locator("#lost").wait_for(state="hidden")
    visit.wait_for_text("#queue h2", "Leaks between splits")
    # Two Tabs lead to the images.
    page.goto(f"{visit.address}/?dataset=demo&tab=explore")
    page.locator("#grid .card:not(.waiting)").first.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.index") == "1"
    page.keyboard.press("Enter")
    page.locator("#detail h2").wait_for()


def test_a_phone_shows_every_tab_in_its_width(visit: Visit, synthetic: Synthetic) -> None:
    page = visit.page
    page.set_viewport_size({"width": 390, "height": 844})
    for tab in ("overview", "explore", "queue&issue=leak", "groups", "evaluation", "news"):
        visit.open(f"tab={tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
        chosen = page.locator("[role=tab][aria-selected=true]").bounding_box()
        assert chosen["x"] >= 0
        assert chosen["x"] + chosen["width"] <= 390
        # What is said at the head of a view is in its width, too.
        past = "[...document.querySelectorAll('[role=tabpanel]:not([hidden]) header > *')]"
        assert page.evaluate(f"{past}.filter(one => one.getBoundingClientRect().right > 391).length") == 0, tab
    visit.open(f"id={synthetic.ids[70]}")
    visit.wait_for_text("#detail h2", ".jpg")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
