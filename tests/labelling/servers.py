"""Servers that speak as Label Studio and CVAT do, as far as they are asked, and desks at which their tasks are labelled."""

import email
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

KEY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = "personal.access.token"
Row = dict[str, Any]
Boxes = list[Row]
# What somebody does to an image: the boxes (label, x, y, width, height, perhaps polygon, relative) and classes that it has.
Edit = Callable[[Boxes, list[str]], tuple[Boxes, list[str]]]


def as_it_is(boxes: Boxes, labels: list[str]) -> tuple[Boxes, list[str]]:
    return boxes, labels


class Refusal(Exception):
    def __init__(self, status: int, said: object = "") -> None:
        super().__init__(said)
        self.status, self.said = status, said


@dataclass
class Asked:
    """One request, and what it matched."""

    method: str
    path: str
    query: Row
    headers: Any
    body: bytes
    parts: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> list[tuple[str, str, bytes]]:
        """The fields of a form: name, file name, content."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + self.body, policy=HTTP)
        return [
            (
                part.get_param("name", header="content-disposition"),
                part.get_filename() or "",
                part.get_payload(decode=True),
            )
            for part in message.iter_parts()
        ]


@dataclass
class Server:
    """Answers by the first of ``routes`` that a request matches; ``broken`` are paths that fail."""

    routes: ClassVar[Sequence[tuple[str, str, str]]] = ()
    url: str = ""
    broken: str = ""
    asked: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def answer(self, asked: Asked) -> Any:
        if self.broken and re.search(self.broken, asked.path):
            raise Refusal(500, "out of order")
        for method, pattern, name in self.routes:
            if method == asked.method and (match := re.fullmatch(pattern, asked.path)):
                if name not in {"login", "refresh"} and not self.knows(asked.headers.get("Authorization", "")):
                    raise Refusal(401, {"detail": "Invalid token."})
                asked.parts = match.groups()
                return getattr(self, name)(asked)
        raise Refusal(404, {"detail": "Not found."})

    def knows(self, authorization: str) -> bool:
        raise NotImplementedError

    @contextmanager
    def serving(self) -> Iterator["Server"]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with server.lock:
                    server.asked.append(f"{self.command} {parts.path}")
                    try:
                        status, said = 200, server.answer(Asked(self.command, parts.path, query, self.headers, body))
                    except Refusal as refusal:
                        status, said = refusal.status, refusal.said
                data = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{listening.server_address[1]}"
        try:
            yield self
        finally:
            listening.shutdown()
            listening.server_close()


@dataclass
class LabelStudioServer(Server):
    """Projects, uploads, tasks and annotations of Label Studio 1.23."""

    routes = (
        ("POST", "/api/token/refresh", "refresh"),
        ("POST", "/api/projects/", "make_project"),
        ("GET", r"/api/projects/(\d+)/", "project"),
        ("POST", r"/api/projects/(\d+)/import", "take_in"),
        ("GET", r"/api/import/file-upload/(\d+)", "uploaded"),
        ("GET", "/api/tasks/", "list_tasks"),
        ("GET", r"/api/tasks/(\d+)/", "task"),
        ("POST", r"/api/tasks/(\d+)/annotations/", "annotate"),
        ("GET", r"/api/users/(\d+)/", "user"),
        ("GET", "/data/(upload/.*)", "file"),
    )
    projects: Row = field(default_factory=dict)
    files: list[tuple[str, bytes]] = field(default_factory=list)
    tasks: Row = field(default_factory=dict)
    clock: int = 0

    def knows(self, authorization: str) -> bool:
        return authorization in {f"Token {KEY}", "Bearer short.lived.token"}

    def refresh(self, asked: Asked) -> Any:
        if asked.json["refresh"] != PERSONAL:
            raise Refusal(401, {"detail": "Token is invalid or expired"})
        return {"access": "short.lived.token"}

    def make_project(self, asked: Asked) -> Any:
        if len(asked.json["title"]) > 50:
            raise Refusal(400, {"title": "Ensure this field has no more than 50 characters."})
        root = ElementTree.fromstring(asked.json["label_config"])
        inputs = {one.get("name"): {"type": one.tag, "value": one.get("value", "")[1:]} for one in root.iter("Image")}
        config = {
            one.get("name"): {
                "type": one.tag,
                "to_name": [one.get("toName")],
                "inputs": [inputs[one.get("toName")]],
                "labels": [label.get("value") for label in one],
            }
            for one in root
            if one.get("toName")
        }
        number = len(self.projects) + 1
        self.projects[str(number)] = {"id": number, "title": asked.json["title"], "parsed_label_config": config}
        return self.projects[str(number)]

    def project(self, asked: Asked) -> Any:
        if asked.parts[0] not in self.projects:
            raise Refusal(404, {"detail": "No Project matches the given query."})
        return self.projects[asked.parts[0]]

    def take_in(self, asked: Asked) -> Any:
        (project,) = asked.parts
        if asked.headers["Content-Type"].startswith("multipart"):
            assert asked.query["commit_to_project"] == "false"
            # Of several files under one name the last is taken.
            given = {name: (file, data) for name, file, data in asked.form}
            first = len(self.files) + 1
            self.files += [(f"upload/{project}/{7:08x}-{file}", data) for file, data in given.values()]
            return {"file_upload_ids": list(range(first, len(self.files) + 1))}
        made = []
        for task in asked.json:
            number = len(self.tasks) + 1
            self.tasks[str(number)] = {"id": number, "project": int(project), "annotations": [], **task}
            made.append(number)
        return {"task_count": len(made)} | ({"task_ids": made} if asked.query.get("return_task_ids") else {})

    def uploaded(self, asked: Asked) -> Any:
        return {"id": int(asked.parts[0]), "file": self.files[int(asked.parts[0]) - 1][0]}

    def file(self, asked: Asked) -> Any:
        return dict(self.files)[asked.parts[0]]

    def list_tasks(self, asked: Asked) -> Any:
        selected = json.loads(asked.query["query"])["selectedItems"]
        found = [one for one in self.tasks.values() if str(one["project"]) == asked.query["project"]]
        if not selected["all"]:
            found = [one for one in found if one["id"] in selected["included"]]
        return {"tasks": found[: int(asked.query["page_size"])], "total": len(found)}

    def task(self, asked: Asked) -> Any:
        return self.tasks[asked.parts[0]]

    def annotate(self, asked: Asked) -> Any:
        self.clock += 1
        task = self.tasks[asked.parts[0]]
        made = {"id": self.clock, "updated_at": f"2026-01-01T00:00:{self.clock:02}Z", "completed_by": 1, **asked.json}
        task["annotations"].append({"was_cancelled": False, "ground_truth": False, **made})
        return made

    def user(self, asked: Asked) -> Any:
        return {"id": int(asked.parts[0]), "email": "ada@example.org"}


@dataclass
class CvatServer(Server):
    """Projects, tasks of pictures, jobs and annotations as the documentation of CVAT's API 2 has them."""

    routes = (
        ("POST", "/api/auth/login", "login"),
        ("POST", "/api/projects", "make_project"),
        ("GET", "/api/labels", "labels_of"),
        ("POST", "/api/tasks", "make_task"),
        ("DELETE", r"/api/tasks/(\d+)", "delete_task"),
        ("POST", r"/api/tasks/(\d+)/data", "fill"),
        ("GET", r"/api/requests/(\S+)", "request"),
        ("GET", r"/api/tasks/(\d+)/data/meta", "meta"),
        ("PUT", r"/api/tasks/(\d+)/annotations", "annotate"),
        ("GET", "/api/jobs", "jobs_of"),
        ("GET", r"/api/jobs/(\d+)/annotations", "annotations_of"),
        ("PUT", r"/api/jobs/(\d+)/annotations", "annotate"),
        ("PATCH", r"/api/jobs/(\d+)", "change_job"),
    )
    labels: list[Row] = field(default_factory=list)
    tasks: Row = field(default_factory=dict)
    clock: int = 0
    waited: int = 0

    def knows(self, authorization: str) -> bool:
        return authorization in {f"Bearer {PERSONAL}", f"Token {KEY}"}

    def login(self, asked: Asked) -> Any:
        if asked.json != {"username": "ada", "password": "secret"}:
            raise Refusal(400, {"non_field_errors": ["Unable to log in with provided credentials."]})
        return {"key": KEY}

    def make_project(self, asked: Asked) -> Any:
        self.labels = [one | {"id": 10 + place} for place, one in enumerate(asked.json["labels"])]
        return {"id": 3, "name": asked.json["name"]}

    def labels_of(self, asked: Asked) -> Any:
        if asked.query["project_id"] != "3":
            raise Refusal(404, {"detail": "No Project matches the given query."})
        return self._page(self.labels, asked)

    def _page(self, rows: list[Row], asked: Asked) -> Row:
        start = (int(asked.query["page"]) - 1) * int(asked.query["page_size"])
        part = rows[start : start + int(asked.query["page_size"])]
        return {"count": len(rows), "next": "more" if start + len(part) < len(rows) else None, "results": part}

    def make_task(self, asked: Asked) -> Any:
        assert asked.json["project_id"] == 3
        number = 100 + len(self.tasks)
        empty: Row = {"tags": [], "shapes": [], "tracks": []}
        job = {"id": number, "state": "new", "assignee": None, "updated_date": self._now()}
        self.tasks[str(number)] = {"id": number, "name": asked.json["name"], "files": [], "said": empty, "job": job}
        return {"id": number}

    def delete_task(self, asked: Asked) -> Any:
        del self.tasks[asked.parts[0]]
        return b""

    def fill(self, asked: Asked) -> Any:
        given = [(file, data) for name, file, data in asked.form if re.fullmatch(r"client_files\[\d+\]", name)]
        assert {name: data for name, _, data in asked.form if not name.startswith("client")} == {"image_quality": b"95"}
        # Frames stand in the order of their names.
        task = self.tasks[asked.parts[0]]
        task["files"] = sorted(given)
        task["job"] |= {"start_frame": 0, "stop_frame": len(given) - 1}
        return {"rq_id": f"action=create&target=task&id={asked.parts[0]}"}

    def request(self, _: Asked) -> Any:
        self.waited += 1
        return {"status": "finished" if self.waited % 2 == 0 else "started"}

    def meta(self, asked: Asked) -> Any:
        return {"frames": [{"name": name} for name, _ in self.tasks[asked.parts[0]]["files"]]}

    def annotate(self, asked: Asked) -> Any:
        task = self.tasks[asked.parts[0]]
        assert {one["label_id"] for one in [*asked.json["shapes"], *asked.json["tags"]]} <= {
            one["id"] for one in self.labels
        }
        # What is written gets an id of the server's own.
        text = json.dumps(asked.json)
        task["said"] = {name: json.loads(text)[name] for name in ("tags", "shapes", "tracks")}
        for place, one in enumerate([*task["said"]["shapes"], *task["said"]["tags"]]):
            one["id"] = 1000 * self.clock + place
        task["job"]["updated_date"] = self._now()
        return task["said"]

    def jobs_of(self, asked: Asked) -> Any:
        return self._page([self.tasks[asked.query["task_id"]]["job"]], asked)

    def annotations_of(self, asked: Asked) -> Any:
        return self.tasks[asked.parts[0]]["said"]

    def change_job(self, asked: Asked) -> Any:
        job = self.tasks[asked.parts[0]]["job"]
        job |= asked.json | {"updated_date": self._now()}
        return job

    def _now(self) -> str:
        self.clock += 1
        return f"2026-01-01T00:00:{self.clock:02}Z"


class LabelStudioDesk:
    """Labels tasks of a Label Studio, be it a real one, as its page does: by the API alone."""

    name = "label-studio"

    def __init__(self, rest: Any) -> None:
        self.rest = rest

    def finish(self, task: str, edit: Edit = as_it_is, *, skip: bool = False) -> None:
        found = self.rest.get(f"/api/tasks/{task}/")
        done = found["annotations"] or found["predictions"] or [{"result": []}]
        drawn = [one for one in done[-1]["result"] if one["type"] != "choices"]
        labels = [label for one in done[-1]["result"] if one["type"] == "choices" for label in one["value"]["choices"]]
        named = {one["id"]: one for one in drawn}
        boxes, labels = edit([_relative(one) for one in drawn], labels)
        result = [_region(one, named.get(one.get("id", ""))) for one in boxes]
        if labels:
            chosen = {"id": "chosen", "from_name": "choice", "to_name": "image", "type": "choices"}
            result.append(chosen | {"value": {"choices": labels}})
        self.rest.post(f"/api/tasks/{task}/annotations/", {"result": result, "was_cancelled": skip})


def _relative(region: Row) -> Row:
    value = region["value"]
    (label,) = value[region["type"]]
    if "points" in value:
        return {"id": region["id"], "label": label, "points": value["points"]}
    return {"id": region["id"], "label": label} | {name: value[name] / 100 for name in ("x", "y", "width", "height")}


def _region(box: Row, sent: Row | None) -> Row:
    kind = "polygonlabels" if "points" in box else "rectanglelabels"
    usual = {"id": "drawn-" + box["label"], "from_name": "label", "to_name": "image"}
    place: Row = (
        {"points": box["points"]}
        if "points" in box
        else {name: box[name] * 100 for name in ("x", "y", "width", "height")}
    )
    given = (sent or usual) | {"original_width": 100, "original_height": 100, "type": kind}
    return given | {"value": place | {kind: [box["label"]]}}


class CvatDesk:
    """Labels frames of a CVAT, and completes their jobs."""

    name = "cvat"

    def __init__(self, rest: Any, size: Callable[[str], tuple[int, int]]) -> None:
        self.rest, self.size = rest, size

    def finish(self, task: str, edit: Edit = as_it_is, *, skip: bool = False) -> None:
        del skip
        job, _, frame = task.partition("/")
        said = self.rest.get(f"/api/jobs/{job}/annotations")
        names = {
            one["id"]: one["name"]
            for one in self.rest.get("/api/labels", project_id=3, page=1, page_size=500)["results"]
        }
        numbers = {name: number for number, name in names.items()}
        own = {name: [one for one in said[name] if one["frame"] == int(frame)] for name in ("shapes", "tags")}
        size = self.size(task)
        boxes, labels = edit(
            [_parts(one, names, size) for one in own["shapes"]], [names[one["label_id"]] for one in own["tags"]]
        )
        usual = {"frame": int(frame), "group": 0, "source": "manual", "attributes": []}
        shapes = [usual | {"label_id": numbers[one["label"]], **_points(one, size)} for one in boxes]
        tags = [usual | {"label_id": numbers[one]} for one in labels]
        others = {name: [one for one in said[name] if one["frame"] != int(frame)] for name in ("shapes", "tags")}
        new = {"version": 0, "tracks": [], "shapes": others["shapes"] + shapes, "tags": others["tags"] + tags}
        self.rest.put(f"/api/jobs/{job}/annotations", new)
        self.rest._ask("PATCH", f"/api/jobs/{job}", json={"state": "completed", "assignee": {"username": "bo"}})


def _parts(shape: Row, names: dict[int, str], size: tuple[int, int]) -> Row:
    parts = [value / size[place % 2] for place, value in enumerate(shape["points"])]
    if shape["type"] == "polygon":
        points = [[x * 100, y * 100] for x, y in zip(parts[0::2], parts[1::2], strict=True)]
        return {"id": shape["id"], "label": names[shape["label_id"]], "points": points}
    left, top, right, bottom = parts
    box = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    return {"id": shape["id"], "label": names[shape["label_id"]], **box}


def _points(box: Row, size: tuple[int, int]) -> Row:
    wide, high = size
    usual = {"occluded": False, "z_order": 0, "rotation": 0.0}
    if "points" in box:
        points = [part * side / 100 for point in box["points"] for part, side in zip(point, size, strict=True)]
        return usual | {"type": "polygon", "points": points}
    right, bottom = box["x"] + box["width"], box["y"] + box["height"]
    return usual | {"type": "rectangle", "points": [box["x"] * wide, box["y"] * high, right * wide, bottom * high]}
