"""Thresholds that are moved on the review page: counted as a run would, and written where that is asked for."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_assets.app.page_methods import DeclaredMethods
from brain_assets.review import create_app
from brain_assets.review.invitations import Invitations
from tests.review.browser import launched, serious, served, visiting
from tests.review.client import TOKEN, Client
from tests.workshop import TABLES, Workshop, encoded, picture

PICTURES = 24
# What no threshold changes, and takes long to make.
UNASKED = {"visualization", "representativeness", "selections", "vector_indexes", "builtin_predictions", "hardness"}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Pictures, each darker than the one before, two of them copies across splits."""
    root = tmp_path_factory.mktemp("thresholds")
    for number in range(PICTURES):
        path = root / "media" / ("train" if number % 2 else "test") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = 1 - 0.8 * (number // 2) / PICTURES
        image = picture(number // 2, (60, 48)).point(lambda value, shade=shade: int(value * shade))
        path.write_bytes(encoded(image.resize((61, 48 + number % 2)), "PNG"))
    made = Workshop(root / "home", root / "media", split_from="folder", select=TABLES - UNASKED)
    made.run()
    made.paths.config.write_text("# By Ada.\n" + made.paths.config.read_text("utf-8"), "utf-8")
    return made


@pytest.fixture
def client(workshop: Workshop) -> Iterator[Client]:
    methods = DeclaredMethods(workshop.home)
    yield Client(create_app(workshop.home.root, token=TOKEN, methods=methods), dataset=workshop.name).sign_in()
    methods.close()


def asked(client: Client, issue: str) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    return client.get("threshold", issue=issue).message()


def reached(given: dict[str, np.ndarray[Any, Any]], worse: str, threshold: float) -> int:
    beyond = given["values"] >= threshold if worse == "above" else given["values"] <= threshold
    return int(given["ranks"][beyond].max(initial=0))


@pytest.mark.parametrize(
    ("issue", "thresholds"),
    [
        ("dark", (0.3, 0.6, 0.9)),
        ("bright", (0.2,)),
        ("odd_size", (1.01,)),
        ("tiny", (54.2,)),
        ("low_information", (0.4,)),
    ],
)
def test_what_is_counted_is_what_the_signals_flag(client: Client, issue: str, thresholds: tuple[float, ...]) -> None:
    header, given = asked(client, issue)
    assert header["setting"] == f"image_quality.thresholds.{issue}"
    assert (header["said"], header["origin"], header["counted"]) == (None, "default", "images")
    assert header["description"]
    for threshold in thresholds:
        outcome = client.post("suppose", {"issue": issue, "value": threshold}).json()
        assert outcome["after"].get(f"issue_{issue}", 0) == reached(given, header["worse"], threshold)


def test_of_copies_the_pairs_within_a_distance_are_counted(client: Client, workshop: Workshop) -> None:
    for issue in ("near_duplicate", "leak"):
        header, given = asked(client, issue)
        assert (header["setting"], header["counted"]) == ("near_duplicates.threshold", "pairs")
        assert header["fitted"] is None
        pairs = "select count(*) from pairs where distance <= 0.3"
        across = f"""{pairs} and (select split from samples where sample_id = subject_id)
            != (select split from samples where sample_id = partner_id)"""
        (count,) = workshop.rows(pairs if issue == "near_duplicate" else across)[0]
        assert reached(given, "below", 0.3) == count > 0
    outcome = client.post("suppose", {"issue": "near_duplicate", "value": 0.3}).json()
    assert outcome["after"]["issue_near_duplicate"] >= outcome["before"]["issue_near_duplicate"]


def test_what_is_no_threshold_is_refused(client: Client, workshop: Workshop) -> None:
    before = workshop.paths.config.read_text("utf-8")
    for issue in ("label_mistake", "unreadable", "nothing"):
        assert client.get("threshold", issue=issue).status == 404
        assert client.post("assign", {"issue": issue, "value": 0.5}).status == 404
    for value in ("0.5; drop", [1], True):
        assert client.post("suppose", {"issue": "dark", "value": value}).status in (200, 422)
    for name in ("suppose", "assign"):
        reply = client.post(name, {"issue": "near_duplicate", "value": 3})
        assert (reply.status, "near_duplicates.threshold" in reply.json()["error"]) == (422, True)
    assert client.post("assign", {"issue": "dark", "value": 0.5}, origin="https://elsewhere.example").status == 403
    assert workshop.paths.config.read_text("utf-8") == before


def test_who_may_not_compute_sees_the_counts_and_writes_nothing(client: Client, workshop: Workshop) -> None:
    guest = Client(client.app, dataset=workshop.name)
    reply = guest.request("GET", f"/?token={Invitations(workshop.home.root).invite('ada')}")
    guest.cookie = reply.headers["set-cookie"].split(";")[0]
    header, given = asked(guest, "dark")
    assert (header["writes"], len(given["values"]) > 0, "said" in header) == (False, True, False)
    for name in ("suppose", "assign"):
        assert guest.post(name, {"issue": "dark", "value": 0.5}).status == 404


def test_a_threshold_is_moved_and_written_on_the_page(workshop: Workshop, tmp_path: Path) -> None:
    shutil.copytree(workshop.home.root, tmp_path / "home", symlinks=True)
    own = Workshop(tmp_path / "home", "unsaid", workshop.name)
    shutil.copy(workshop.paths.config, own.paths.config)
    methods = DeclaredMethods(own.home)
    _, given = asked(Client(create_app(own.home.root, token=TOKEN), dataset=own.name).sign_in(), "dark")
    count = reached(given, "below", 0.7)
    with launched() as browser, served(own.home.root, methods=methods) as address:
        for visit in visiting(browser, address, own.home.root):
            visit.dataset = own.name
            visit.open("tab=queue&issue=dark")
            page = visit.page
            page.get_by_text("Threshold", exact=True).click()
            slider = page.get_by_role("slider", name="Fewer")
            slider.focus()
            page.keyboard.press("End")
            visit.wait_for_text("#threshold-count", f"{PICTURES} of {PICTURES} flagged")
            page.keyboard.press("Home")
            visit.wait_for_text("#threshold-count", f"0 of {PICTURES} flagged")
            page.get_by_label("at", exact=True).fill("0.7")
            visit.wait_for_text("#threshold-count", f"{count} of {PICTURES} flagged")
            visit.wait_for_text("#threshold-outcome", f"→ {count}")
            assert serious(page) == []
            page.get_by_role("button", name="Write into the dataset's file").click()
            visit.wait_for_text(".notice", "image_quality.thresholds.dark is written")
    said = own.paths.config.read_text("utf-8")
    assert said.startswith("# By Ada.\n")
    assert "dark: 0.7" in said
