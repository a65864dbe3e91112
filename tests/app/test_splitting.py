"""``brain split``: plans from what is published, files for training with a proof, and a plan that the dataset keeps."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result

from brain_assets.app.api import DatasetReader
from brain_assets.app.cli import main
from tests.signals.test_planned_splits import ALL, make, plan_of
from tests.workshop import Workshop, write_pictures

ASKED = ("--train", ".5", "--test", ".5")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("splitting")
    found = make(root, splits={})
    (root / "media" / "copy.png").write_bytes((root / "media" / "00003.png").read_bytes())
    found.run(ALL)
    return found


def brain(workshop: Workshop, *words: str | Path) -> Result:
    return CliRunner().invoke(main, ["--home", str(workshop.home.root), *map(str, words)])


def rows(path: Path) -> dict[str, str]:
    return {row["filepath"]: row["split"] for row in csv.DictReader(path.read_text().splitlines())}


def test_a_plan_and_its_proof_are_written_and_gone_on_from(workshop: Workshop, tmp_path: Path) -> None:
    said = brain(workshop, "split", "test", *ASKED, "-o", tmp_path / "a.csv")
    assert said.exit_code == 0, said.output
    assert "leaks: 0 of " in said.output
    assert "5 by patient (20 samples)" in said.output
    plan = rows(tmp_path / "a.csv")
    assert plan["copy.png"] == plan["00003.png"]
    assert len(plan) == 21
    proof = json.loads((tmp_path / "a.proof.json").read_text())
    assert proof["leaks"] == 0
    assert proof["kept_together"]["exact copies"] == {"groups": 1, "samples": 2}
    assert sum(one["samples"] for one in proof["splits"].values()) == 21
    again = brain(workshop, "split", "test", *ASKED, "-o", tmp_path / "a.csv")
    assert again.exit_code == 1
    assert "is there already" in again.output
    other = ("--train", ".1", "--val", ".8", "--test", ".1", "--previous", tmp_path / "a.csv")
    said = brain(workshop, "split", "test", *other, "-o", tmp_path / "b.parquet")
    assert said.exit_code == 0, said.output
    later = pq.read_table(tmp_path / "b.parquet").to_pylist()
    assert {row["filepath"]: row["split"] for row in later} == plan


def test_lists_for_yolo_name_the_files(workshop: Workshop, tmp_path: Path) -> None:
    said = brain(workshop, "split", "test", *ASKED, "-o", tmp_path / "lists")
    assert said.exit_code == 0, said.output
    data = yaml.safe_load((tmp_path / "lists" / "data.yaml").read_text())
    assert data["names"] == {0: "cat", 1: "dog"}
    named = [
        Path(line) for one in ("train", "test") for line in (tmp_path / "lists" / data[one]).read_text().splitlines()
    ]
    assert len(named) == 21
    assert all(path.is_file() for path in named)


def test_a_process_of_its_own_plans_too(workshop: Workshop) -> None:
    """What the command needs it imports itself, whatever else was imported before in a test."""
    command = [sys.executable, "-m", "brain_assets.app.cli", "--home", str(workshop.home.root), "split", "test", *ASKED]
    assert "leaks: 0 of" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_python_gives_the_same(workshop: Workshop) -> None:
    with DatasetReader(workshop.name, str(workshop.home.root)) as dataset:
        plan = dataset.split({"train": 0.5, "test": 0.5})
        folds = dataset.split(folds=3, where="filepath != 'copy.png'")
    assert {*plan.splits["train"], *plan.splits["test"]} == set(plan.table.column("sample_id").to_pylist())
    assert plan.proof["leaks"] == folds.proof["leaks"] == 0
    assert list(folds.splits) == ["fold_1", "fold_2", "fold_3"]
    assert folds.table.num_rows == 20


def test_a_kept_plan_is_that_which_was_shown(tmp_path: Path) -> None:
    workshop = make(tmp_path, splits={})
    workshop.run(ALL)
    shown = brain(workshop, "split", "test", *ASKED, "--keep", "-o", tmp_path / "a.csv")
    assert shown.exit_code == 0, shown.output
    workshop.run(ALL)
    assert plan_of(workshop) == rows(tmp_path / "a.csv")
    write_pictures(tmp_path / "media", range(20, 26))
    workshop.run(ALL)
    later = brain(workshop, "split", "test", "-o", tmp_path / "b.csv")
    assert later.exit_code == 0, later.output
    assert rows(tmp_path / "a.csv").items() <= rows(tmp_path / "b.csv").items()
    plan = rows(tmp_path / "b.csv")
    assert plan_of(workshop) == plan
    # An export can follow it, whatever splits the files say.
    out = ("export", "test", "--format", "parquet", "--plan", "planned_splits", "-o")
    assert brain(workshop, *out, tmp_path / "all").exit_code == 0
    written = pq.read_table(tmp_path / "all" / "labels.parquet").to_pylist()
    assert {row["split"] for row in written} == {"train", "test"}
    assert {Path(row["filepath"]).name: row["split"] for row in written}.items() <= plan.items()
    said = brain(workshop, *out, tmp_path / "test", "--split", "test")
    count = sum(split == "test" for split in plan.values())
    assert f"{count} images" in said.output, said.output
    assert "no split 'dev' (splits: test, train)" in brain(workshop, *out, tmp_path / "dev", "--split", "dev").output
    wrong = (*out[:-2], "folds", "-o")
    assert "there is no plan 'folds' (plans: planned_splits)" in brain(workshop, *wrong, tmp_path / "no").output


def test_a_repair_moves_the_fewest_and_says_so(tmp_path: Path) -> None:
    for split, seeds in {"train": range(6), "test": range(6, 9)}.items():
        write_pictures(tmp_path / "media" / split, seeds)
    (tmp_path / "media" / "test" / "again.png").write_bytes((tmp_path / "media" / "train" / "00001.png").read_bytes())
    workshop = Workshop(tmp_path / "home", tmp_path / "media", split_from="folder")
    workshop.run(ALL)
    leaky = brain(workshop, "split", "test", "--given")
    assert leaky.exit_code == 1
    assert "2 samples leak between splits" in leaky.output
    said = brain(workshop, "split", "test", "--repair", "-o", tmp_path / "a.csv")
    assert said.exit_code == 0, said.output
    assert "moved 1 to another split" in said.output
    moved = {name for name, split in rows(tmp_path / "a.csv").items() if not name.startswith(split)}
    assert moved == {"train/00001.png"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say how to split: --train .8"),
        (("--train", ".8"), "shares add up to 0.8, not to 1"),
        (("--share", "holdout"), "write NAME=SHARE"),
        ((*ASKED, "--where", "size > 3"), "--where is no condition over samples"),
        ((*ASKED, "--where", "width > 99999"), "there are no samples to split of which holds"),
        ((*ASKED, "--relations", "samey"), "splits: relations.0"),
        ((*ASKED, "-o", "plan.txt"), "splits are written as .csv or .parquet"),
        ((*ASKED, "--keep", "--where", "true"), "--keep goes with neither --previous, --where nor --by-cluster"),
    ],
)
def test_what_cannot_be_planned_is_one_line(workshop: Workshop, words: tuple[str, ...], said: str) -> None:
    found = brain(workshop, "split", "test", *words)
    assert found.exit_code in {1, 2}
    assert said in " ".join(found.output.split())


def test_clusters_of_similar_images_keep_their_shares(tmp_path: Path) -> None:
    found = make(tmp_path, splits={}, groups=[])
    found.run((*ALL, "representativeness"))
    clusters = dict(
        found.rows("select sample_id, cluster from representativeness where brain_key = 'representativeness'")
    )
    plan = DatasetReader("test", str(found.home.root)).split({"train": 0.5, "test": 0.5}, by_cluster=True)
    assert plan.proof["by_cluster"]
    counts = {name: row for name, row in plan.proof["classes"].items() if name.startswith("cluster:")}
    assert sum(sum(row.values()) for row in counts.values()) == len(clusters)
    assert all(abs(row["train"] - row["test"]) <= 3 for row in counts.values())
    refused = brain(found, "split", "test", *ASKED, "--by-cluster", "--keep")
    assert "--by-cluster" in refused.output
    assert refused.exit_code == 2
