"""Images sent to a label tool, as tasks with what is known of each: those of a queue, or those that meet a condition."""

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote

from brain_assets.ingest.ground_truth import reviewed_field
from brain_assets.labelling.comparing import as_sent
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.label_formats.annotations import GROUND_TRUTH
from brain_assets.resources.label_tools.door import Classes, Content, LabelTool, Outgoing, Region
from brain_assets.resources.settings.configuration import DatasetSettings, load_dataset
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.events import Events, standing
from brain_assets.resources.store.label_tasks import LabelTasks, Place, Task
from brain_assets.review import queues
from brain_assets.review.corrections import additional, boxes_of, usual_field
from brain_assets.review.refusal import Refused
from brain_assets.review.search import find_where
from brain_assets.review.sets import OpenSet, Sets
from brain_assets.review.subjects import AMONG, Row, fetch
from brain_assets.review.thumbnails import Pictures, original
from brain_assets.signals.registry import issue_named

# So many pictures are held at once, and are lost on the way at most.
BATCH = 50
# What browsers show, by the first bytes; anything else is sent as a picture of all its pixels.
SHOWN = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp"}
SAMPLES = f"""
    select sample_id, filepath, content_hash, width, height from samples where status = 'ok' and sample_id in {AMONG}"""
LABELS = f"select sample_id, labels from ground_truth where label_field = ? and sample_id in {AMONG}"
OBJECT_CLASSES = (
    "select distinct label, polygon is not null as outlined from objects where source = 'ground_truth' order by all"
)
IMAGE_CLASSES = """
    select distinct unnest(labels) as label, len(labels) > 1 as several from ground_truth where label_field = ? order by all"""


@dataclass(frozen=True)
class Order:
    """What is sent.

    Attributes
    ----------
    issue : str, optional
        The queue: its images that nobody has decided on, the most severe first.
    where : str, optional
        A condition in SQL over images, as on the review page.
    limit : int, optional
        At most so many images.
    model : str, optional
        What this model found and no label holds is proposed, too.
    image_url : str, optional
        What an image's path is put behind to have the address at which the tool finds it; without, pictures are uploaded.
    """

    issue: str | None = None
    where: str | None = None
    limit: int | None = None
    model: str | None = None
    image_url: str | None = None


class Sent(NamedTuple):
    """What was sent: how many images, proposed regions, and images that were out already or cannot be sent, and why."""

    project: str
    link: str
    images: int
    proposed: int
    already: int
    left_out: Mapping[str, str]

    def __str__(self) -> str:
        told = [
            f"sent {self.images} images with {self.proposed} proposed labels to project {self.project}: {self.link}"
        ]
        if self.already:
            told.append(f"{self.already} were out already")
        if self.left_out:
            name, why = next(iter(self.left_out.items()))
            told.append(f"{len(self.left_out)} cannot be sent, such as {name}: {why}")
        return "; ".join(told)


@dataclass
class _Sending:
    """A dataset whose images are being sent."""

    opened: OpenSet
    settings: DatasetSettings
    events: Events
    order: Order
    pictures: Pictures
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def field(self) -> str:
        return reviewed_field(self.settings)

    def chosen(self) -> dict[str, list[str]]:
        """Return the images, each with the subjects for which it is sent."""
        found: dict[str, list[str]] = defaultdict(list)
        if self.order.issue:
            about_labels = issue_named(self.order.issue).relabels
            for row in queues.undecided(self.opened, self.order.issue, self.events):
                # Whether a copy is one, or a picture too dark, nobody says by labelling.
                found[row["sample_id"]] += [row["subject_id"]] if about_labels or row["object_id"] else []
        if self.order.where:
            places = find_where(self.opened, "images", self.order.where)
            met = dict.fromkeys(one.decode() for one in self.opened.ids("images")[places].tolist())
            return {one: found[one] for one in (found if self.order.issue else met) if one in met}
        return dict(found)

    def classes(self) -> Classes:
        """Return the classes that the dataset has: of boxes, of outlines and of whole images."""
        drawn = fetch(self.opened, OBJECT_CLASSES) if self.opened.has("objects", "label", "polygon") else []
        named = fetch(self.opened, IMAGE_CLASSES, [self.field]) if self.opened.has("ground_truth", "labels") else []
        boxes = {row["label"] for row in drawn if row["label"]}
        labels = {row["label"] for row in named if row["label"]}
        declared = set(self.settings.classes)
        if not boxes and not labels and not declared:
            raise MissingError(
                "the dataset has no classes that a project could take: declare them with 'brain set NAME classes=[...]', or"
                " make a project there and name it by --project"
            )
        outlined = any(row["outlined"] for row in drawn)
        return Classes(
            frozenset(boxes | declared) if boxes or not labels else None,
            frozenset(boxes | declared) if outlined else None,
            frozenset(labels | declared) if labels else None,
            any(row["several"] for row in named),
        )

    def tasks(self, chosen: Mapping[str, Sequence[str]], takes: Classes) -> Iterator[tuple[Outgoing, Row]]:
        """Yield the images that can be sent, with what their tasks remember."""
        ids = list(chosen)
        rows = {row["sample_id"]: row for row in fetch(self.opened, SAMPLES, [ids])}
        boxes = boxes_of(self.opened, ids, self.events, None)
        labels, several = self._labels(ids, rows)
        for sample in ids:
            if not (row := rows.get(sample)):
                self.left_out[sample] = "it is dropped, or cannot be read"
                continue
            regions = list(self._regions(boxes[sample], set(chosen[sample]), takes))
            content = Content(
                [region for region, _ in regions] if takes.boxes is not None or takes.outlines is not None else None,
                labels.get(sample, []) if takes.labels is not None else None,
            )
            about = {
                "size": [row["width"], row["height"]], "flagged": list(chosen[sample]), "labels": content.labels,
                "regions": [as_sent(region, known) for region, known in regions], "several": several,
                "label_field": usual_field(self.opened),
            }  # fmt: skip
            if image := self._outgoing(row, content):
                yield image, about | {"content_hash": row["content_hash"]}

    def _labels(self, ids: Sequence[str], rows: Mapping[str, Row]) -> tuple[dict[str, list[str]], bool]:
        """Return the classes of whole images as reviewers left them, and whether an image may have several."""
        given = fetch(self.opened, LABELS, [self.field, list(ids)]) if self.opened.has("ground_truth", "labels") else []
        found = {row["sample_id"]: [one for one in row["labels"] or [] if one] for row in given}
        several = any(len(one) > 1 for one in found.values())
        for sample, aspects in standing(self.events.decisions(ids)).items():
            said = aspects.get("label")
            if said and said.value and sample in rows and said.content_hash == rows[sample]["content_hash"]:
                found[sample] = [one.strip() for one in said.value.split(",")] if several else [said.value]
        return found, several

    def _regions(self, boxes: Iterable[Row], flagged: set[str], takes: Classes) -> Iterator[tuple[Region, Row]]:
        """Yield what is proposed of an image: its labels, what it is sent for, and what the model found beside them."""
        there = [one for one in boxes if not one.get("dropped")]
        labels = [one for one in there if one["source"] == GROUND_TRUTH]
        found = [one for one in there if one["source"] != GROUND_TRUTH and one["object_id"] in flagged]
        asked = {one["object_id"] for one in there if one["source"] == self.order.model} - flagged
        for one in [*labels, *found, *additional([*labels, *found], there, asked)]:
            box, polygon = (one["x"], one["y"], one["width"], one["height"]), one.get("polygon")
            if takes.outlines is None or (not polygon and takes.boxes is not None):
                polygon = None
            elif not polygon:
                x, y, right, bottom = one["x"], one["y"], one["x"] + one["width"], one["y"] + one["height"]
                polygon = [[x, y, right, y, right, bottom, x, bottom]]
            if takes.boxes is None and takes.outlines is None:
                return
            known = {"object": one["object_id"], "source": one["source"], "label_field": one.get("label_field")}
            yield Region(one["object_id"], one["label"], box, polygon), known

    def _outgoing(self, row: Row, content: Content) -> Outgoing | None:
        """Return an image as it is sent, or None and note why it cannot be."""
        sample, name = row["sample_id"], PurePosixPath(row["filepath"])
        about = {"dataset": self.opened.paths.name} | ({"issue": self.order.issue} if self.order.issue else {})
        size = row["width"] or 0, row["height"] or 0
        if self.order.image_url:
            address = self.order.image_url + quote(row["filepath"])
            return Outgoing(sample, row["filepath"], size, content, about, address=address)
        try:
            picture = self._picture(row)
        except (OSError, ValueError, BrainError, Refused) as error:
            self.left_out[row["filepath"]] = " ".join(str(error).split())
            return None
        suffix = next((end for start, end in SHOWN.items() if picture.startswith(start)), ".jpg")
        # As it is called there: readable, and no other's.
        file = f"{sample[:12]}-{name.stem[-80:].replace('#', '-')}{suffix}"
        return Outgoing(sample, row["filepath"], size, content, about, file=file, picture=picture)

    def _picture(self, row: Row) -> bytes:
        """Return the file of an image where browsers show such files, else a picture of all its pixels."""
        source = original(self.opened.paths, row["filepath"])
        data = (
            source.read_bytes()
            if isinstance(source, Path)
            else source.getvalue()
            if isinstance(source, io.BytesIO)
            else b""
        )
        if any(data.startswith(start) for start in SHOWN):
            return data
        return self.pictures.picture(self.opened, row["sample_id"], "full").encoded


def send(
    home: Home,
    name: str,
    tool: LabelTool,
    project: str | None,
    order: Order,
    told: Callable[[str], object] | None = None,
) -> Sent:
    """Send images of a dataset to a project of a label tool, those left out that are out there already.

    Parameters
    ----------
    home : Home
    name : str
    tool : LabelTool
    project : str, optional
        What the tool calls it; without one, a project is made that is called like the dataset and has its classes.
    order : Order
    told : callable, optional
        Is told in a line what was sent so far.

    Raises
    ------
    BrainError
        In one line, if nothing is published, the project has not the classes that are proposed, or the server fails; what
        was sent before that is noted and is not sent again.
    """
    paths = home.existing(name)
    settings, events, tasks = load_dataset(paths.config).settings, Events(paths.events), LabelTasks(paths.label_tasks)
    sets, pictures = Sets(home), Pictures()
    try:
        with sets.use(name) as opened:
            sending = _Sending(opened, settings, events, order, pictures)
            chosen = sending.chosen()
            if not chosen:
                raise MissingError(f"nothing is left to send of {name}: {order.issue or order.where}")
            place = Place(tool.name, tool.url, project or tool.create(name, sending.classes()))
            out = tasks.out(place)
            fresh = [one for one in chosen if one not in out][: order.limit]
            sent = _in_batches(sending, {one: chosen[one] for one in fresh}, tool, place, tasks, told)
            already = len(chosen.keys() & out)
            return Sent(place.project, tool.link(place.project), *sent, already, sending.left_out)
    except Refused as error:
        raise ConfigurationError(error.message) from None
    finally:
        sets.close()
        pictures.close()


def _in_batches(
    sending: _Sending,
    chosen: Mapping[str, Sequence[str]],
    tool: LabelTool,
    place: Place,
    tasks: LabelTasks,
    told: Callable[[str], object] | None,
) -> tuple[int, int]:
    """Send images, and note each batch when it is there; return how many, with how many proposed labels."""
    takes, ids, images, proposed = tool.classes(place.project), list(chosen), 0, 0
    title = " ".join([sending.opened.paths.name, sending.order.issue or "", sending.opened.version]).replace("  ", " ")
    for start in range(0, len(ids), BATCH):
        part = {one: chosen[one] for one in ids[start : start + BATCH]}
        ready = list(sending.tasks(part, takes))
        _check_classes([image.content for image, _ in ready], takes, place)
        names = tool.send(place.project, title, [image for image, _ in ready]) if ready else []
        tasks.put(
            Task(place, task, image.sample_id, about.pop("content_hash"), about, sending.order.issue)
            for task, (image, about) in zip(names, ready, strict=True)
        )
        images += len(ready)
        proposed += sum(len(image.content.regions or ()) + len(image.content.labels or ()) for image, _ in ready)
        if told and len(ids) > BATCH:
            told(f"sent {images} of {len(ids)}")
    return images, proposed


def _check_classes(contents: Iterable[Content], takes: Classes, place: Place) -> None:
    """Raise ConfigurationError where a project has not the classes that are proposed."""
    missing: set[str] = set()
    for content in contents:
        for one in content.regions or ():
            missing |= {one.label} - ((takes.outlines if one.polygon else takes.boxes) or frozenset())
        missing |= set(content.labels or ()) - (takes.labels or frozenset())
    if missing:
        raise ConfigurationError(
            f"project {place.project} has no class {', '.join(map(repr, sorted(missing)[:10]))}: add it to the project's"
            " labelling interface, or leave --project out to have a project made"
        )
