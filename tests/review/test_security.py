"""What an attacker tries: foreign hosts and sites, wrong tokens, paths out of the media root, SQL out of its walls."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.events import Events
from brain_assets.review import create_app
from brain_assets.review.app import checked_token, serve
from brain_assets.review.invitations import Invitations
from brain_assets.review.refusal import Refused
from brain_assets.review.search import find_where
from brain_assets.review.security import Guard, Sessions, known_hosts
from brain_assets.review.sets import OpenSet, Sets
from brain_assets.review.thumbnails import original
from tests.review.client import HOST, TOKEN, Client
from tests.review_data import Synthetic

API = "/api/demo/overview"


@pytest.fixture(scope="module")
def stranger(synthetic: Synthetic) -> Client:
    return Client(create_app(synthetic.home, token=TOKEN))


# -- who may ask


@pytest.mark.parametrize("target", ["/", API, "/static/app.css", "/image/demo/x", "/api/datasets", "/nothing"])
@pytest.mark.parametrize(
    "cookie", ["", "brain_review_3001=", f"brain_review_3001={TOKEN}", "brain_review_3001=x; y", "\x7f=;;"]
)
def test_nothing_is_shown_without_a_session(stranger: Client, target: str, cookie: str) -> None:
    assert stranger.request("GET", target, cookie=cookie).status == 401


@pytest.mark.parametrize("token", ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "%00", "%ff%fe", "🔑"])
def test_a_wrong_token_opens_nothing(stranger: Client, token: str) -> None:
    reply = stranger.request("GET", f"/?token={token}")
    assert reply.status in (401, 403)
    assert "set-cookie" not in reply.headers


def test_the_token_becomes_a_cookie_that_is_not_the_token(stranger: Client) -> None:
    reply = stranger.request("GET", f"/?dataset=demo&token={TOKEN}&tab=queue")
    assert (reply.status, reply.headers["location"]) == (303, "/?dataset=demo&tab=queue")
    cookie = reply.headers["set-cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert stranger.request("GET", API, cookie=cookie.split(";")[0]).status == 200


def test_a_program_brings_the_token_itself_to_read_and_no_more(stranger: Client) -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}
    reply = stranger.request("GET", "/metrics", **bearer)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'brain_up{dataset="demo"} 1.0\n' in reply.body
    assert stranger.request("GET", API, **bearer).status == 200
    assert stranger.request("POST", "/api/demo/say", b"{}", **bearer).status == 401
    for wrong in ("", TOKEN, f"Bearer {TOKEN}x", "Bearer", f"Basic {TOKEN}", "Bearer \xff"):
        assert stranger.request("GET", "/metrics", authorization=wrong).status == 401
    assert stranger.request("GET", "/metrics", host="evil.example", **bearer).status == 421


def test_the_redirect_stays_on_this_server(stranger: Client) -> None:
    reply = stranger.request("GET", f"//evil.example/?token={TOKEN}")
    assert reply.headers["location"] == "/"


def test_a_link_from_elsewhere_gets_a_page_that_reloads_itself_and_nothing_more(stranger: Client) -> None:
    reply = stranger.request("GET", "/?tab=queue", sec_fetch_site="cross-site")
    assert (reply.status, "set-cookie" in reply.headers) == (200, False)
    assert len(reply.body) < 200
    assert stranger.request("GET", "/?tab=queue", sec_fetch_site="same-origin").status == 401
    assert stranger.request("GET", API, sec_fetch_site="cross-site").status == 401
    assert stranger.request("POST", "/", sec_fetch_site="same-origin").status == 401


def test_a_link_without_a_session_asks_for_the_token_and_goes_on(stranger: Client) -> None:
    reply = stranger.request(
        "GET", "/?tab=queue&issue=%22%3E%3Cscript%3E", sec_fetch_site="none", sec_fetch_dest="document"
    )
    page = reply.body.decode()
    assert (reply.status, reply.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert '<input type="hidden" name="tab" value="queue">' in page
    assert "<script" not in page
    assert "script-src" not in reply.headers["content-security-policy"]
    assert "form-action 'self'" in reply.headers["content-security-policy"]
    again = stranger.request("GET", "/?tab=queue&token=wrong")
    assert (again.status, "not the token" in again.body.decode(), "wrong" in again.body.decode()) == (403, True, False)
    # What scripts and pictures ask gets a line.
    assert stranger.request("GET", API).headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/assets/leaks"])
def test_a_deep_link_goes_on_where_it_led_but_never_elsewhere(path: str) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    client = Client(Guard(nothing, TOKEN, deep=True))
    reply = client.request("GET", f"{path}?token={TOKEN}&view=events")
    assert reply.headers["location"] == f"/{path.lstrip('/' + chr(92))}?view=events"


def test_sessions_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(seconds=10)
    cookie = sessions.start()
    assert sessions.holds(cookie)
    monkeypatch.setattr("brain_assets.review.security.time", SimpleNamespace(time=lambda: 1e12))
    assert not sessions.holds(cookie)


FOREIGN = [
    "evil.example",
    "evil.example:3001",
    "127.0.0.1.evil.example",
    "",
    "10.0.0.1:3001",
    "[::2]:3001",
    "localhost.evil",
]


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_is_refused_even_with_a_session(reader: Client, host: str) -> None:
    assert reader.request("GET", API, host=host).status == 421
    assert reader.request("GET", f"/?token={TOKEN}", host=host).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1:3001", "localhost:3001", "LOCALHOST", "[::1]:3001"])
def test_this_machine_is_answered(reader: Client, host: str) -> None:
    assert reader.request("GET", API, host=host).status == 200


def test_bound_to_an_open_address_literals_are_answered_and_foreign_names_are_not(synthetic: Synthetic) -> None:
    client = Client(create_app(synthetic.home, token=TOKEN, host="0.0.0.0")).sign_in()
    assert client.request("GET", API, host="10.0.0.1:3001").status == 200
    assert client.request("GET", API, host="evil.example").status == 421
    assert "evil.example" not in known_hosts("0.0.0.0")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": None},
        {"origin": "https://127.0.0.1:3001"},
        {"origin": "http://127.0.0.1:3000"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"content_type": "text/plain"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": None},
    ],
    ids=str,
)
def test_cross_site_posts_change_nothing(client: Client, small: Synthetic, headers: dict[str, str | None]) -> None:
    reply = client.post("say", {"kind": "tag", "value": "x", "ids": [small.ids[0]]}, **headers)
    assert reply.status in (403, 415)
    assert not (small.folder / "review").exists()


def test_other_sites_cannot_read_images_or_answers(reader: Client, synthetic: Synthetic) -> None:
    for target in (API, f"/image/demo/{synthetic.ids[0]}"):
        assert reader.request("GET", target, sec_fetch_site="cross-site").status == 403
        assert reader.request("GET", target).headers["cross-origin-resource-policy"] == "same-origin"


def test_every_answer_bears_a_strict_policy(reader: Client) -> None:
    for target in ("/", API, "/static/app.css", "/nothing", "/api/nothing/overview"):
        headers = reader.request("GET", target).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "myhost.example"])
def test_other_addresses_need_a_token_of_the_users_own(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match="token"):
        serve(tmp_path, (host, 0))
    assert checked_token(host, "given-by-the-user") == "given-by-the-user"


def test_a_fresh_token_is_long_and_a_short_one_refused(tmp_path: Path) -> None:
    assert len(checked_token("127.0.0.1", None)) >= 32
    with pytest.raises(ConfigurationError, match="16"):
        create_app(tmp_path, token="short")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_do_nothing(reader: Client, method: str) -> None:
    assert reader.request(method, API, origin=f"http://{HOST}", content_type="application/json").status == 405


LONG = b'{"where": "' + b"x" * 5_000_000 + b'"}'
BODIES = [b"", b"{", b"[]", b"null", b"\xff", b'{"extra": 1}', b"[" * 100_000, LONG]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_strange_bodies_are_refused(reader: Client, body: bytes) -> None:
    reply = reader.request("POST", "/api/demo/find", body, origin=f"http://{HOST}", content_type="application/json")
    assert reply.status in (413, 422)


# -- paths


@pytest.mark.parametrize(
    "target",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/image/demo/../../etc/passwd",
        "/image/demo/..",
        "/image/../demo",
        "/image/demo/train%2Fx.jpg",
        "/api/../overview",
        "/api/..%2f..%2fetc/overview",
        "/image/demo/nothing?object=x",
    ],
)
def test_paths_lead_nowhere(reader: Client, target: str) -> None:
    assert reader.request("GET", target).status == 404


HOSTILE_PATHS = [
    *("../secret.jpg", "/etc/passwd", "../../../../etc/passwd", "", ".", "a\0b", "x" * 5000),
    *("link.jpg", "linked/secret.jpg", "fifo.jpg"),
]


@pytest.mark.parametrize("filepath", HOSTILE_PATHS, ids=range(len(HOSTILE_PATHS)))
def test_hostile_rows_cannot_name_files_outside_the_media_root(small: Synthetic, filepath: str) -> None:
    outside = small.media.parent / "secret.jpg"
    shutil.copy(small.media / small.files[0], outside)
    (small.media / "link.jpg").symlink_to(outside)
    (small.media / "linked").symlink_to(outside.parent)
    os.mkfifo(small.media / "fifo.jpg")
    paths = Home(small.home).paths("demo")
    assert original(paths, small.files[0]) is not None
    assert original(paths, filepath) is None


def test_an_image_by_a_hostile_row_is_not_found(small: Synthetic) -> None:
    shutil.copy(small.media / small.files[0], small.media.parent / "secret.jpg")
    table = small.folder / "published" / "current" / "samples.parquet"
    rows = pq.read_table(table)
    hostile = pa.array(["../secret.jpg", *rows["filepath"].to_pylist()[1:]])
    pq.write_table(rows.set_column(rows.schema.get_field_index("filepath"), "filepath", hostile), table)
    client = Client(create_app(small.home, token=TOKEN)).sign_in()
    assert client.request("GET", f"/image/demo/{small.ids[0]}").status == 404
    assert client.request("GET", f"/image/demo/{small.ids[2]}").status == 200


# -- SQL

OUTSIDE = "(select count(*) from {}) > 0"
ATTACKS = [
    *(
        OUTSIDE.format(relation)
        for relation in (
            "read_csv('{secret}')",
            "read_text('{secret}')",
            "read_blob('{secret}')",
            "read_json('{secret}')",
            "read_parquet('{secret}')",
            "'{secret}'",
            "'{set}/../../../../dataset.yaml'",
            "read_text('{set}/../../../../dataset.yaml')",
            "read_csv_auto('/etc/passwd')",
            "glob('/etc/*')",
            "sniff_csv('{secret}')",
            "parquet_metadata('{secret}')",
            "'https://example.com/x.parquet'",
            "duckdb_secrets()",
            "enable_logging(storage='file', storage_path='{out}')",
            "query('copy samples to ''{out}''')",
            "query_table('{secret}')",
            "token",
            "self",
        )
    ),
    "getenv('HOME') is not null",
    "1=1); attach '{out}' as other; --",
    "1=1); copy samples to '{out}'; select (1",
    "1=1); set enable_external_access = true; select (1=1",
    "1=1); create table t as select (1",
    "1=1); install httpfs; --",
    "1=1); load httpfs; --",
    "1=1); pragma database_list; --",
    "1=1); drop view samples; --",
    "1=1); delete from images_frame; --",
    "1=1) union select current_setting('home_directory') where (1=1",
    "exists (select * from (attach '{out}'))",
    "exists (copy samples to '{out}')",
    "exists (delete from review_tags)",
    "",
    ")",
    "--",
    "/*",
    "nonsense",
    "'unclosed",
]


@pytest.fixture(scope="module")
def opened(synthetic: Synthetic) -> Iterator[OpenSet]:
    sets = Sets(Home(synthetic.home))
    with sets.use("demo") as opened:
        yield opened
    sets.close()


@pytest.mark.parametrize("attack", ATTACKS)
def test_sql_cannot_leave_its_walls(opened: OpenSet, tmp_path: Path, attack: str) -> None:
    secret, out = tmp_path / "secret.csv", tmp_path / "out.csv"
    secret.write_text("word\nhidden\n")
    for name, path in {"{secret}": secret, "{out}": out, "{set}": opened.folder}.items():
        attack = attack.replace(name, str(path))
    with pytest.raises(Refused) as refused:
        find_where(opened, "images", attack)
    assert refused.value.status == 422
    assert "hidden" not in refused.value.message
    assert not out.exists()
    assert len(find_where(opened, "images", "true")) == opened.count("images")


BREAKOUTS = [
    "1=0) or (1=1",
    "1=1) order by (1",
    "1=1) limit (5",
    "1=1) union select p from (select -5 as p) where (1=1",
]


@pytest.mark.parametrize("breakout", BREAKOUTS)
def test_breaking_out_of_the_brackets_wins_nothing(opened: OpenSet, breakout: str) -> None:
    assert set(find_where(opened, "images", breakout).tolist()) <= set(range(opened.count("images")))


ENDLESS = [
    "(select count(*) from range(1000000000000) where range % 7 = 3) > 0",
    "(select count(*) from samples a, samples b, samples c, samples d, samples e) > 0",
    "(select list(range) from range(20000000000)) is null",
]


@pytest.mark.parametrize("endless", ENDLESS)
def test_endless_sql_is_stopped(opened: OpenSet, endless: str) -> None:
    with pytest.raises(Refused) as refused:
        find_where(opened, "images", endless, seconds=0.2)
    assert refused.value.status == 408


def test_greedy_sql_is_stopped(reader: Client) -> None:
    assert reader.post("find", {"where": "len(repeat('x', 8000000000)) > 0"}).status == 422


def test_huge_filters_are_refused(reader: Client) -> None:
    assert reader.post("find", {"where": "1=1 and " * 10_000 + "1=1"}).status == 422
    assert reader.post("find", {"text": "x" * 10_000}).status == 422
    assert reader.post("rows", {"positions": list(range(501))}).status == 422
    assert reader.post("find", {"where": "(" * 1900 + "1=1" + ")" * 1900}).status in (200, 422)


@pytest.mark.parametrize("number", [10**20, 10**40, -1, 2**63])
def test_numbers_that_no_database_holds_are_refused(reader: Client, number: int) -> None:
    replies = [
        reader.get("groups", table="near_duplicates", brain_key="near_duplicates", offset=number),
        reader.get("queue", issue="outlier", offset=number),
        reader.post("undo", {"event_id": number}),
        reader.post("rows", {"positions": [number]}),
    ]
    assert [reply.status for reply in replies] == [422] * 4


def test_names_in_questions_are_names_only(reader: Client) -> None:
    for name in ("x' or 1=1 --", 'label"', "*", "(select 1)"):
        assert reader.get("column", name=name).status == 404
        assert reader.get("map", name=name).message()[0]["brain_key"] == name
        assert reader.get("queue", issue=name).json()["items"] == []
        assert reader.get("groups", table=name, brain_key=name).status == 404
        assert reader.get("subject", id=name).status == 404


def test_hostile_strings_come_back_as_they_are_and_only_as_json(reader: Client, synthetic: Synthetic) -> None:
    reply = reader.get("subject", id=synthetic.ids[200])
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(reply.body)["label"] == "<script>window.attacked=1</script>"


def test_a_cookie_is_refused_by_another_server(synthetic: Synthetic, reader: Client) -> None:
    other = Client(create_app(synthetic.home, token=TOKEN), cookie=reader.cookie)
    assert other.request("GET", API).status == 401


def test_guard_lets_the_life_cycle_pass(synthetic: Synthetic) -> None:
    app = create_app(synthetic.home, token=TOKEN)
    assert any(middleware.cls is Guard for middleware in app.user_middleware)


def test_who_is_invited_comes_in_speaks_in_their_own_name_and_is_sent_away(small: Synthetic) -> None:
    invitations = Invitations(small.home)
    token = invitations.invite("ada")
    guest = Client(create_app(small.home, token=TOKEN))
    reply = guest.request("GET", f"/?token={token}")
    assert reply.status == 303
    guest.cookie = reply.headers["set-cookie"].split(";")[0]
    overview = guest.get("overview").json()
    assert overview["user"] == "ada"
    said = {
        "kind": "tag",
        "value": "odd",
        "ids": [_an_id(small)],
        "by": "somebody else",
        "version": overview["version"],
    }
    assert guest.post("say", said).status == 200
    (event,) = Events(Home(small.home).paths(small.name).events).tags()
    assert event.by == "ada"
    # Another link in place of the first, and none at all, end what the first one opened.
    for change in (lambda: invitations.invite("ada"), lambda: invitations.revoke("ada")):
        assert guest.get("version").status == 200
        change()
        assert guest.get("version").status == 401
        assert guest.request("GET", f"/?token={token}").status == 403
        if invitations.since():
            token = invitations.invite("ada")
            guest.cookie = guest.request("GET", f"/?token={token}").headers["set-cookie"].split(";")[0]
    assert token not in (small.home / "invitations.json").read_text()
    assert (small.home / "invitations.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101, "\x1b[31m"])
def test_only_names_are_invited(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name"):
        Invitations(tmp_path).invite(name)


def test_an_invitation_opens_nothing_else_than_the_page(small: Synthetic) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("let in")

    token = Invitations(small.home).invite("ada")
    assert Client(Guard(nothing, TOKEN, deep=True)).request("GET", f"/?token={token}").status == 403


def _an_id(small: Synthetic) -> str:
    table = pq.read_table(Path(small.home) / "datasets" / small.name / "published" / "current" / "samples.parquet")
    return str(table["sample_id"][0])
