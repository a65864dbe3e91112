"""Settings of a dataset and of the service: what may be said, where it may be said, and what holds.

Precedence: run-time argument > environment (``BRAIN_SIMILARITY_K=30``) > file > default.
"""

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.fiftyone_samples import file_and_field
from brain_assets.resources.settings.validation import OURS, nearest, wrong
from brain_assets.resources.written_yaml import settings_in

ENVIRONMENT_PREFIX = "BRAIN_"
# How an entry looks of what must be a list and is easily taken for a single value.
EXAMPLES = {
    "labels": "; write [{uri: FILE_OR_FOLDER}], [{uri: folder}] or [{uri: name}] for classes in the names of folders or images",
    "predictions": "; write [{uri: FILE_OR_FOLDER}]",
    "gates": "; write [{metric: unreadable_share, limit: 0.001}]",
    "runs": "; write [{brain_key: KEY, method: METHOD}]",
}


DOTTED = r"[\w.]+:\w+"
LABEL_FORMATS = "brain_assets.label_formats"
"""Entry points by which other packages bring formats of labels."""
FORMATS = (
    "auto", "csv", "tsv", "parquet", "jsonl", "ndjson", "json", "xlsx", "coco", "yolo", "voc", "cvat", "labelme",
    "labelstudio", "via", "supervisely", "fiftyone", "fiftyone-dataset", "kitti", "dota", "lists", "numbered", "webdataset",
    "createml", "cityscapes", "widerface", "yolo-classes",
)  # fmt: skip


def _require_known(name: str, ours: Collection[str], group: str, *forms: str) -> None:
    """Raise PydanticCustomError where a name is none of ours, and no other package brings it.

    ``forms`` are what else may be written, as it is told.
    """
    if name in ours:
        return
    names = [*ours, *sorted(entry.name for entry in entry_points(group=group))]
    if name not in names:
        *others, last = [*map(repr, names), *forms]
        raise PydanticCustomError(
            "literal_error", "Input should be {expected}", {"expected": f"{', '.join(others)} or {last}"}
        )


def _known_format(name: str) -> str:
    """Return the name of a format; raises PydanticCustomError where nobody brings it."""
    _require_known(name, FORMATS, LABEL_FORMATS)
    return name


def _regular(text: str) -> str:
    """Return a regular expression; raises PydanticCustomError where it is none."""
    try:
        re.compile(text)
    except re.error as error:
        raise PydanticCustomError(OURS, "is no regular expression: {reason}", {"reason": str(error)}) from None
    return text


NAMED_PART = "(?P<"


def _group(text: str) -> str:
    """Return the name of a column, or a regular expression with a named part; raises PydanticCustomError where it is neither."""
    if not text.strip() or (NAMED_PART not in text and re.search(r"[()\[\]*+?|\\]", text)):
        raise PydanticCustomError(
            OURS, "is neither a column's name nor a regular expression with a named part (?P<NAME>...)"
        )
    return _regular(text) if NAMED_PART in text else text


FormatName = Annotated[str, AfterValidator(_known_format)]

VECTOR_INDEXES = "brain_assets.vector_indexes"
"""Entry points by which other packages bring backends of vector indexes."""
BACKENDS = (
    "exact", "sklearn", "faiss", "qdrant", "redis", "milvus", "lancedb", "pgvector", "elasticsearch", "opensearch", "mongodb",
    "pinecone",
)  # fmt: skip


def _known_backend(name: str) -> str:
    """Return the name of a backend; raises PydanticCustomError where nobody brings it."""
    if not re.fullmatch(DOTTED, name):
        _require_known(name, BACKENDS, VECTOR_INDEXES, "'module:Class'")
    return name


Backend = Annotated[str, AfterValidator(_known_backend)]

ENGINES = "brain_assets.engines"
"""Entry points by which other packages bring engines."""
# Module, and the library that it needs, of each engine of the house.
OWN_ENGINES = {"threads": ("threads", ""), "ray": ("ray_cluster", "ray")}


def _known_engine(address: str) -> str:
    """Return what names an engine; raises PydanticCustomError where nobody brings it."""
    name = address.partition("://")[0]
    if not re.fullmatch(DOTTED, name):
        _require_known(name, OWN_ENGINES, ENGINES, "'ray://HOST:PORT'", "'module:Class'")
    return address


EngineAddress = Annotated[str, AfterValidator(_known_engine)]


class Section(BaseModel):
    """A group of settings; unknown keys are errors."""

    # Built when it is first used: the code location is loaded without.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class EmbeddingSettings(Section):
    """How images become vectors."""

    model: str = Field(
        "builtin:efficientnet-lite0",
        description="builtin:efficientnet-lite0, onnx:PATH, torchscript:PATH, hf:PATH_OR_NAME, timm:NAME,"
        " open_clip:NAME, precomputed:FILE or python:module:Factory; or a name of other tools: clip, clip336, dinov2s, dinov2b,"
        " resnet50, resnet18-imagenet-torch, mobilenet-v2-imagenet-torch.",
    )
    device: str | None = Field(
        None, description="Device to compute on (cpu, cuda, cuda:1); by default CUDA where there is one."
    )
    runtime: str | None = Field(
        None, description="Library that runs the model (torch or onnxruntime); by default what suits the device."
    )


def _without_password(url: str | None, instead: str) -> str | None:
    """Return an address; raises ValueError where it holds a password, saying how to give it instead."""
    if url and re.search(r"//[^/@]*:[^/@]+@", url):
        raise ValueError(f"a password has no place in a file: give it {instead}")
    return url


class IndexSettings(Section):
    """A vector index outside of the dataset's store. Credentials come from the environment alone."""

    url: str | None = Field(
        None,
        description="Address of the server, or a folder; by default, where a backend needs no server, the dataset's own folder.",
    )
    collection: str | None = Field(
        None, description="Collection, table or index that holds the vectors; by default named after dataset and run."
    )
    options: dict[str, Any] = Field(
        {}, description="What the collection is made with, as the backend's own client names it."
    )

    @field_validator("url")
    @classmethod
    def _has_no_password(cls, url: str | None) -> str | None:
        return _without_password(url, "by the environment (docs/backends.md)")


class SimilaritySettings(Section):
    """The graph of nearest neighbours."""

    k: int = Field(
        20,
        ge=1,
        le=200,
        description="Neighbours that every sample is guaranteed to have, where there are as many others.",
    )
    metric: Literal["cosine", "euclidean", "dotproduct", "manhattan"] = Field(
        "cosine", description="Distance between vectors."
    )
    exact_limit: int = Field(
        300_000,
        ge=1,
        description="Most distinct images that are all compared; above, and until a tenth fewer are left, each with those in or"
        " near the same cell.",
    )
    recall: float = Field(
        0.98,
        gt=0.5,
        le=1,
        description="Share of the true neighbours that lists are to hold above exact_limit; neighbor_recall has the real one.",
    )
    backend: Backend = Field(
        "exact",
        description=f"Where vectors are kept to be searched: exact is the published table alone; {', '.join(BACKENDS[1:])}, what"
        " another package brings, or module:Class keep an index of their own beside it.",
    )
    sklearn: IndexSettings = Field(default_factory=IndexSettings)
    faiss: IndexSettings = Field(default_factory=IndexSettings)
    qdrant: IndexSettings = Field(default_factory=IndexSettings)
    redis: IndexSettings = Field(default_factory=IndexSettings)
    milvus: IndexSettings = Field(default_factory=IndexSettings)
    lancedb: IndexSettings = Field(default_factory=IndexSettings)
    pgvector: IndexSettings = Field(default_factory=IndexSettings)
    elasticsearch: IndexSettings = Field(default_factory=IndexSettings)
    opensearch: IndexSettings = Field(default_factory=IndexSettings)
    mongodb: IndexSettings = Field(default_factory=IndexSettings)
    pinecone: IndexSettings = Field(default_factory=IndexSettings)
    other: IndexSettings = Field(default_factory=IndexSettings, description="For a backend of another package.")

    @property
    def index(self) -> IndexSettings:
        """Where and how the chosen backend keeps its index."""
        chosen: IndexSettings = getattr(self, self.backend if self.backend in BACKENDS[1:] else "other")
        return chosen


class OutlierSettings(Section):
    """Which images are outliers."""

    percentile: float | None = Field(
        None,
        gt=0,
        lt=100,
        description="So many percent of the images, the remotest from the body of the dataset, are outliers when the cut is"
        " fitted; by default those that are unusually remote.",
    )


class UniquenessSettings(Section):
    """How much a sample differs from those most like it."""

    mode: Literal["default", "compat"] = Field(
        "default",
        description="default: neighbours 1 to 3; compat: FiftyOne Brain's numbers (neighbours 2 to 4, centred).",
    )


class RepresentativenessSettings(Section):
    """How typical a sample is of its cluster."""

    mode: Literal["default", "compat"] = Field(
        "default",
        description="default: high near a cluster's centre; compat: FiftyOne Brain's numbers, high far from it.",
    )
    method: Literal["cluster-center", "cluster-center-downweight"] = Field(
        "cluster-center",
        description="cluster-center-downweight lowers samples near a more central one, so that the"
        " highest scores are not all of one kind.",
    )
    clusters: int = Field(20, ge=1, le=1000, description="Clusters, where there are at least five samples for each.")


OF_UMAP = {
    "n_components": "dimensions", "n_neighbors": "n_neighbors", "min_dist": "min_dist", "metric": "metric",
    "random_state": "seed",
}  # fmt: skip
"""Parameters of umap-learn that settings of the map give."""


class VisualizationSettings(Section):
    """The map of all samples."""

    method: Literal["umap", "tsne", "pca", "manual", "custom"] = Field(
        "umap", description="How positions are found; manual reads them from points, custom calls reducer."
    )
    implementation: Literal["own", "umap-learn"] = Field(
        "own",
        description="What makes a map of the method umap: a kernel of our own, from the neighbours that are known, or"
        " umap-learn, from the vectors.",
    )
    metric: Literal["cosine", "euclidean", "manhattan", "correlation", "chebyshev", "canberra", "braycurtis"] = Field(
        "cosine", description="Distance between vectors for umap-learn; the own kernel takes that of the neighbours."
    )
    dimensions: Literal[2, 3] = Field(2, description="Dimensions of the map.")
    n_neighbors: int = Field(
        15, ge=2, le=200, description="Neighbours that hold a point in its place, itself included."
    )
    min_dist: float = Field(0.1, ge=0, le=1, description="How close look-alikes may come.")
    seed: int = Field(51, ge=0, description="Seed of the layout; equal seeds give equal maps.")
    perplexity: float = Field(
        30.0, gt=0, description="So many neighbours of a point t-SNE weighs; at most a third of the other points."
    )
    learning_rate: float | None = Field(None, gt=0, description="Of t-SNE; by default a 48th of the number of points.")
    iterations: int = Field(1000, ge=250, description="Steps of t-SNE.")
    pca_dims: int = Field(50, ge=2, description="Principal components that stand for the vectors in t-SNE.")
    umap: dict[str, Any] = Field(
        {}, description="Further parameters of umap-learn, by its own names, e.g. {spread: 2, n_epochs: 500}."
    )
    refit_share: float = Field(
        0.1,
        gt=0,
        le=10,
        description="A map is refitted when more points than this share of those fitted have joined it.",
    )
    points: str | None = Field(
        None, description="File with filepath, sample_id or object_id, x, y (and z) for the method manual."
    )
    reducer: str | None = Field(
        None,
        description="MODULE:CALLABLE for the method custom: a function of (vectors, dimensions) or of the vectors alone that"
        " returns a row of positions per vector; or a class with fit_transform, made with n_components and, if it takes one,"
        " random_state.",
    )

    @model_validator(mode="after")
    def _of_umap_learn(self) -> Self:
        if self.umap and (self.method, self.implementation) != ("umap", "umap-learn"):
            raise PydanticCustomError(OURS, "umap has no effect but with method: umap, implementation: umap-learn")
        if said := next((name for name in OF_UMAP if name in self.umap), None):
            raise PydanticCustomError(
                OURS, "visualization.{own} says this, not umap.{name}", {"own": OF_UMAP[said], "name": said}
            )
        return self


Relation = Literal["same", "edited", "same_scene"]


class NearDuplicateSettings(Section):
    """Which images count as copies of each other."""

    threshold: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Distance up to which two images are duplicates; by default the evidence for each pair decides.",
    )
    component_threshold: float | None = Field(
        None, gt=0, le=1, description="Distance of a link in connected components; by default what duplicates are."
    )
    relations: list[Relation] = Field(
        ["same", "edited"],
        min_length=1,
        description="What counts as a duplicate: same (but for its encoding), edited, same_scene (another shot, frame of one"
        " camera, or form of one template). Without a threshold.",
    )
    leak_relations: list[Relation] = Field(
        ["same", "edited"], min_length=1, description="What counts as a leak between splits. Without a threshold."
    )
    candidates: int = Field(
        5,
        ge=1,
        le=20,
        description="So many nearest neighbours of each image are verified on pixels, and so many more after each copy; of an"
        " image that resembles another, ten.",
    )
    candidate_distance: float = Field(
        0.5, gt=0, le=2, description="Neighbours farther apart than this, by 1 - cosine, are not verified."
    )
    radius: float = Field(
        0.05, ge=0, le=1, description="All images within this distance of each other, by 1 - cosine, are verified."
    )
    hash_bits: int = Field(
        6, ge=0, le=16, description="Images whose perceptual hashes differ in no more bits are verified."
    )
    crowd: int = Field(
        1000,
        ge=2,
        le=5000,
        description="Clusters of up to this many copies are compared all with all; larger ones keep the pairs that"
        " neighbours, radius and hashes found.",
    )
    keep: list[Literal["split", "label", "resolution", "size", "age"]] = Field(
        ["split", "label", "resolution", "size", "age"],
        description="What decides which of several copies is kept, in this order: its split (keep_first), that it has a"
        " label, more pixels, a larger file, an earlier time; then the smaller id. Of exact copies exact_duplicates decides.",
    )

    @property
    def wanted(self) -> list[Relation]:
        """The relations that duplicates or leaks are looked for by."""
        return sorted({*self.relations, *self.leak_relations})

    @model_validator(mode="after")
    def _threshold_or_relations(self) -> Self:
        defaults = type(self).model_fields
        for name in ("relations", "leak_relations"):
            if self.threshold is not None and getattr(self, name) != defaults[name].default:
                raise ValueError(f"{name} has no effect beside a threshold: give one of the two")
        return self


class VersionSettings(Section):
    """Which of the sets that were published can still be read; those that have a tag can for ever."""

    hours: int = Field(24, ge=0, description="All versions of so many hours are kept.")
    days: int = Field(31, ge=0, description="One version a day is kept for so many days.")
    weeks: int = Field(53, ge=0, description="One version a week is kept for so many weeks.")


class SplitSettings(Section):
    """Splits that are planned, so that nothing leaks between them, and kept as data arrives."""

    shares: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(
        {},
        description="Share of each split, such as {train: 0.8, val: 0.1, test: 0.1}; nothing is planned without any.",
    )
    folds: int | None = Field(
        None, ge=2, le=100, description="Equal folds, called fold_1 and so on, instead of shares."
    )
    given: bool = Field(
        False,
        description="Start from the splits that samples have, and plan the others; without shares, by those that these have.",
    )
    repair: bool = Field(
        False, description="Move the fewest samples where those that stay in their split leak; else nothing ever moves."
    )
    relations: list[Relation] = Field(
        ["same", "edited", "same_scene"], description="Pairs that stay together, by what the two are to each other."
    )
    seed: int = Field(51, ge=0, description="Seed of the order in which equals are dealt out; another plans all anew.")

    @property
    def wanted(self) -> bool:
        """Whether anything is to be planned."""
        return bool(self.shares or self.folds or self.given)

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        if self.shares and self.folds:
            raise PydanticCustomError(OURS, "say shares or folds, not both")
        total = sum(self.shares.values())
        if self.shares and abs(total - 1) > 1e-6:
            raise PydanticCustomError(OURS, "shares add up to {total}, not to 1", {"total": f"{total:.6g}"})
        return self


Limit = Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal[False] | None
Switch = Literal[False] | None


class QualityThresholds(Section):
    """Where each rule of image quality begins to flag: a number, ``off``, or by default what fits the dataset."""

    dark: Limit = Field(
        None, description="Perceived brightness, in [0, 1], of the brightest hundredth of the pixels; flagged below."
    )
    bright: Limit = Field(None, description="Exposure: light everywhere, or burnt out, in [0, 2.6]; flagged above.")
    blurry: Limit = Field(
        None,
        description="Width in pixels of strong edges where they are widest, the longest side reduced to 256; flagged above.",
    )
    low_information: Limit = Field(None, description="Contrast between blocks over brightness; flagged below.")
    partly_blank: Limit = Field(
        None, description="Share of bands of one colour along two opposite sides, in [0, 1]; flagged above."
    )
    placeholder: Limit = Field(
        None, description="Entropy in bits of what stands on an even page, 8 for what is no page; flagged below."
    )
    noisy: Limit = Field(
        None, description="Noise in levels that is no texture, the longest side reduced to 256; flagged above."
    )
    grayscale: Limit = Field(
        None, description="Percentile 99 of the difference of a pixel's channels, in levels; flagged below."
    )
    odd_size: Limit = Field(
        None, description="Factor between an image's side and the calibrated median side; flagged above."
    )
    odd_aspect_ratio: Limit = Field(None, description="Longer side over shorter side; flagged above.")
    tiny: Limit = Field(None, description="Side in pixels, the root of width times height; flagged below.")
    rotated: Switch = Field(None, description="off: an EXIF orientation other than upright is no issue.")
    animated: Switch = Field(None, description="off: several frames are no issue.")
    type_mismatch: Switch = Field(None, description="off: content of another type than the name says is no issue.")


class ImageQualitySettings(Section):
    """What counts as a defect of an image."""

    thresholds: QualityThresholds = Field(default_factory=QualityThresholds)


class DecodingSettings(Section):
    """What is decoded, and what is kept of it."""

    preview_size: int = Field(256, ge=32, le=1024, description="Longest side of the kept preview, in pixels.")
    max_pixels: int = Field(178_956_970, ge=1, description="An image that declares more pixels is not decoded.")
    max_bytes: int = Field(268_435_456, ge=1, description="A larger file is not read.")
    max_memory: int = Field(
        900_000_000, ge=1 << 26, description="Bytes that a worker process may hold to decode one file."
    )
    timeout: float = Field(60.0, gt=0, description="Processor seconds after which decoding one file is given up.")


class SensorSettings(Section):
    """How arrivals are noticed."""

    enabled: bool = Field(True, description="Whether changes of the media source start runs by themselves.")
    quiet_seconds: float = Field(2.0, ge=0, description="A source must have been quiet this long before a run starts.")
    attempts: int = Field(3, ge=1, le=20, description="How often a run is tried for one state of the source.")
    fresh_seconds: float = Field(
        3600.0,
        gt=0,
        description="What arrived and waits longer than this to be published fails the check fresh of published.",
    )


class CalibrationSettings(Section):
    """When thresholds are fitted to the dataset."""

    min_samples: int = Field(
        500,
        ge=10,
        description="Below this many samples documented defaults hold; above it thresholds are fitted to the dataset once."
        " Outliers and image quality need eight.",
    )
    sample_size: int = Field(400, ge=10, description="At most this many images are looked at to fit a threshold.")


# The columns of tables whose names can be said.
Column = Literal[
    "filepath", "sample_id", "label", "labels", "confidence", "confidences", "logits", "probabilities", "classes", "model",
    "label_field", "created_at", "split", "tags", "x", "y", "width", "height", "xmin", "ymin", "xmax", "ymax", "x_center",
    "y_center", "bbox", "image_width", "image_height",
]  # fmt: skip
COLUMNS = (
    "What the columns of its tables are called, where that does not tell: such as {filepath: img, label: diagnosis}."
)


class LabelSettings(Section):
    """Where labels come from."""

    uri: str = Field(
        description="File or folder of labels; 'folder' takes the name of each image's folder as its class, 'name' what stands"
        " before the number in its own, as in cat.12.jpg."
    )
    field: str = Field("ground_truth", description="The field of labels that it gives.")
    format: FormatName = Field(
        "auto", description=f"How the files are written: {', '.join(FORMATS)}; auto looks into them."
    )
    columns: dict[Column, str] = Field({}, description=COLUMNS)


class PredictionSettings(Section):
    """Where predictions come from."""

    uri: str = Field(description="File or folder of predictions.")
    model: str | None = Field(None, description="The model's name; else a row's column model, else the file's stem.")
    field: str = Field("ground_truth", description="The field of labels that the model predicts.")
    format: FormatName = Field("auto", description="How the files are written, as for labels; auto looks into them.")
    columns: dict[Column, str] = Field({}, description=COLUMNS)
    image_ids: str | None = Field(
        None,
        description="Name of the label file whose image ids COCO results use; by default the one that holds all of them.",
    )


class MistakennessSettings(Section):
    """How labels are judged by predictions."""

    mode: Literal["default", "compat"] = Field(
        "default",
        description="default: a sample without label or prediction is treated as such; compat: FiftyOne Brain's numbers.",
    )


class BuiltinModelSettings(Section):
    """The small model that is fitted to the labels, so that there are predictions where no model of yours gives any."""

    enabled: bool = Field(True, description="Whether there is one; its predictions are those of the model builtin.")
    min_samples: int = Field(100, ge=10, description="Labelled images from which on it is fitted.")


class LabelIssueSettings(Section):
    """How wrong and missing labels of whole images are found."""

    views: Literal["both", "predictions", "neighbors", "builtin"] = Field(
        "both",
        description="What a label is judged by: models' predictions, the labels of nearest neighbours, the builtin model, or"
        " (both) all of them.",
    )
    models: list[str] = Field([], description="Models whose predictions count; all when none is named.")


class ObjectEmbeddingSettings(Section):
    """Which objects a run of object_embeddings embeds, and what it sees of each."""

    label_field: str = Field("ground_truth", description="The field of labels that the objects are of.")
    source: str = Field("ground_truth", description="Whose objects: ground_truth, or a model's name.")
    alpha: float = Field(
        0.0,
        gt=-1,
        le=10,
        description="By how much a box is widened about its centre: 0.1 makes each side a tenth longer.",
    )
    alpha_horizontal: float | None = Field(
        None, gt=-1, le=10, description="As alpha, of the width of a box alone; by default alpha."
    )
    alpha_vertical: float | None = Field(
        None, gt=-1, le=10, description="As alpha, of the height of a box alone; by default alpha."
    )
    margin: int = Field(
        0, ge=0, le=10_000, description="Pixels that are added on each side of a box, within the image."
    )
    force_square: bool = Field(False, description="Whether the shorter side of a crop is widened to the longer one.")


class GateSettings(Section):
    """A limit on one number of the dataset's health."""

    metric: str = Field(description="A metric of the table health, such as unreadable_share or issue_leak.")
    operator: Literal["<=", "<", ">=", ">", "=="] = Field(
        "<=", description="How the metric shall compare with the limit; in quotes, as YAML reads > otherwise."
    )
    limit: float = Field(allow_inf_nan=False, description="The limit.")
    severity: Literal["warn", "block"] = Field(
        "warn", description="block: while the gate fails, what was published before stays current."
    )


class RunSettings(Section):
    """One more run of a method, beside its default one."""

    brain_key: str = Field(description="Names the run and its rows.", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    method: str = Field(
        description="The asset that the run is one of, such as embeddings, similarity or visualization."
    )
    model: str | None = Field(None, description="Embedding model of an embeddings run.")
    embeddings: str = Field("embeddings", description="Key of the embeddings run that this run reads.")
    similarity: str = Field("neighbors", description="Key of the similarity run that this run reads.")
    where: str | None = Field(
        None, description="SQL condition on samples (split, tags, filepath, width, ...): only these take part."
    )
    parameters: dict[str, Any] = Field(
        {}, description="Settings of the method that differ from the dataset's, such as k or metric."
    )


class PublishSettings(Section):
    """Other formats that published tables are written in, for readers of others' data stacks."""

    format: list[Literal["delta", "iceberg", "lance"]] = Field(
        [],
        description="Formats: delta (Delta Lake), iceberg, lance; one or several, none by default. What is published is"
        " Parquet in any case.",
    )
    to: str = Field(
        "formats",
        min_length=1,
        description="Folder, by default one in that of the dataset, or address in an object store (s3://, gs://, az://,"
        " minio://SERVER/BUCKET); each format has a folder of its own below it.",
    )
    tables: list[str] = Field([], description="Tables that are written; all published ones when none is named.")
    keep_days: float = Field(
        7.0,
        ge=0,
        description="Days for which a version of a table can still be read after another one has followed.",
    )

    @field_validator("format", "tables", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given

    @field_validator("to")
    @classmethod
    def _has_no_password(cls, url: str) -> str | None:
        return _without_password(url, "where the store's own tools look")


class DatasetSettings(Section):
    """What ``dataset.yaml`` may say."""

    media: str | Annotated[list[str], Field(min_length=1)] = Field(
        description="Folder, archive, video, glob, list of paths or addresses, manifest, data.yaml, or a folder, archive or video"
        " in an object store, that holds the images; or a list of such. They stay where they are."
    )
    limit: int | None = Field(
        None, ge=1, description="Take so many samples alone, chosen by their ids, for a first look; all by default."
    )
    min_file_size: int | None = Field(
        None, ge=1, description="Take no image whose file has fewer bytes; one whose size is unknown is taken."
    )
    pattern: Annotated[str, AfterValidator(_regular)] | None = Field(
        None, description='Take only images in whose path this regular expression is found, such as "_rgb\\\\.png$".'
    )
    split_from: Literal["folder", "column", "none"] = Field(
        "none",
        description="Where a sample's split comes from: the folders above it, the manifest's column, or nowhere.",
    )
    groups: list[Annotated[str, AfterValidator(_group)]] = Field(
        [],
        description="What belongs together and must not lie in two splits: columns of the manifest or of tables of labels, such"
        ' as patient, or regular expressions whose named part is found in paths, such as "(?P<site>[^/]+)/".',
    )
    frames: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["key"] | None = Field(
        None,
        description="Frames taken of videos: seconds between two, or key for all key frames. By default a video that is given"
        " itself is looked at every second, and videos in a folder are no samples.",
    )
    labels: list[LabelSettings] = Field(
        [],
        description="Files, folders or class folders with labels, each with its uri, field and format; a later one wins.",
    )
    predictions: list[PredictionSettings] = Field(
        [], description="Files or folders with predictions; the dataset's own folder 'predictions' when none is named."
    )
    classes: list[str] = Field(
        [], description="Names of the classes, in the order of logits; labels that are not among them are rejected."
    )
    keep_first: list[str] = Field(
        ["test", "val", "train"],
        description="Splits whose sample is kept first when copies are in several, in this order.",
    )
    engine: EngineAddress = Field(
        "threads",
        description="Who decodes, embeds and compares: threads of the run, ray for a cluster on this machine, ray://HOST:PORT for"
        " one that is there, what another package brings, or module:Class. Results are the same.",
    )
    embeddings: EmbeddingSettings = Field(default_factory=EmbeddingSettings)
    similarity: SimilaritySettings = Field(default_factory=SimilaritySettings)
    near_duplicates: NearDuplicateSettings = Field(default_factory=NearDuplicateSettings)
    splits: SplitSettings = Field(default_factory=SplitSettings)
    outliers: OutlierSettings = Field(default_factory=OutlierSettings)
    uniqueness: UniquenessSettings = Field(default_factory=UniquenessSettings)
    representativeness: RepresentativenessSettings = Field(default_factory=RepresentativenessSettings)
    visualization: VisualizationSettings = Field(default_factory=VisualizationSettings)
    mistakenness: MistakennessSettings = Field(default_factory=MistakennessSettings)
    builtin_model: BuiltinModelSettings = Field(default_factory=BuiltinModelSettings)
    label_issues: LabelIssueSettings = Field(default_factory=LabelIssueSettings)
    object_embeddings: ObjectEmbeddingSettings = Field(default_factory=ObjectEmbeddingSettings)
    decoding: DecodingSettings = Field(default_factory=DecodingSettings)
    image_quality: ImageQualitySettings = Field(default_factory=ImageQualitySettings)
    calibration: CalibrationSettings = Field(default_factory=CalibrationSettings)
    sensor: SensorSettings = Field(default_factory=SensorSettings)
    versions: VersionSettings = Field(default_factory=VersionSettings)
    publish: PublishSettings = Field(default_factory=PublishSettings)
    tag_settings: list[str] = Field(
        [],
        description="Settings that a run's tag brain/set, or its config in the launchpad, may set although they may name code,"
        " files or addresses, such as embeddings.model; both may always set numbers, switches and choices.",
    )
    gates: list[GateSettings] = Field(
        [], description="What must hold of the dataset's health: metric, operator, limit."
    )
    contract: str | None = Field(
        None,
        description="File of what must hold of the dataset: classes, counts, sizes, boxes, leaks, limits on health; relative to"
        " the folder of dataset.yaml. 'brain contract schema' prints what it may say.",
    )
    runs: list[RunSettings] = Field(
        [], description="Further runs of methods, each with its brain_key, method and parameters."
    )

    def objects_of(self, embeddings: str) -> str | None:
        """Return the run whose objects have these vectors; None where they are of images, as means of regions are."""
        runs = {run.brain_key: run for run in self.runs}
        run = runs.get(embeddings)
        mean = run is not None and run.embeddings in runs
        return embeddings if run is not None and run.method == "object_embeddings" and not mean else None

    @property
    def group_columns(self) -> list[str]:
        """Columns that say what belongs together."""
        return [one for one in self.groups if NAMED_PART not in one]

    @property
    def group_patterns(self) -> list[str]:
        """Regular expressions whose named parts say it of paths."""
        return [one for one in self.groups if NAMED_PART in one]

    @property
    def group_names(self) -> list[str]:
        """What groups are called."""
        parts = [name for pattern in self.group_patterns for name in re.compile(pattern).groupindex]
        return list(dict.fromkeys([*self.group_columns, *parts]))

    @property
    def media_addresses(self) -> list[str]:
        """Where the images lie, one or several."""
        return [self.media] if isinstance(self.media, str) else self.media


class EmailSettings(Section):
    """Who is sent alerts by e-mail, and by which server."""

    to: list[str] = Field(min_length=1, description="Addresses that alerts are sent to.")
    sender: str = Field("brain@localhost", description="Address that they come from.")
    host: str = Field("localhost", description="Server that takes mail (SMTP).")
    port: int = Field(25, ge=1, le=65535, description="Its port.")
    starttls: bool = Field(False, description="Whether the connection is encrypted before anything is said (STARTTLS).")
    user: str | None = Field(None, description="Name to log in with; without one nobody does.")
    password_from: str = Field(
        "BRAIN_SMTP_PASSWORD", description="Environment variable that holds the password, which no file should."
    )


class ServiceSettings(Section):
    """What ``settings.yaml`` may say; it holds for all datasets."""

    lock_timeout: float = Field(3600.0, ge=0, description="Seconds a run waits for another run on the same dataset.")
    alert_webhook: str | None = Field(
        None,
        description="URL that is sent a JSON message when a run fails, and when quality does; nothing is sent by default.",
    )
    alert_format: Literal["json", "slack"] = Field(
        "json",
        description="json: the alert as alerts.jsonl has it; slack: a text, as Slack, Mattermost and others show it.",
    )
    alert_email: EmailSettings | None = Field(
        None, description="Who is sent alerts by e-mail: to, and where needed sender, host, port, starttls, user."
    )
    memory: str = Field(
        "512MB",
        pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$",
        description="What the database of a run may hold in memory; beyond it works on disk. Where it is not set, a run that"
        " cannot do with it takes more, as long as the machine has twice as much to spare.",
    )
    spill: str = Field(
        "20GB",
        pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$",
        description="What the database of a run may write to disk when its memory is full; a run that needs more ends with a"
        " word, and the disk does not fill up.",
    )
    condition_seconds: float = Field(
        60.0,
        gt=0,
        description="Seconds within which the database must have answered the `where` of a run; a run whose condition takes"
        " longer fails, and no other.",
    )
    label_tool_seconds: float = Field(
        60.0,
        ge=0,
        description="Seconds between two questions to a label tool that something was sent to and that has not all come back; 0:"
        " only 'brain label-tool fetch' asks.",
    )
    review_url: str = Field(
        "http://127.0.0.1:3001",
        pattern=r"^https?://[^\s/]+$",
        description="Where the review page is served, for links to it; 'brain up' says it to what it starts.",
    )
    keep_sets: int = Field(3, ge=1, description="Published sets that are kept beside those in use.")
    keep_runs: int = Field(
        50,
        ge=50,
        description="Runs of each dataset that Dagster remembers, with their events and logs (a megabyte each); every run"
        " deletes some of the older ones. The tables runs and health keep what they hold. Fewer would forget what was tried.",
    )
    history_url: str | None = Field(
        None,
        pattern=r"^postgres(ql)?(\+psycopg2)?://.+$",
        description="Where Dagster keeps the history of runs, such as postgresql://brain@server/brain with the password in"
        " PGPASSWORD; by default in files of the home.",
    )

    @field_validator("history_url")
    @classmethod
    def _has_no_password(cls, url: str | None) -> str | None:
        return _without_password(url, "by PGPASSWORD in the environment")


SettingsT = TypeVar("SettingsT", bound=Section)


@dataclass(frozen=True)
class Value:
    """One effective setting and where it came from."""

    key: str
    value: Any
    origin: str
    description: str


@dataclass(frozen=True)
class Configuration(Generic[SettingsT]):
    """Validated settings with the origin of each, and a digest that changes with any of them.

    The digest also changes with the files that hold the settings' models, vectors or contract.
    """

    settings: SettingsT
    values: tuple[Value, ...]

    @property
    def digest(self) -> str:
        """Names these settings and the state of the files of models and contract that they name."""
        files = [*model_uris(self.settings), *_contract_uris(self.settings)]
        text = f"{self.settings.model_dump_json()} {[file_state(uri) for uri in files]}"
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def file_state(uri: str) -> tuple[int, int] | None:
    """Return size and time of change of the file behind ``SCHEME:FILE``, without reading it; None where there is none."""
    try:
        status = Path(file_and_field(uri.partition(":")[2])[0]).expanduser().stat()
    except (OSError, RuntimeError):
        return None
    return (status.st_size, status.st_mtime_ns)


def models_state(settings: Section) -> str:
    """Return what names the models of a dataset's settings and the state of the files behind them."""
    text = str([(uri, file_state(uri)) for uri in model_uris(settings)])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def model_uris(settings: Section) -> list[str]:
    """Return the models that a dataset's settings name; those of the service name none."""
    if not isinstance(settings, DatasetSettings):
        return []
    return [settings.embeddings.model, *(run.model for run in settings.runs if run.model)]


def _contract_uris(settings: Section) -> list[str]:
    named = isinstance(settings, DatasetSettings) and settings.contract
    return [f"file:{named}"] if named else []


def load_dataset(path: Path, arguments: Mapping[str, str] | None = None) -> Configuration[DatasetSettings]:
    """Read ``dataset.yaml`` and what overrides it.

    Parameters
    ----------
    path : Path
        The file.
    arguments : mapping of str to str, optional
        Run-time arguments, dotted key to YAML value.

    Raises
    ------
    ConfigurationError
        With the line or variable, what is wrong, and the nearest right key or value.
    """
    loaded = _load(DatasetSettings, path, arguments or {})
    if loaded.settings.contract is None:
        return loaded
    # Whoever has the settings alone, a run or a gate, finds the file as well.
    contract = str(path.parent / Path(loaded.settings.contract).expanduser())
    return replace(loaded, settings=loaded.settings.model_copy(update={"contract": contract}))


def check_sent(path: Path, arguments: Mapping[str, str]) -> None:
    """Refuse run-time arguments that somebody sent, where they could name code, files or addresses.

    Whoever can start a run, by Dagster's pages or API, can give it a tag and a config: numbers, switches and choices are
    theirs to set, free text only where ``dataset.yaml`` allows it by name in ``tag_settings``.

    Parameters
    ----------
    path : Path
        The dataset's ``dataset.yaml``.
    arguments : mapping of str to str
        Dotted key to YAML value.

    Raises
    ------
    ConfigurationError
        With the first setting that is not allowed, and how to allow it.
    """
    allowed = set(load_dataset(path).settings.tag_settings) - {"tag_settings"}
    plain = {key for key, field in fields(DatasetSettings) if is_plain(field.annotation)}
    for key in arguments:
        if key not in allowed | plain:
            raise ConfigurationError(
                f"the run's tag or config sets {key!r}, which could name code, files or addresses: where this is wanted,"
                f" allow it in {path.name} with 'tag_settings: [{key}]'"
            )


def is_plain(annotation: Any) -> bool:
    """Return whether values of a type are numbers, switches and choices alone."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal or annotation in {bool, int, float, type(None)}:
        return True
    if origin is Annotated:
        return is_plain(parts[0])
    return origin in {Union, UnionType, list} and all(is_plain(part) for part in parts)


def load_service(path: Path) -> Configuration[ServiceSettings]:
    """Read ``settings.yaml``, which may be missing, and what overrides it; raises ConfigurationError."""
    return _load(ServiceSettings, path, {})


def fields(model: type[Section], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and pydantic field of every setting below ``model``."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def read_section(model: type[SettingsT], path: Path) -> SettingsT:
    """Read a file that holds one section alone; nothing overrides it.

    Raises
    ------
    ConfigurationError
        If there is no such file, or with its line and what is wrong in it.
    """
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}")
    tree, lines = _read_yaml(path)
    return _validated(model, path, tree, {key: f"{path.name} line {line}" for key, line in lines.items()})


def _load(model: type[SettingsT], path: Path, arguments: Mapping[str, str]) -> Configuration[SettingsT]:
    tree, lines = _read_yaml(path)
    origins = {key: f"{path.name} line {line}" for key, line in lines.items()}
    for key, (text, origin) in _overrides(model, arguments).items():
        _assign(tree, key, _parse(text, origin))
        origins[key] = origin
    settings = _validated(model, path, tree, origins)
    return Configuration(settings, tuple(_effective(model, settings, origins)))


def _validated(model: type[SettingsT], path: Path, tree: Mapping[str, Any], origins: Mapping[str, str]) -> SettingsT:
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        # A misspelled key is why another is missing: it is reported first.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        raise ConfigurationError(_explain(first, model, origins, path)) from None


def _overrides(model: type[Section], arguments: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return text and origin of the settings that the environment or an argument gives, the argument first."""
    found = {}
    for key, _ in fields(model):
        variable = ENVIRONMENT_PREFIX + key.upper().replace(".", "_")
        if variable in os.environ:
            found[key] = (os.environ[variable], variable)
    known = {key for key, _ in fields(model)}
    for key, text in arguments.items():
        if key not in known:
            raise ConfigurationError(f"unknown setting {key!r}{nearest(key, known)}")
        found[key] = (text, "argument")
    return found


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the file's tree, and the line of every dotted key; an absent file is empty."""
    try:
        text = path.read_text("utf-8")
        loader, node = settings_in(text)
        # Of the nodes as they were written: what is constructed has merged keys in it.
        written = list(_key_lines(node))
        tree = loader.construct_document(node) if node else None
    except FileNotFoundError:
        return {}, {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"{path}{where} is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if tree is None:
        return {}, {}
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{path} must hold keys and values such as 'media: FOLDER'")
    # A section whose lines are all commented out is empty.
    return {key: value for key, value in tree.items() if value is not None}, _lines(path, written)


def _lines(path: Path, written: Iterable[tuple[str, int]]) -> dict[str, int]:
    lines: dict[str, int] = {}
    for key, line in written:
        if key in lines:
            raise ConfigurationError(f"{path} line {line}: {key!r} is given twice, first in line {lines[key]}")
        lines[key] = line
    return lines


def _key_lines(node: Any, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Yield the dotted key and the line of everything below a node; items of a list go by their position."""
    if isinstance(node, yaml.MappingNode):
        pairs = [(key.value, key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(place, item, item) for place, item in enumerate(node.value)]
    else:
        return
    for name, key, value in pairs:
        yield f"{prefix}{name}", key.start_mark.line + 1
        yield from _key_lines(value, f"{prefix}{name}.")


def _parse(text: str, origin: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigurationError(f"{origin}: {text!r} is not a value") from None


def _assign(tree: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        if not isinstance(tree.get(section), dict):
            tree[section] = {}
        tree = tree[section]
    tree[last] = value


def _explain(error: ErrorDetails, model: type[Section], origins: Mapping[str, str], path: Path) -> str:
    location = ".".join(str(part) for part in error["loc"])
    key = next((key for key in _shortenings(location) if key in origins), location)
    where = origins.get(key, path.name)
    if error["type"] == "extra_forbidden":
        section = location.rpartition(".")[0]
        known = {f"{section}.{name}".lstrip(".") for name in _known(model, error["loc"][:-1])}
        return f"{where}: unknown key {location!r}{nearest(location, known)}"
    if error["type"] == "missing":
        return f"{where if key in origins else path} lacks {location!r}"
    if error["type"] == "invalid_key":
        return f"{where}: unknown key {location.removesuffix('.[key]')}: keys are words"
    example = EXAMPLES.get(location, "") if error["type"] == "list_type" else ""
    return f"{where}: {key}: {wrong(error)}{example}"


def _known(model: type[Section], above: Sequence[int | str]) -> set[str]:
    """Return the keys that may stand in the section, or in the item of a list, that ``above`` leads to."""
    kind: Any = model
    for name in above:
        if isinstance(kind, type) and issubclass(kind, Section):
            kind = kind.model_fields[str(name)].annotation
        else:
            # The items of a list, or the values of a mapping.
            kind = get_args(kind)[-1]
    return set(kind.model_fields)


def _shortenings(location: str) -> Iterator[str]:
    parts = location.split(".")
    for length in range(len(parts), 0, -1):
        yield ".".join(parts[:length])


def _effective(model: type[Section], settings: Section, origins: Mapping[str, str]) -> Iterator[Value]:
    for key, field in fields(model):
        value: Any = settings
        for part in key.split("."):
            value = getattr(value, part)
        yield Value(key, value, origins.get(key, "default"), field.description or "")
