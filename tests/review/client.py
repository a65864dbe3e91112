"""A browser's requests without a browser: calls the application in this process, every header under control."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import numpy as np
from starlette.types import ASGIApp

TOKEN = "correct-horse-battery"
HOST = "127.0.0.1:3001"


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def message(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        """Unpack what ``wire.pack`` packed."""
        length = int.from_bytes(self.body[:4], "little")
        header, start, arrays = json.loads(self.body[4 : 4 + length]), 4 + length, {}
        for name, (dtype, count) in header["arrays"].items():
            arrays[name] = np.frombuffer(self.body, dtype, count, start)
            start += -(-arrays[name].nbytes // 8) * 8
        return header, arrays


@dataclass
class Client:
    """Holds a cookie like a browser; ``headers`` replace or, when None, remove what it would send."""

    app: ASGIApp
    dataset: str = "demo"
    cookie: str = ""
    base: dict[str, str] = field(default_factory=lambda: {"host": HOST})

    def sign_in(self) -> "Client":
        reply = self.request("GET", f"/?token={TOKEN}")
        assert reply.status == 303, reply
        self.cookie = reply.headers["set-cookie"].split(";")[0]
        return self

    def request(self, method: str, target: str, body: bytes = b"", **headers: str | None) -> Reply:
        given = {
            **self.base,
            "cookie": self.cookie,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode("latin-1", "replace"),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items() if value],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 3001),
        }
        return asyncio.run(_exchange(self.app, scope, body))

    def get(self, name: str, /, **query: Any) -> Reply:
        return self.request("GET", f"/api/{self.dataset}/{name}?{urlencode(query)}")

    def post(self, name: str, given: Any, **headers: str | None) -> Reply:
        usual: dict[str, str | None] = {"origin": f"http://{HOST}", "content_type": "application/json"}
        return self.request("POST", f"/api/{self.dataset}/{name}", json.dumps(given).encode(), **{**usual, **headers})

    def column(self, name: str, frame: str = "images") -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        reply = self.get("column", name=name, frame=frame)
        assert reply.status == 200, reply
        return reply.message()

    def found(self, **question: Any) -> list[int]:
        reply = self.post("find", question)
        assert reply.status == 200, reply
        header, arrays = reply.message()
        positions = np.flatnonzero(np.unpackbits(arrays["bits"], bitorder="little")).tolist()
        assert len(positions) == header["count"]
        return positions


async def _exchange(app: ASGIApp, scope: dict[str, Any], body: bytes) -> Reply:
    sent: list[Any] = []

    bodies = iter([body])

    async def receive() -> dict[str, Any]:
        if (part := next(bodies, None)) is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": part, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    headers = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))
