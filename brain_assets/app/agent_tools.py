"""What an agent may ask of datasets, and say of them: the review page's answers, short enough to be read by a model.

Everything reads published sets through the page's confined databases; what is said goes into the page's own store, under
the agent's name, where people see it and can take it back.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image, ImageDraw

from brain_assets.answers.differences import Pair, compare
from brain_assets.answers.published import BOOKKEEPING
from brain_assets.app.past import listed
from brain_assets.app.what_if import Supposed, what_if
from brain_assets.assets import catalog
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.events import Events
from brain_assets.resources.store.history import open_history
from brain_assets.review import endpoints, search
from brain_assets.review.detail import frame_of
from brain_assets.review.endpoints import Page
from brain_assets.review.refusal import Refused
from brain_assets.review.sets import OpenSet, Sets
from brain_assets.review.subjects import Row, cards_of, plain
from brain_assets.review.thumbnails import Pictures

Kind = Literal["tag", "untag", "keep", "drop", "confirm", "relabel"]
PairKind = Literal["not_copy", "same_scene"]
Correction = Literal["draw", "reshape", "relabel", "drop", "keep", "confirm"]
MOST_ROWS = 1000
MOST_ITEMS = 200
MOST_PICTURES = 12
# Of a picture that an agent sees; models scale what is larger down anyway.
SIDE = 768
FOUND = "#ff9f1c"
LABELLED = "#2ec4b6"
# What of a card tells a subject apart.
CARD = ("subject_id", "filepath", "split", "label", "prediction", "confidence", "tags", "decided", "error")
MOST_NEIGHBORS = 10


@dataclass
class Shown:
    """A picture with the words that say whose it is."""

    caption: str
    encoded: bytes
    format: str


class Reading:
    """What may be asked; nothing here changes anything.

    Parameters
    ----------
    home : Home
    agent : str
        The name under which the agent is known to reviewers.
    """

    def __init__(self, home: Home, agent: str) -> None:
        self.page = Page(Sets(home), Pictures(), agent)

    def close(self) -> None:
        """Let go of the sets that are open."""
        self.page.sets.close()
        self.page.pictures.close()

    def datasets(self) -> list[Row]:
        """List the datasets that can be asked about, with how many images and flagged issues each has.

        Begin here; then ask for the overview of one.
        """
        return [self._counts(name) for name in self.page.sets.datasets()]

    def _counts(self, name: str) -> Row:
        found = endpoints.overview(self.page, name, endpoints.OverviewQuestion())
        counts = {frame: told["count"] for frame, told in found["frames"].items()}
        return {"dataset": name, "version": found["version"], **counts, "flagged": _flagged(found["issues"])}

    def overview(self, dataset: str) -> Row:
        """Tell what is known of a dataset: what labels and predictions came in, and its issues in order of what they are worth.

        Of each issue: ``flagged`` and ``left`` to review, ``expected`` to be right among these, what it means and what to
        do about it. Ask for an issue's ``queue`` next. ``tables`` can be asked with ``sql``.
        """
        found = endpoints.overview(self.page, dataset, endpoints.OverviewQuestion())
        issues = [
            {
                "issue": row["issue"],
                "flagged": row["count"],
                "left": row["left"],
                "expected": round(row["expected"], 1),
                **{name: found["words"][row["issue"]][name] for name in ("title", "meaning", "advice")},
            }
            for row in found["issues"]
            if row["count"]
        ]
        frames = {frame: told["count"] for frame, told in found["frames"].items()}
        inputs = [one["says"] for one in found["inputs"]]
        return {"version": found["version"], **frames, "inputs": inputs, "issues": issues, "tables": found["tables"]}

    def queue(
        self,
        dataset: str,
        issue: str,
        offset: int = 0,
        limit: int = 50,
        reviewed: bool = False,  # noqa: FBT001, FBT002 - arguments of a call by name
        below: bool = False,  # noqa: FBT001, FBT002
    ) -> Row:
        """List the images or objects with an issue, the most severe first, each with the reason and the evidence.

        ``partners`` are the images meant by the evidence, such as the one that an image is a copy of. Subjects that were
        decided on are left out unless ``reviewed``; ``below`` lists those below the issue's threshold instead. At most 200
        come at once: go on with ``offset``.
        """
        _within("limit", limit, MOST_ITEMS)
        asked = endpoints.checked(
            endpoints.QueueQuestion, {"issue": issue, "offset": offset, "reviewed": reviewed, "below": below}
        )
        found = endpoints.queue(self.page, dataset, asked)
        items = [
            {
                **_card(item["subject"]),
                **{name: item[name] for name in ("score", "reason", "evidence")},
                "partners": [_card(one) for one in item["partners"]],
            }
            for item in found["items"][:limit]
        ]
        return {"total": found["total"], "remaining": found["remaining"], "items": items}

    def subject(self, dataset: str, id: str) -> Row:
        """Tell everything about one image or object: scores, issues with reasons, boxes, neighbours, what reviewers said."""
        found = endpoints.subject(self.page, dataset, endpoints.checked(endpoints.SubjectQuestion, {"id": id}))
        partners = found["partners"]
        neighbors = [
            _card(partners[one["neighbor_id"]]) | {"distance": one["distance"]}
            for one in found["neighbors"][:MOST_NEIGHBORS]
            if one["neighbor_id"] in partners
        ]
        return {
            **_card(found),
            "kind": found["frame"],
            "scores": {one["name"]: one["value"] for one in found["signals"]},
            "issues": [
                {name: row[name] for name in ("issue", "score", "is_issue", "object_id", "reason", "evidence")}
                for row in found["issue_rows"]
            ],
            "boxes": found["boxes"],
            "neighbors": neighbors,
            "neighbor_labels": found["neighbor_labels"],
            "history": found["history"],
        }

    def pictures(self, dataset: str, ids: Sequence[str], boxes: bool = False) -> list[Shown]:  # noqa: FBT001, FBT002
        """Show up to 12 images, or objects cut out with a margin, each below its name; ``boxes`` are drawn on images.

        Boxes of labels are green, those that a model found are orange.
        """
        _within("the number of ids", len(ids), MOST_PICTURES)
        with self.page.sets.use(dataset) as opened:
            return [self._shown(opened, dataset, one, boxes=boxes) for one in ids]

    def _shown(self, opened: OpenSet, dataset: str, subject: str, *, boxes: bool) -> Shown:
        frame = frame_of(opened, subject)
        found = cards_of(opened, frame, [subject], self.page.events(dataset))[subject]
        object_id = subject if frame == "objects" else None
        picture = self.page.pictures.picture(opened, found["sample_id"], "large", object_id)
        with Image.open(io.BytesIO(picture.encoded)) as image:
            drawn = image.convert("RGB")
        drawn.thumbnail((SIDE, SIDE))
        if boxes and object_id is None:
            _draw(drawn, found.get("boxes", ()))
        out = io.BytesIO()
        drawn.save(out, "JPEG", quality=85)
        label = found.get("label")
        said = f"{subject}: {found['filepath']}" + (f", labelled {_words(label)}" if label else "")
        return Shown(said, out.getvalue(), "jpeg")

    def tables(self, dataset: str) -> dict[str, dict[str, str]]:
        """Tell the columns of every table that ``sql`` can ask, each with its type and what it means."""
        publications = [*(one for signal in catalog.ALL for one in signal.publishes), *BOOKKEEPING]
        meanings = {one.table: one.columns for one in publications}
        with self.page.sets.use(dataset) as opened:
            return {
                table: {
                    name: f"{type_}: {meanings.get(table, {}).get(name, '')}".rstrip(": ")
                    for name, type_ in columns.items()
                }
                for table, columns in sorted(opened.tables.items())
            }

    def sql(self, dataset: str, query: str, limit: int = 100) -> Row:
        """Answer a SELECT over the published tables in DuckDB's SQL; at most 1000 rows come, ``more`` says whether some are left.

        It cannot change anything, reaches no file and no network, and ends after 10 seconds.
        """
        _within("limit", limit, MOST_ROWS)
        with self.page.sets.use(dataset) as opened:
            columns, rows = search.select(opened, query, limit + 1)
        shown = [{name: plain(value) for name, value in zip(columns, row, strict=True)} for row in rows[:limit]]
        return {"rows": shown, "more": len(rows) > limit}

    def similar(self, dataset: str, ids: Sequence[str] = (), text: str | None = None, k: int = 12) -> list[Row]:
        """Find what looks most like some images or objects (``ids``), or as a ``text`` says where the model knows words."""
        with self.page.sets.use(dataset) as opened:
            frame = frame_of(opened, ids[0]) if ids else "images"
        asked = endpoints.checked(endpoints.AlikeQuestion, {"ids": list(ids), "text": text, "k": k, "frame": frame})
        found = endpoints.find_alike(self.page, dataset, asked)
        cards: list[Row] = []
        for start in range(0, len(found["positions"]), 500):
            part = list(found["positions"][start : start + 500])
            cards += endpoints.rows(self.page, dataset, endpoints.RowsQuestion(frame=frame, positions=part))
        return [_card(card) | {"distance": distance} for card, distance in zip(cards, found["distances"], strict=True)]

    def versions(self, dataset: str) -> list[Row]:
        """List what was published when, the newest first; ``diff`` compares two of them."""
        with open_history(self.page.sets.paths(dataset).published) as history:
            return [{name: plain(value) for name, value in row.items()} for row in listed(history).to_pylist()]

    def diff(self, dataset: str, older: str, newer: str = "current") -> str:
        """Tell what is different between two versions, and why: numbers, tags or dates name them."""
        with open_history(self.page.sets.paths(dataset).published) as history:
            return str(compare(Pair.of_versions(history, history.at(older), history.at(newer))))

    def what_if(
        self,
        dataset: str,
        settings: Mapping[str, float | bool] | None = None,
        drop: Sequence[str] = (),
        relabel: bool = False,  # noqa: FBT001, FBT002
    ) -> str:
        """Tell which counts, gates and numbers would follow from other settings or decisions; nothing is changed.

        ``settings`` are numbers by dotted key, such as near_duplicates.threshold; ``drop`` supposes that all images with
        these issues are dropped, ``relabel`` that doubted labels are replaced by those that are suggested.
        """
        texts = {key: json.dumps(value) for key, value in (settings or {}).items()}
        if not (texts or drop or relabel):
            raise Refused(422, "say what to suppose: settings, drop or relabel")
        self.page.sets.paths(dataset)
        return str(what_if(self.page.sets.home, dataset, Supposed(texts, drop, relabel)))


class Reviewing(Reading):
    """What may be said beside what may be asked; the next run takes it in, and it can always be taken back."""

    def review(
        self, dataset: str, ids: Sequence[str], kind: Kind, value: str | None = None, issue: str | None = None
    ) -> Row:
        """Say something of some images, or of some objects: it is noted under your name, and counts from the next run on.

        ``tag`` and ``untag`` need the tag as ``value``, ``relabel`` the new label. ``keep`` says that nothing is wrong,
        ``confirm`` that the issue is right, ``drop`` takes the subject out of the dataset. ``issue`` is the queue in which
        you say it. ``undo`` takes the returned ``event_id`` back.
        """
        with self.page.sets.use(dataset) as opened:
            frames = {frame_of(opened, one) for one in ids}
        if len(frames) > 1:
            raise Refused(422, "say it of images and of objects apart")
        frame = next(iter(frames), "images")
        asked = endpoints.checked(
            endpoints.Said, {"ids": list(ids), "kind": kind, "value": value, "issue": issue, "frame": frame}
        )
        return dict(endpoints.say(self.page, dataset, asked))

    def review_pairs(self, dataset: str, ids: Sequence[str], kind: PairKind, issue: str | None = None) -> Row:
        """Say that images which were taken for copies of each other are ``not_copy``, or the ``same_scene`` shot again."""
        asked = endpoints.checked(endpoints.PairsSaid, {"ids": list(ids), "kind": kind, "issue": issue})
        return dict(endpoints.say_of_pairs(self.page, dataset, asked))

    def correct_object(
        self,
        dataset: str,
        sample: str,
        kind: Correction,
        object: str | None = None,
        label: str | None = None,
        box: Sequence[float] | None = None,
    ) -> Row:
        """Correct a labelled box of an image: ``draw`` a new one, ``reshape``, ``relabel`` or ``drop`` one.

        ``confirm`` makes a label of what a model found, ``keep`` says that nothing is wrong with it. ``box`` is x, y, width
        and height, relative to the image, from 0 to 1.
        """
        if box is not None and len(box) != 4:
            raise Refused(422, "box: four numbers are needed, x, y, width and height")
        shape = dict(zip(("x", "y", "width", "height"), box, strict=True)) if box is not None else None
        asked = endpoints.checked(
            endpoints.CorrectionSaid, {"sample": sample, "kind": kind, "object": object, "label": label, "shape": shape}
        )
        return dict(endpoints.correct(self.page, dataset, asked))

    def said(self, dataset: str) -> list[Row]:
        """List what you said of a dataset and did not take back, the last first."""
        return [event._asdict() for event in self._events(dataset).by(self.page.user)]

    def undo(self, dataset: str, event_id: int) -> Row:
        """Take back something that you said, by its ``event_id``; what people said is theirs."""
        if event_id not in {event.event_id for event in self._events(dataset).by(self.page.user)}:
            raise Refused(409, f"event {event_id} is not one of yours that still stands (said lists them)")
        return dict(endpoints.undo(self.page, dataset, endpoints.Undo(event_id=event_id)))

    def _events(self, dataset: str) -> Events:
        return self.page.events(dataset)


def _flagged(issues: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    return {row["issue"]: row["count"] for row in issues if row["count"]}


def _card(card: Mapping[str, Any]) -> Row:
    """Return of a card what tells its subject apart, without what is not known; the page's ``subject_id`` is ``id``."""
    shown = {name: card[name] for name in CARD if card.get(name) not in (None, [], {})}
    return {"id": shown.pop("subject_id"), **shown}


def _words(label: object) -> str:
    return ", ".join(map(str, label)) if isinstance(label, list) else str(label)


def _draw(image: Image.Image, boxes: Iterable[Mapping[str, Any]]) -> None:
    pen = ImageDraw.Draw(image)
    for box in boxes:
        left, top = box["x"] * image.width, box["y"] * image.height
        right, bottom = left + box["width"] * image.width, top + box["height"] * image.height
        colour = LABELLED if box["source"] == "ground_truth" else FOUND
        pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=2)
        pen.text((left + 3, top + 2), str(box["label"] or ""), fill=colour)


def _within(name: str, number: int, most: int) -> None:
    if not 1 <= number <= most:
        raise Refused(422, f"{name} must be from 1 to {most}, not {number}")


def as_text(answer: object) -> str:
    """Return an answer as compact JSON, or as it is where it is text."""
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
