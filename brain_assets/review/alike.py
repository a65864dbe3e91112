"""Finding subjects by what they look like: like others, like a picture or a part of one, or as words say."""

import base64
import binascii
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from brain_assets.answers.similar import Question, searchable, similar
from brain_assets.methods.similarity.metrics import Aggregation, Metric
from brain_assets.resources.errors import BrainError
from brain_assets.resources.models.embedding_models import EmbeddingModel, load_model, model_version
from brain_assets.resources.settings.home import Home
from brain_assets.review.refusal import Refused
from brain_assets.review.sets import Frame, OpenSet
from brain_assets.review.subjects import Row
from brain_assets.review.thumbnails import Pictures
from brain_assets.review.wire import positions_of

# What a picture that is looked for may weigh; its pixels have the limits of the dataset's own.
MOST_PICTURE = 20 << 20


@dataclass(frozen=True)
class Part:
    """A part of an image, relative to its width and height."""

    sample: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Sought:
    """What to look for; of ``ids``, ``text``, ``picture`` (base64 of a file) and ``part`` one is given.

    ``bits`` (base64, lowest bit first) are the positions that may be answers, by default all.
    """

    frame: Frame
    brain_key: str
    ids: tuple[str, ...] = ()
    text: str | None = None
    picture: str | None = None
    part: Part | None = None
    k: int = 48
    farthest: bool = False
    aggregate: Aggregation = "mean"
    metric: Metric = "cosine"
    bits: str | None = None


class Models:
    """Keeps the model that was asked for last, as long as its version is the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded = lru_cache(maxsize=1)(lambda uri, version, options: load_model(uri, **dict(options)))

    def __call__(self, uri: str, **options: Any) -> EmbeddingModel:
        """Return the model, as `load_model` does."""
        with self._lock:
            return self._loaded(uri, model_version(uri, **options), tuple(options.items()))


def offered(opened: OpenSet, home: Home, frame: Frame) -> list[Row]:
    """Return the runs with vectors of a frame's subjects: brain_key, subjects, model, by_text, by_picture."""
    with opened.lock:
        if "searchable" not in opened.memo:
            opened.memo["searchable"] = _searchable(opened, home)
    return [
        {
            "brain_key": one.brain_key,
            "subjects": one.subjects,
            "model": one.model,
            "by_text": one.by_text,
            "by_picture": one.by_picture,
        }
        for one in opened.memo["searchable"]
        if one.of_objects == (frame == "objects")
    ]


def _searchable(opened: OpenSet, home: Home) -> Any:
    try:
        return searchable(home, opened.paths.name, opened.cursor())
    except BrainError:
        # Settings that cannot be read are told by whoever needs them; what is published is shown all the same.
        return []


def find_alike(opened: OpenSet, home: Home, sought: Sought, pictures: Pictures, models: Models) -> Row:
    """Return the ``positions`` of what is like that which is sought, nearest (or farthest) first, and the ``distances``.

    Raises
    ------
    Refused
        422 in one line: nothing to look for, an unknown run, a model that knows no words, a picture that is no picture or
        too large; 404 for a part of an unknown image.
    """
    image = None
    if sought.part is not None:
        part = sought.part
        image = pictures.part(opened, part.sample, (part.x, part.y, part.width, part.height))
    elif sought.picture is not None:
        image = file_of(sought.picture)
    try:
        question = Question(
            ids=sought.ids, text=sought.text, image=image, k=sought.k, farthest=sought.farthest,
            aggregate=sought.aggregate, metric=sought.metric, brain_key=sought.brain_key,
            among=opened.ids(sought.frame)[positions_of(sought.bits, opened.count(sought.frame))] if sought.bits else None,
        )  # fmt: skip
        found = similar(home, opened.paths.name, opened.cursor(), question, models)
    except BrainError as error:
        raise Refused(422, str(error)) from None
    positions = opened.positions(sought.frame, found["subject_id"].to_pylist())
    known = [pair for pair in zip(positions, found["distance"].to_pylist(), strict=True) if pair[0] >= 0]
    return {"positions": [position for position, _ in known], "distances": [distance for _, distance in known]}


def file_of(picture: str) -> bytes:
    """Return the bytes of a picture that was sent in base64; raises Refused for what is none, or too large."""
    try:
        encoded = base64.b64decode(picture, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(422, "the picture is not base64") from None
    if not encoded or len(encoded) > MOST_PICTURE:
        raise Refused(
            422, f"the picture has {len(encoded) / 1e6:.1f} MB; at most {MOST_PICTURE / 1e6:.0f} MB are looked at"
        )
    return encoded
