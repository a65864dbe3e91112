"""What the page's scripts may ask, each answered by one short function over a validated question."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from brain_assets.answers.seen import Lookout
from brain_assets.ingest.accounting import accounts
from brain_assets.methods.similarity.metrics import Aggregation, Metric
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.validation import where, wrong
from brain_assets.resources.store.events import Event, Events
from brain_assets.review import alike, arrays, corrections, detail, detections, queues, search, subjects
from brain_assets.review.changes import changes
from brain_assets.review.columns import columns
from brain_assets.review.downloads import Form, download
from brain_assets.review.evaluation import evaluation, pairings
from brain_assets.review.first import first, priorities
from brain_assets.review.methods import MOST_NAMED, Methods
from brain_assets.review.refusal import Refused
from brain_assets.review.reviews import Selection, ids_of, images_of, record, synchronise
from brain_assets.review.security import GUEST
from brain_assets.review.sets import Frame, OpenSet, Sets, literal
from brain_assets.review.stage import Stage
from brain_assets.review.thresholds import cutoff_of, threshold_message
from brain_assets.review.thumbnails import Pictures
from brain_assets.review.wire import bits_of, pack

Identifier = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
# What databases hold in eight bytes, and JavaScript without loss.
Number = Annotated[int, Field(ge=0, le=2**53)]
Person = Annotated[str, Field(max_length=100)]
NEEDS_VALUE = {"tag", "untag", "relabel"}


@dataclass
class Page:
    """What the endpoints share."""

    sets: Sets
    pictures: Pictures
    user: str
    models: alike.Models = field(default_factory=alike.Models)
    methods: Methods | None = None
    stage: Stage | None = None
    lookout: Lookout = field(init=False)

    def __post_init__(self) -> None:
        self.lookout = Lookout(self.sets.home, self.models)

    def may_compute(self) -> Methods:
        """Return what computes; refuses where the page was started without."""
        if self.methods is None:
            raise Refused(404, "this page shows what is published, and computes nothing")
        return self.methods

    def events(self, dataset: str) -> Events:
        """Return the store of what people said about a dataset."""
        return Events(self.sets.paths(dataset).events)


class Question(BaseModel):
    """A question about one version of a dataset."""

    model_config = ConfigDict(extra="forbid")
    version: Identifier | None = None


class OverviewQuestion(Question):
    """What can be shown, now or as it was at a number, a tag or a date."""

    at: Name | None = None


class FrameQuestion(Question):
    """A question about images or objects."""

    frame: Frame = "images"


class ColumnQuestion(FrameQuestion):
    """A column by name, or a map by its run."""

    name: Name


class FindQuestion(FrameQuestion):
    """Which subjects meet an SQL condition or contain a text."""

    where: str = ""
    text: str = ""


class RowsQuestion(FrameQuestion):
    """What the grid shows of some positions."""

    positions: list[Number] = Field(max_length=500)


class SubjectQuestion(Question):
    """Everything about one image or object."""

    id: Identifier


class QueueQuestion(Question):
    """A page of an issue's queue."""

    issue: Name
    offset: Number = 0
    reviewed: bool = False
    below: bool = False


class IssueQuestion(Question):
    """An issue by name."""

    issue: Name


class ThresholdSaid(IssueQuestion):
    """Another threshold of an issue; none for the one that is fitted, or by default."""

    value: Annotated[float, Field(allow_inf_nan=False)] | None


class GroupsQuestion(Question):
    """A page of groups of duplicates."""

    table: Name
    brain_key: Name
    offset: Number = 0


class NewsQuestion(Question):
    """What changed between two runs."""

    before: Name
    after: Name


class EvaluationQuestion(Question):
    """How a model predicts a field, of images or of the objects in them, alone or beside another."""

    of: Frame = "images"
    field: Name
    model: Name
    other: Name | None = None
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None


class Chosen(FrameQuestion):
    """Some subjects: their ids, or bits over positions; who says something of them, and in which queue."""

    issue: Name | None = None
    by: Person = ""
    ids: list[Identifier] | None = Field(None, max_length=10_000)
    bits: str | None = None

    @property
    def selection(self) -> Selection:
        """Who is meant."""
        return Selection(self.frame, self.ids, self.bits)


class Taken(Chosen):
    """A selection as a file."""

    form: Form


class Said(Chosen):
    """Something said about some subjects."""

    kind: Literal["tag", "untag", "keep", "drop", "confirm", "relabel"]
    value: Name | None = None


class PairsSaid(Chosen):
    """What some images are to each other."""

    kind: Literal["not_copy", "same_scene"]
    ids: list[Identifier] = Field(min_length=2, max_length=50)


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Shape(BaseModel):
    """A box, and where known the outline in it as rings of x and y in turn, all relative to the image."""

    model_config = ConfigDict(extra="forbid")
    x: Share
    y: Share
    width: Annotated[float, Field(gt=0, le=1)]
    height: Annotated[float, Field(gt=0, le=1)]
    polygon: list[Annotated[list[Share], Field(min_length=6, max_length=20_000)]] | None = None

    @model_validator(mode="after")
    def inside(self) -> "Shape":
        """Refuse what reaches out of the image."""
        if self.x + self.width > 1 + 1e-6 or self.y + self.height > 1 + 1e-6:
            raise ValueError("the box must lie inside the image")
        if any(len(ring) % 2 for ring in self.polygon or []):
            raise ValueError("a ring is x and y in turn")
        return self


class PartSought(BaseModel):
    """A part of an image, relative to it."""

    model_config = ConfigDict(extra="forbid")
    sample: Identifier
    x: Share
    y: Share
    width: Annotated[float, Field(gt=0, le=1)]
    height: Annotated[float, Field(gt=0, le=1)]


class AlikeQuestion(FrameQuestion):
    """What looks like some subjects, a picture, a part of an image, or words."""

    ids: list[Identifier] = Field([], max_length=1000)
    text: Annotated[str, Field(max_length=1000)] | None = None
    picture: str | None = None
    part: PartSought | None = None
    brain_key: Name = "embeddings"
    k: int = Field(48, ge=1, le=5000)
    farthest: bool = False
    aggregate: Aggregation = "mean"
    metric: Metric = "cosine"
    bits: str | None = None


class SeenQuestion(Question):
    """Whether a picture was ever seen: the bytes of its file in base64, never an address."""

    picture: str


class CorrectionSaid(Question):
    """A correction of one object of an image."""

    sample: Identifier
    kind: Literal["draw", "reshape", "relabel", "drop", "keep", "confirm"]
    object: Identifier | None = None
    label: Name | None = None
    shape: Shape | None = None
    like: Identifier | None = None
    issue: Name | None = None
    by: Person = ""


class Computed(FrameQuestion):
    """A further run of a method, over some images where ``bits`` over positions or ``where`` say so."""

    method: Name
    brain_key: Identifier
    bits: str | None = None
    where: Annotated[str, Field(max_length=4000)] = ""
    options: Annotated[dict[Name, Annotated[str, Field(max_length=1000)]], Field(max_length=100)] = {}


class RunQuestion(Question):
    """A declared run by its key."""

    brain_key: Identifier


class Undo(Question):
    """Takes an event back, by default the last."""

    event_id: Number | None = None
    by: Person = ""


class ViewSaid(Question):
    """Saves a view under a name, or forgets it where there is no state."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    state: dict[str, Any] | None = None
    by: Person = ""


class PictureQuestion(Question):
    """A picture of a sample, or of one of its objects; ``content`` only tells versions apart in the browser's cache."""

    size: Literal["thumb", "large", "full"] = "thumb"
    object: Identifier | None = None
    content: str = ""


Asked = TypeVar("Asked", bound=Question)


@dataclass(frozen=True)
class Answer(Generic[Asked]):
    """An endpoint: how the question is checked, who answers, and how many bytes it may have if not as many as all."""

    question: type[Asked]
    answer: Callable[[Page, str, Asked], Any]
    most_body: int | None = None


def routes(page: Page) -> list[Route]:
    """Return the endpoints over a page's state."""
    return [
        Route("/api/datasets", _endpoint(page, Answer(Question, lambda page, _, __: page.sets.datasets()))),
        *(Route(f"/api/{{dataset}}/{name}", _endpoint(page, answer)) for name, answer in READING.items()),
        *(
            Route(f"/api/{{dataset}}/{name}", _endpoint(page, answer), methods=["POST"], max_body_size=answer.most_body)
            for name, answer in POSTED.items()
        ),
        Route("/seen", _endpoint(page, SEEN), methods=["POST"], max_body_size=SEEN.most_body),
        Route("/image/{dataset}/{sample}", _picture_endpoint(page)),
    ]


def _endpoint(page: Page, answer: Answer[Any]) -> Callable[[Request], Any]:
    async def respond(request: Request) -> Response:
        asked = _as_guest(request, page, checked(answer.question, await _given(request)))
        found = await run_in_threadpool(answer.answer, asked[0], request.path_params.get("dataset", ""), asked[1])
        if isinstance(found, bytes):
            return Response(found, media_type="application/octet-stream")
        return JSONResponse(found)

    return respond


def _as_guest(request: Request, page: Page, question: Asked) -> tuple[Page, Asked]:
    """Have who came by an invitation speak in their own name alone."""
    guest = request.scope.get(GUEST)
    if not guest:
        return page, question
    own = {"by": guest} if "by" in type(question).model_fields else {}
    theirs = copy(page)
    theirs.user = guest
    # To review is what they were invited to; what is computed stands in the dataset's file.
    theirs.methods = None
    return theirs, question.model_copy(update=own)


async def _given(request: Request) -> Any:
    if request.method != "POST":
        return dict(request.query_params)
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise Refused(422, "the body is not JSON") from None


def checked(model: type[Asked], given: Any) -> Asked:
    """Return a question that was asked as plain values; raises Refused (422) with what is wrong with it."""
    try:
        # JSON can name a half of a surrogate pair, which no database, file or answer can hold.
        json.dumps(given, ensure_ascii=False).encode()
        return model.model_validate(given)
    except UnicodeEncodeError:
        raise Refused(422, "a text in the question is not Unicode: it holds half of a surrogate pair") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused(422, f"{where(first)}: {wrong(first)}") from None


# -- reading -----------------------------------------------------------------------------------


def overview(page: Page, dataset: str, question: OverviewQuestion) -> Any:
    """Return what can be shown of a dataset: version, frames with their columns and maps, issues, groups, runs."""
    asked = question.version or (page.sets.past_version(dataset, question.at) if question.at else None)
    with page.sets.use(dataset, asked) as opened:
        synchronise(opened, page.events(dataset))
        return {
            "dataset": dataset,
            "version": opened.version,
            "past": opened.past[1].name if opened.past else None,
            "user": page.user,
            "tables": sorted(opened.tables),
            "damaged": sorted(opened.damaged),
            "frames": {frame: _frame(page, opened, frame) for frame in opened.frames()},
            "issues": priorities(opened, page.events(dataset)),
            "words": queues.words(opened),
            "evaluated": [
                *(row | {"of": "images"} for row in pairings(opened)),
                *(row | {"of": "objects"} for row in detections.pairings(opened)),
            ],
            "groups": queues.group_tables(opened),
            "runs": queues.runs(opened),
            "inputs": inputs(opened),
            "staged": page.stage is not None and page.stage.dataset == dataset,
        }


def inputs(opened: OpenSet) -> Any:
    """Return what became of labels and predictions, a line for each, and whether somebody should look at it."""
    return [{"says": str(one), "lossy": one.is_lossy} for one in accounts(opened.database.cursor())]


def _frame(page: Page, opened: OpenSet, frame: Frame) -> Any:
    listed = [{"name": c.name, "kind": c.kind, "group": c.group} for c in columns(opened, frame).values()]
    return {
        "count": opened.count(frame),
        "columns": listed,
        "maps": arrays.maps(opened, frame),
        "alike": alike.offered(opened, page.sets.home, frame),
    }


def first_screen(page: Page, dataset: str, question: Question) -> Any:
    """Return the issues in the order in which they should be looked at, their worst cases, and what changed."""
    with page.sets.use(dataset, question.version) as opened:
        return first(opened, page.events(dataset))


def versions(page: Page, dataset: str, question: Question) -> Any:
    """Return what was published that can be shown as it was, the newest first."""
    return [{"number": one.number, "name": one.name, "samples": one.samples} for one in page.sets.versions(dataset)]


def version(page: Page, dataset: str, question: Question) -> Any:
    """Return the version that is current now."""
    return {"version": page.sets.current_version(dataset)}


def column(page: Page, dataset: str, question: ColumnQuestion) -> bytes:
    """Return a column's values."""
    with page.sets.use(dataset, question.version) as opened:
        synchronise(opened, page.events(dataset))
        return arrays.column_message(opened, question.frame, question.name)


def coordinates(page: Page, dataset: str, question: ColumnQuestion) -> bytes:
    """Return a map's coordinates."""
    with page.sets.use(dataset, question.version) as opened:
        return arrays.map_message(opened, question.frame, question.name)


def subject(page: Page, dataset: str, question: SubjectQuestion) -> Any:
    """Return everything about one image or object."""
    with page.sets.use(dataset, question.version) as opened:
        return detail.detail(opened, question.id, page.events(dataset))


def queue(page: Page, dataset: str, question: QueueQuestion) -> Any:
    """Return a page of an issue's queue."""
    with page.sets.use(dataset, question.version) as opened:
        events = page.events(dataset)
        return queues.queue(
            opened, question.issue, events, offset=question.offset, reviewed=question.reviewed, below=question.below
        )


def threshold(page: Page, dataset: str, question: IssueQuestion) -> bytes:
    """Return where an issue begins, and the values that this is compared with."""
    with page.sets.use(dataset, question.version) as opened:
        return threshold_message(opened, question.issue, page.methods)


def groups(page: Page, dataset: str, question: GroupsQuestion) -> Any:
    """Return a page of groups of duplicates."""
    with page.sets.use(dataset, question.version) as opened:
        return queues.groups(opened, question.table, question.brain_key, page.events(dataset), offset=question.offset)


def news(page: Page, dataset: str, question: NewsQuestion) -> Any:
    """Return what changed between two runs."""
    with page.sets.use(dataset, question.version) as opened:
        return queues.news(opened, question.before, question.after)


def changed(page: Page, dataset: str, question: NewsQuestion) -> Any:
    """Return in lines what is different after one run from what was after another, and why."""
    with page.sets.use(dataset, question.version) as opened:
        return changes(opened, page.sets.paths(dataset).published, question.before, question.after)


def evaluate(page: Page, dataset: str, question: EvaluationQuestion) -> Any:
    """Return how a model's predictions compare with the labels."""
    with page.sets.use(dataset, question.version) as opened:
        if question.of == "objects":
            asked = question.field, question.model, question.other, question.confidence
            return detections.evaluation(opened, *asked)
        return evaluation(opened, question.field, question.model, question.other)


def views(page: Page, dataset: str, question: Question) -> Any:
    """Return the saved views."""
    return page.events(dataset).views()


def staged(page: Page, dataset: str, question: Question) -> Any:
    """Return what the program that serves the page wants it to show, and to have selected."""
    return _stage(page, dataset).state()


def _stage(page: Page, dataset: str) -> Stage:
    if page.stage is None or page.stage.dataset != dataset:
        raise Refused(404, "no program says what this page shows")
    return page.stage


def methods(page: Page, dataset: str, question: Question) -> Any:
    """Return the methods that can have further runs, none where the page computes nothing."""
    return [asdict(one) for one in page.methods.offered(dataset)] if page.methods else []


def progress(page: Page, dataset: str, question: Question) -> Any:
    """Return what is being done about a dataset."""
    return asdict(page.may_compute().progress(dataset))


READING: dict[str, Answer[Any]] = {
    "overview": Answer(OverviewQuestion, overview),
    "version": Answer(Question, version),
    "versions": Answer(Question, versions),
    "first": Answer(Question, first_screen),
    "column": Answer(ColumnQuestion, column),
    "map": Answer(ColumnQuestion, coordinates),
    "subject": Answer(SubjectQuestion, subject),
    "queue": Answer(QueueQuestion, queue),
    "threshold": Answer(IssueQuestion, threshold),
    "groups": Answer(GroupsQuestion, groups),
    "news": Answer(NewsQuestion, news),
    "changes": Answer(NewsQuestion, changed),
    "evaluation": Answer(EvaluationQuestion, evaluate),
    "views": Answer(Question, views),
    "staged": Answer(Question, staged),
    "methods": Answer(Question, methods),
    "progress": Answer(Question, progress),
}


# -- asked or said with a body -----------------------------------------------------------------


def find(page: Page, dataset: str, question: FindQuestion) -> bytes:
    """Return who meets a condition and contains a text, as bits over positions."""
    with page.sets.use(dataset, question.version) as opened:
        count = opened.count(question.frame)
        synchronise(opened, page.events(dataset))
        if page.stage is not None:
            page.stage.make(opened)
        found = np.arange(count)
        if question.where.strip():
            found = search.find_where(opened, question.frame, question.where)
        if question.text.strip():
            found = np.intersect1d(
                found, search.find_text(opened, question.frame, question.text.strip()), assume_unique=True
            )
        return pack({"count": len(found)}, {"bits": bits_of(found, count)})


def find_alike(page: Page, dataset: str, question: AlikeQuestion) -> Any:
    """Return who looks like what is sought, nearest first."""
    given = question.model_dump(exclude={"version", "part"}) | {"ids": tuple(question.ids)}
    part = alike.Part(**question.part.model_dump()) if question.part else None
    with page.sets.use(dataset, question.version) as opened:
        return alike.find_alike(opened, page.sets.home, alike.Sought(**given, part=part), page.pictures, page.models)


def rows(page: Page, dataset: str, question: RowsQuestion) -> Any:
    """Return what the grid shows of some positions."""
    with page.sets.use(dataset, question.version) as opened:
        return subjects.cards_at(opened, question.frame, question.positions, page.events(dataset))


def select(page: Page, dataset: str, said: Chosen) -> Any:
    """Tell the program that serves the page what is selected on it; nothing where neither ids nor bits are given."""
    stage, ids, images = _stage(page, dataset), [], []
    with page.sets.use(dataset, said.version) as opened:
        if said.ids or said.bits is not None:
            ids = ids_of(opened, said.selection)
            images = images_of(opened, ids) if said.frame == "objects" else ids
    return {"selection": stage.select(images, ids if said.frame == "objects" else ())}


def take(page: Page, dataset: str, asked: Taken) -> bytes:
    """Return a selection as a file to take along."""
    events = page.events(dataset)
    with page.sets.use(dataset, asked.version) as opened:
        synchronise(opened, events)
        return download(opened, asked.selection, asked.form, events)


def say(page: Page, dataset: str, said: Said) -> Any:
    """Note a tag or a decision."""
    value = " ".join(said.value.split()) if said.kind in ("tag", "untag") and said.value else said.value
    if (said.kind in NEEDS_VALUE) != bool(value):
        raise Refused(422, f"{said.kind} {'needs' if said.kind in NEEDS_VALUE else 'takes no'} value")
    event = Event(said.kind, said.by.strip() or page.user, value, said.issue)
    with page.sets.change(dataset, said.version) as opened:
        event_id, count = record(opened, said.selection, event, page.events(dataset))
    return {"event_id": event_id, "count": count}


def correct(page: Page, dataset: str, said: CorrectionSaid) -> Any:
    """Note a correction of an object."""
    shape = said.shape.model_dump() if said.shape else None
    asked = corrections.Corrected(said.sample, said.kind, said.object, said.label, shape, said.like)
    event = Event(said.kind, said.by.strip() or page.user, None, said.issue)
    with page.sets.change(dataset, said.version) as opened:
        event_id, object_id = corrections.correct(opened, asked, event, page.events(dataset))
    return {"event_id": event_id, "object_id": object_id}


def approve(page: Page, dataset: str, said: Chosen) -> Any:
    """Make labels of what models found in some images, or of some objects that they found."""
    by = said.by.strip() or page.user
    with page.sets.change(dataset, said.version) as opened:
        ids, events = ids_of(opened, said.selection), page.events(dataset)
        if said.frame == "objects":
            found = corrections.approve(opened, ids, Event("confirm", by, None, said.issue), events)
        else:
            found = corrections.approve_labels(opened, ids, Event("relabel", by, None, said.issue), events)
    return dict(zip(("event_id", "count", "left_out"), found, strict=True))


def say_of_pairs(page: Page, dataset: str, said: PairsSaid) -> Any:
    """Note what images are to each other."""
    event = Event(said.kind, said.by.strip() or page.user, None, said.issue)
    with page.sets.change(dataset, said.version) as opened:
        event_id, count = corrections.say_of_pairs(opened, said.ids, event, page.events(dataset))
    return {"event_id": event_id, "count": count}


def undo(page: Page, dataset: str, said: Undo) -> Any:
    """Take an event back."""
    events = page.events(dataset)
    event_id = events.latest_undoable() if said.event_id is None else said.event_id
    if event_id is None or events.undo(event_id, said.by.strip() or page.user) is None:
        raise Refused(409, "there is nothing to undo")
    return {"undone": event_id}


def save_view(page: Page, dataset: str, said: ViewSaid) -> Any:
    """Save or forget a view, and return those that are left."""
    events = page.events(dataset)
    events.save_view(said.name, said.state, said.by.strip() or page.user)
    return events.views()


def compute(page: Page, dataset: str, asked: Computed) -> Any:
    """Have a further run of a method computed, over all samples, or those that meet a condition or are chosen."""
    where = asked.where.strip() or None
    if asked.bits is not None:
        with page.sets.use(dataset, asked.version) as opened:
            ids = ids_of(opened, Selection("images", bits=asked.bits))
        if len(ids) > MOST_NAMED:
            raise Refused(422, f"a run can name {MOST_NAMED} images one by one: give a condition over samples instead")
        where = f"sample_id in ({', '.join(map(literal, ids))})"
    with _in_a_line():
        page.may_compute().compute(dataset, asked.method, asked.brain_key, where, asked.options)
    return {"where": where}


def suppose(page: Page, dataset: str, asked: ThresholdSaid) -> Any:
    """Return what would follow from another threshold; nothing is changed."""
    with _in_a_line():
        return page.may_compute().suppose(dataset, cutoff_of(asked.issue).setting, asked.value)


def assign(page: Page, dataset: str, asked: ThresholdSaid) -> Any:
    """Write a threshold into the dataset's file, and have what follows computed."""
    setting = cutoff_of(asked.issue).setting
    with _in_a_line():
        return {"setting": setting, "overridden": page.may_compute().assign(dataset, setting, asked.value)}


def delete_run(page: Page, dataset: str, asked: RunQuestion) -> Any:
    """Have a declared run deleted."""
    with _in_a_line():
        page.may_compute().delete(dataset, asked.brain_key)
    return {"deleted": asked.brain_key}


def cancel(page: Page, dataset: str, asked: Question) -> Any:
    """Ask for what is being computed to stop."""
    return {"cancelled": page.may_compute().cancel(dataset)}


@contextmanager
def _in_a_line() -> Iterator[None]:
    try:
        yield
    except BrainError as error:
        raise Refused(422, str(error)) from None


def was_seen(page: Page, _: str, question: SeenQuestion) -> Any:
    """Return where a picture was seen: by any dataset of the home, or in fingerprints that were taken in."""
    (answer,) = page.lookout.look([("picture", alike.file_of(question.picture))])
    return {"error": answer.error, "seen": answer.as_json()["seen"], "not_looked_at": page.lookout.missing}


SEEN = Answer(SeenQuestion, was_seen, most_body=alike.MOST_PICTURE * 3 // 2)
POSTED: dict[str, Answer[Any]] = {
    "find": Answer(FindQuestion, find),
    "alike": Answer(AlikeQuestion, find_alike, most_body=alike.MOST_PICTURE * 3 // 2),
    "rows": Answer(RowsQuestion, rows),
    "select": Answer(Chosen, select),
    "take": Answer(Taken, take),
    "say": Answer(Said, say),
    "correct": Answer(CorrectionSaid, correct),
    "approve": Answer(Chosen, approve),
    "say-of-pairs": Answer(PairsSaid, say_of_pairs),
    "undo": Answer(Undo, undo),
    "save-view": Answer(ViewSaid, save_view),
    "compute": Answer(Computed, compute),
    "suppose": Answer(ThresholdSaid, suppose),
    "assign": Answer(ThresholdSaid, assign),
    "delete-run": Answer(RunQuestion, delete_run),
    "cancel": Answer(Question, cancel),
}


# -- pictures ----------------------------------------------------------------------------------


def _picture_endpoint(page: Page) -> Callable[[Request], Any]:
    async def respond(request: Request) -> Response:
        question = checked(PictureQuestion, dict(request.query_params))
        dataset, sample = request.path_params["dataset"], request.path_params["sample"]
        picture = await run_in_threadpool(_picture, page, dataset, sample, question)
        headers = {
            "etag": picture.tag,
            "cache-control": "private, max-age=604800" if question.content else "private, no-cache",
        }
        if request.headers.get("if-none-match") == picture.tag:
            return Response(status_code=304, headers=headers)
        return Response(picture.encoded, media_type=picture.media_type, headers=headers)

    return respond


def _picture(page: Page, dataset: str, sample: str, question: PictureQuestion) -> Any:
    with page.sets.use(dataset, question.version) as opened:
        return page.pictures.picture(opened, sample, question.size, question.object)
