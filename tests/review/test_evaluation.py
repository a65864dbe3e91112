"""Evaluation against scikit-learn's numbers, and its matrix in a browser."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from brain_assets.review import create_app
from tests.review.browser import Visit, serious, served, visiting
from tests.review.client import TOKEN, Client
from tests.review_data import Synthetic, declare


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """A set with the predictions of two models, one of which errs often; some images are not predicted, some not labelled."""
    synthetic = Synthetic(tmp_path_factory.mktemp("judged"), count=240)
    synthetic.write_media()
    folder = synthetic.publish(without=("predictions", "ground_truth"))
    random, labels = np.random.default_rng(3), np.array(synthetic.labels)
    truth = np.array(synthetic.given)
    rows: list[dict[str, Any]] = []
    for model, errs in (("careful", 0.1), ("hasty", 0.4)):
        said = np.where(random.random(240) < errs, labels[random.integers(0, 11, 240)], truth)
        rows += [
            {"sample_id": synthetic.ids[i], "label_field": "ground_truth", "model": model, "position": 0, "label": said[i],
             "confidence": float(random.uniform(0.3, 1))}
            for i in range(230)
        ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "predictions.parquet")
    given = {name: column[5:] for name, column in synthetic.ground_truth().items()}
    pq.write_table(pa.table(given), folder / "ground_truth.parquet")
    declare(synthetic.folder, synthetic.media)
    return synthetic


def table(judged: Synthetic, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(judged.folder / "published" / "current" / f"{name}.parquet").to_pylist()
    return rows


def both(judged: Synthetic, model: str) -> tuple[list[str], list[str]]:
    labels = {row["sample_id"]: row["labels"][0] for row in table(judged, "ground_truth")}
    said = {row["sample_id"]: row["label"] for row in table(judged, "predictions") if row["model"] == model}
    known = sorted(labels.keys() & said.keys())
    return [labels[one] for one in known], [said[one] for one in known]


def test_numbers_are_scikit_learns(judged: Synthetic) -> None:
    client = Client(create_app(judged.home, token=TOKEN)).sign_in()
    assert [row["model"] for row in client.get("overview").json()["evaluated"]] == ["careful", "hasty"]
    found = client.get("evaluation", field="ground_truth", model="hasty").json()
    labels, said = both(judged, "hasty")
    classes = sorted({*labels, *said})
    matrix = confusion_matrix(labels, said, labels=classes)
    counts = {(row["label"], row["prediction"]): row["count"] for row in found["confusions"]}
    assert counts == {
        (classes[i], classes[j]): matrix[i, j] for i in range(len(classes)) for j in range(len(classes)) if matrix[i, j]
    }
    precision, recall, _, support = precision_recall_fscore_support(labels, said, labels=classes, zero_division=0)
    for row in found["classes"]:
        place = classes.index(row["label"])
        assert (row["support"], row["precision"] or 0, row["recall"] or 0) == pytest.approx(
            (support[place], precision[place], recall[place])
        )
    assert (found["count"], found["right"]) == (225, int(np.trace(matrix)))
    assert sum(row["count"] for row in found["calibration"]) == 225
    assert found["columns"] == {"label": "label", "prediction": "prediction:hasty"}


def test_two_models_side_by_side(judged: Synthetic) -> None:
    client = Client(create_app(judged.home, token=TOKEN)).sign_in()
    found = client.get("evaluation", field="ground_truth", model="careful", other="hasty").json()
    labels, one = both(judged, "careful")
    two = both(judged, "hasty")[1]
    outcomes = {row["outcome"]: row["count"] for row in found["outcomes"]}
    assert outcomes["both right"] == sum(a == b == c for a, b, c in zip(labels, one, two, strict=True))
    assert sum(outcomes.values()) == 225
    assert found["neighbours"]["apart"] == sum(b != c for b, c in zip(one, two, strict=True))
    # The careful one says what the look-alikes are labelled.
    assert found["neighbours"]["first"] > found["neighbours"]["second"]
    assert client.get("evaluation", field="ground_truth", model="nobody").status == 404
    assert client.get("evaluation", field="ground_truth", model="hasty", other="x' or 1=1").status == 404


def test_the_matrix_leads_into_the_grid(browser: Any, judged: Synthetic) -> None:
    with served(judged.home) as address:
        for visit in visiting(browser, address, judged.home):
            walk(visit, judged)


def walk(visit: Visit, judged: Synthetic) -> None:
    page = visit.page
    visit.open("tab=evaluation&model=hasty")
    visit.wait_for_text("#evaluation", "of 225 are predicted as labelled")
    cell = page.locator("#evaluation td.wrong button").first
    wanted = cell.inner_text()
    assert serious(page) == []
    cell.click()
    visit.wait_for_status(f"{wanted} of 240 match")
    page.go_back()
    page.select_option("#evaluation-other", "careful")
    visit.wait_for_text("#evaluation", "only the second")
    page.locator("#evaluation .outcomes button", has_text="only the second").click()
    visit.wait_for_status(" match")
    assert "where=" in page.url
