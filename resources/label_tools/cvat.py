"""CVAT: a task for each hundred of images, what is proposed as its annotations, completed jobs as work."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any
from xml.etree.ElementTree import Element

from brain_assets.resources.errors import ConfigurationError, SourceError
from brain_assets.resources.label_formats.annotations import Row, Unusable, around
from brain_assets.resources.label_formats.cvat import shape_of
from brain_assets.resources.label_formats.labelled import LabelledObject
from brain_assets.resources.label_tools.door import Asked, Classes, Content, Finished, Outgoing, Region
from brain_assets.resources.label_tools.labelstudio import kind_of
from brain_assets.resources.label_tools.rest import Rest

TOKEN, USER, PASSWORD = "CVAT_ACCESS_TOKEN", "CVAT_USERNAME", "CVAT_PASSWORD"
ADVICE = f"the environment must hold an access token of an account that may do so ({TOKEN}), or {USER} and {PASSWORD}"
BATCH = 100
PAGE = 500
PATIENCE_SECONDS, PAUSE_SECONDS = 600.0, 0.5
# How its JSON calls what its XML does.
ELEMENTS = {"rectangle": "box", "polygon": "polygon", "mask": "mask", "ellipse": "ellipse"}


class Cvat:
    """A server of CVAT.

    Parameters
    ----------
    url : str
        Where it is; who asks is in ``CVAT_ACCESS_TOKEN``, or in ``CVAT_USERNAME`` and ``CVAT_PASSWORD``.

    Raises
    ------
    ConfigurationError
        If the environment does not say who asks, or ``url`` is no address.
    """

    name = "cvat"
    title = "CVAT"

    def __init__(self, url: str) -> None:
        if not os.environ.get(TOKEN) and not (os.environ.get(USER) and os.environ.get(PASSWORD)):
            raise ConfigurationError(
                f"set the environment variable {TOKEN} to an access token, or {USER} and {PASSWORD}"
            )
        self.rest = Rest(url, self.title, lambda: {"Authorization": self._authorization}, ADVICE)
        self.url = self.rest.url

    @cached_property
    def _authorization(self) -> str:
        if token := os.environ.get(TOKEN):
            return f"Bearer {token}"
        login = {"username": os.environ[USER], "password": os.environ[PASSWORD]}
        return f"Token {Rest(self.url, self.title, dict, ADVICE).post('/api/auth/login', login)['key']}"

    def create(self, title: str, classes: Classes) -> str:
        """Make a project that takes these classes; return what the tool calls it."""
        drawn = (classes.boxes or frozenset()) | (classes.outlines or frozenset())
        kinds = dict.fromkeys(classes.labels or (), "tag") | dict.fromkeys(drawn, "any")
        labels = [{"name": name, "type": kind, "attributes": []} for name, kind in sorted(kinds.items())]
        return str(self.rest.post("/api/projects", {"name": title, "labels": labels})["id"])

    def classes(self, project: str) -> Classes:
        """Return what a project takes; raises SourceError where there is no such project."""
        labels = self._labels(project)
        kinds = (("rectangle", "any"), ("polygon", "any"), ("tag", "any"))
        boxes, outlines, tags = (
            frozenset(one["name"] for one in labels if one["type"] in kind) or None for kind in kinds
        )
        return Classes(boxes, outlines, tags)

    def _labels(self, project: str) -> list[Row]:
        return self._all("/api/labels", project_id=project)

    def _all(self, path: str, **query: object) -> list[Row]:
        """Return the entries of all pages of a list."""
        found: list[Row] = []
        while True:
            answer = self.rest.get(path, page=len(found) // PAGE + 1, page_size=PAGE, **query)
            found += answer["results"]
            if not answer.get("next") or not answer["results"]:
                return found

    def link(self, project: str) -> str:
        """Return the address at which people open a project."""
        return f"{self.url}/projects/{project}"

    def send(self, project: str, title: str, images: Sequence[Outgoing]) -> Sequence[str]:
        """Make tasks of up to a hundred images; return what the tool calls each image, in their order: task and frame."""
        if any(one.address for one in images):
            raise ConfigurationError("CVAT is sent pictures, not addresses: leave --image-url out")
        numbers = {one["name"]: one["id"] for one in self._labels(project)}
        found: list[str] = []
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            number = len(images) > BATCH and f" ({start // BATCH + 1})"
            task = str(
                self.rest.post("/api/tasks", {"name": f"{title}{number or ''}", "project_id": int(project)})["id"]
            )
            try:
                frames = self._filled(task, batch, numbers)
            except SourceError:
                # Nobody shall label half of a task.
                self.rest.delete(f"/api/tasks/{task}")
                raise
            found += [f"{task}/{frame}" for frame in frames]
        return found

    def _filled(self, task: str, images: Sequence[Outgoing], numbers: Mapping[str, int]) -> list[int]:
        """Give a task its pictures and what is proposed of each; return the frame of each."""
        files = [
            (f"client_files[{place}]", (one.file, one.picture, kind_of(one.picture)))
            for place, one in enumerate(images)
        ]
        begun = self.rest.upload(f"/api/tasks/{task}/data", files, {"image_quality": "95"})
        self._wait(str(begun["rq_id"]))
        named = {
            one["name"]: place for place, one in enumerate(self.rest.get(f"/api/tasks/{task}/data/meta")["frames"])
        }
        frames = [named[one.file] for one in images]
        shapes = [_shape(one, image, frame, numbers) for image, frame in zip(images, frames, strict=True)
                  for one in image.content.regions or ()]  # fmt: skip
        tags = [_entry(label, frame, numbers) for image, frame in zip(images, frames, strict=True)
                for label in image.content.labels or ()]  # fmt: skip
        if shapes or tags:
            self.rest.put(
                f"/api/tasks/{task}/annotations", {"version": 0, "tags": tags, "shapes": shapes, "tracks": []}
            )
        return frames

    def _wait(self, request: str) -> None:
        """Wait until the server has taken pictures in."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            state = self.rest.get(f"/api/requests/{request}")
            if state["status"] == "finished":
                return
            if state["status"] == "failed":
                raise SourceError(
                    f"{self.title} cannot use the pictures: {' '.join(str(state.get('message')).split())}"
                )
            if time.monotonic() > deadline:
                raise SourceError(f"{self.title} has not taken in the pictures within {PATIENCE_SECONDS:.0f} seconds")
            time.sleep(PAUSE_SECONDS)

    def finished(self, project: str, asked: Sequence[Asked]) -> Iterator[Finished]:
        """Yield the work on these images whose job is completed and is not in the state that was taken in already."""
        labels = self._labels(project)
        takes, names = self.classes(project), {one["id"]: one["name"] for one in labels}
        wanted: dict[str, dict[int, Asked]] = {}
        for one in asked:
            task, _, frame = one.task.partition("/")
            wanted.setdefault(task, {})[int(frame)] = one
        for task, frames in wanted.items():
            for job in self._all("/api/jobs", task_id=task):
                mark = f"{job['id']}@{job['updated_date']}"
                own = [frames[place] for place in range(job["start_frame"], job["stop_frame"] + 1) if place in frames]
                if job["state"] == "completed" and any(one.mark != mark for one in own):
                    yield from self._job(job, mark, own, takes, names)

    def _job(
        self, job: Row, mark: str, own: Sequence[Asked], takes: Classes, names: Mapping[int, str]
    ) -> Iterator[Finished]:
        said = self.rest.get(f"/api/jobs/{job['id']}/annotations")
        by = str((job.get("assignee") or {}).get("username") or "somebody")
        for one in own:
            frame = int(one.task.partition("/")[2])
            shapes = [shape for shape in said["shapes"] if shape["frame"] == frame]
            tags = [names[tag["label_id"]] for tag in said["tags"] if tag["frame"] == frame]
            regions, unusable = _regions(shapes, one, names)
            unusable |= {
                f"track {track['id']}": "tracks are not read" for track in said["tracks"] if track["frame"] == frame
            }
            draws = takes.boxes is not None or takes.outlines is not None
            content = Content(regions if draws else None, tags if takes.labels is not None else None)
            yield Finished(one.task, mark, by, content, unusable)


def _entry(label: str, frame: int, numbers: Mapping[str, int]) -> Row:
    return {"frame": frame, "label_id": numbers[label], "group": 0, "source": "manual", "attributes": []}


def _shape(one: Region, image: Outgoing, frame: int, numbers: Mapping[str, int]) -> Row:
    drawn = LabelledObject(one.label, one.box, one.polygon)
    points = drawn.ring(*image.size) if one.polygon else list(drawn.corners(*image.size))
    kind = "polygon" if one.polygon else "rectangle"
    return _entry(one.label, frame, numbers) | {
        "type": kind, "points": points, "occluded": False, "z_order": 0, "rotation": 0.0,
    }  # fmt: skip


def _regions(shapes: Sequence[Row], asked: Asked, names: Mapping[int, str]) -> tuple[list[Region], dict[str, str]]:
    """Return shapes as regions, and why others are none."""
    regions, unusable = list[Region](), dict[str, str]()
    for shape in shapes:
        try:
            regions.append(_region(shape, asked.size, names))
        except Unusable as fault:
            unusable[f"shape {shape.get('id')}"] = ": ".join(filter(None, fault.args))
        except Exception as error:  # noqa: BLE001 - one odd shape costs itself only
            unusable[f"shape {shape.get('id')}"] = f"unreadable: {error}"
    return regions, unusable


def _region(shape: Row, size: tuple[int, int], names: Mapping[int, str]) -> Region:
    row = shape_of(_element(shape))
    rings = row.get("polygon")
    x, y, width, height = row.get("box") or around(rings)
    wide, high = size
    sides = (wide, high)
    parts = [[value / sides[place % 2] for place, value in enumerate(ring)] for ring in rings] if rings else None
    box = (x / wide, y / high, width / wide, height / high)
    return Region(f"shape {shape.get('id')}", names[shape["label_id"]], box, parts)


def _element(shape: Row) -> Element:
    """Return a shape of the server's JSON as one of its XML."""
    kind, points = ELEMENTS.get(shape["type"], str(shape["type"])), shape["points"]
    given: dict[str, Any] = {"rotation": shape.get("rotation", 0)}
    if kind == "box":
        given |= dict(zip(("xtl", "ytl", "xbr", "ybr"), points, strict=True))
    elif kind == "polygon":
        given["points"] = ";".join(f"{x},{y}" for x, y in zip(points[0::2], points[1::2], strict=True))
    elif kind == "ellipse":
        across, down, right, top = points
        given |= {"cx": across, "cy": down, "rx": right - across, "ry": down - top}
    elif kind == "mask":
        *runs, left, top, right, bottom = (int(value) for value in points)
        given |= {"rle": ",".join(map(str, runs)), "left": left, "top": top}
        given |= {"width": right - left + 1, "height": bottom - top + 1}
    return Element(kind, {name: str(value) for name, value in given.items()})
