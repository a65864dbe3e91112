"""Labels and predictions in different words contradict nothing, and one line says so."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from brain_assets.ingest.accounting import accounts, rows_told
from brain_assets.resources.store.publishing import connect
from tests.workshop import Workshop, write_pictures

STEPS = (
    "samples",
    "media",
    "predictions",
    "ground_truth",
    "hardness",
    "mistakenness",
    "label_issues",
    "issues",
    "published",
)
NAMED, NUMBERED = ["cat", "dog", "cat", "dog"], ["0", "1.0", "0", "1"]


def make(root: Path, labels: list[str], predictions: list[str], home: str = "home", **settings: Any) -> Workshop:
    names = [path.name for path in write_pictures(root / "media", range(4))]
    for file, column, values in (("a", "label", labels), ("net", "pred", predictions)):
        rows = [f"{name},{value},0.99" for name, value in zip(names, values, strict=True)]
        (root / f"{file}.csv").write_text("\n".join([f"image,{column},score", *rows]))
    declared = {"labels": [{"uri": str(root / "a.csv")}], "predictions": [{"uri": str(root / "net.csv")}], **settings}
    return Workshop(root / home, root / "media", **{"label_issues": {"views": "predictions"}, **declared})


def flagged(workshop: Workshop) -> list[tuple]:
    return workshop.rows(
        "select filepath from issues join samples using (sample_id) where contains(issue, 'label') order by 1"
    )


def test_without_a_class_in_common_no_label_is_doubted(tmp_path: Path) -> None:
    workshop = make(tmp_path, NAMED, NUMBERED)
    reports = workshop.run(STEPS)
    assert flagged(workshop) == []
    for name in ("mistakenness", "label_issues"):
        assert (
            reports[name]
            .notes["no class in common"]
            .startswith("net and the labels of ground_truth (cat, dog against 0, 1): nothing is judged by it")
        )
    assert workshop.rows(
        "select model, subjects, comparable, shared, label_examples, prediction_examples from class_overlaps"
    ) == [("net", "images", False, 0, ["cat", "dog"], ["0", "1"])]
    assert workshop.rows("select count(*) from mistakenness where mistakenness is not null") == [(0,)]
    with connect(workshop.paths.published) as connection:
        told = rows_told(accounts(connection))
    assert told.endswith(
        "predictions: 4 used; nothing is judged by net, which has no class in common with the labels (cat, dog against 0, 1):"
        " name the classes in the order of its numbers (classes in dataset.yaml)"
    )
    workshop.declare(**{**declared_of(workshop), "classes": ["cat", "dog"]})
    workshop.run(STEPS)
    assert workshop.rows("select comparable from class_overlaps") == [(True,)]
    assert workshop.rows("select distinct label from predictions order by 1") == [("cat",), ("dog",)]
    assert flagged(workshop) == []
    rebuild = make(tmp_path, NAMED, NUMBERED, "rebuild", classes=["cat", "dog"])
    rebuild.run(STEPS)
    assert rebuild.rows("from mistakenness order by all") == workshop.rows("from mistakenness order by all")


def declared_of(workshop: Workshop) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(workshop.paths.config.read_text())
    return found


@pytest.mark.parametrize(
    ("labels", "predictions", "comparable"),
    [
        (["1.0", "2.0", "1", "2"], ["1", "2", "1", "2"], True),
        (["Bär", "cat", "cat", "cat"], ["Ba\u0308r", "dog", "dog", "dog"], True),
        (["cat"] * 4, ["dog"] * 4, True),
        (["cat"] * 4, ["3"] * 4, False),
    ],
)
def test_what_counts_as_the_same_words(
    tmp_path: Path, labels: list[str], predictions: list[str], comparable: bool
) -> None:
    workshop = make(tmp_path, labels, predictions)
    workshop.run(STEPS)
    assert workshop.rows("select comparable from class_overlaps") == [(comparable,)]
