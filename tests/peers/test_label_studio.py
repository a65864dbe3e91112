"""The loop with Label Studio itself; it needs an environment of its own: make test-label-studio."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from brain_assets.labelling.fetching import fetch
from brain_assets.labelling.sending import Order, send
from brain_assets.resources.errors import SourceError
from brain_assets.resources.label_tools.labelstudio import LabelStudio
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.events import Events
from brain_assets.resources.store.label_tasks import LabelTasks, Place
from tests.labelling.servers import KEY, Boxes, LabelStudioDesk
from tests.review_data import Synthetic

# Told by the Makefile: its program in the environment that it is installed in; or the address of one that knows the key.
PROGRAM = os.environ.get("BRAIN_TEST_LABEL_STUDIO") or shutil.which(
    "label-studio", path=str(Path(sys.executable).parent)
)
WITHOUT = "Label Studio is not here: make test-label-studio"
USER = [
    "--username",
    "ada@example.org",
    "--password",
    "a-secret-of-the-test",
    "--user-token",
    KEY,
    "--enable-legacy-api-token",
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a Label Studio with a database of its own."""
    if not PROGRAM:
        pytest.skip(WITHOUT)
    if PROGRAM.startswith("http"):
        yield PROGRAM
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("label_studio")
    quiet = {"COLLECT_ANALYTICS": "0", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "LATEST_VERSION_CHECK": "0"}
    command = [PROGRAM, "start", "--no-browser", "--port", str(port), "--data-dir", str(folder), *USER]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | quiet, start_new_session=True)
        try:
            _wait(f"http://127.0.0.1:{port}", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    # Its first start makes a database by some hundred migrations.
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return
        except OSError:
            time.sleep(1)
    pytest.fail("Label Studio does not start")


def test_the_loop_with_label_studio_itself(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    synthetic = Synthetic(tmp_path, count=90).create()
    home, tool = Home(tmp_path), LabelStudio(url)
    paths = home.paths("demo")
    sent = send(home, "demo", tool, None, Order(issue="label_mistake", limit=2))
    boxed = send(home, "demo", tool, sent.project, Order(where="filepath like '%-0061%' or filepath like '%-0062%'"))
    assert (sent.images, boxed.images) == (2, 2)
    place = Place(tool.name, tool.url, sent.project)
    tasks = {one.sample_id: one for one in LabelTasks(paths.label_tasks).tasks(place)}
    for task in tasks.values():
        shown = tool.rest.get(f"/api/tasks/{task.task}/")
        assert shown["data"]["sample_id"] == task.sample_id
        # It serves the very file that it was sent.
        picture = tool.rest._pool.request("GET", url + shown["data"]["image"], headers=dict(tool.rest.headers()))
        assert picture.data == (synthetic.media / shown["data"]["filepath"]).read_bytes()
        regions = [one for one in shown["predictions"][0]["result"] if one["type"] != "choices"]
        assert [one["id"] for one in regions] == [one["object"] for one in task.about["regions"]]

    def edit(boxes: Boxes, labels: list[str]) -> tuple[Boxes, list[str]]:
        first, second = boxes
        return [first | {"label": "lynx"}, second | {"x": 0.3}], ["kiwi"]

    desk, (right, skipped) = LabelStudioDesk(tool.rest), [one for one in tasks.values() if one.issue]
    desk.finish(right.task)
    desk.finish(skipped.task, skip=True)
    desk.finish(tasks[synthetic.ids[62]].task, edit)
    found = fetch(paths, tool, sent.project)
    assert found.kinds == {"keep": 1, "relabel": 2, "reshape": 1}
    assert (found.states, found.left) == ({"done": 2, "skipped": 1}, 1)
    assert {one.by for one in Events(paths.events).decisions()} == {"label-studio:ada@example.org"}
    assert fetch(paths, tool, sent.project).states == {}
    with pytest.raises(SourceError, match="404"):
        tool.classes("4711")


def test_a_personal_access_token_of_label_studio_itself(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", KEY)
    old = LabelStudio(url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", old.rest.post("/api/token/", {})["token"])
    assert LabelStudio(url).rest.get("/api/projects/")["results"] is not None
