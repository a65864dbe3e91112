"""No query compares all with all: what its joins do stays in proportion to what goes in and comes out."""

import json
from collections.abc import Callable, Iterator

import pytest

from brain_assets.answers import gates
from brain_assets.review.app import create_app
from tests.generated import Generated
from tests.review.client import TOKEN, Client
from tests.watching import Join, watched_joins
from tests.workshop import Workshop

COUNT = 160
# A list of neighbours has twenty; all pairs of the samples would be forty times what goes in.
MULTIPLE = 25


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("chain")
    generated = Generated(root)
    generated.write(range(COUNT))
    return Workshop(root / "home", root / "media", **generated.settings())


def excessive(joins: dict[str, list[Join]]) -> list[Join]:
    """Return the joins that do more than their rows ask for; what a handful of rows costs does not matter."""
    assert joins
    return [join for found in joins.values() for join in found if join.work > MULTIPLE * join.fed + COUNT]


def test_no_query_of_a_run_grows_faster_than_the_data(workshop: Workshop) -> None:
    with watched_joins() as joins:
        workshop.run()
        workshop.wrong()
    assert sum("content_pairs" in query for query in joins) > 1
    for table in ("pairs", "leaks", "issues", "object_mistakenness", "label_issues"):
        assert workshop.rows(f"select count(*) > 0 from {table}") == [(True,)], table
    assert excessive(joins) == []


def test_nor_of_a_run_that_takes_in_a_few(workshop: Workshop) -> None:
    Generated(workshop.home.root.parent).write(range(COUNT, COUNT + 2))
    (workshop.home.root.parent / "media" / "train" / "000" / "000003.png").unlink()
    with watched_joins() as joins:
        workshop.run()
    assert excessive(joins) == []


def test_nor_of_the_review_page_and_the_gates(workshop: Workshop) -> None:
    with watched_joins() as joins:
        client = Client(create_app(workshop.home.root, token=TOKEN), workshop.name).sign_in()
        for ask in questions(client):
            ask()
        gates.examine(workshop.home, workshop.name)
    assert excessive(joins) == []


def questions(client: Client) -> Iterator[Callable[[], object]]:
    """Yield what the page asks, each question once."""
    overview = client.get("overview").json()
    for frame, known in overview["frames"].items():
        for column in known["columns"]:
            yield lambda column=column, frame=frame: client.column(column["name"], frame)
        yield lambda frame=frame: client.post("rows", {"positions": [0, 1], "frame": frame})
        yield lambda frame=frame: client.found(frame=frame, where="split = 'train'", text="00")
    for issue in overview["issues"]:
        name = issue["issue"] if isinstance(issue, dict) else issue
        yield lambda name=name: client.get("queue", issue=name)
    subject = client.post("rows", {"positions": [0]}).json()[0]
    names = {key: value for key, value in subject.items() if key.endswith("_id")}
    assert names, json.dumps(subject)
    for name in names.values():
        yield lambda name=name: client.get("subject", id=name)
        yield lambda name=name: client.get("similar", id=name)
