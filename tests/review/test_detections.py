"""Evaluation of detectors against pycocotools and one prediction after the other, and its matrix in a browser."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brain_assets.methods.labels.objects import Objects, box_iou
from brain_assets.review import create_app
from tests.methods.test_average_precision import expected
from tests.review.browser import Visit, serious, served, visiting
from tests.review.client import TOKEN, Client
from tests.review_data import Synthetic, columns_of, declare, digest

IMAGES = 40
CLASSES = ["ant", "bee", "cat's eye"]
Row = dict[str, Any]


@pytest.fixture(scope="module")
def detected(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """A set with labelled boxes and two detectors, of which one errs often; some images are not looked at by them."""
    synthetic = Synthetic(tmp_path_factory.mktemp("detected"), count=80)
    synthetic.write_media()
    folder = synthetic.publish(without=("objects", "object_mistakenness", "predictions", "issues", "neighbors"))
    random = np.random.default_rng(5)
    objects: list[Row] = []
    spoken: list[Row] = []
    for number in range(IMAGES):
        truth = [(random.uniform(0, 0.5, 2), random.uniform(0.2, 0.4, 2), int(random.integers(3))) for _ in range(3)]
        for source in ("ground_truth", "careful", "hasty"):
            if source != "ground_truth" and number >= IMAGES - 4:
                continue
            spoken.append(
                {"sample_id": synthetic.ids[number], "label_field": "ground_truth", "source": source, "objects": 3}
            )
            for place, (corner, size, label) in enumerate(seen(random, truth, source)):
                objects.append(row(synthetic, number, place, source, (corner, size, label), random))
    pq.write_table(pa.table(columns_of(objects)), folder / "objects.parquet")
    pq.write_table(pa.Table.from_pylist(spoken), folder / "object_images.parquet")
    declare(synthetic.folder, synthetic.media)
    return synthetic


def seen(random: np.random.Generator, truth: list[tuple[Any, Any, int]], source: str) -> list[tuple[Any, Any, int]]:
    if source == "ground_truth":
        return truth
    errs = {"careful": 0.1, "hasty": 0.4}[source]
    found = [
        (corner + random.normal(0, errs / 8, 2), size, label if random.random() > errs else int(random.integers(3)))
        for corner, size, label in truth
        if random.random() > errs
    ]
    spurious = [(random.uniform(0, 0.5, 2), np.array([0.2, 0.2]), int(random.integers(3)))]
    return found + (spurious if random.random() < errs else [])


def row(
    synthetic: Synthetic, number: int, place: int, source: str, seen: tuple[Any, Any, int], random: np.random.Generator
) -> Row:
    corner, size, label = seen
    made = synthetic.box(number, place, source, (*corner.clip(0).tolist(), *size.tolist()))
    crowd = source == "ground_truth" and place == 2 and number % 10 == 0
    confidence = None if source == "ground_truth" else float(random.integers(1, 20)) / 20
    object_id = synthetic.ids[number][:20] + digest(synthetic.ids[number], source, place)[:12]
    return made | {
        "object_id": object_id,
        "label": CLASSES[label],
        "confidence": confidence,
        "iscrowd": crowd,
        "polygon": None,
    }


def rows(detected: Synthetic, source: str) -> list[Row]:
    """Return the objects of a source in the images that the detectors looked at, in the order of the page."""
    known = set(detected.ids[: IMAGES - 4])
    found: list[Row] = pq.read_table(detected.folder / "published" / "current" / "objects.parquet").to_pylist()
    mine = [one for one in found if one["source"] == source and one["sample_id"] in known]
    return sorted(mine, key=lambda one: (one["sample_id"], one["object_id"]))


def side(detected: Synthetic, source: str) -> Objects:
    mine = rows(detected, source)
    samples = sorted(detected.ids[: IMAGES - 4])
    counts = Counter(one["sample_id"] for one in mine)
    return Objects(
        np.array([[one[name] for name in ("x", "y", "width", "height")] for one in mine]),
        np.array([CLASSES.index(one["label"]) for one in mine]),
        np.cumsum([0, *(counts[one] for one in samples)]),
        None if source == "ground_truth" else np.array([one["confidence"] for one in mine]),
        np.array([one["iscrowd"] for one in mine]) if source == "ground_truth" else None,
    )


def confusions(
    detected: Synthetic, model: str, least: float
) -> tuple[Counter[tuple[str | None, str | None]], dict[str, str | None]]:
    """Count what is taken for what, one prediction after the other; and return what each label's object was taken for."""
    labels = rows(detected, "ground_truth")
    taken: dict[str, str | None] = {}
    counts: Counter[tuple[str | None, str | None]] = Counter()
    for found in sorted(rows(detected, model), key=lambda one: -one["confidence"]):
        if found["confidence"] < least:
            continue
        box = [[found[name] for name in ("x", "y", "width", "height")]]
        near = [one for one in labels if one["sample_id"] == found["sample_id"]]
        ious = {
            one["object_id"]: float(
                box_iou([[one[n] for n in ("x", "y", "width", "height")]], box, [one["iscrowd"]])[0]
            )
            for one in near
        }
        free = [
            one
            for one in near
            if not one["iscrowd"] and one["object_id"] not in taken and ious[one["object_id"]] >= 0.5
        ]
        if free:
            best = max(free, key=lambda one: ious[one["object_id"]])
            taken[best["object_id"]] = found["label"]
            counts[best["label"], found["label"]] += 1
        elif not any(
            one["iscrowd"] and one["label"] == found["label"] and ious[one["object_id"]] >= 0.5 for one in near
        ):
            counts[None, found["label"]] += 1
    for one in labels:
        if not one["iscrowd"] and one["object_id"] not in taken:
            counts[one["label"], None] += 1
    return counts, taken


@pytest.mark.parametrize("least", [0.0, 0.5, 0.9])
def test_what_is_taken_for_what_from_a_confidence_on(detected: Synthetic, least: float) -> None:
    client = Client(create_app(detected.home, token=TOKEN)).sign_in()
    assert client.get("overview").json()["evaluated"] == [
        {"field": "ground_truth", "model": model, "of": "objects"} for model in ("careful", "hasty")
    ]
    asked = {"of": "objects", "field": "ground_truth", "model": "hasty", "confidence": least}
    found = client.get("evaluation", **asked).json()
    counts, _ = confusions(detected, "hasty", least)
    assert {(one["label"], one["prediction"]): one["count"] for one in found["confusions"]} == counts
    for one in found["confusions"]:
        assert len(client.found(frame="objects", where=one["where"])) == one["count"]
    for one in found["classes"]:
        support = sum(count for (label, _), count in counts.items() if label == one["label"])
        predicted = sum(count for (_, said), count in counts.items() if said == one["label"])
        right = counts[one["label"], one["label"]]
        assert (one["support"], one["predicted"], one["right"]) == (support, predicted, right)


def test_average_precision_is_cocos(detected: Synthetic) -> None:
    client = Client(create_app(detected.home, token=TOKEN)).sign_in()
    for model in ("careful", "hasty"):
        found = client.get("evaluation", of="objects", field="ground_truth", model=model).json()
        judged = expected(side(detected, "ground_truth"), side(detected, model), len(CLASSES))
        by_class = {one["label"]: one for one in found["classes"]}
        for place, name in enumerate(CLASSES):
            assert (by_class[name]["ap"], by_class[name]["ap50"]) == pytest.approx(
                (judged[:, place].mean(), judged[0, place])
            )
        assert (found["ap"], found["ap50"]) == pytest.approx((judged.mean(), judged[0].mean()))


def test_predictions_count_from_where_both_are_best(detected: Synthetic) -> None:
    client = Client(create_app(detected.home, token=TOKEN)).sign_in()
    found = client.get("evaluation", of="objects", field="ground_truth", model="hasty").json()

    def harmonic(least: float) -> float:
        counts, _ = confusions(detected, "hasty", least)
        right = sum(count for (label, said), count in counts.items() if label == said)
        return (
            2
            * right
            / sum(count * ((label is not None) + (said is not None)) for (label, said), count in counts.items())
        )

    levels = {one["confidence"] for one in rows(detected, "hasty")}
    assert harmonic(found["confidence"]) == pytest.approx(max(map(harmonic, levels)))
    assert found["calibration_error"] > 0
    assert sum(one["count"] for one in found["calibration"]) == sum(
        count for (_, said), count in confusions(detected, "hasty", 0)[0].items() if said is not None
    )


def test_two_detectors_side_by_side(detected: Synthetic) -> None:
    client = Client(create_app(detected.home, token=TOKEN)).sign_in()
    asked = {"of": "objects", "field": "ground_truth", "model": "careful", "other": "hasty"}
    found = client.get("evaluation", **asked).json()
    least = {
        model: client.get("evaluation", **asked | {"model": model}).json()["confidence"]
        for model in ("careful", "hasty")
    }
    one, two = (confusions(detected, model, least[model])[1] for model in ("careful", "hasty"))
    labels = {row["object_id"]: row["label"] for row in rows(detected, "ground_truth") if not row["iscrowd"]}
    outcomes = {row["outcome"]: row for row in found["outcomes"]}
    only = [name for name, label in labels.items() if one.get(name) == label and two.get(name) != label]
    assert outcomes["only the first"]["count"] == len(only) > 0
    assert sum(row["count"] for row in outcomes.values()) == len(labels)
    for row in outcomes.values():
        assert len(client.found(frame="objects", where=row["where"])) == row["count"]
    assert client.get("evaluation", **asked | {"model": "nobody"}).status == 404
    assert client.get("evaluation", **asked | {"confidence": 2}).status == 422


def test_a_link_to_a_confusion_holds_before_anything_was_evaluated(detected: Synthetic) -> None:
    fresh = Client(create_app(detected.home, token=TOKEN)).sign_in()
    condition = "subject_id in (select label_id from matched_objects where model = 'hasty' and label = prediction)"
    assert fresh.found(frame="objects", where=condition)


def test_a_set_without_images_that_a_model_looked_at_is_not_evaluated(tmp_path: Path) -> None:
    synthetic = Synthetic(tmp_path, count=80)
    synthetic.publish(without=("predictions",))
    declare(synthetic.folder, tmp_path)
    assert Client(create_app(tmp_path, token=TOKEN)).sign_in().get("overview").json()["evaluated"] == []


def test_the_matrix_of_objects_leads_into_the_grid(browser: Any, detected: Synthetic) -> None:
    with served(detected.home) as address:
        for visit in visiting(browser, address, detected.home):
            walk(visit)


def walk(visit: Visit) -> None:
    page = visit.page
    visit.open("tab=evaluation&model=hasty")
    visit.wait_for_text("#evaluation", "objects are found with their class")
    visit.wait_for_text("#evaluation", "AP50")
    assert serious(page) == []
    missed = page.get_by_role("button", name="not found").first
    wanted = missed.inner_text()
    missed.click()
    visit.wait_for_status(f"{wanted} of ")
    page.go_back()
    page.wait_for_load_state("networkidle")
    page.get_by_label("from a confidence of").fill("0.95")
    page.get_by_label("from a confidence of").press("Tab")
    page.wait_for_url("**from=0.95**")
    page.select_option("#evaluation-other", "careful")
    page.locator("#evaluation .outcomes button", has_text="only the second").click()
    visit.wait_for_status(" match")
