"""What Dagster's pages show of an asset: numbers, a small picture, a link to look at it."""

import base64
import io
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from brain_assets.assets import catalog, pages
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.signals.registry import ISSUES
from tests.workshop import WHOLE, Workshop, write_pictures

IMAGE = re.compile(r"!\[.+\]\(data:image/(svg\+xml|jpeg);base64,([A-Za-z0-9+/=]+)\)")
# Longer Markdown hides behind a click in Dagster's pages.
INLINE = 1000


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("pages")
    paths = write_pictures(root / "media" / "train", range(40))
    write_pictures(root / "media" / "test", range(100, 110))
    for copy in range(3):
        (root / "media" / "test" / f"copy{copy}.png").write_bytes(paths[copy].read_bytes())
    workshop = Workshop(root / "home", root / "media", split_from="folder")
    workshop.run(WHOLE)
    return workshop


def shown(workshop: Workshop, name: str, *, changed: bool = True) -> dict[str, Any]:
    with open_dataset(workshop.home, workshop.name, Opening("test", "test")) as dataset:
        return pages.shown(catalog.BY_NAME[name], dataset, changed=changed)


def all_shown(workshop: Workshop, *, changed: bool = True) -> dict[str, dict[str, Any]]:
    with open_dataset(workshop.home, workshop.name, Opening("test", "test")) as dataset:
        return {name: pages.shown(signal, dataset, changed=changed) for name, signal in catalog.BY_NAME.items()}


def image_of(content: dict[str, Any], title: str) -> tuple[str, bytes]:
    found = IMAGE.fullmatch(content[title].value)
    assert found
    return found[1], base64.b64decode(found[2])


@pytest.mark.parametrize("name", ["image_quality", "similarity", "uniqueness", "representativeness"])
def test_a_histogram_fits_into_the_page(workshop: Workshop, name: str) -> None:
    content = shown(workshop, name)
    title = catalog.BY_NAME[name].chart.title
    assert len(content[title].value) < INLINE
    kind, svg = image_of(content, title)
    assert kind == "svg+xml"
    assert 1 <= svg.decode().count("M") <= pages.BINS


@pytest.mark.parametrize("name", ["exact_duplicates", "leaks", "outliers"])
def test_a_sheet_shows_images_side_by_side(workshop: Workshop, name: str) -> None:
    kind, jpeg = image_of(shown(workshop, name), catalog.BY_NAME[name].chart.title)
    with Image.open(io.BytesIO(jpeg)) as sheet:
        assert kind == "jpeg"
        assert sheet.width <= pages.COLUMNS * pages.TILE
        assert sheet.height % pages.TILE == 0
    assert len(jpeg) < 100_000


def test_copies_stand_beside_each_other(workshop: Workshop) -> None:
    _, jpeg = image_of(shown(workshop, "exact_duplicates"), "the largest groups")
    with Image.open(io.BytesIO(jpeg)) as sheet:
        tiles = [
            sheet.crop((x, 0, x + pages.TILE, pages.TILE)).resize((4, 4)) for x in range(0, sheet.width, pages.TILE)
        ]
    assert len(tiles) == 6
    for left, right in zip(tiles[::2], tiles[1::2], strict=True):
        pairs = zip(left.tobytes(), right.tobytes(), strict=True)
        assert max(abs(a - b) for a, b in pairs) < 20


def test_a_map_is_drawn_and_small(workshop: Workshop) -> None:
    _, svg = image_of(shown(workshop, "visualization"), "map")
    assert svg.decode().count("h0") == 53
    assert len(svg) < 100_000


def test_numbers_are_those_of_the_metrics(workshop: Workshop) -> None:
    content = shown(workshop, "exact_duplicates")
    assert content["exact_duplicates"] == 3.0
    assert all(isinstance(content[name], float) for name in catalog.BY_NAME["exact_duplicates"].metrics)


def test_where_nothing_changed_nothing_is_computed_and_numbers_stay(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_shown(workshop)
    for computing in ("_picture", "measured"):
        monkeypatch.setattr(pages, computing, None)
    after = all_shown(workshop, changed=False)
    for name, content in after.items():
        numbers = {key: value for key, value in before[name].items() if key in catalog.BY_NAME[name].metrics}
        shown_anyway = {key for key in before[name] if key in {"review", "report"}}
        assert content.keys() == (shown_anyway | (after["health"].keys() if name == "health" else numbers.keys())), name
        assert content.items() >= numbers.items(), name
    assert after["issues"]["issues"] == after["health"]["issues"] > 0


def test_links_lead_to_the_view_that_is_about_the_asset(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAIN_REVIEW_URL", "http://127.0.0.1:4321")
    address = urlsplit(shown(workshop, "leaks", changed=False)["review"].value)
    assert (address.netloc, address.path) == ("127.0.0.1:4321", "/")
    assert parse_qs(address.query) == {"dataset": ["test"], "tab": ["queue"], "issue": ["leak"]}


def test_views_are_about_what_there_is() -> None:
    views = [signal.view for signal in catalog.ALL if signal.view is not None]
    assert {view["issue"] for view in views if "issue" in view} <= ISSUES.keys()
    assert {view["table"] for view in views if "table" in view} <= {issue.groups for issue in ISSUES.values()}


def test_an_empty_dataset_has_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    empty = Workshop(tmp_path / "home", tmp_path / "media")
    empty.run(WHOLE)
    for name, content in all_shown(empty).items():
        assert not [value for value in content.values() if "data:image" in str(value)], name


def test_lost_previews_leave_their_places_empty(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(8))
    workshop = Workshop(tmp_path / "home", tmp_path / "media")
    workshop.run(("samples", "media", "embeddings", "similarity", "outliers"))
    (workshop.paths.folder / "previews.pack").write_bytes(b"")
    image_of(shown(workshop, "outliers"), "the farthest out")


def test_pictures_need_no_plotting_library(workshop: Workshop) -> None:
    shown(workshop, "uniqueness")
    assert "matplotlib" not in sys.modules
