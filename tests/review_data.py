"""A coherent published set without a pipeline: what the review page reads, made from a seed in a second or two."""

import datetime as dt
import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image, ImageColor, ImageDraw

from brain_assets.resources.models.embedding_models import load_model

CLASSES = ["ant", "bee", "cat", "deer", "eel", "fox", "goose", "hare", "ibex", "jay", "kiwi", "lynx"]
HOSTILE = [
    "<script>window.attacked=1</script>",
    "<img src=x onerror=window.attacked=1>",
    "\"quoted\" 'names' & more",
    "two\nlines\tand a tab",
    "right‮gpj.to left",
    "'; drop table samples; --",
    "a" * 300,
]
COLOURS = "python:tests.review_data:Colours"
STARTED = dt.datetime(2024, 5, 1, 8, tzinfo=dt.UTC)
Rows = dict[str, Any]


def digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


class Colours:
    """Embeds a picture as its pixels at 8x8, and the name of a colour as a picture of nothing else."""

    version = "colours-1"
    dimension = 192
    input = 8

    def embed(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(images.reshape(len(images), -1).astype(np.float32) - 64)

    def embed_text(self, texts: list[str]) -> np.ndarray[Any, Any]:
        colours = np.array([ImageColor.getrgb(text) for text in texts], np.uint8)
        return self.embed(np.broadcast_to(colours[:, None, None], (len(texts), 8, 8, 3)))


@dataclass
class Synthetic:
    """Tables of one dataset; every third of the first sixty samples heads a group of near copies of itself."""

    home: Path
    name: str = "demo"
    count: int = 300
    seed: int = 0
    hostile: bool = False
    labels: list[str] = field(default_factory=lambda: list(CLASSES))

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.classes = self.random.integers(0, len(self.labels), self.count)
        for copy in range(min(60, self.count)):
            self.classes[copy] = self.classes[self.original(copy)]
        self.given = [self.labels[code] for code in self.classes]
        self.wrong = list(range(65, min(self.count, 245), 15))
        for index in self.wrong:
            self.given[index] = self.labels[(self.classes[index] + 1) % len(self.labels)]
        self.files = [f"{self.splits[i]}/{self.labels[code]}-{i:04d}.jpg" for i, code in enumerate(self.classes)]
        if self.hostile:
            for index, text in enumerate(HOSTILE):
                self.files[200 + index] = f"{text[:200].replace('/', ':')}-{index}.jpg"
                self.given[200 + index] = text

    @staticmethod
    def original(index: int) -> int:
        """The sample that this one is a copy of: itself for every third, and for all beyond the first sixty."""
        return index - index % 3 if index < 60 else index

    @cached_property
    def splits(self) -> list[str]:
        return [
            ("train", "train", "test")[i % 3] if i < 60 else ("train", "val", "test")[i % 10 // 5 + i % 2]
            for i in range(self.count)
        ]

    @cached_property
    def ids(self) -> list[str]:
        return [digest(self.name, file)[:20] for file in self.files]

    @cached_property
    def contents(self) -> list[str]:
        """Content hash per sample; sample 1 holds the same bytes as sample 0, and 4 as 3."""
        return [digest("content", {1: 0, 4: 3}.get(i, i), self.seed) for i in range(self.count)]

    @property
    def broken(self) -> list[int]:
        return [self.count - 1, self.count - 2]

    @property
    def good(self) -> list[int]:
        return list(range(self.count - 2))

    @property
    def folder(self) -> Path:
        return self.home / "datasets" / self.name

    @property
    def media(self) -> Path:
        return self.home / "media" / self.name

    # -- pixels -------------------------------------------------------------------------------------------------------

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        return [(96 + 16 * (self.original(i) % 5), 96 + 16 * (self.original(i) % 3)) for i in range(self.count)]

    def draw(self, index: int) -> Image.Image:
        source = self.original(index)
        random = np.random.default_rng((self.seed, source))
        code, (width, height) = int(self.classes[source]), self.sizes[index]
        ground = Image.fromarray(random.integers(40, 90, (height // 8, width // 8, 3), np.uint8)).resize(
            (width, height)
        )
        pen, colour = ImageDraw.Draw(ground), f"hsl({code * 30}, 75%, {random.integers(45, 65)}%)"
        left, top = random.integers(8, 24, 2)
        box = (left, top, width - 16, height - 16)
        if code % 3 == 0:
            pen.ellipse(box, fill=colour)
        elif code % 3 == 1:
            pen.rounded_rectangle(box, 10, fill=colour)
        else:
            pen.regular_polygon((width / 2, height / 2, min(width, height) / 2.4), 3 + code % 5, fill=colour)
        if index != source and self.contents[index] != self.contents[source]:
            ground = ground.point(lambda value: min(255, value + 12))
        return ground

    def write_media(self) -> None:
        for index in range(self.count):
            path = self.media / self.files[index]
            path.parent.mkdir(parents=True, exist_ok=True)
            if index in self.broken:
                path.write_bytes(b"not an image")
            else:
                self.draw(index).save(path, quality=85)

    # -- tables -------------------------------------------------------------------------------------------------------

    def samples(self) -> Rows:
        broken = set(self.broken)
        times = [
            STARTED + dt.timedelta(days=1 if i >= self.count * 4 // 5 else 0, seconds=i) for i in range(self.count)
        ]
        return {
            "sample_id": self.ids,
            "uri": [(self.media / file).as_uri() for file in self.files],
            "filepath": self.files,
            "status": ["error" if i in broken else "ok" for i in range(self.count)],
            "error": ["unreadable: cannot identify image file" if i in broken else None for i in range(self.count)],
            "content_hash": self.contents,
            "bytes": [2000 + 7 * i for i in range(self.count)],
            "width": [None if i in broken else self.sizes[i][0] for i in range(self.count)],
            "height": [None if i in broken else self.sizes[i][1] for i in range(self.count)],
            "format": [None if i in broken else "JPEG" for i in range(self.count)],
            "split": self.splits,
            "tags": pa.array([["night"] if i % 7 == 0 else [] for i in range(self.count)], pa.list_(pa.string())),
            "added_at": pa.array(times, pa.timestamp("us", "UTC")),
            "changed_at": pa.array(times, pa.timestamp("us", "UTC")),
        }

    def ground_truth(self) -> Rows:
        return {
            "sample_id": self.ids,
            "label_field": ["ground_truth"] * self.count,
            "labels": pa.array([[label] for label in self.given], pa.list_(pa.string())),
            "origin": ["file"] * self.count,
        }

    def predictions(self) -> Rows:
        logits = self.random.normal(0, 0.5, (self.count, len(self.labels)))
        logits[np.arange(self.count), self.classes] += 4
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        chosen = probabilities.argmax(1)
        return {
            "sample_id": self.ids,
            "label_field": ["ground_truth"] * self.count,
            "model": ["resnet"] * self.count,
            "position": [0] * self.count,
            "label": [self.labels[code] for code in chosen],
            "confidence": probabilities.max(1),
            "logits": pa.array(list(logits.astype(np.float32)), pa.list_(pa.float32())),
            "is_probability": [False] * self.count,
        }

    @cached_property
    def vectors(self) -> np.ndarray[Any, Any]:
        """Unit vectors: one direction per class, one offset per original, next to nothing per copy."""
        random = np.random.default_rng(self.seed + 1)
        centres = random.normal(0, 1, (len(self.labels), 16))
        offsets = random.normal(0, 0.45, (self.count, 16))
        originals = [self.original(i) for i in range(self.count)]
        vectors = centres[self.classes] + offsets[originals] + random.normal(0, 0.01, (self.count, 16))
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    @cached_property
    def graph(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        distances = np.clip(1 - self.vectors @ self.vectors.T, 0, 2)
        np.fill_diagonal(distances, np.inf)
        distances[:, self.broken] = np.inf
        order = np.argsort(distances, axis=1, kind="stable")[:, :20]
        return order, np.take_along_axis(distances, order, 1)

    def neighbors(self) -> Rows:
        order, distances = self.graph
        rows = [(i, rank) for i in self.good for rank in range(20)]
        return self.keyed("similarity", [i for i, _ in rows]) | {
            "rank": [rank + 1 for _, rank in rows],
            "neighbor_id": [self.ids[order[i, rank]] for i, rank in rows],
            "distance": [float(distances[i, rank]) for i, rank in rows],
        }

    def keyed(self, brain_key: str, indices: list[int]) -> Rows:
        return {
            "brain_key": [brain_key] * len(indices),
            "subject_id": [self.ids[i] for i in indices],
            "sample_id": [self.ids[i] for i in indices],
            "object_id": pa.nulls(len(indices), pa.string()),
        }

    @cached_property
    def uniqueness_scores(self) -> np.ndarray[Any, Any]:
        raw = self.graph[1][:, :3].mean(1)
        return np.asarray(raw / raw[self.good].max())

    def uniqueness(self) -> Rows:
        scores = self.uniqueness_scores[self.good]
        return self.keyed("uniqueness", self.good) | {"uniqueness": scores, "raw": scores * 0.8}

    def representativeness(self) -> Rows:
        return self.keyed("representativeness", self.good) | {
            "representativeness": 1 - self.uniqueness_scores[self.good],
            "cluster": [int(self.classes[i]) for i in self.good],
        }

    def outliers(self) -> Rows:
        scores = self.uniqueness_scores[self.good]
        return self.keyed("outliers", self.good) | {"outlier_score": scores, "is_outlier": scores > 0.9}

    def visualization(self) -> Rows:
        angle = self.classes * 2 * np.pi / len(self.labels)
        spread = self.vectors[:, :2] * 1.6
        x, y = 5 * np.cos(angle) + spread[:, 0], 5 * np.sin(angle) + spread[:, 1]
        images = self.keyed("visualization", self.good) | {"x": x[self.good], "y": y[self.good]}
        objects = self.object_rows
        boxes = {
            "brain_key": ["object_map"] * len(objects),
            "subject_id": [row["object_id"] for row in objects],
            "sample_id": [row["sample_id"] for row in objects],
            "object_id": pa.array([row["object_id"] for row in objects], pa.string()),
            "x": [row["x"] for row in objects],
            "y": [row["y"] for row in objects],
        }
        merged = {key: pa.chunked_array([pa.array(images[key]), pa.array(boxes[key])]) for key in images}
        return merged | {"z": pa.nulls(len(self.good) + len(objects), pa.float64())}

    def exact_duplicates(self) -> Rows:
        pairs = [(0, 0), (0, 1), (3, 3), (3, 4)]
        return {
            "group_id": [self.ids[keeper] for keeper, _ in pairs],
            "sample_id": [self.ids[index] for _, index in pairs],
            "kind": [None if keeper == index else "bytes" for keeper, index in pairs],
            "keep": [keeper == index for keeper, index in pairs],
            "reason": [
                "in the test split" if keeper == index else "same bytes as the kept one" for keeper, index in pairs
            ],
        }

    def pairs(self) -> Rows:
        pairs = [(i, j) for i in range(60) for j in range(i + 1, 60) if self.original(i) == self.original(j)]
        return {
            "brain_key": ["near_duplicates"] * len(pairs),
            "subject_id": [min(self.ids[i], self.ids[j]) for i, j in pairs],
            "partner_id": [max(self.ids[i], self.ids[j]) for i, j in pairs],
            "distance": [self.distance(i, j) for i, j in pairs],
            "verification": [0.97] * len(pairs),
            "change": [3.2] * len(pairs),
            "region": [self.shown(*sorted((i, j), key=lambda one: self.ids[one])) for i, j in pairs],
            "partner_region": [self.shown(*sorted((i, j), key=lambda one: self.ids[one])[::-1]) for i, j in pairs],
        }

    def shown(self, index: int, other: int) -> list[float]:
        """Return what an image shows of another: all copies are crops of their original."""
        is_cropped = index == self.original(index) != other
        return [0.1, 0.2, 0.9, 1.0] if is_cropped else [0.0, 0.0, 1.0, 1.0]

    def distance(self, i: int, j: int) -> float:
        return float(max(0.0, 1 - self.vectors[i] @ self.vectors[j]))

    def near_duplicates(self) -> Rows:
        members = [i for i in range(60) if i not in {1, 4}]
        return self.keyed("near_duplicates", members) | {
            "group_id": [self.ids[self.original(i)] for i in members],
            "nearest_id": [self.ids[self.original(i) if i != self.original(i) else i + 2] for i in members],
            "distance": [self.distance(i, self.original(i) if i != self.original(i) else i + 2) for i in members],
            "keep": [i == self.original(i) for i in members],
            "reason": [
                "largest of its group" if i == self.original(i) else "a near copy of the kept one" for i in members
            ],
        }

    def leaks(self) -> Rows:
        ordered = [(i, j) for i in range(60) for j in range(60) if i != j and self.original(i) == self.original(j)]
        rows = [(i, j) for i, j in ordered if self.splits[i] != self.splits[j]]
        return self.keyed("leaks", [i for i, _ in rows]) | {
            "split": [self.splits[i] for i, _ in rows],
            "partner_id": [self.ids[j] for _, j in rows],
            "partner_split": [self.splits[j] for _, j in rows],
            "distance": [self.distance(i, j) for i, j in rows],
            "kind": ["exact" if self.contents[i] == self.contents[j] else "near" for i, j in rows],
        }

    def hardness(self) -> Rows:
        return {
            "sample_id": [self.ids[i] for i in self.good],
            "label_field": ["ground_truth"] * len(self.good),
            "model": ["resnet"] * len(self.good),
            "hardness": self.random.random(len(self.good)),
        }

    @cached_property
    def mistakenness_scores(self) -> list[float]:
        return [
            0.97 - 0.001 * (i % 40) if i in self.wrong else float(0.3 * self.random.random()) for i in range(self.count)
        ]

    def mistakenness(self) -> Rows:
        return {
            "sample_id": [self.ids[i] for i in self.good],
            "label_field": ["ground_truth"] * len(self.good),
            "model": ["resnet"] * len(self.good),
            "mistakenness": [self.mistakenness_scores[i] for i in self.good],
            "possible_missing": [0] * len(self.good),
            "possible_spurious": [0] * len(self.good),
        }

    def image_quality(self) -> Rows:
        return {
            "sample_id": [self.ids[i] for i in self.good],
            "brightness": self.random.normal(0.5, 0.1, len(self.good)),
            "sharpness": self.random.gamma(2, 40, len(self.good)),
            "entropy": self.random.uniform(4, 8, len(self.good)),
        }

    @cached_property
    def object_rows(self) -> list[dict[str, Any]]:
        random, rows = np.random.default_rng(self.seed + 2), []
        for index in range(60, min(120, self.count - 2)):
            for ordinal in range(2):
                x, y, width, height = 0.1 + 0.4 * ordinal, float(random.uniform(0.1, 0.4)), 0.35, 0.4
                for source in ("ground_truth", "detector"):
                    rows.append(self.box(index, ordinal, source, (x, y, width, height)))
        return rows

    def box(
        self, index: int, ordinal: int, source: str, rectangle: tuple[float, float, float, float]
    ) -> dict[str, Any]:
        x, y, width, height = rectangle
        return {
            "object_id": self.ids[index][:20] + digest(self.ids[index], source, ordinal)[:12],
            "sample_id": self.ids[index],
            "label_field": "ground_truth",
            "source": source,
            "label": self.labels[(index + ordinal) % len(self.labels)],
            "confidence": None if source == "ground_truth" else 0.9,
            "x": x,
            "y": y,
            "width": width,
            "height": height,
            "polygon": [[x, y, x + width, y, x + width / 2, y + height]] if index == 61 else None,
            "iscrowd": False,
        }

    def objects(self) -> Rows:
        return columns_of(self.object_rows)

    def object_mistakenness(self) -> Rows:
        rows = []
        for position, row in enumerate(self.object_rows):
            spurious = row["source"] == "ground_truth" and position % 12 == 0
            rows.append(
                {
                    "object_id": row["object_id"],
                    "sample_id": row["sample_id"],
                    "label_field": "ground_truth",
                    "model": "detector",
                    "source": row["source"],
                    "mistakenness": 0.9 if spurious else 0.1,
                    "mistakenness_loc": 0.2,
                    "possible_missing": False,
                    "possible_spurious": spurious,
                    "missing_score": 0.0,
                    "spurious_score": 0.88 if spurious else 0.05,
                    "matched_id": None,
                    "iou": 0.8,
                }
            )
        return columns_of(rows)

    def issues(self) -> Rows:
        rows: list[dict[str, Any]] = [
            *self.duplicate_issues(),
            *(self.mistake_issue(i) for i in self.wrong),
            *(issue(self.ids[i], "unreadable", 1.0, {"reason": "cannot identify image file"}) for i in self.broken),
            *self.outlier_issues(),
            *self.object_issues(),
        ]
        late = set(self.ids[self.count * 4 // 5 :])
        return columns_of([row | {"run_id": "run-two" if row["sample_id"] in late else "run-one"} for row in rows])

    def duplicate_issues(self) -> list[dict[str, Any]]:
        rows = []
        for index in (1, 4):
            rows.append(
                issue(self.ids[index], "exact_duplicate", 1.0, {"partner": self.ids[index - 1], "kind": "bytes"})
            )
        table = self.near_duplicates()
        for sample, nearest, distance, keep in zip(
            table["sample_id"], table["nearest_id"], table["distance"], table["keep"], strict=True
        ):
            if not keep:
                evidence = {
                    "partner": nearest,
                    "distance": distance,
                    "threshold": 0.05,
                    "threshold_source": "calibrated",
                }
                rows.append(issue(sample, "near_duplicate", 1 - distance, evidence, "near_duplicates"))
        table = self.leaks()
        for sample, partner, distance in zip(table["sample_id"], table["partner_id"], table["distance"], strict=True):
            rows.append(issue(sample, "leak", 1 - distance, {"partner": partner, "distance": distance}, "leaks"))
        return rows

    def mistake_issue(self, index: int) -> dict[str, Any]:
        right = self.labels[self.classes[index]]
        evidence = {"given": [self.given[index]], "suggested": [right], "confidence": 0.93, "threshold": 0.5}
        return issue(self.ids[index], "label_mistake", self.mistakenness_scores[index], evidence, "resnet")

    def outlier_issues(self) -> list[dict[str, Any]]:
        ranked = sorted(self.good, key=lambda i: -self.uniqueness_scores[i])[:9]
        return [
            issue(
                self.ids[i],
                "outlier",
                float(self.uniqueness_scores[i]),
                {"threshold": 0.9},
                "outliers",
                flagged=rank < 6,
            )
            for rank, i in enumerate(ranked)
        ]

    def object_issues(self) -> list[dict[str, Any]]:
        rows = []
        for position, row in enumerate(self.object_rows):
            if row["source"] == "ground_truth" and position % 12 == 0:
                found = issue(row["sample_id"], "spurious_object", 0.88, {"iou": 0.0}, "detector")
                rows.append(found | {"object_id": row["object_id"]})
        return rows

    def tags(self) -> Rows:
        return {
            "subject_id": [self.ids[i] for i in (10, 11)],
            "tag": ["interesting", "interesting"],
            "tagged_by": ["ada", "ada"],
            "tagged_at": pa.array([STARTED, STARTED], pa.timestamp("us", "UTC")),
        }

    def runs(self) -> Rows:
        starts = [STARTED + dt.timedelta(hours=hours) for hours in (1, 30, 30)]
        return {
            "run_id": ["run-one", "run-two", "run-two"],
            "brain_key": ["uniqueness", "uniqueness", "colours"],
            "method": ["uniqueness", "uniqueness", "embeddings"],
            "config": ["{}", "{}", json.dumps({"model": COLOURS})],
            "state": ["done"] * 3,
            "started_at": pa.array(starts, pa.timestamp("us", "UTC")),
            "finished_at": pa.array([at + dt.timedelta(minutes=4) for at in starts], pa.timestamp("us", "UTC")),
            "code_version": ["1"] * 3,
            "model_version": ["m"] * 3,
            "rows_changed": [self.count * 4 // 5, self.count // 5, self.count],
            "error": [None] * 3,
        }

    def health(self) -> Rows:
        runs, rows = self.runs(), []
        for run, at, scale in zip(runs["run_id"], runs["finished_at"], (0.8, 1.0), strict=False):
            for metric, value in (
                ("samples", self.count * scale),
                ("duplicate_rate", 0.12 * scale),
                ("label_mistakes", 12 * scale),
            ):
                rows.append({"recorded_at": at.as_py(), "run_id": run, "metric": metric, "value": value})
        return columns_of(rows)

    TABLES = (
        *("samples", "ground_truth", "predictions", "neighbors", "uniqueness", "representativeness", "outliers"),
        *("visualization", "exact_duplicates", "pairs", "near_duplicates", "leaks", "hardness", "mistakenness"),
        *("image_quality", "objects", "object_mistakenness", "issues", "tags", "runs", "health"),
    )

    def publish(self, version: str = "000001", without: tuple[str, ...] = ()) -> Path:
        """Write the tables as one set and point ``current`` at it; returns the set's folder."""
        folder = new_set(self.folder, version)
        for table in self.TABLES:
            if table not in without:
                pq.write_table(pa.table(getattr(self, table)()), folder / f"{table}.parquet")
        if "embeddings" not in without:
            self.publish_embeddings(folder / "embeddings")
        point_current(folder)
        return folder

    def publish_embeddings(self, folder: Path) -> None:
        folder.mkdir()
        for part, indices in enumerate(np.array_split(self.good, 2)):
            rows = self.keyed("embeddings", indices.tolist()) | {
                "model": ["synthetic"] * len(indices),
                "vector": pa.array(list(self.vectors[indices]), pa.list_(pa.float32())),
            }
            pq.write_table(pa.table(rows), folder / f"part-{part}.parquet")
        rows = self.keyed("colours", self.good) | {
            "model": [self.colours.version] * len(self.good),
            "vector": pa.array(list(self.colours.embed(self.shrunk)), pa.list_(pa.float32())),
        }
        pq.write_table(pa.table(rows), folder / "part-2.parquet")

    @cached_property
    def colours(self) -> Any:
        """The model of the run ``colours``, as the page loads it."""
        return load_model(COLOURS, cache=self.home / "cache")

    @cached_property
    def shrunk(self) -> np.ndarray[Any, Any]:
        """Every picture at 8x8."""
        return np.array([self.draw(i).resize((8, 8), Image.Resampling.BOX) for i in self.good], np.uint8)

    def create(self) -> "Synthetic":
        self.write_media()
        self.publish()
        declare(self.folder, self.media)
        return self


def issue(
    sample: str, name: str, score: float, evidence: dict[str, Any], source: str | None = None, *, flagged: bool = True
) -> dict[str, Any]:
    return {
        "sample_id": sample,
        "object_id": None,
        "issue": name,
        "source": source or name,
        "score": float(score),
        "is_issue": flagged,
        "evidence": json.dumps(evidence),
    }


def columns_of(rows: list[dict[str, Any]]) -> Rows:
    types = {"object_id": pa.string(), "polygon": pa.list_(pa.list_(pa.float64()))}
    return {key: pa.array([row[key] for row in rows], type=types.get(key)) for key in rows[0]}


def declare(folder: Path, media: Path) -> None:
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"media": str(media)}), "utf-8")


def new_set(dataset: Path, version: str) -> Path:
    folder = dataset / "published" / "sets" / version
    folder.mkdir(parents=True)
    (folder / "lease").touch()
    (folder / "manifest.json").write_text(json.dumps({"number": int(version)}), "utf-8")
    return folder


def point_current(folder: Path) -> None:
    """Switch ``current`` to a set, as publishing does: a new link renamed over the old one."""
    link = folder.parent.parent / "current"
    fresh = link.with_name(".current")
    fresh.symlink_to(Path("sets") / folder.name)
    fresh.replace(link)


def points_only(home: Path, count: int, name: str = "points", seed: int = 0, side: int = 64) -> Path:
    """Write a set of ``count`` samples with a map, two columns and 64 shared pictures; returns the dataset's folder."""
    random = np.random.default_rng(seed)
    folder, media = home / "datasets" / name, home / "media" / name
    media.mkdir(parents=True)
    for tile in range(64):
        Image.new("RGB", (side, side), f"hsl({tile * 5}, 60%, 55%)").save(media / f"{tile:02d}.jpg")
    ids = pa.array([hashlib.blake2b(b"%d" % i, digest_size=16).hexdigest() for i in range(count)])
    codes = random.integers(0, 200, count)
    names = pa.array([f"class {code:03d}" for code in range(200)])
    centres = random.normal(0, 3, (200, 2))
    xy = (centres[codes] + random.normal(0, 0.25, (count, 2))).astype(np.float32)
    at = pa.array(np.full(count, STARTED.timestamp() * 1e6, np.int64)).cast(pa.timestamp("us", "UTC"))
    null = pa.nulls(count, pa.string())
    samples = {
        "sample_id": ids,
        "uri": null,
        "filepath": pa.array([f"{tile:02d}.jpg" for tile in range(64)]).take(pa.array(np.arange(count) % 64)),
        "status": pa.array(["ok"]).take(pa.array(np.zeros(count, np.int8))),
        "error": null,
        "content_hash": ids,
        "split": pa.array(["train", "val", "test"]).take(pa.array(random.choice(3, count, p=[0.8, 0.1, 0.1]))),
        "added_at": at,
        "changed_at": at,
    }
    labels = pa.ListArray.from_arrays(pa.array(np.arange(count + 1), pa.int32()), names.take(pa.array(codes)))
    key = {"subject_id": ids, "sample_id": ids, "object_id": null}
    constant = pa.array(["visualization", "uniqueness", "ground_truth", "file"])
    repeat = lambda code: constant.take(pa.array(np.full(count, code, np.int8)))  # noqa: E731
    tables = {
        "samples": samples,
        "visualization": {
            "brain_key": repeat(0),
            **key,
            "x": xy[:, 0],
            "y": xy[:, 1],
            "z": pa.nulls(count, pa.float32()),
        },
        "uniqueness": {"brain_key": repeat(1), **key, "uniqueness": random.random(count), "raw": random.random(count)},
        "ground_truth": {"sample_id": ids, "label_field": repeat(2), "labels": labels, "origin": repeat(3)},
    }
    published = new_set(folder, "000001")
    for table, columns in tables.items():
        pq.write_table(pa.table(columns), published / f"{table}.parquet")
    point_current(published)
    declare(folder, media)
    return folder
