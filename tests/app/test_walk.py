"""A week later: what changed and who did it, was the test set ever seen in training, and a clean split, by four commands."""

import csv
import json
from pathlib import Path

from click.testing import CliRunner

from brain_assets.app.cli import main
from brain_assets.review import create_app
from brain_assets.review.changes import NOT_KEPT
from tests.review.client import TOKEN, Client
from tests.signals.test_contamination import CHAIN, decide, make, save


def test_four_commands_answer_what_people_ask(tmp_path: Path) -> None:
    for number in range(8):
        save(tmp_path / "old", f"train/{number}.png", number)
    for number in range(40, 52):
        save(tmp_path / "flowers", f"{'test' if number % 3 == 0 else 'train'}/{number}.png", number)
    old, flowers = make(tmp_path, "old"), make(tmp_path, "flowers")
    old.run(CHAIN)
    flowers.run()
    # A week passes: an image arrives that another dataset trained on, one changes its split, a reviewer drops one.
    save(tmp_path / "flowers", "test/new.png", 5, "mirrored")
    (tmp_path / "flowers" / "train" / "40.png").rename(tmp_path / "flowers" / "test" / "40.png")
    decide(flowers, "train/41.png", "drop")
    flowers.run()

    def brain(*words: str) -> str:
        said = CliRunner().invoke(main, ["--home", str(flowers.home.root), *words])
        assert said.exit_code == 0, said.output
        return said.output

    told = brain("diff", "flowers", "1")
    assert "arrived (test/new.png)" in told
    assert "1 came: drop by ann (train/41.png)" in told
    # The page tells the same of its last two runs.
    page = Client(create_app(flowers.home.root, token=TOKEN), "flowers").sign_in()
    later, earlier = (run["run_id"] for run in page.get("overview").json()["runs"])
    assert page.get("changes", before=earlier, after=later).json() == told.splitlines()
    assert page.get("changes", before=later, after=later).json() == [NOT_KEPT]
    query = """select filepath, source from contamination join samples using (sample_id)
        where reason = 'trained_on' order by filepath"""
    found = json.loads(brain("sql", "flowers", query, "--format", "json"))
    assert [(row["filepath"], row["source"]) for row in found] == [("test/40.png", "flowers"), ("test/new.png", "old")]
    supposed = json.loads(brain("what-if", "flowers", "--drop", "contamination", "--json"))
    assert (supposed["dropped"], supposed["after"]["contaminated"], supposed["after"]["samples"]) == (2, 0, 10)
    brain("split", "flowers", "--train", ".5", "--test", ".5", "-o", str(tmp_path / "clean.csv"))
    rows = list(csv.DictReader((tmp_path / "clean.csv").read_text().splitlines()))
    assert {row["split"] for row in rows} == {"train", "test"}
    assert json.loads((tmp_path / "clean.proof.json").read_text())["leaks"] == 0
