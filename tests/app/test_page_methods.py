"""Further runs of methods from the review page, computed for real."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from brain_assets.app.page_methods import DeclaredMethods
from brain_assets.review import create_app
from brain_assets.review.invitations import Invitations
from tests.review.browser import launched, served, visiting
from tests.review.client import TOKEN, Client
from tests.workshop import Workshop, write_pictures

PICTURES = 12
EXTRA = {"brain_key": "extra", "method": "uniqueness"}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("methods")
    write_pictures(root / "media", range(PICTURES))
    made = Workshop(root / "home", root / "media")
    made.run()
    return made


@pytest.fixture
def client(workshop: Workshop) -> Iterator[Client]:
    methods = DeclaredMethods(workshop.home)
    yield Client(create_app(workshop.home.root, token=TOKEN, methods=methods), dataset=workshop.name).sign_in()
    methods.close()


def declared(workshop: Workshop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(workshop.paths.config.read_text("utf-8")).get("runs") or []
    return found


def finished(client: Client) -> dict[str, Any]:
    """Wait until nothing is computed any more."""
    deadline = time.monotonic() + 120
    while (told := client.get("progress").json())["running"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return dict(told)


def test_methods_are_offered_with_their_words(client: Client) -> None:
    offered = {one["method"]: one for one in client.get("methods").json()}
    assert {"similarity", "uniqueness", "visualization", "outliers"} <= offered.keys()
    assert offered["uniqueness"]["narrows"]
    assert offered["uniqueness"]["description"]
    options = {one["name"]: one for one in offered["visualization"]["options"]}
    assert (options["parameters.n_neighbors"]["value"], options["parameters.n_neighbors"]["choices"]) == ("15", [])
    assert options["parameters.method"]["choices"] == ["umap", "tsne", "pca", "manual", "custom"]
    assert not {"parameters.reducer", "parameters.points"} & options.keys()
    assert all(one["description"] for method in offered.values() for one in method["options"])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"method": "nothing", "brain_key": "x"}, "unknown method 'nothing'"),
        ({"method": "uniqueness", "brain_key": "neighbors"}, "that key belongs to a default run"),
        ({"method": "uniqueness", "brain_key": "not a key"}, "brain_key"),
        ({"method": "uniqueness", "brain_key": "x", "where": "no such column"}, "where"),
        ({"method": "similarity", "brain_key": "x", "options": {"parameters.k": "many"}}, "run x: parameter k: "),
        (
            {"method": "similarity", "brain_key": "x", "options": {"parameters.k": "[1"}},
            "parameters.k: '[1' is not a value",
        ),
        ({"method": "similarity", "brain_key": "x", "options": {"parameters.depth": "1"}}, "cannot be said here"),
        (
            {"method": "similarity", "brain_key": "x", "options": {"parameters.backend": "os:system"}},
            "cannot be said here",
        ),
        (
            {"method": "similarity", "brain_key": "x", "options": {"embeddings": "none"}},
            "embeddings: 'none' cannot be said here",
        ),
        (
            {"method": "visualization", "brain_key": "x", "options": {"parameters.reducer": "os:system"}},
            "cannot be said here",
        ),
        ({"method": "uniqueness", "brain_key": "x", "options": {"brain_key": "y"}}, "cannot be said here"),
    ],
)
def test_what_cannot_be_computed_is_said_in_a_line(
    client: Client, workshop: Workshop, asked: dict[str, str], told: str
) -> None:
    reply = client.post("compute", asked)
    assert reply.status == 422
    assert told in reply.json()["error"]
    assert declared(workshop) == []


def test_a_page_without_computes_nothing(workshop: Workshop) -> None:
    page = Client(create_app(workshop.home.root, token=TOKEN), dataset=workshop.name).sign_in()
    assert page.get("methods").json() == []
    assert page.post("compute", {"method": "uniqueness", "brain_key": "x"}).status == 404


def test_who_is_invited_reviews_and_computes_nothing(client: Client, workshop: Workshop) -> None:
    guest = Client(client.app, dataset=workshop.name)
    reply = guest.request("GET", f"/?token={Invitations(workshop.home.root).invite('ada')}")
    guest.cookie = reply.headers["set-cookie"].split(";")[0]
    assert guest.get("overview").json()["user"] == "ada"
    assert guest.get("methods").json() == []
    for asked, given in (
        ("compute", {"method": "uniqueness", "brain_key": "x"}),
        ("delete-run", {"brain_key": "x"}),
        ("cancel", {}),
    ):
        assert guest.post(asked, given).status == 404
    assert declared(workshop) == []


def test_a_declared_run_is_deleted_by_a_command(client: Client, workshop: Workshop) -> None:
    workshop.declare(**yaml.safe_load(workshop.paths.config.read_text("utf-8")), runs=[EXTRA])
    workshop.run(["uniqueness", "published"])
    assert workshop.rows("select count(*) from uniqueness where brain_key = 'extra'") == [(PICTURES,)]
    assert client.post("delete-run", {"brain_key": "nobody"}).status == 422
    assert client.post("delete-run", {"brain_key": "extra"}).status == 200
    assert client.post("delete-run", {"brain_key": "extra"}).status == 422
    assert finished(client)["failed"] is None
    assert declared(workshop) == []
    assert workshop.rows("select count(*) from uniqueness where brain_key = 'extra'") == [(0,)]


@pytest.mark.slow
def test_a_run_over_what_the_page_shows_is_computed_and_deleted(workshop: Workshop, tmp_path: Path) -> None:
    half = [row[0] for row in workshop.rows("select sample_id from samples order by filepath limit 6")]
    methods = DeclaredMethods(workshop.home)
    with (
        launched() as browser,
        served(workshop.home.root, methods=methods) as address,
    ):
        for visit in visiting(browser, address, workshop.home.root):
            names = ", ".join(f"'{one}'" for one in half)
            visit.dataset = workshop.name
            visit.open(f"tab=explore&where={quote(f'sample_id in ({names})')}")
            page = visit.page
            page.get_by_role("button", name="Compute…").click()
            page.get_by_text("It is computed by a command on this machine, now.").wait_for()
            page.get_by_label("Method", exact=True).select_option("uniqueness")
            page.get_by_label("Name of the run").fill("of_some")
            page.get_by_label("Over", exact=True).select_option("shown")
            page.get_by_text("Parameters", exact=True).click()
            page.get_by_label("Mode", exact=True).select_option("compat")
            page.get_by_role("button", name="Compute", exact=True).click()
            page.get_by_text("of_some is declared").wait_for()
            page.get_by_text("New data was published").wait_for(timeout=120_000)
            assert declared(workshop)[0]["brain_key"] == "of_some"
            assert declared(workshop)[0]["parameters"] == {"mode": "compat"}
            found = workshop.rows("select sample_id from uniqueness where brain_key = 'of_some' order by 1")
            assert [row[0] for row in found] == sorted(half)
    client = Client(create_app(workshop.home.root, token=TOKEN, methods=methods), workshop.name).sign_in()
    assert client.post("delete-run", {"brain_key": "of_some"}).status == 200
    assert finished(client)["failed"] is None
    assert declared(workshop) == []
    assert workshop.rows("select count(*) from uniqueness where brain_key = 'of_some'") == [(0,)]


def test_what_is_computed_can_be_cancelled(client: Client, workshop: Workshop) -> None:
    assert client.post("compute", {"method": "uniqueness", "brain_key": "late"}).status == 200
    assert client.post("compute", {"method": "uniqueness", "brain_key": "later"}).status == 422
    time.sleep(1)
    assert client.post("cancel", {}).json() == {"cancelled": True}
    assert finished(client)["failed"]
    assert client.post("cancel", {}).json() == {"cancelled": False}
    assert workshop.rows("select count(*) from uniqueness where brain_key = 'late'") == [(0,)]
