"""From files of labels and predictions to hardness, mistakenness and issues, at the cost of the change."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from brain_assets.app.cli import main
from brain_assets.resources.media.media_source import sample_id
from tests import models
from tests.workshop import Workshop, assert_equals_rebuild, give_calibrations, picture, write_pictures

CLASSES = ["cat", "dog", "owl"]
LABELS = ("ground_truth", "predictions", "hardness", "mistakenness")
CHAIN = ("samples", "media", *LABELS, "published")


def write_labels(path: Path, labels: dict[str, str]) -> None:
    path.write_text("filepath,label\n" + "".join(f"{name},{label}\n" for name, label in labels.items()))


def write_predictions(path: Path, names: Iterable[str], seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    rows = [{"filepath": name, "logits": random.normal(0, 2, len(CLASSES)).tolist()} for name in names]
    parquet.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    return [path.name for path in write_pictures(tmp_path / "media", range(40))]


@pytest.fixture
def workshop(tmp_path: Path, names: list[str]) -> Workshop:
    write_labels(tmp_path / "labels.csv", {name: CLASSES[number % 3] for number, name in enumerate(names[:30])})
    return make_workshop(tmp_path, "home")


def make_workshop(root: Path, home: str, **settings: object) -> Workshop:
    declared = {"labels": [{"uri": str(root / "labels.csv")}], "classes": CLASSES, **settings}
    declared.setdefault("predictions", [{"uri": str(root / "predictions")}])
    (root / "predictions").mkdir(exist_ok=True)
    return Workshop(root / home, root / "media", **{"select": CHAIN, **declared})


def check(workshop: Workshop, root: Path, **settings: object) -> None:
    """Check integrity, and that a computation from scratch gives the same."""
    assert workshop.wrong() == {}
    rebuild = make_workshop(root, "rebuild", **settings)
    give_calibrations(workshop, rebuild)
    rebuild.run()
    assert_equals_rebuild(workshop, rebuild)
    rebuild.remove()


def test_classes_stand_in_the_names_of_images(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    for number, name in enumerate(["cat.1", "cat.2", "dog_3", "owl (4)", "5", "owl"]):
        picture(number).save(tmp_path / "media" / f"{name}.png")
    write_labels(tmp_path / "labels.csv", {"cat.2.png": "lynx", "5.png": "dog"})
    labels = [{"uri": "name"}, {"uri": str(tmp_path / "labels.csv")}]
    workshop = make_workshop(tmp_path, "home", labels=labels, classes=[])
    workshop.run()
    told = "select filepath, labels[1] from ground_truth join samples using (sample_id) order by all"
    assert workshop.rows(told) == [
        *(("5.png", "dog"), ("cat.1.png", "cat"), ("cat.2.png", "lynx"), ("dog_3.png", "dog"), ("owl (4).png", "owl"))
    ]
    (tmp_path / "media" / "dog_3.png").rename(tmp_path / "media" / "fox_3.png")
    workshop.run()
    assert ("fox_3.png", "fox") in workshop.rows(told)
    check(workshop, tmp_path, labels=labels, classes=[])


def test_labels_are_put_together_once_though_predictions_are_read_after_them(
    workshop: Workshop, tmp_path: Path, names: list[str]
) -> None:
    write_predictions(tmp_path / "predictions" / "net.parquet", names)
    assert "rows read" in workshop.run()["ground_truth"].notes
    assert "rows read" not in workshop.run()["ground_truth"].notes
    write_predictions(tmp_path / "predictions" / "net.parquet", names, seed=1)
    assert "rows read" not in workshop.run()["ground_truth"].notes


def test_a_new_file_touches_the_rows_of_its_samples_and_embeds_nothing(
    workshop: Workshop, names: list[str], tmp_path: Path
) -> None:
    workshop.select |= {"embeddings", "similarity"}
    write_predictions(tmp_path / "predictions" / "net.parquet", names)
    workshop.run()
    write_predictions(tmp_path / "predictions" / "other.parquet", names[:5], seed=1)
    models.EMBEDDED.clear()
    reports = workshop.run()
    assert models.EMBEDDED == []
    assert reports["hardness"].notes["judged"] == reports["mistakenness"].notes["judged"] == 5
    assert (reports["hardness"].counts.total, reports["mistakenness"].counts.total) == (5, 5)
    assert reports["ground_truth"].counts.total == 0
    assert reports["similarity"].up_to_date
    check(workshop, tmp_path, select=workshop.select)


def test_later_files_override_sample_by_sample_and_taking_one_away_undoes_it(
    workshop: Workshop, names: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "predictions"
    settings = {"predictions": [{"uri": str(folder), "model": "net"}]}
    workshop = make_workshop(tmp_path, "other", **settings)
    write_predictions(folder / "a.parquet", names)
    workshop.run()
    before = workshop.rows("from hardness order by all"), workshop.rows("from mistakenness order by all")
    write_predictions(folder / "b.parquet", names[:7], seed=1)
    reports = workshop.run()
    assert (reports["hardness"].counts.changed, reports["mistakenness"].counts.changed) == (7, 7)
    assert workshop.rows("select count(*), count(distinct model) from predictions") == [(40, 1)]
    check(workshop, tmp_path, **settings)
    (folder / "b.parquet").unlink()
    workshop.run()
    assert (workshop.rows("from hardness order by all"), workshop.rows("from mistakenness order by all")) == before
    check(workshop, tmp_path, **settings)


def test_a_time_of_creation_comes_before_the_name(workshop: Workshop, names: list[str], tmp_path: Path) -> None:
    for name, label, made in (("a", "cat", "2024-02-01"), ("b", "dog", "2024-01-01")):
        text = f"filepath,label,confidence,model,created_at\n{names[0]},{label},0.9,net,{made}\n"
        (tmp_path / "predictions" / f"{name}.csv").write_text(text)
    workshop.run()
    assert workshop.rows("select label from predictions") == [("cat",)]


def test_rows_wait_for_their_sample(workshop: Workshop, names: list[str], tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions" / "net.parquet", [*names, "00099.png"])
    workshop.run()
    waiting = "select file, line, reason, detail from rejected_rows"
    assert workshop.rows(waiting) == [("net.parquet", 41, "no_sample", "00099.png")]
    write_pictures(tmp_path / "media", [99])
    reports = workshop.run()
    assert reports["predictions"].notes["files read"] == 0
    assert (reports["hardness"].counts.total, reports["mistakenness"].counts.total) == (1, 1)
    assert workshop.rows(waiting) == []
    (tmp_path / "media" / "00099.png").unlink()
    workshop.run()
    assert workshop.rows("select count(*) from hardness") == [(40,)]
    check(workshop, tmp_path)


def test_samples_are_named_by_path_by_absolute_path_or_by_id(
    workshop: Workshop, names: list[str], tmp_path: Path
) -> None:
    text = (
        f"sample_id,filepath,label\n{sample_id(names[0])},,cat\n,{tmp_path}/media/{names[1]},dog\n,./{names[2]},owl\n"
    )
    (tmp_path / "labels.csv").write_text(text)
    workshop.run()
    found = workshop.rows("select filepath, labels from ground_truth join samples using (sample_id) order by filepath")
    assert found == [(names[0], ["cat"]), (names[1], ["dog"]), (names[2], ["owl"])]
    assert workshop.rows("from rejected_rows") == []


def test_a_changed_label_is_judged_anew_alone(workshop: Workshop, names: list[str], tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions" / "net.parquet", names)
    workshop.run()
    labels = {name: CLASSES[number % 3] for number, name in enumerate(names[:30])}
    write_labels(tmp_path / "labels.csv", {**labels, names[0]: "dog", names[30]: "owl"})
    assert workshop.run()["mistakenness"].notes["judged"] == 2
    del labels[names[5]]
    write_labels(tmp_path / "labels.csv", labels)
    workshop.run()
    check(workshop, tmp_path)


def test_a_confident_contradiction_is_an_issue_and_a_label_that_many_lack_none(
    workshop: Workshop, names: list[str], tmp_path: Path
) -> None:
    chain = (*CHAIN, "label_issues", "issues")
    workshop = make_workshop(tmp_path, "home", select=chain, label_issues={"views": "predictions"})
    rows = [(0, "dog", 0.9), (1, "dog", 0.9), (2, "cat", 0.2), (35, "owl", 0.8)]
    text = "".join(f"{names[number]},{label},{confidence}\n" for number, label, confidence in rows)
    (tmp_path / "predictions" / "net.csv").write_text("filepath,label,confidence\n" + text)
    workshop.run()
    found = workshop.rows(
        "select filepath, mistakenness from mistakenness join samples using (sample_id) order by filepath"
    )
    assert [name for name, _ in found] == [names[number] for number, *_ in rows]
    assert [value for _, value in found] == pytest.approx([0.95, 0.05, 0.6, 0.9])
    query = "select filepath, issue, is_issue, evidence from issues join samples using (sample_id)"
    issues = workshop.rows(f"{query} where issue in ('label_mistake', 'missing_label') order by filepath")
    assert [row[:3] for row in issues] == [
        (names[0], "label_mistake", True),
        (names[2], "label_mistake", False),
    ]
    evidence = json.loads(issues[0][3])
    assert (evidence["model"], evidence["given"], evidence["suggested"]) == ("net", ["cat"], ["dog"])


def test_compat_gives_every_labelled_sample_a_row(workshop: Workshop, names: list[str], tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions" / "net.parquet", names[:10])
    settings = {"mistakenness": {"mode": "compat"}}
    workshop = make_workshop(tmp_path, "other", **settings)
    workshop.run()
    assert workshop.rows("select count(*), count_if(mistakenness = 1) from mistakenness") == [(30, 20)]
    (tmp_path / "predictions" / "net.parquet").unlink()
    workshop.run()
    assert workshop.rows("select count(*) from mistakenness") == [(0,)]


def test_several_classes_per_sample(workshop: Workshop, names: list[str], tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(f"filepath,labels\n{names[0]},cat;dog\n{names[1]},owl\n")
    rows = [
        {"filepath": names[0], "labels": ["dog", "cat"], "confidences": [0.6, 0.8]},
        {"filepath": names[1], "labels": ["owl", "cat"], "confidences": [0.9, 0.7]},
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "predictions" / "net.parquet")
    workshop.run()
    query = "select mistakenness from mistakenness join samples using (sample_id) order by filepath"
    assert [value for (value,) in workshop.rows(query)] == pytest.approx([0.15, 0.85])
    assert workshop.rows("select position, label, confidence from predictions order by all")[0] == (0, "dog", 0.6)
    check(workshop, tmp_path)


def test_label_files_may_give_splits_and_tags(tmp_path: Path) -> None:
    names = [path.name for path in write_pictures(tmp_path / "media", range(4))]
    labels = tmp_path / "labels.csv"
    labels.write_text(f"filepath,label,split,tags\n{names[0]},cat,Validation,odd; wet\n{names[1]},dog,test,\n")
    (tmp_path / "more.jsonl").write_text(json.dumps({"filepath": names[1], "label": "cat", "tags": ["dry"]}))
    declared = {"labels": [{"uri": str(labels)}, {"uri": str(tmp_path / "more.jsonl")}], "split_from": "column"}
    workshop = make_workshop(tmp_path, "home", **declared)
    steps = ("samples", "media", "ground_truth", "published")
    workshop.run(steps)
    query = "select split, tags from samples order by filepath"
    assert workshop.rows(query) == [("val", ["odd", "wet"]), ("test", ["dry"]), (None, []), (None, [])]
    reports = workshop.run(steps)
    assert reports["samples"].counts.total == 0
    labels.write_text(f"filepath,label,split\n{names[2]},cat,train\n")
    reports = workshop.run(steps)
    assert (reports["samples"].counts.changed, reports["samples"].notes["read"]) == (3 + 1, 0)
    assert workshop.rows(query) == [(None, []), (None, ["dry"]), ("train", []), (None, [])]
    workshop = make_workshop(tmp_path, "home", **{**declared, "split_from": "none"})
    workshop.run(steps)
    assert workshop.rows("select count(split) from samples") == [(0,)]


def test_tables_called_like_splits_and_tables_that_say_splits_alone(tmp_path: Path) -> None:
    names = [path.name for path in write_pictures(tmp_path / "media", range(4))]
    for file, text in {
        "train_labels.csv": f"filepath,label\n{names[0]},cat\n",
        "splits.csv": f"filepath,split\n{names[1]},Validation\n",
        "list_eval_partition.csv": f"image_id,partition\n{names[2]},0\n{names[3]},2\n",
    }.items():
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / file).write_text(text)
    workshop = make_workshop(
        tmp_path, "home", labels=[{"uri": str(tmp_path / "labels")}], split_from="column", classes=[]
    )
    workshop.run(("samples", "media", "ground_truth", "published"))
    assert [split for (split,) in workshop.rows("select split from samples order by filepath")] == [
        "train",
        "val",
        "train",
        "test",
    ]
    assert workshop.rows("select labels from ground_truth") == [(["cat"],)]
    assert workshop.rows("from rejected_rows") == []


def test_folders_as_classes_and_several_fields(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media" / "train" / "cat", range(3))
    write_pictures(tmp_path / "media" / "val" / "dog", range(3, 5))
    write_pictures(tmp_path / "media" / "val", [9])
    # A folder that says no more than that images lie in it is no class, but where others lie beside it.
    write_pictures(tmp_path / "media" / "train" / "cow" / "images", [10])
    write_pictures(tmp_path / "media" / "train" / "photos", [11])
    write_pictures(tmp_path / "media" / "test" / "images", [12])
    (tmp_path / "labels.csv").write_text("filepath,color\ntrain/cat/00000.png,red\n")
    labels = [{"uri": "folder"}, {"uri": str(tmp_path / "labels.csv"), "field": "color"}]
    workshop = make_workshop(tmp_path, "home", labels=labels, classes=[], split_from="folder")
    workshop.run(("samples", "media", "ground_truth", "published"))
    counts = "select label_field, labels, count(*) from ground_truth group by all order by all"
    classes = (("cat", 3), ("cow", 1), ("dog", 2), ("photos", 1))
    assert workshop.rows(counts) == [("color", ["red"], 1), *(("ground_truth", [name], many) for name, many in classes)]


def test_the_mean_over_models_where_there_are_several(workshop: Workshop, names: list[str], tmp_path: Path) -> None:
    for seed, model in enumerate("ab"):
        write_predictions(tmp_path / "predictions" / f"{model}.parquet", names[: 10 - seed], seed)
    workshop.run()
    wrong = """
        select count(*) from (select sample_id, avg(hardness) as mean from hardness where model != '*' group by 1)
        join hardness using (sample_id) where model = '*' and abs(mean - hardness) > 1e-12"""
    assert workshop.rows("select count(*) from hardness where model = '*'") == [(10,)]
    assert workshop.rows(wrong) == [(0,)]


def test_a_run_with_nothing_new_reads_no_file(workshop: Workshop, names: list[str], tmp_path: Path) -> None:
    write_predictions(tmp_path / "predictions" / "net.parquet", names)
    workshop.run()
    reports = workshop.run()
    assert {name: reports[name].counts.total for name in LABELS} == dict.fromkeys(LABELS, 0)
    assert reports["published"].notes["written"] == ""


def test_the_drop_folder_and_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [path.name for path in write_pictures(tmp_path / "media", range(4))]
    write_labels(tmp_path / "labels.csv", dict.fromkeys(names, "cat"))
    monkeypatch.setenv("BRAIN_HOME", str(tmp_path / "home"))
    arguments = ["add", "pets", "--media", str(tmp_path / "media"), "--classes", ",".join(CLASSES)]
    labels = ["--labels", str(tmp_path / "labels.csv"), "--labels", f"kind={tmp_path / 'labels.csv'}"]
    result = CliRunner().invoke(main, [*arguments, *labels, "--labels-format", "csv"])
    assert result.exit_code == 0, result.output
    config = (tmp_path / "home" / "datasets" / "pets" / "dataset.yaml").read_text()
    workshop = Workshop(tmp_path / "home", tmp_path / "media", "pets", select=CHAIN)
    workshop.paths.config.write_text(config + "embeddings: {model: 'python:tests.models:Pixels'}\n")
    write_predictions(workshop.paths.predictions / "net.parquet", names)
    workshop.run()
    assert workshop.rows("select label_field, count(*) from ground_truth group by 1 order by 1") == [
        ("ground_truth", 4),
        ("kind", 4),
    ]
    assert workshop.rows("select model, count(*) from mistakenness group by 1") == [("net", 4)]


@pytest.mark.parametrize(("option", "value"), [("--labels", "/nowhere.csv"), ("--labels-format", "xls")])
def test_what_cannot_be_declared_is_said_in_one_line(tmp_path: Path, option: str, value: str) -> None:
    write_pictures(tmp_path / "media", [0])
    write_labels(tmp_path / "labels.csv", {})
    arguments = ["--home", str(tmp_path / "home"), "add", "pets", "--media", str(tmp_path / "media")]
    result = CliRunner().invoke(main, [*arguments, "--labels", str(tmp_path / "labels.csv"), option, value])
    assert result.exit_code == 1
    assert "labels" in result.stderr
    assert len(result.stderr.splitlines()) == 1
