"""Wrong and missing labels by models, by neighbours and by both, at the cost of the change."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from brain_assets.app.status import summary
from brain_assets.methods.labels.label_noise import DEVIATION
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.resources.store.events import Event, Events
from tests.workshop import Workshop, assert_equals_rebuild, encoded, give_calibrations, give_events, write_pictures

CLASSES = ["cat", "dog", "owl"]
STEPS = (
    "samples", "media", "embeddings", "similarity", "ground_truth", "predictions", "mistakenness", "label_issues", "issues",
    "published",
)  # fmt: skip
EACH = 12


def name_of(number: int) -> str:
    return f"{number:05}.png"


def write_clusters(folder: Path) -> dict[str, str]:
    """Write images of three kinds that look alike among themselves, and return the kind of each."""
    folder.mkdir()
    random, labels = np.random.default_rng(0), {}
    for number in range(3 * EACH):
        base = np.random.default_rng(number % 3).integers(40, 216, (4, 4, 3))
        pixels = (base + random.integers(-20, 20, base.shape)).astype(np.uint8)
        image = Image.fromarray(pixels).resize((20, 16), Image.Resampling.BICUBIC)
        (folder / name_of(number)).write_bytes(encoded(image))
        labels[name_of(number)] = CLASSES[number % 3]
    return labels


def write_labels(root: Path, labels: Mapping[str, str], column: str = "label") -> None:
    rows = "".join(f"{name},{label}\n" for name, label in labels.items())
    (root / "labels.csv").write_text(f"filepath,{column}\n{rows}")


def write_logits(path: Path, labels: Mapping[str, str], classes: list[str], size: float = 4.0) -> None:
    path.parent.mkdir(exist_ok=True)
    rows = [
        {"filepath": name, "logits": [size * (label == one) for one in classes], "classes": classes}
        for name, label in labels.items()
    ]
    parquet.write_table(pa.Table.from_pylist(rows), path)


def make_workshop(root: Path, home: str = "home", **settings: Any) -> Workshop:
    (root / "predictions").mkdir(exist_ok=True)
    inputs = {"labels": [{"uri": str(root / "labels.csv")}], "predictions": [{"uri": str(root / "predictions")}]}
    return Workshop(root / home, root / "media", **{"similarity": {"k": 6}, **inputs, **settings})


def check(workshop: Workshop, root: Path, steps: Sequence[str] = STEPS, events: bool = False, **settings: Any) -> None:
    assert workshop.wrong(steps) == {}
    rebuild = make_workshop(root, "rebuild", **settings)
    give_calibrations(workshop, rebuild)
    if events:
        give_events(workshop, rebuild)
    rebuild.run(steps)
    assert_equals_rebuild(workshop, rebuild)
    rebuild.remove()


def issues(workshop: Workshop) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return issue and evidence of every flagged sample, each of which has one."""
    rows = workshop.rows(
        "select filepath, issue, evidence from issues join samples using (sample_id)"
        " where is_issue and issue in ('label_mistake', 'missing_label')"
    )
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: (row[1], json.loads(row[2])) for row in rows}


@pytest.fixture
def truth(tmp_path: Path) -> dict[str, str]:
    return write_clusters(tmp_path / "media")


@pytest.fixture
def doubtful(tmp_path: Path, truth: dict[str, str]) -> dict[str, str]:
    """Give one image a wrong label and one none, and return the right labels of both."""
    labels = {**truth, name_of(3): "owl"}
    del labels[name_of(4)]
    write_labels(tmp_path, labels)
    return {name: truth[name] for name in (name_of(3), name_of(4))}


def test_of_a_few_samples_the_only_one_without_a_label_misses_it(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(6))
    labels = {name_of(number): CLASSES[number % 2] for number in range(6)}
    write_labels(tmp_path, dict(list(labels.items())[1:]))
    workshop = make_workshop(tmp_path)
    rows = "".join(f"{name},{label},.99\n" for name, label in labels.items())
    (tmp_path / "predictions" / "net.csv").write_text("filepath,label,confidence\n" + rows)
    workshop.run(STEPS)
    assert {name: issue for name, (issue, _) in issues(workshop).items()} == {name_of(0): "missing_label"}


def test_by_neighbours(tmp_path: Path, doubtful: dict[str, str]) -> None:
    workshop = make_workshop(tmp_path)
    workshop.run(STEPS)
    wrong, unlabelled = doubtful
    found = issues(workshop)
    assert {name: issue for name, (issue, _) in found.items()} == {wrong: "label_mistake", unlabelled: "missing_label"}
    assert {name: evidence["suggested"] for name, (_, evidence) in found.items()} == {
        name: [label] for name, label in doubtful.items()
    }
    evidence = found[wrong][1]
    assert (evidence["given"], evidence["model"], evidence["neighbors_labelled"]) == (["owl"], None, 6)
    assert (evidence["by_neighbors"], evidence["by_predictions"]) == (True, None)
    partner = f"select labels from ground_truth where sample_id = '{evidence['partner']}'"
    assert workshop.rows(partner) == [(["cat"],)]


def test_by_models_and_neighbours(tmp_path: Path, truth: dict[str, str], doubtful: dict[str, str]) -> None:
    # The columns of one file stand in another order, and another model has the confidence alone.
    write_logits(tmp_path / "predictions" / "net.parquet", truth, CLASSES[::-1])
    sure = "".join(f"{name},{label},0.9\n" for name, label in truth.items())
    (tmp_path / "predictions" / "other.csv").write_text("filepath,label,confidence\n" + sure)
    alone = {"brain_key": "alone", "parameters": {"views": "predictions", "models": ["net"]}}
    looks = {"brain_key": "looks", "parameters": {"views": "neighbors"}}
    workshop = make_workshop(tmp_path, runs=[{"method": "label_issues", **run} for run in (alone, looks)])
    workshop.run(STEPS)
    found = issues(workshop)
    assert set(found) == set(doubtful)
    evidence = found[name_of(3)][1]
    assert (evidence["model"], evidence["by_predictions"], evidence["by_neighbors"]) == ("*", True, True)
    runs = """
        select brain_key, model, count(*), max(neighbors_labelled), count(by_neighbors) from label_issues
        group by all order by 1"""
    assert workshop.rows(runs) == [
        ("alone", "net", 36, 0, 0),
        ("label_issues", "*", 36, 6, 36),
        ("looks", None, 36, 6, 36),
    ]
    scores = f"select brain_key, score from label_issues join samples using (sample_id) where filepath = '{name_of(3)}'"
    both, one, other = (dict(workshop.rows(scores))[key] for key in ("label_issues", "alone", "looks"))
    assert both > max(one, other)
    check(workshop, tmp_path, runs=[{"method": "label_issues", **run} for run in (alone, looks)])


def test_what_changes_is_judged_anew_and_what_depends_on_it(tmp_path: Path, truth: dict[str, str]) -> None:
    write_labels(tmp_path, truth)
    predicted = {name: label for name, label in truth.items() if name < name_of(30)}
    write_logits(tmp_path / "predictions" / "net.parquet", predicted, CLASSES)
    workshop = make_workshop(tmp_path)
    workshop.run(STEPS)
    assert workshop.run(STEPS)["label_issues"].up_to_date
    listing = """
        select count(distinct subject_id) from neighbors join samples on samples.sample_id in (subject_id, neighbor_id)
        where filepath in ({})"""

    def judged() -> int:
        return workshop.run(STEPS)["label_issues"].notes["judged"]

    # Two labels go the same way at once, then a label goes altogether.
    changed = [name_of(7), name_of(10)]
    write_labels(tmp_path, {**truth, **dict.fromkeys(changed, "owl")})
    assert judged() == workshop.rows(listing.format(str(changed)[1:-1]))[0][0] < 3 * EACH
    write_labels(tmp_path, {name: label for name, label in truth.items() if name != name_of(8)})
    assert judged() == workshop.rows(listing.format(str([*changed, name_of(8)])[1:-1]))[0][0]

    # Predictions concern their own samples alone.
    write_logits(tmp_path / "predictions" / "other.parquet", {name_of(2): "cat", name_of(33): "owl"}, CLASSES)
    assert judged() == 2
    (tmp_path / "predictions" / "other.parquet").unlink()
    assert judged() == 2
    (tmp_path / "media" / name_of(11)).unlink()
    assert 0 < judged() < 3 * EACH
    check(workshop, tmp_path)


def test_a_calibration_stands_until_the_judged_samples_double(tmp_path: Path, truth: dict[str, str]) -> None:
    write_labels(tmp_path, truth)
    settings = {"calibration": {"min_samples": 10, "sample_size": 10}}
    write_logits(tmp_path / "predictions" / "net.parquet", {name_of(n): truth[name_of(n)] for n in range(8)}, CLASSES)
    workshop = make_workshop(tmp_path, **settings)
    workshop.run(STEPS)
    thresholds = "select issue, evidence from calibrations where brain_key = 'label_issues'"
    assert workshop.rows(thresholds) == []
    write_logits(tmp_path / "predictions" / "net.parquet", {name_of(n): truth[name_of(n)] for n in range(12)}, CLASSES)
    workshop.run(STEPS)
    (name, fitted), = workshop.rows(thresholds)  # fmt: skip
    assert name == "label_mistake ground_truth net"
    assert json.loads(fitted)["fitted_on"] == 12
    assert min(json.loads(fitted)["thresholds"]["by_predictions"]) > 0.9
    write_labels(tmp_path, {**truth, name_of(1): "cat"})
    workshop.run(STEPS)
    assert workshop.rows(thresholds) == [(name, fitted)]
    assert set(issues(workshop)) == {name_of(1)}
    write_logits(tmp_path / "predictions" / "net.parquet", truth, CLASSES)
    workshop.run(STEPS)
    assert json.loads(workshop.rows(thresholds)[0][1])["fitted_on"] == 3 * EACH
    check(workshop, tmp_path, **settings)


def test_a_model_says_nothing_of_a_class_that_it_does_not_know(tmp_path: Path, truth: dict[str, str]) -> None:
    write_labels(tmp_path, truth)
    known = CLASSES[:2]
    write_logits(
        tmp_path / "predictions" / "net.parquet", {name: known[number % 2] for number, name in enumerate(truth)}, known
    )
    workshop = make_workshop(tmp_path, label_issues={"views": "predictions"})
    workshop.run(STEPS)
    assert workshop.rows("select distinct given from label_issues order by 1") == [("cat",), ("dog",)]


def test_several_labels_each_are_judged_by_mistakenness(tmp_path: Path, truth: dict[str, str]) -> None:
    write_labels(tmp_path, truth, column="labels")
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "net.csv").write_text(f"filepath,labels,confidence\n{name_of(0)},dog,0.9\n")
    workshop = make_workshop(tmp_path)
    workshop.run(STEPS)
    assert workshop.rows("select count(*) from label_issues") == [(0,)]
    assert issues(workshop)[name_of(0)][1]["suggested"] == ["dog"]


def test_images_that_swap_their_contents_swap_their_published_vectors(tmp_path: Path, truth: dict[str, str]) -> None:
    del truth
    workshop = make_workshop(tmp_path, labels=[])
    steps = ("samples", "media", "embeddings", "published")
    workshop.run(steps)
    vectors = """
        select vector from embeddings join samples using (sample_id) where filepath in ('00000.png', '00001.png')
        order by filepath"""
    first, second = workshop.rows(vectors)
    paths = [tmp_path / "media" / name_of(number) for number in range(2)]
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[::-1], strict=True):
        path.write_bytes(content)
    workshop.run(steps)
    assert workshop.rows(vectors) == [second, first]


def test_calibrated_scores_say_how_many_are_right(
    tmp_path: Path, truth: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_assets.methods.labels.label_noise.FEWEST", 10)
    write_labels(tmp_path, {**truth, name_of(3): "owl", name_of(4): "owl"})
    write_logits(tmp_path / "predictions" / "net.parquet", truth, CLASSES)
    settings = {"calibration": {"min_samples": 10, "sample_size": 10}}
    workshop = make_workshop(tmp_path, **settings)
    workshop.run(STEPS)
    rows = "select is_issue, score, probability, given from label_issues order by probability desc"
    judged = workshop.rows(rows)
    assert [row[0] for row in judged] == [True] * 2 + [False] * (len(truth) - 2)
    assert all(score == probability for _, score, probability, _ in judged)
    (issue, label, flagged, expected, low, high), *of_classes = workshop.rows("from expected_issues")
    assert (issue, label, flagged) == ("label_mistake", None, 2)
    assert expected == pytest.approx(judged[0][2] + judged[1][2])
    assert low <= expected <= high
    assert [row[:3] for row in of_classes] == [("label_mistake", "owl", 2)]
    assert "true" in summary(workshop.home, workshop.name)

    # One was right, as a reviewer finds, and one wrong: what is told of the others moves.
    steps = ("reviews", *STEPS)
    events = Events(workshop.paths.events)
    for name, kind, value in ((name_of(3), "keep", None), (name_of(4), "relabel", truth[name_of(4)])):
        said = workshop.rows(f"select sample_id, content_hash from samples where filepath = '{name}'")
        events.append(Event(kind, "ada", value, "label_mistake"), said)
    workshop.run(steps)
    (reviewed, wrong, foreseen, shift, deviation), = stored(workshop, "label_reviews")  # fmt: skip
    assert (reviewed, wrong) == (2, 1)
    assert foreseen == pytest.approx(expected, abs=0.2)
    assert shift < 0 < deviation < DEVIATION
    kept = "select score, probability from label_issues join samples using (sample_id) where filepath = '{}'"
    score, probability = workshop.rows(kept.format(name_of(3)))[0]
    assert probability < score
    check(workshop, tmp_path, steps, events=True, **settings)


def stored(workshop: Workshop, table: str) -> list[tuple[Any, ...]]:
    """Return what a table of the store says, without whose and when."""
    with open_dataset(workshop.home, workshop.name, Opening("look", "test")) as dataset:
        return dataset.store.rows(f"select * exclude (brain_key, label_field, changed) from {table}")
