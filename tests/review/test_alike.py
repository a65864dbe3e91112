"""Finding subjects by what they look like: the endpoint over vectors that are known."""

import io
from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brain_assets.review import create_app
from brain_assets.review.alike import MOST_PICTURE
from tests.resources import images
from tests.review.browser import Visit, serious
from tests.review.client import TOKEN, Client
from tests.review_data import COLOURS, Synthetic


def ids_of(client: Client, reply: dict[str, Any]) -> list[str]:
    rows = client.post("rows", {"positions": reply["positions"]}).json()
    return [row["subject_id"] for row in rows]


def png(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG")
    return b64encode(out.getvalue()).decode()


def test_the_runs_that_can_be_searched_are_offered(reader: Client) -> None:
    frames = reader.get("overview").json()["frames"]
    offered = {one["brain_key"]: one for one in frames["images"]["alike"]}
    assert list(offered) == ["embeddings", "colours"]
    assert offered["colours"] == {
        "brain_key": "colours", "subjects": 298, "model": COLOURS, "by_text": True, "by_picture": True,
    }  # fmt: skip
    assert not offered["embeddings"]["by_text"]
    assert frames["objects"]["alike"] == []


def test_nearest_and_farthest_of_one_and_of_several(reader: Client, synthetic: Synthetic) -> None:
    vectors, good = synthetic.vectors, synthetic.good
    for ids, options in (([70], {}), ([70], {"farthest": True}), ([70, 75, 80], {"aggregate": "post-min"})):
        distances = (1 - vectors[good] @ vectors[ids].T).min(1)
        order = np.argsort(-distances if options.get("farthest") else distances, kind="stable")[:9]
        found = reader.post("alike", {"ids": [synthetic.ids[i] for i in ids], "k": 9, **options}).json()
        assert set(ids_of(reader, found)) == {synthetic.ids[good[place]] for place in order}
        np.testing.assert_allclose(found["distances"], distances[order], atol=1e-5)


def test_only_those_that_pass_the_filters_are_answers(reader: Client, synthetic: Synthetic) -> None:
    wanted = [i for i in synthetic.good if synthetic.splits[i] == "val"]
    passing = reader.found(where="split = 'val'")
    bits = b64encode(np.packbits(np.isin(np.arange(300), passing), bitorder="little").tobytes()).decode()
    found = reader.post("alike", {"ids": [synthetic.ids[0]], "k": 20, "bits": bits}).json()
    distances = 1 - synthetic.vectors[wanted] @ synthetic.vectors[0]
    assert len(found["positions"]) == 20
    np.testing.assert_allclose(found["distances"], np.sort(distances)[:20], atol=1e-5)


def test_words_a_picture_and_a_part_are_embedded(reader: Client, synthetic: Synthetic) -> None:
    by_words = reader.post("alike", {"text": "red", "brain_key": "colours", "k": 5}).json()
    vectors = synthetic.colours.embed(synthetic.shrunk)
    red = synthetic.colours.embed_text(["red"])[0]
    cosine = vectors @ red / np.linalg.norm(vectors, axis=1) / np.linalg.norm(red)
    np.testing.assert_allclose(by_words["distances"], np.sort(1 - cosine)[:5], atol=1e-5)
    picture = Image.open(synthetic.media / synthetic.files[75])
    by_picture = reader.post("alike", {"picture": png(picture), "brain_key": "colours", "k": 3}).json()
    assert ids_of(reader, by_picture)[0] == synthetic.ids[75]
    whole = {"sample": synthetic.ids[75], "x": 0, "y": 0, "width": 1, "height": 1}
    by_whole = reader.post("alike", {"part": whole, "brain_key": "colours", "k": 3}).json()
    assert ids_of(reader, by_whole) == ids_of(reader, by_picture)
    # A part is what a picture of just these pixels would be.
    part = {"sample": synthetic.ids[75], "x": 0.25, "y": 0.25, "width": 0.5, "height": 0.5}
    width, height = picture.size
    cropped = picture.crop((width // 4, height // 4, width * 3 // 4, height * 3 // 4))
    by_part, by_crop = (
        reader.post("alike", {**asked, "brain_key": "colours"}).json()
        for asked in ({"part": part}, {"picture": png(cropped)})
    )
    np.testing.assert_allclose(by_part["distances"], by_crop["distances"], atol=0.02)


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({}, 422, "say what to look for"),
        ({"ids": ["nobody00"]}, 422, "no sample 'nobody00'"),
        ({"text": "a dog"}, 422, "does not embed text"),
        ({"text": "red", "brain_key": "clip"}, 422, "runs with vectors: colours, embeddings"),
        ({"picture": "no base64!"}, 422, "not base64"),
        ({"picture": "aGVsbG8=", "brain_key": "colours"}, 422, "cannot be looked at"),
        ({"picture": png(Image.new("L", (4, 4)))}, 422, "another version"),
        ({"part": {"sample": "0" * 20, "x": 0, "y": 0, "width": 1, "height": 1}}, 404, "no such image"),
        ({"part": {"sample": "0" * 20, "x": 0, "y": 0, "width": 0, "height": 1}}, 422, "width"),
        ({"ids": ["nobody00"], "text": "red"}, 422, "one of the four"),
        ({"text": "red", "k": 0}, 422, "k"),
        ({"url": "http://127.0.0.1/"}, 422, "url"),
    ],
)
def test_what_cannot_be_looked_for_is_one_clear_line(reader: Client, asked: Any, status: int, says: str) -> None:
    reply = reader.post("alike", asked)
    assert reply.status == status
    assert says in reply.json()["error"]
    assert "\n" not in reply.json()["error"]


def test_a_picture_has_bounds_in_bytes_and_pixels(reader: Client) -> None:
    heavy = b64encode(b"\0" * (MOST_PICTURE + 1)).decode()
    assert "at most 21 MB" in reader.post("alike", {"picture": heavy}).json()["error"]
    assert reader.post("alike", {"picture": "A" * (MOST_PICTURE * 3 // 2)}).status == 413
    # What other endpoints take is bounded as before.
    assert reader.post("find", {"text": "A" * (5 << 20)}).status == 413
    # It is judged by its header: of the pixels there are but nine.
    vast = b64encode(images.png(40_000, 20_000, bytes(9))).decode()
    reply = reader.post("alike", {"picture": vast, "brain_key": "colours"})
    assert reply.status == 422
    assert "cannot be looked at: too_large: 40000x20000 pixels" in reply.json()["error"]


def test_other_sites_cannot_search(synthetic: Synthetic) -> None:
    client = Client(create_app(synthetic.home, token=TOKEN))
    assert client.post("alike", {"text": "red"}).status == 401
    client.sign_in()
    assert client.post("alike", {"text": "red"}, origin="http://elsewhere").status == 403
    assert client.post("alike", {"text": "red"}, content_type="text/plain").status == 415


def shown(visit: Visit) -> list[str]:
    visit.page.wait_for_selector("#grid .card")
    visit.page.wait_for_function("() => !document.querySelector('#grid .card.waiting')")
    found: list[str] = visit.page.evaluate(
        """[...document.querySelectorAll('#grid .card')]
            .sort((a, b) => a.dataset.index - b.dataset.index).map(card => card.dataset.id)"""
    )
    return found


def sought(visit: Visit, text: str, status: str) -> list[str]:
    visit.wait_for_text("#sought:not([aria-busy])", text)
    visit.wait_for_status(status)
    return shown(visit)


def test_words_are_found_within_the_filters_and_marked_on_the_map(visit: Visit, synthetic: Synthetic) -> None:
    page = visit.page
    visit.open("near=colours")
    page.fill("#words", "red")
    page.keyboard.press("Enter")
    sought(visit, "Like “red”", "48 most similar")
    # The map marks what was found.
    page.wait_for_function("() => document.querySelector('#lasso').dataset.selected === '48'")
    page.select_option("#sought-k", "12")
    by_words = sought(visit, "Like “red”", "12 most similar")
    # It is a link, and obeys the filters.
    page.reload()
    assert sought(visit, "Like “red”", "12 most similar")[:5] == by_words[:5]
    page.locator(".facet[data-column=split] label", has_text="val").click()
    page.wait_for_function("() => document.querySelector('#status').textContent.includes(' match')")
    within = sought(visit, "Like “red”", "12 most similar")
    assert {synthetic.splits[synthetic.ids.index(one)] for one in within} == {"val"}
    page.get_by_role("button", name="Clear all").click()
    page.get_by_role("button", name="Least similar first").click()
    assert not set(sought(visit, "Least like “red”", "12 least similar")) & set(by_words)
    assert serious(page) == []
    page.keyboard.press("Escape")
    visit.wait_for_status("300 images")


def test_a_picture_is_found_as_a_file(visit: Visit, synthetic: Synthetic) -> None:
    page = visit.page
    visit.open("near=colours&farthest=1&k=12")
    page.set_input_files("#picture", synthetic.media / synthetic.files[75])
    assert sought(visit, synthetic.files[75].split("/")[-1], "12 least similar")[0] != synthetic.ids[75]
    page.get_by_role("button", name="Least similar first").click()
    assert sought(visit, synthetic.files[75].split("/")[-1], "12 most similar")[0] == synthetic.ids[75]
    page.set_input_files("#picture", {"name": "big.png", "mimeType": "image/png", "buffer": b"\0" * (21 << 20)})
    visit.wait_for_text(".notice", "at most 20.97 MB")


def test_several_and_a_part_of_one_are_looked_for(visit: Visit) -> None:
    page = visit.page
    visit.open("near=colours&k=12&sort=uniqueness")
    check = page.locator("#grid .card:not(.waiting)")
    picked = [check.nth(place).get_attribute("data-id") for place in (0, 3)]
    for place in (0, 3):
        check.nth(place).click(modifiers=["Control"])
    page.click("#find-alike")
    sought(visit, "Like 2 images", "12 most similar")
    page.get_by_role("button", name="Like any of them").click()
    page.wait_for_function("() => new URLSearchParams(location.search).get('any') === '1'")
    assert set(sought(visit, "Like 2 images", "12 most similar")[:4]) >= set(picked)

    check.nth(0).click()
    page.wait_for_function(
        "() => ['there', 'sharp'].includes(document.querySelector('#detail .viewer').dataset.picture)"
    )
    page.keyboard.press("s")
    box = page.locator("#detail .viewer").first.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(middle[0] - 60, middle[1] - 60)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 60, steps=3)
    page.mouse.up()
    sought(visit, "Like this part", "12 most similar")
    assert "part=" in page.url


def test_a_picture_is_pasted(visit: Visit, synthetic: Synthetic) -> None:
    visit.open("near=colours")
    encoded = b64encode((synthetic.media / synthetic.files[80]).read_bytes()).decode()
    visit.page.evaluate(
        """encoded => {
            const bytes = Uint8Array.from(atob(encoded), (one) => one.charCodeAt(0));
            const given = new DataTransfer();
            given.items.add(new File([bytes], "pasted.jpg", { type: "image/jpeg" }));
            document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: given, bubbles: true }));
        }""",
        encoded,
    )
    assert sought(visit, "pasted.jpg", "48 most similar")[0] == synthetic.ids[80]
