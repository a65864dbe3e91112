"""Everything that `brain up` opens, attacked: pages, GraphQL, websockets, the code server's socket, files."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from brain_assets.app import serving
from brain_assets.app.dagster_pages import guarded
from brain_assets.resources.settings.home import Home
from tests.review.browser import launched
from tests.service.up import (
    ROOT,
    Up,
    command,
    descendants,
    listening_paths,
    listening_ports,
    request,
    start_up,
    wait_until_gone,
)
from tests.workshop import Workshop, write_pictures

pytestmark = pytest.mark.timeout(600)
MUTATION = "mutation { setNuxSeen }"
UNSEEN = "query { shouldShowNux }"
SEEN_IN = ("dagster", ".nux", "nux.yaml")
linux = pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="reads /proc, which is there on Linux only")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    root = tmp_path_factory.mktemp("up")
    write_pictures(root / "media", range(2))
    home = Workshop(root / "home", root / "media", "flowers", sensor={"enabled": False}).home
    os.chmod(home.root, 0o755)
    os.chmod(home.paths("flowers").config, 0o644)
    service = start_up(home)
    yield service
    service.stop()


@pytest.fixture(scope="module")
def session(up: Up) -> dict[str, str]:
    return {"cookie": up.cookie("lineage")}


def posted(address: str) -> dict[str, str]:
    return {"origin": f"http://{address}", "content-type": "application/json", "sec-fetch-site": "same-origin"}


def body(query: str) -> str:
    return json.dumps({"query": query})


def test_the_printed_links_open_the_pages(up: Up, session: dict[str, str]) -> None:
    for page, text in (("lineage", "<title"), ("review", "/static/js/app.js")):
        assert request(up.address(page), "GET", "/")[0] == 401
        status, headers, answer = request(up.address(page), "GET", "/", {"cookie": up.cookie(page)})
        assert status == 200
        assert text in answer
        assert "frame-ancestors 'none'" in ", ".join(headers.get_all("content-security-policy", []))
    address = up.address("lineage")
    status, _, answer = request(address, "POST", "/graphql", session | posted(address), body(UNSEEN))
    assert (status, json.loads(answer)) == (200, {"data": {"shouldShowNux": False}})


ATTACKS: list[tuple[str, str, dict[str, str | None]]] = [
    # Somebody without a session: another user of this machine, or a page that guesses.
    *((method, target, {"cookie": None}) for method in ("GET", "POST") for target in ("/graphql", "/", "/server_info")),
    *(("GET", target, {"cookie": None}) for target in ("/logs/x/err", "/download_debug/x", "/notebook", "/runs/x")),
    ("POST", "/report_asset_materialization/samples", {"cookie": None}),
    ("POST", "/graphql", {"cookie": "brain_review_3000=x"}),
    # A page elsewhere, in the browser of somebody with a session: the first two are an image, the third a form.
    ("GET", "/graphql", {"origin": None, "sec-fetch-site": "cross-site", "sec-fetch-dest": "image"}),
    ("GET", "/graphql", {"origin": None, "sec-fetch-site": None}),
    ("POST", "/graphql", {"content-type": "text/plain"}),
    ("POST", "/graphql", {"content-type": "application/x-www-form-urlencoded"}),
    ("POST", "/graphql", {"content-type": "application/graphql"}),
    ("POST", "/graphql", {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}),
    ("POST", "/graphql", {"origin": "http://evil.example", "sec-fetch-site": None}),
    ("POST", "/graphql", {"origin": "http://127.0.0.1:1", "sec-fetch-site": "same-site"}),
    ("POST", "/graphql", {"origin": "null"}),
    ("POST", "/graphql", {"origin": None}),
    ("GET", "/graphql", {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document", "sec-fetch-mode": "navigate"}),
    ("HEAD", "/graphql", {}),
    ("GET", "/graphql/", {}),
    ("POST", "/report_asset_materialization/samples", {"origin": "http://evil.example"}),
    # A foreign name that was made to lead to this machine.
    ("POST", "/graphql", {"host": "evil.example", "origin": "http://evil.example"}),
    ("GET", "/", {"host": "evil.example:3000"}),
]


@pytest.mark.parametrize(("method", "target", "changed"), ATTACKS, ids=str)
def test_nothing_is_answered_or_done_for_others(
    up: Up, session: dict[str, str], method: str, target: str, changed: dict[str, str | None]
) -> None:
    address = up.address("lineage")
    headers = {key: value for key, value in {**session, **posted(address), **changed}.items() if value is not None}
    query = f"{target}?query={quote(MUTATION)}"
    status, _, answer = request(address, method, query, headers, body(MUTATION) if method == "POST" else None)
    assert status in {307, 401, 403, 405, 415, 421}, answer
    # Whoever has no session is asked for the token, on a page that goes on to where they wanted to go.
    assert "setNuxSeen" not in answer or "Go on" in answer
    assert not up.home.root.joinpath(*SEEN_IN).exists()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, 101),
        ({"cookie": None}, 403),
        ({"cookie": "brain_review_3000=x"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": None}, 403),
        ({"host": "evil.example", "origin": "http://evil.example"}, 403),
    ],
    ids=str,
)
def test_websockets_are_for_the_page_alone(
    up: Up, session: dict[str, str], changed: dict[str, str | None], expected: int
) -> None:
    address = up.address("lineage")
    handshake = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13"}
    handshake |= {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-protocol": "graphql-ws"}
    whole = {**handshake, **session, "origin": f"http://{address}", **changed}
    headers = {key: value for key, value in whole.items() if value is not None}
    assert request(address, "GET", "/graphql", headers)[0] == expected


@linux
def test_nothing_listens_but_the_pages_and_sockets_of_the_owner(up: Up) -> None:
    processes = descendants(up.process.pid)
    assert len(processes) >= 5
    pages = {int(up.address(page).rpartition(":")[2]) for page in ("lineage", "review")}
    assert listening_ports(processes) == pages
    paths = listening_paths(processes)
    assert paths
    for path in paths:
        assert path.is_absolute(), f"{path} is in no folder"
        assert path.parent.stat().st_mode & 0o777 == 0o700
        _another_user_cannot_connect(path)


def _another_user_cannot_connect(path: Path) -> None:
    if os.geteuid() != 0:
        return
    attempt = f"import os, socket; os.setuid(65534); socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    ended = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True, timeout=60, check=False)
    assert "PermissionError" in ended.stderr


def test_every_file_is_the_owners_alone(up: Up) -> None:
    found = [up.home.root, *up.home.root.rglob("*")]
    assert any(path.suffix == ".db" for path in found), "Dagster has written nothing"
    assert [path for path in found if not path.is_symlink() and path.stat().st_mode & 0o077] == []


def test_a_second_service_on_the_home_names_the_first(up: Up) -> None:
    ended = subprocess.run(
        [*command(up.home), "up", "--no-browser"], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert f"brain up at http://{up.address('lineage')} (process {up.process.pid}, " in ended.stderr


def test_a_token_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*command(Home(tmp_path)), "up", "--no-browser"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env={**os.environ, "BRAIN_REVIEW_TOKEN": "short"},
    )
    assert (ended.returncode, ended.stderr) == (1, "brain: BRAIN_REVIEW_TOKEN must have at least 16 characters\n")


def test_pages_that_other_machines_can_reach_need_a_token(tmp_path: Path) -> None:
    without = {key: value for key, value in os.environ.items() if key != "BRAIN_REVIEW_TOKEN"}
    ended = subprocess.run(
        [*command(Home(tmp_path)), "up", "--no-browser", "--host", "0.0.0.0"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env=without,
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "other machines can reach 0.0.0.0: set BRAIN_REVIEW_TOKEN" in ended.stderr


@pytest.mark.parametrize(
    ("host", "address", "named"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000", {"127.0.0.1:3000": 401, "10.0.0.7:3000": 421, "evil.example": 421}),
        ("0.0.0.0", "http://127.0.0.1:3000", {"127.0.0.1:3000": 401, "10.0.0.7:3000": 401, "evil.example": 421}),
        ("::", "http://[::1]:3000", {"[::1]:3000": 401, "[fd00::7]:3000": 401, "evil.example": 421}),
    ],
)
def test_pages_answer_to_the_addresses_that_they_listen_on(host: str, address: str, named: dict[str, int]) -> None:
    assert serving.address(host, 3000) == address
    client = TestClient(guarded(PlainTextResponse("pages"), "t" * 20, host))
    assert {name: client.get("/", headers={"host": name}).status_code for name in named} == named


def test_dagster_says_nothing_to_the_terminal_and_the_token_to_nobody(up: Up) -> None:
    assert up.lines.empty(), up.line()
    token = up.links["review"].partition("token=")[2]
    assert token not in up.log()
    arguments = subprocess.run(["ps", "axww"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert token not in arguments


@linux
def test_a_killed_service_leaves_nothing_behind(up: Up) -> None:
    processes = descendants(up.process.pid)
    up.process.send_signal(signal.SIGKILL)
    assert wait_until_gone(processes, 60) == set()


@pytest.mark.slow
def test_a_run_is_one_line_and_shows_in_a_browser(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(5))
    home = Workshop(tmp_path / "home", tmp_path / "media", "flowers", sensor={"quiet_seconds": 0.2}).home
    up = start_up(home)
    try:
        assert up.line().split(" ", 1)[1] == "flowers: 5 samples, 0 errors; no issues\n"
        (tmp_path / "media" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        assert up.line().split(" ", 1)[1] == "flowers: 6 samples, 1 errors; 1 unreadable\n"
        _walk(up)
    finally:
        up.stop()
    assert Home(home.root).paths("flowers").store.stat().st_mode & 0o077 == 0


def _walk(up: Up) -> None:
    with launched() as browser:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        complaints: list[str] = []
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.add_init_script("localStorage.setItem('communityNux', '1')")
        page.goto(up.links["lineage"])
        page.get_by_text("Overview").first.wait_for()
        page.goto(f"http://{up.address('lineage')}/runs")
        page.get_by_text("partition: flowers").first.wait_for()
        assert page.get_by_text("Success").count() == 2
        assert sockets
        assert complaints == []
