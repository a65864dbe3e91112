from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brain_assets.review import create_app
from tests.review.browser import Visit, launched, served, visiting
from tests.review.client import TOKEN, Client
from tests.review_data import Synthetic


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """A dataset of 300 images that nothing changes; its events are in other folders."""
    return Synthetic(tmp_path_factory.mktemp("home"), hostile=True).create()


@pytest.fixture(scope="module")
def reader(synthetic: Synthetic) -> Client:
    """A signed-in browser on the shared dataset; for questions only."""
    return Client(create_app(synthetic.home, token=TOKEN)).sign_in()


@pytest.fixture
def small(tmp_path: Path) -> Synthetic:
    """A dataset of a test's own."""
    return Synthetic(tmp_path, count=100).create()


@pytest.fixture
def client(small: Synthetic) -> Client:
    """A signed-in browser on a test's own dataset."""
    return Client(create_app(small.home, token=TOKEN)).sign_in()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(synthetic: Synthetic) -> Iterator[str]:
    with served(synthetic.home) as address:
        yield address


@pytest.fixture
def visit(browser: Any, address: str, synthetic: Synthetic) -> Iterator[Visit]:
    """A visit to the dataset that all tests share; what is said there is only ever added."""
    yield from visiting(browser, address, synthetic.home)


@pytest.fixture
def own(browser: Any, small: Synthetic) -> Iterator[Visit]:
    """A visit to a dataset of the test's own."""
    with served(small.home) as address:
        yield from visiting(browser, address, small.home)
