"""Label Studio: a task for each image, what is proposed as a prediction, finished annotations as work."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any
from xml.sax.saxutils import quoteattr

from brain_assets.resources.errors import ConfigurationError, SourceError
from brain_assets.resources.label_formats.annotations import Row, Unusable, around
from brain_assets.resources.label_formats.labelled import LabelledObject
from brain_assets.resources.label_formats.labelstudio import choices_of, drawn_in, object_of, region_of
from brain_assets.resources.label_tools.door import Asked, Classes, Content, Finished, Outgoing, Region
from brain_assets.resources.label_tools.rest import Rest

KEY = "LABEL_STUDIO_API_KEY"
ADVICE = f"the environment variable {KEY} must hold an access token of an account that may do so"
# An access token that a personal one is exchanged for holds for five minutes.
FRESH_SECONDS = 240
BATCH = 100
PROPOSED_BY = "brain-assets"


class LabelStudio:
    """A server of Label Studio.

    Parameters
    ----------
    url : str
        Where it is; the access token is in ``LABEL_STUDIO_API_KEY``.

    Raises
    ------
    ConfigurationError
        If there is no token, or ``url`` is no address.
    """

    name = "label-studio"
    title = "Label Studio"

    def __init__(self, url: str) -> None:
        if not (key := os.environ.get(KEY, "").strip()):
            raise ConfigurationError(
                f"set the environment variable {KEY} to an access token (Account & Settings there)"
            )
        self.rest = Rest(url, self.title, _headers(url, key), ADVICE)
        self.url = self.rest.url

    def create(self, title: str, classes: Classes) -> str:
        """Make a project that takes these classes; return what the tool calls it."""
        # Longer titles are refused.
        made = self.rest.post("/api/projects/", {"title": title[:50], "label_config": labelling_config(classes)})
        return str(made["id"])

    def classes(self, project: str) -> Classes:
        """Return what a project takes; raises SourceError where there is no such project."""
        controls = self._controls(project)
        boxes, outlines, labels = (frozenset(one["labels"]) if one else None for one in controls.values())
        return Classes(boxes, outlines, labels)

    def _controls(self, project: str) -> dict[str, Row]:
        """Return how the project's configuration calls what it takes: of boxes, outlines and whole images."""
        config = self.rest.get(f"/api/projects/{project}/")["parsed_label_config"] or {}
        found: dict[str, Row] = {kind: {} for kind in ("RectangleLabels", "PolygonLabels", "Choices")}
        for name, control in config.items():
            about = [one for one in control.get("inputs", []) if one["type"] == "Image"]
            if about and control["type"] in found and not found[control["type"]]:
                said = {"from_name": name, "to_name": control["to_name"][0], "key": about[0]["value"]}
                found[control["type"]] = said | {"labels": control.get("labels") or []}
        if not any(found.values()):
            raise SourceError(
                f"project {project} of {self.title} takes neither boxes, outlines nor classes of an image: give its labelling"
                " interface RectangleLabels, PolygonLabels or Choices of an Image, or leave --project out to make one"
            )
        return found

    def link(self, project: str) -> str:
        """Return the address at which people open a project."""
        return f"{self.url}/projects/{project}/data"

    def send(self, project: str, title: str, images: Sequence[Outgoing]) -> Sequence[str]:
        """Make tasks of images; return what the tool calls each, in their order."""
        del title
        controls = self._controls(project)
        addresses = self._uploaded(project, [one for one in images if not one.address])
        tasks = [_task(one, one.address or addresses[one.file], controls) for one in images]
        made = self.rest.post(f"/api/projects/{project}/import", tasks, return_task_ids="true")
        if len(ids := made.get("task_ids") or []) != len(tasks):
            raise SourceError(f"{self.title} made {len(ids)} tasks of {len(tasks)}: look at {self.link(project)}")
        return [str(one) for one in ids]

    def _uploaded(self, project: str, images: Sequence[Outgoing]) -> dict[str, str]:
        """Put pictures on the server; return where it serves each, by its file's name."""
        if not images:
            return {}
        files = [(f"file{place}", (one.file, one.picture, kind_of(one.picture))) for place, one in enumerate(images)]
        made = self.rest.upload(f"/api/projects/{project}/import", files, {}, commit_to_project="false")
        found = {}
        for one, number in zip(images, made["file_upload_ids"], strict=True):
            found[one.file] = "/data/" + str(self.rest.get(f"/api/import/file-upload/{number}")["file"]).lstrip("/")
        return found

    def finished(self, project: str, asked: Sequence[Asked]) -> Iterator[Finished]:
        """Yield the work on these tasks that is done and is not in the state that was taken in already."""
        takes, names = self.classes(project), cache(self._person)
        for start in range(0, len(asked), BATCH):
            known = {one.task: one for one in asked[start : start + BATCH]}
            for task in self._tasks(project, known):
                own = known[str(task["id"])]
                given = [one for one in task.get("annotations") or [] if not one.get("draft")]
                mark = _mark(given)
                if given and mark != own.mark:
                    yield _finished(task, mark, takes, own, names)

    def _tasks(self, project: str, known: Mapping[str, Asked]) -> Iterator[Row]:
        selected = {"all": False, "included": [int(one) for one in known]}
        query = json.dumps({"selectedItems": selected})
        answer = self.rest.get("/api/tasks/", project=project, fields="all", page=1, page_size=len(known), query=query)
        yield from (one for one in answer["tasks"] if str(one["id"]) in known)

    def _person(self, number: int) -> str:
        try:
            person = self.rest.get(f"/api/users/{number}/")
        except SourceError:
            return f"user {number}"
        return str(person.get("email") or person.get("username") or f"user {number}")


def _headers(url: str, key: str) -> Any:
    """Return what tells who asks: an old token itself; a personal one is exchanged for one that holds for minutes."""
    if key.count(".") != 2:
        return lambda: {"Authorization": f"Token {key}"}
    held: dict[str, Any] = {"until": 0.0}

    def fresh() -> Mapping[str, str]:
        if time.monotonic() > held["until"]:
            given = Rest(url, LabelStudio.title, dict, ADVICE).post("/api/token/refresh", {"refresh": key})
            held.update(access=given["access"], until=time.monotonic() + FRESH_SECONDS)
        return {"Authorization": f"Bearer {held['access']}"}

    return fresh


def labelling_config(classes: Classes) -> str:
    """Return the labelling interface of a project that takes these classes."""
    parts = ['<Image name="image" value="$image" zoom="true"/>']
    kinds = (
        ("RectangleLabels", "label", "Label"),
        ("PolygonLabels", "outline", "Label"),
        ("Choices", "choice", "Choice"),
    )
    for (tag, name, entry), given in zip(kinds, (classes.boxes, classes.outlines, classes.labels), strict=True):
        if given is not None:
            entries = "".join(f"<{entry} value={quoteattr(one)}/>" for one in sorted(given))
            several = ' choice="multiple"' if classes.several and tag == "Choices" else ""
            parts.append(f'<{tag} name="{name}" toName="image"{several}>{entries}</{tag}>')
    return f"<View>{''.join(parts)}</View>"


def kind_of(picture: bytes) -> str:
    """Return what kind of file a picture is, by its first bytes."""
    starts = {b"\xff\xd8": "image/jpeg", b"\x89PNG": "image/png", b"RIFF": "image/webp", b"GIF8": "image/gif"}
    return next((kind for start, kind in starts.items() if picture.startswith(start)), "application/octet-stream")


def _task(image: Outgoing, address: str, controls: Mapping[str, Row]) -> Row:
    key = next(one["key"] for one in controls.values() if one)
    data = {key: address, "sample_id": image.sample_id, "filepath": image.filepath, **image.about}
    result = [*_proposed(image, controls)]
    return {"data": data, "predictions": [{"model_version": PROPOSED_BY, "result": result}] if result else []}


def _proposed(image: Outgoing, controls: Mapping[str, Row]) -> Iterator[Row]:
    size = {"original_width": image.size[0], "original_height": image.size[1], "image_rotation": 0}
    for one in image.content.regions or ():
        region = region_of(LabelledObject(one.label, one.box, one.polygon), one.name, size)
        control = controls["PolygonLabels" if one.polygon else "RectangleLabels"]
        yield region | {name: control[name] for name in ("from_name", "to_name")}
    if image.content.labels:
        control = {name: controls["Choices"][name] for name in ("from_name", "to_name")}
        yield {"id": "labels", "type": "choices", **control, "value": {"choices": list(image.content.labels)}}


def _mark(annotations: Sequence[Row]) -> str:
    return " ".join(sorted(f"{one['id']}@{one.get('updated_at')}" for one in annotations))


def _finished(task: Row, mark: str, takes: Classes, asked: Asked, person: Any) -> Finished:
    given = task["annotations"]
    done = [one for one in given if not one.get("was_cancelled")]
    said = ([one for one in done if one.get("ground_truth")] or done or given)[-1].get("completed_by")
    by = str(said.get("email") or said.get("id")) if isinstance(said, dict) else person(said) if said else "somebody"
    if not done:
        return Finished(asked.task, mark, by, None)
    content, unusable = _content(list(drawn_in(task)), takes, asked)
    return Finished(asked.task, mark, by, content, unusable)


def _content(drawn: Sequence[Any], takes: Classes, asked: Asked) -> tuple[Content, dict[str, str]]:
    """Return what was drawn and chosen, and what of it cannot be used."""
    regions, labels, unusable = list[Region](), list[str](), dict[str, str]()
    for place, one in enumerate(drawn):
        name = str(one.get("id", place)) if isinstance(one, dict) else f"annotation {place}"
        if isinstance(one, dict) and "choices" in one.get("value", {}):
            labels += choices_of(one)
            continue
        try:
            regions.append(_region(name, object_of(one, {"image_id": f"task {asked.task}"})))
        except Unusable as fault:
            unusable[name] = ": ".join(filter(None, fault.args))
        except Exception as error:  # noqa: BLE001 - one odd region costs itself only
            unusable[name] = f"unreadable: {error}"
    draws = takes.boxes is not None or takes.outlines is not None
    return Content(regions if draws else None, labels if takes.labels is not None else None), unusable


def _region(name: str, row: Row) -> Region:
    polygon = row.get("polygon")
    x, y, width, height = row.get("box") or around(polygon)
    return Region(name, row["label"], (x, y, width, height), polygon)
