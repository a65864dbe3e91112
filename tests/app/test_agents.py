"""What an agent asks and says, by the SDK's own client."""

import asyncio
import base64
import io
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from PIL import Image

from brain_assets.app.agent_server import REVIEWING, server
from brain_assets.app.cli import main
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.events import Event, Events
from tests.generated import CLASSES, PERIOD, Generated, class_of, name_of
from tests.review_data import Synthetic
from tests.workshop import Workshop

COUNT = 400


class Agent:
    """A client that counts its calls."""

    def __init__(self, client: Client) -> None:
        self.client, self.calls = client, 0

    async def content(self, tool: str, **given: Any) -> list[Any]:
        self.calls += 1
        result = await self.client.call_tool(tool, given)
        if result.is_error:
            raise AssertionError(result.content[0].text)
        return list(result.content)

    async def __call__(self, tool: str, **given: Any) -> Any:
        (answer,) = await self.content(tool, **given)
        return json.loads(answer.text) if answer.text[:1] in "[{" else answer.text

    async def refused(self, tool: str, **given: Any) -> str:
        result = await self.client.call_tool(tool, given)
        assert result.is_error
        return str(result.content[0].text)


def talk(home: Path, said: Callable[[Agent], Awaitable[Any]], *, allow_review: bool = False) -> Any:
    """Return what a conversation with a server comes to."""

    async def run() -> Any:
        made, tools = server(Home(home), "agent:test", allow_review=allow_review)
        try:
            async with Client(made) as client:
                return await said(Agent(client))
        finally:
            tools.close()

    return asyncio.run(run())


def events_of(synthetic: Synthetic) -> Path:
    return Home(synthetic.home).paths(synthetic.name).events


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return Synthetic(tmp_path_factory.mktemp("home"), count=120).create()


@pytest.fixture
def own(tmp_path: Path) -> Synthetic:
    return Synthetic(tmp_path, count=70).create()


def test_all_that_can_be_read(synthetic: Synthetic) -> None:
    async def said(agent: Agent) -> None:
        (listed,) = await agent("datasets")
        assert (listed["dataset"], listed["images"]) == ("demo", 120)
        overview = await agent("overview", dataset="demo")
        issues = {one["issue"]: one for one in overview["issues"]}
        assert issues["label_mistake"]["flagged"] == listed["flagged"]["label_mistake"] == len(synthetic.wrong)
        assert issues["label_mistake"]["advice"]
        queue = await agent("queue", dataset="demo", issue="label_mistake", limit=2)
        assert queue["total"] == len(synthetic.wrong)
        assert len(queue["items"]) == 2
        assert {"id", "filepath", "label", "reason", "score"} <= queue["items"][0].keys()
        subject = await agent("subject", dataset="demo", id=queue["items"][0]["id"])
        assert subject["filepath"] == queue["items"][0]["filepath"]
        assert subject["neighbors"]
        assert "label_mistake" in [one["issue"] for one in subject["issues"]]
        similar = await agent("similar", dataset="demo", ids=[subject["id"]], k=3)
        assert len(similar) == 3
        assert [one["distance"] for one in similar] == sorted(one["distance"] for one in similar)
        tables = await agent("tables", dataset="demo")
        assert tables["issues"]["score"] == "DOUBLE: How sure, in [0, 1]; 1 is surely an issue."

    talk(synthetic.home, said)


def test_pictures_come_with_their_names(synthetic: Synthetic) -> None:
    async def said(agent: Agent) -> None:
        ids = synthetic.ids[:2]
        first, image, second, _ = await agent.content("pictures", dataset="demo", ids=ids, boxes=True)
        assert first.text.startswith(f"{ids[0]}: {synthetic.files[0]}, labelled ")
        assert second.text.startswith(f"{ids[1]}: {synthetic.files[1]}")
        with Image.open(io.BytesIO(base64.b64decode(image.data))) as shown:
            assert shown.size == synthetic.sizes[0]
        assert "from 1 to 12" in await agent.refused("pictures", dataset="demo", ids=ids * 7)

    talk(synthetic.home, said)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("select 1; select 2", "write a single SELECT"),
        ("drop table samples", "write a single SELECT"),
        ("select nothing from samples", 'Referenced column "nothing" not found'),
        ("select * from read_csv('/etc/passwd')", "disabled"),
        ("select count(*) from range(10000000000000) a", "longer than"),
    ],
)
def test_sql_is_confined(synthetic: Synthetic, query: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from brain_assets.review import search

    monkeypatch.setattr(search.select, "__defaults__", (0.3,))

    async def said(agent: Agent) -> str:
        return await agent.refused("sql", dataset="demo", query=query)

    assert told in talk(synthetic.home, said)


def test_sql_says_whether_rows_are_left(synthetic: Synthetic) -> None:
    async def said(agent: Agent) -> None:
        some = await agent("sql", dataset="demo", query="select sample_id, added_at from samples", limit=7)
        assert (len(some["rows"]), some["more"]) == (7, True)
        whole = await agent("sql", dataset="demo", query="select count(*) as n from samples")
        assert whole == {"rows": [{"n": 120}], "more": False}

    talk(synthetic.home, said)


def test_nothing_can_be_said_unless_allowed(synthetic: Synthetic) -> None:
    async def said(agent: Agent) -> None:
        tools = (await agent.client.list_tools()).tools
        assert not {one.name for one in tools} & set(REVIEWING)
        assert all(one.annotations is not None and one.annotations.read_only_hint for one in tools)
        assert all(one.description for one in tools)
        await agent.refused("review", dataset="demo", ids=[synthetic.ids[0]], kind="drop")

    talk(synthetic.home, said)
    assert not events_of(synthetic).exists()


def test_what_is_said_bears_the_name_and_can_be_taken_back_by_its_author_alone(own: Synthetic) -> None:
    ids = own.ids
    person = Events(events_of(own)).append(Event("drop", "ada"), [(ids[9], own.contents[9])])

    async def said(agent: Agent) -> None:
        tag = await agent("review", dataset="demo", ids=ids[:3], kind="tag", value="odd", issue="outlier")
        label = await agent("review", dataset="demo", ids=ids[:1], kind="relabel", value="cat")
        pair = await agent("review_pairs", dataset="demo", ids=ids[6:8], kind="same_scene")
        drawn = await agent(
            "correct_object", dataset="demo", sample=ids[5], kind="draw", label="cat", box=[0, 0, 0.5, 0.5]
        )
        assert tag["count"] == 3
        assert [one["kind"] for one in await agent("said", dataset="demo")] == ["draw", "same_scene", "relabel", "tag"]
        shown = await agent("subject", dataset="demo", id=ids[0])
        assert (shown["tags"], shown["decided"]["label"]["by"]) == (["odd"], "agent:test")
        assert "not one of yours" in await agent.refused("undo", dataset="demo", event_id=person)
        for event in (tag, label, pair, drawn):
            await agent("undo", dataset="demo", event_id=event["event_id"])
        assert "not one of yours" in await agent.refused("undo", dataset="demo", event_id=tag["event_id"])
        assert await agent("said", dataset="demo") == []

    talk(own.home, said, allow_review=True)
    stands = [one for one in Events(events_of(own)).decisions() if one.undone_at is None]
    assert [(one.by, one.kind) for one in stands] == [("ada", "drop")]


@pytest.mark.parametrize(
    ("tool", "given", "told"),
    [
        ("overview", {"dataset": "nothing"}, "no such dataset"),
        ("subject", {"dataset": "demo", "id": "nobody"}, "no image or object"),
        ("queue", {"dataset": "demo", "issue": "leak", "limit": 0}, "limit must be from 1 to 200"),
        ("review", {"dataset": "demo", "ids": ["nobody"], "kind": "drop"}, "no image or object"),
        ("review", {"dataset": "demo", "ids": [], "kind": "drop"}, "nothing is selected"),
        ("correct_object", {"dataset": "demo", "sample": "x", "kind": "draw", "box": [0, 1]}, "four numbers"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(synthetic: Synthetic, tool: str, given: dict[str, Any], told: str) -> None:
    async def said(agent: Agent) -> str:
        return await agent.refused(tool, **given)

    answer = talk(synthetic.home, said, allow_review=True)
    assert told in answer
    assert "\n" not in answer


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Copies, copies across splits, and wrong labels among 400 pictures, brought up to date."""
    root = tmp_path_factory.mktemp("planted")
    generated = Generated(root)
    generated.write(range(COUNT))
    workshop = Workshop(root / "home", root / "media", **generated.settings())
    workshop.run()
    return workshop


def test_a_scripted_agent_finds_what_is_planted_and_undoes_all(planted: Workshop) -> None:
    """At least 95 % of the planted faults in at most 20 calls."""
    copies = {name_of(n) for n in range(COUNT) if n % PERIOD in (0, 1, PERIOD - 1, PERIOD - 2)}
    mistaken = {name_of(n): CLASSES[class_of(n)] for n in range(COUNT) if n % 37 == 0}

    async def said(agent: Agent) -> tuple[int, int]:
        (listed,) = await agent("datasets")
        dataset = listed["dataset"]
        overview = await agent("overview", dataset=dataset)
        found: dict[str, set[str]] = {}
        for issue in [one["issue"] for one in overview["issues"]][:12]:
            queue = await agent("queue", dataset=dataset, issue=issue, limit=200)
            found[issue] = {one["filepath"] for one in queue["items"]}
            found[issue] |= {partner["filepath"] for one in queue["items"] for partner in one["partners"]}
        hits = len(
            copies & set().union(*(found.get(one, set()) for one in ("exact_duplicate", "near_duplicate", "leak")))
        )
        queue = await agent("queue", dataset=dataset, issue="label_mistake", limit=200)
        event = None
        right = [one for one in queue["items"] if one["filepath"] in mistaken]
        for one in right[:1]:
            label = mistaken[one["filepath"]]
            event = await agent("review", dataset=dataset, ids=[one["id"]], kind="relabel", value=label)
        assert agent.calls <= 20
        assert event is not None
        await agent("undo", dataset=dataset, event_id=event["event_id"])
        return hits + len(right), len(copies) + len(mistaken)

    hits, all_planted = talk(planted.home.root, said, allow_review=True)
    print(f"{hits} of {all_planted} planted faults")
    assert hits >= 0.95 * all_planted
    assert not [one for one in Events(planted.paths.events).decisions() if one.undone_at is None]


def test_versions_are_listed_and_compared(planted: Workshop) -> None:
    async def said(agent: Agent) -> None:
        (version,) = await agent("versions", dataset="test")
        assert version["samples"] == COUNT
        assert "nothing" in await agent("diff", dataset="test", older=str(version["version"]))
        assert "no version" in await agent.refused("diff", dataset="test", older="7")

    talk(planted.home.root, said)


def test_what_would_follow_is_told_without_a_run(planted: Workshop) -> None:
    async def said(agent: Agent) -> None:
        told = await agent("what_if", dataset="test", drop=["exact_duplicate"])
        assert told.startswith("8 supposed to be dropped\n")
        assert "400 -> 392" in told
        assert "say what to suppose" in await agent.refused("what_if", dataset="test")
        assert "unknown setting" in await agent.refused("what_if", dataset="test", settings={"nothing.at": 1})

    talk(planted.home.root, said)


def test_the_command_speaks_over_standard_input_and_output(synthetic: Synthetic) -> None:
    command = ["-m", "brain_assets.app.cli", "--home", str(synthetic.home), "mcp", "--allow-review", "--as", "claude"]

    async def run() -> tuple[set[str], Any]:
        async with Client(StdioServerParameters(command=sys.executable, args=command)) as client:
            tools = {one.name for one in (await client.list_tools()).tools}
            return tools, await Agent(client)("datasets")

    tools, listed = asyncio.run(run())
    assert set(REVIEWING) <= tools
    assert [one["dataset"] for one in listed] == ["demo"]


def test_without_the_sdk_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "brain_assets.app.agent_server", raising=False)
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    with pytest.raises(SystemExit):
        main(["--home", str(tmp_path), "mcp"])
    assert "pip install 'brain-assets[mcp]'" in capsys.readouterr().err
