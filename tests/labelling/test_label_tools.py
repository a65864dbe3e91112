"""The loop with label tools: what goes out, what people do there, and what comes back as their decisions."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brain_assets.app.api import DatasetReader
from brain_assets.app.cli import main
from brain_assets.labelling.fetching import Fetched, fetch
from brain_assets.labelling.sending import Order, Sent, send
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError, SourceError
from brain_assets.resources.label_tools.door import Classes
from brain_assets.resources.label_tools.labelstudio import labelling_config
from brain_assets.resources.label_tools.tools import tool_of
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.events import Decision, Event, Events
from brain_assets.resources.store.label_tasks import LabelTasks, Task
from brain_assets.sensors import label_tools
from brain_assets.sensors.label_tools import finished_labels
from tests.labelling.servers import (
    KEY,
    PERSONAL,
    Boxes,
    CvatDesk,
    CvatServer,
    Edit,
    LabelStudioDesk,
    LabelStudioServer,
    as_it_is,
)
from tests.review_data import Synthetic
from tests.sensors.test_arrivals import Clock
from tests.workshop import Workshop, write_pictures

COUNT = 90
BOXED = "subject_id in (select sample_id from objects)"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return Synthetic(tmp_path_factory.mktemp("home"), count=COUNT).create()


class Loop:
    """A dataset, a label tool's server, and a desk at it."""

    def __init__(self, synthetic: Synthetic, server: LabelStudioServer | CvatServer, name: str) -> None:
        self.synthetic, self.home, self.server = synthetic, Home(synthetic.home), server
        self.paths, self.tool = self.home.paths(synthetic.name), tool_of(name, server.url)
        self.events, self.tasks = Events(self.paths.events), LabelTasks(self.paths.label_tasks)
        rest: Any = self.tool.rest
        self.desk = LabelStudioDesk(rest) if name == "label-studio" else CvatDesk(rest, self.size)
        self.project: str | None = None

    def size(self, task: str) -> tuple[int, int]:
        (found,) = (one.about["size"] for one in self.sent() if one.task == task)
        return found[0], found[1]

    def send(self, **order: Any) -> Sent:
        sent = send(self.home, self.synthetic.name, self.tool, self.project, Order(**order))
        self.project = sent.project
        return sent

    def sent(self) -> list[Task]:
        return [one for count in self.tasks.counts() for one in self.tasks.tasks(count.place)]

    def finish(self, edit: Edit = as_it_is, place: int = 0, *, skip: bool = False) -> Task:
        task = self.sent()[place]
        self.desk.finish(task.task, edit, skip=skip)
        return task

    def fetch(self) -> Fetched:
        return fetch(self.paths, self.tool, self.project or "")

    def decisions(self) -> list[Decision]:
        return self.events.decisions()


@pytest.fixture(params=["label-studio", "cvat"])
def loop(request: pytest.FixtureRequest, published: Synthetic, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", PERSONAL)
    monkeypatch.setattr("brain_assets.resources.label_tools.cvat.PAUSE_SECONDS", 0.01)
    server = LabelStudioServer() if request.param == "label-studio" else CvatServer()
    with server.serving():
        yield Loop(published, server, request.param)
    shutil.rmtree(published.folder / "review", ignore_errors=True)


@pytest.fixture
def studio(published: Synthetic, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    with LabelStudioServer().serving() as server:
        assert isinstance(server, LabelStudioServer)
        yield Loop(published, server, "label-studio")
    shutil.rmtree(published.folder / "review", ignore_errors=True)


def said(loop: Loop) -> list[tuple[str, str | None, str | None]]:
    return [(one.kind, one.subject_id, one.value) for one in loop.decisions()]


# -- the suite that every tool meets ------------------------------------------------------------------------------------


def test_a_queue_goes_out_and_what_was_left_as_it_is_was_right(loop: Loop) -> None:
    sent = loop.send(issue="label_mistake", limit=1)
    wrong = {loop.synthetic.ids[place] for place in loop.synthetic.wrong}
    assert (sent.images, sent.already, sent.left_out) == (1, 0, {})
    assert {one.sample_id for one in loop.sent()} <= wrong
    assert loop.fetch().left == 1
    assert not loop.decisions()
    task = loop.finish()
    assert loop.fetch().kinds == {"keep": 1}
    (only,) = loop.decisions()
    contents = dict(zip(loop.synthetic.ids, loop.synthetic.contents, strict=True))
    assert (only.kind, only.subject_id, only.issue) == ("keep", task.sample_id, "label_mistake")
    assert only.content_hash == contents[task.sample_id]
    assert only.by == {"label-studio": "label-studio:ada@example.org", "cvat": "cvat:bo"}[loop.tool.name]
    # What is settled is not sent again, nor what is out.
    rest = loop.send(issue="label_mistake")
    assert {one.sample_id for one in loop.sent()} == wrong
    assert (rest.images, loop.send(issue="label_mistake")[2:5]) == (len(wrong) - 1, (0, 0, len(wrong) - 1))


def test_every_change_comes_back_as_a_decision_of_its_kind_and_once(loop: Loop) -> None:
    loop.send(where=f"{BOXED} and filepath like '%0062%'")

    def edit(boxes: Boxes, labels: list[str]) -> tuple[Boxes, list[str]]:
        assert len(boxes) == 2
        renamed, moved = sorted(boxes, key=lambda one: one["label"])
        assert ([renamed["label"], moved["label"]], labels) == (["cat", "deer"], [loop.synthetic.given[62]])
        new = {"label": "lynx", "x": 0.0, "y": 0.0, "width": 0.05, "height": 0.05}
        return [renamed | {"label": "jay"}, moved | {"x": moved["x"] + 0.1}, new], ["kiwi"]

    task = loop.finish(edit)
    sample = loop.synthetic.ids[62]
    boxes = {row["object_id"]: row for row in loop.synthetic.object_rows if row["sample_id"] == sample}
    assert loop.fetch().kinds == {"relabel": 2, "reshape": 1, "draw": 1}
    found = {(kind, subject): value for kind, subject, value in said(loop)}
    own = {row["label"]: one for one, row in boxes.items() if row["source"] == "ground_truth"}
    renamed, moved = own["cat"], own["deer"]
    assert (found["relabel", renamed], found["relabel", sample]) == ("jay", "kiwi")
    assert json.loads(found["reshape", moved] or "")["x"] == pytest.approx(boxes[moved]["x"] + 0.1, abs=1e-4)
    (drawn,) = [json.loads(value or "") for (kind, _), value in found.items() if kind == "draw"]
    assert (drawn["label"], drawn["label_field"], drawn["width"]) == ("lynx", "ground_truth", pytest.approx(0.05))
    assert loop.fetch().states == {}
    # Somebody takes the renamed one and the new one away later, and one more fetch brings what is different since.
    loop.desk.finish(
        task.task, lambda boxes, labels: ([one for one in boxes if one["label"] not in {"jay", "lynx"}], labels)
    )
    assert loop.fetch().kinds == {"drop": 2}
    assert {one.subject_id for one in loop.decisions() if one.kind == "drop"} > {renamed}


def test_what_a_model_found_becomes_a_label_or_is_no_object(loop: Loop) -> None:
    sample = loop.synthetic.ids[62]
    loop.send(where="filepath like '%0062%'", model="detector")
    # Where the labels lie, the model's boxes of the same class are not proposed once more.
    assert len(loop.sent()[0].about["regions"]) == 2
    labels = [
        row["object_id"]
        for row in loop.synthetic.object_rows
        if row["sample_id"] == sample and row["source"] == "ground_truth"
    ]
    contents = loop.synthetic.contents[62]
    loop.events.append(Event("drop", "ada"), [(one, contents) for one in labels])
    loop.paths.label_tasks.unlink()
    loop.send(where="filepath like '%0062%'", model="detector")
    assert [one["source"] for one in loop.sent()[0].about["regions"]] == ["detector"] * 2
    loop.finish(lambda boxes, labels: (boxes[:1], labels))
    assert loop.fetch().kinds == {"confirm": 1, "keep": 1}
    (confirmed,) = [one for one in loop.decisions() if one.kind == "confirm"]
    assert json.loads(confirmed.value or "")["model"] == "detector"


def test_outlines_come_back_as_they_went(loop: Loop) -> None:
    sample = loop.synthetic.ids[61]
    loop.send(where="filepath like '%0061%'")
    regions = {one["object"]: one["polygon"] for one in loop.sent()[0].about["regions"]}
    rows = {row["object_id"]: row for row in loop.synthetic.object_rows if row["sample_id"] == sample}
    assert all(regions[name] == rows[name]["polygon"] for name in regions)

    def edit(boxes: Boxes, labels: list[str]) -> tuple[Boxes, list[str]]:
        first, second = boxes
        return [first | {"points": [[x, y + 5] for x, y in first["points"]]}, second], labels

    loop.finish(edit)
    assert loop.fetch().kinds == {"reshape": 1}
    ((_, subject, value),) = said(loop)
    moved = json.loads(value or "")
    assert moved["polygon"][0][1] == pytest.approx(rows[subject]["polygon"][0][1] + 0.05, abs=1e-4)


def test_pictures_arrive_as_the_files_that_they_are(loop: Loop) -> None:
    loop.send(where="filepath like '%0062%'")
    path = loop.synthetic.media / loop.synthetic.files[62]
    if isinstance(loop.server, LabelStudioServer):
        (task,) = loop.server.tasks.values()
        assert task["data"] | {"image": ""} == {
            "image": "", "sample_id": loop.synthetic.ids[62], "filepath": loop.synthetic.files[62], "dataset": "demo",
        }  # fmt: skip
        assert loop.server.files == [(task["data"]["image"].removeprefix("/data/"), path.read_bytes())]
    else:
        (task,) = loop.server.tasks.values()
        assert [data for _, data in task["files"]] == [path.read_bytes()]


def test_more_than_a_batch_goes_out_and_comes_back_in_order(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (
        "labelling.sending",
        "resources.label_tools.cvat",
        "resources.label_tools.labelstudio",
        "labelling.fetching",
    ):
        monkeypatch.setattr(f"brain_assets.{module}.BATCH", 3)
    assert loop.send(where="filepath like '%-006%'").images == 10
    for place, task in enumerate(loop.sent()):
        number = loop.synthetic.ids.index(task.sample_id)
        right = loop.synthetic.given[number]
        loop.finish(lambda boxes, labels, right=right, place=place: (boxes, ["lynx"] if place == 4 else [right]), place)
    found = loop.fetch()
    assert (found.states, found.left) == ({"done": 10}, 0)
    assert said(loop) == [("relabel", loop.sent()[4].sample_id, "lynx")]


def test_a_failing_server_is_one_line_and_what_was_sent_stays_known(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_assets.labelling.sending.BATCH", 2)
    loop.server.broken = "/import$" if loop.tool.name == "label-studio" else "/data$"
    with pytest.raises(SourceError, match=r"answers 500 to POST .*: \"out of order\""):
        loop.send(where="filepath like '%0062%'")
    assert loop.sent() == []
    if isinstance(loop.server, CvatServer):
        assert loop.server.tasks == {}
    loop.server.broken = ""
    assert loop.send(where="filepath like '%0062%'").images == 1
    loop.server.broken = "tasks|jobs"
    with pytest.raises(SourceError, match="out of order"):
        loop.fetch()


def test_a_class_that_a_project_has_not_is_said_before_anything_is_sent(loop: Loop) -> None:
    loop.project = loop.tool.create("other", Classes(boxes=frozenset({"ant"}), labels=frozenset({"ant"})))
    with pytest.raises(ConfigurationError, match=rf"project {loop.project} has no class '.*': add it"):
        loop.send(where=BOXED)
    assert loop.sent() == []


def test_a_project_without_boxes_is_asked_for_classes_alone(loop: Loop) -> None:
    loop.project = loop.tool.create("classes", Classes(labels=frozenset(loop.synthetic.labels)))
    loop.send(where="filepath like '%0062%'")
    assert loop.sent()[0].about["regions"] == []
    loop.finish()
    assert (loop.fetch().states, loop.decisions()) == ({"done": 1}, [])


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"where": "filepath = ''"}, "nothing is left to send of demo"),
        ({"where": "no_such_column"}, "no_such_column"),
        ({"issue": "no_such_issue"}, "nothing is left to send"),
    ],
)
def test_what_cannot_be_sent_is_one_line(loop: Loop, order: dict[str, str], told: str) -> None:
    with pytest.raises(BrainError, match=told):
        loop.send(**order)


def test_a_wrong_key_and_a_missing_server_say_what_to_do(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = {"label-studio": "LABEL_STUDIO_API_KEY", "cvat": "CVAT_ACCESS_TOKEN"}[loop.tool.name]
    monkeypatch.setenv(variable, "wrong")
    with pytest.raises(SourceError, match=rf"\(401\): .*{variable}"):
        tool_of(loop.tool.name, loop.server.url).classes("3")
    monkeypatch.delenv(variable)
    with pytest.raises(ConfigurationError, match=f"set the environment variable {variable}"):
        tool_of(loop.tool.name, loop.server.url)
    monkeypatch.setenv(variable, KEY)
    with pytest.raises(SourceError, match="cannot be reached"):
        tool_of(loop.tool.name, "http://127.0.0.1:9").classes("3")
    with pytest.raises(ConfigurationError, match="no address of a server"):
        tool_of(loop.tool.name, "localhost:8080")


# -- what one tool has of its own ---------------------------------------------------------------------------------------


def test_a_personal_token_is_exchanged(studio: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", PERSONAL)
    tool = tool_of("label-studio", studio.server.url)
    assert tool.classes(tool.create("x" * 80, Classes(labels=frozenset({"a"})))) == Classes(labels=frozenset({"a"}))
    assert studio.server.asked.count("POST /api/token/refresh") == 1


def test_cvat_takes_a_name_and_a_password(published: Synthetic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CVAT_ACCESS_TOKEN", raising=False)
    monkeypatch.setenv("CVAT_USERNAME", "ada")
    monkeypatch.setenv("CVAT_PASSWORD", "secret")
    with CvatServer().serving() as server:
        tool = tool_of("cvat", server.url)
        assert tool.create("demo", Classes(boxes=frozenset({"b", "a"}), labels=frozenset({"c"}))) == "3"
        assert tool.classes("3") == Classes(frozenset("ab"), frozenset("ab"), frozenset("abc"))


def test_a_skipped_task_says_nothing(studio: Loop) -> None:
    studio.send(where=BOXED, limit=1)
    studio.finish(skip=True)
    found = studio.fetch()
    assert (found.states, studio.decisions()) == ({"skipped": 1}, [])
    assert "1 skipped" in str(found)


def test_what_cannot_be_read_is_told_and_changes_nothing(studio: Loop) -> None:
    studio.send(where="filepath like '%0062%'")
    (task,) = studio.sent()
    region = {"id": task.about["regions"][0]["name"], "type": "brushlabels", "from_name": "label", "to_name": "image"}
    result = [region | {"value": {"format": "rle", "rle": [1], "brushlabels": ["ant"]}}]
    result += [
        {
            "id": "flat",
            "type": "rectanglelabels",
            "value": {"x": 5, "y": 5, "width": 0, "height": 5, "rectanglelabels": ["ant"]},
        }
    ]
    studio.desk.rest.post(f"/api/tasks/{task.task}/annotations/", {"result": result})
    found = studio.fetch()
    # The other box was taken away, and no class was chosen.
    assert found.kinds == {"drop": 1}
    assert [one.partition(": ")[2].partition(":")[0] for one in sorted(found.unusable)] == [
        task.about["regions"][0]["name"], "flat", "the image's class was taken away, and no other was given",
    ]  # fmt: skip


def test_images_may_stay_where_they_are(studio: Loop) -> None:
    studio.send(where="filepath like '%0062%'", image_url="https://images.example.org/a/")
    (task,) = studio.server.tasks.values()
    assert task["data"]["image"] == "https://images.example.org/a/" + studio.synthetic.files[62]
    assert studio.server.files == []


def test_a_labelling_interface_holds_any_class() -> None:
    config = labelling_config(Classes(boxes=frozenset({'a "b" & <c>', "d"})))
    assert "&amp;" in config
    assert LabelStudioServer().make_project(made({"title": "x", "label_config": config}))["parsed_label_config"][
        "label"
    ]["labels"] == ['a "b" & <c>', "d"]


def test_an_image_may_be_given_several_classes_where_the_dataset_has_such() -> None:
    labels = frozenset({"a", "b"})
    assert 'choice="multiple"' in labelling_config(Classes(labels=labels, several=True))
    assert "multiple" not in labelling_config(Classes(boxes=labels, labels=labels))


def made(body: Any) -> Any:
    from tests.labelling.servers import Asked

    return Asked("POST", "", {}, {}, json.dumps(body).encode())


def test_the_commands(studio: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(studio.home.root), "label-tool"]

    def run(*words: str) -> tuple[int, str, str]:
        code = 0
        try:
            main([*home, *words])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        out = capsys.readouterr()
        return code, out.out, out.err

    assert "nothing of demo was sent" in run("fetch", "demo")[2]
    assert "say what to send" in run("send", "demo", "--to", "label-studio")[2]
    code, out, _ = run(
        "send", "demo", "--to", "label-studio", "--url", studio.server.url, "--issue", "label_mistake", "--limit", "1"
    )
    assert (code, "sent 1 images" in out, f"{studio.server.url}/projects/1/data" in out) == (0, True, True)
    assert run("list")[1] == f"demo: label-studio {studio.server.url} project 1: 1 out\n"
    studio.finish()
    assert "1 finished (1 keep); 0 still out\nnext: brain materialize demo" in run("fetch", "demo")[1]
    assert "it was sent to: label-studio" in run("fetch", "demo", "--project", "7")[2]
    assert KEY not in "".join(path.read_text("utf-8", "replace") for path in (studio.paths.folder / "review").iterdir())


def test_the_same_from_python(loop: Loop) -> None:
    dataset, name, url = DatasetReader(loop.synthetic.name, str(loop.home.root)), loop.tool.name, loop.server.url
    with pytest.raises(MissingError, match="nothing of demo was sent to a label tool yet"):
        dataset.fetch_from_label_tool()
    with pytest.raises(ConfigurationError, match="say what to send: issue=, where=, or a view"):
        dataset.send_to_label_tool(name, url=url)
    with pytest.raises(ConfigurationError, match="no label tool 'paper': label-studio or cvat"):
        dataset.send_to_label_tool("paper", issue="label_mistake")
    with pytest.raises(ConfigurationError, match=r"no choice 'isue'; did you mean 'issue'\?"):
        dataset.send_to_label_tool(name, url=url, isue="label_mistake")
    sent = dataset.send_to_label_tool(name, url=url, issue="label_mistake", limit=1)
    assert (sent.images, sent.already) == (1, 0)
    view = dataset.limit(3)
    more = view.send_to_label_tool(name, url=url, project=sent.project)
    # Of a view its images alone, and none that is out already.
    assert more.images + more.already + len(more.left_out) == 3
    (found,) = dataset.fetch_from_label_tool(name)
    assert {one.sample_id for one in loop.tasks.tasks(found.place) if not one.issue} <= set(view.ids)
    assert (found.place.project, found.left) == (sent.project, 1 + more.images)
    with pytest.raises(MissingError, match="it was sent to: "):
        dataset.fetch_from_label_tool(project="4711")


# -- the service --------------------------------------------------------------------------------------------------------


class Labels(Clock):
    """Looks of the sensor for finished work."""

    sensor = finished_labels


def test_the_service_takes_finished_work_in_by_itself(studio: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAIN_HOME", str(studio.home.root))
    with dg.DagsterInstance.ephemeral() as instance:
        clock = Labels(instance)
        assert clock.reason() == "nothing is due at a label tool"
        assert studio.server.asked == []
        studio.send(issue="label_mistake", limit=1)
        assert "0 finished (nothing to correct); 1 still out" in clock.reason()
        asked = len(studio.server.asked)
        assert clock.reason() == "nothing is due at a label tool"
        assert len(studio.server.asked) == asked
        clock.cursor = None
        monkeypatch.delenv("LABEL_STUDIO_API_KEY")
        assert "set the environment variable LABEL_STUDIO_API_KEY" in clock.reason()
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
        studio.finish()
        clock.cursor = None
        assert "1 finished (1 keep)" in clock.reason()
        assert [one.kind for one in studio.decisions()] == ["keep"]
        clock.cursor = None
        assert clock.reason() == "nothing is due at a label tool"


def test_a_server_that_does_not_answer_holds_nothing_up(studio: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAIN_HOME", str(studio.home.root))
    monkeypatch.setattr(label_tools, "PATIENCE_SECONDS", 0.05)
    studio.send(issue="label_mistake", limit=1)
    with dg.DagsterInstance.ephemeral() as instance:
        clock = Labels(instance)
        with studio.server.lock:
            assert "is still being asked" in clock.reason()
            clock.cursor = None
            assert "is still being asked" in clock.reason()
    for thread in label_tools._asked.values():
        thread.join()


# -- with a run ---------------------------------------------------------------------------------------------------------

QUICK = ("reviews", "samples", "media", "ground_truth", "predictions", "objects", "published")


def test_what_people_did_are_labels_after_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    write_pictures(tmp_path / "media", range(3))
    box = {"bbox": [2, 4, 8, 8], "category_id": 1}
    coco = {
        "images": [{"id": number, "file_name": f"{number:05}.png", "width": 20, "height": 16} for number in range(3)],
        "annotations": [box | {"id": 7 + number, "image_id": number} for number in range(2)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(coco), "utf-8")
    workshop = Workshop(
        tmp_path / "home",
        tmp_path / "media",
        select=QUICK,
        labels=[{"uri": str(tmp_path / "labels.json")}],
        classes=["cat", "dog"],
    )
    workshop.run()
    query = "select filepath, label, round(x, 2), origin from objects join samples using (sample_id) order by all"
    assert [row[1:] for row in workshop.rows(query)] == [("cat", 0.1, "file")] * 2
    with LabelStudioServer().serving() as server:
        tool = tool_of("label-studio", server.url)
        sent = send(workshop.home, "test", tool, None, Order(where="true"))
        desk = LabelStudioDesk(tool.rest)
        edits: list[Callable[[Boxes, list[str]], tuple[Boxes, list[str]]]] = [
            lambda boxes, labels: ([one | {"label": "dog"} for one in boxes], labels),
            lambda boxes, labels: ([], labels),
            lambda _, labels: ([{"label": "cat", "x": 0.5, "y": 0.5, "width": 0.25, "height": 0.25}], labels),
        ]
        known = LabelTasks(workshop.paths.label_tasks)
        tasks = {one.sample_id: one.task for one in known.tasks(known.counts()[0].place)}
        samples = workshop.rows("select sample_id from samples order by filepath")
        for (sample,), edit in zip(samples, edits, strict=True):
            desk.finish(tasks[sample], edit)
        fetch(workshop.paths, tool, sent.project)
    workshop.run()
    assert workshop.rows(query) == [("00000.png", "dog", 0.1, "review"), ("00002.png", "cat", 0.5, "review")]
    assert {by for (by,) in workshop.rows("select decided_by from decisions")} == {"label-studio:ada@example.org"}
