"""``brain what-if``: what it says is what a run then gives, and nothing of it stays."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from brain_assets.app.cli import main
from brain_assets.app.what_if import FLAGGED, SUGGESTED, Supposed, what_if
from brain_assets.resources.dataset import Opening, open_dataset
from brain_assets.resources.store.events import Event, Events
from brain_assets.signals.registry import ISSUES
from tests.workshop import Workshop, encoded, picture

HEALTH = "select metric, value from health where run_id = (select arg_max(run_id, recorded_at) from health)"


def make(root: Path) -> Workshop:
    """Return a dataset with copies, splits, labels of which some are wrong, a gate, and what no file says of itself."""
    media = root / "media"
    for split in ("train", "test"):
        (media / split).mkdir(parents=True)
    labels = ["filepath,label"]
    for number in range(24):
        image = picture(number % 18, (48, 40))
        path = media / ("test" if number % 3 == 0 else "train") / f"{number:02}.{'jpg' if number > 20 else 'png'}"
        path.write_bytes(encoded(image, "JPEG" if number > 20 else "PNG"))
        labels.append(f"{path.relative_to(media)},{'cat' if number % 5 == 0 else 'dog'}")
    (root / "labels.csv").write_text("\n".join(labels))
    gate = {"metric": "leaks", "operator": "<=", "limit": 3, "severity": "warn"}
    labels_file = [{"uri": str(root / "labels.csv")}]
    found = Workshop(root / "home", media, split_from="folder", labels=labels_file, gates=[gate])
    found.run()
    return found


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make(tmp_path_factory.mktemp("supposed"))


def copied(workshop: Workshop, root: Path) -> Workshop:
    """Return a dataset of the same pictures, as far as the given one is."""
    shutil.copytree(workshop.home.root, root / "home", symlinks=True)
    copy = Workshop(root / "home", "unsaid")
    shutil.copy(workshop.paths.config, copy.paths.config)
    return copy


def numbers(workshop: Workshop) -> dict[str, float]:
    return dict(workshop.rows(HEALTH))


def brain(workshop: Workshop, *words: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(workshop.home.root), "what-if", *words])


def declare(workshop: Workshop, settings: dict[str, str]) -> None:
    said = yaml.safe_load(workshop.paths.config.read_text())
    for key, value in settings.items():
        *above, last = key.split(".")
        part = said
        for one in above:
            part = part.setdefault(one, {})
        part[last] = yaml.safe_load(value)
    workshop.declare(**said)


def decide(workshop: Workshop, drop: tuple[str, ...], *, relabel: bool) -> None:
    """Say on the review page what was supposed."""
    doubted = [issue.name for issue in ISSUES.values() if issue.relabels]
    with open_dataset(workshop.home, workshop.name, Opening("ask", "test")) as dataset:
        gone = [
            (row["subject_id"], row["content_hash"]) for row in dataset.store.query(FLAGGED, [list(drop)]).to_pylist()
        ]
        labels = dataset.store.query(SUGGESTED, [doubted]).to_pylist()
    if gone:
        Events(workshop.paths.events).append(Event("drop", "ann"), gone)
    kept = [
        (row["subject_id"], row["content_hash"], row["value"]) for row in labels if row["subject_id"] not in dict(gone)
    ]
    if relabel and kept:
        Events(workshop.paths.events).append(Event("relabel", "ann"), kept)


@pytest.mark.parametrize(
    ("settings", "drop", "relabel"),
    [
        ({"near_duplicates.threshold": "0.0001", "image_quality.thresholds.dark": "0.9"}, (), False),
        ({}, ("exact_duplicate", "near_duplicate"), False),
        ({"near_duplicates.threshold": "0.05", "keep_first": "[test]"}, ("exact_duplicate", "leak"), True),
    ],
)
def test_it_says_what_the_run_then_gives(
    workshop: Workshop, tmp_path: Path, settings: dict[str, str], drop: tuple[str, ...], *, relabel: bool
) -> None:
    workshop = copied(workshop, tmp_path)
    now = numbers(workshop)
    outcome = what_if(workshop.home, workshop.name, Supposed(settings, drop, relabel))
    assert not outcome.needs_run
    assert {name: outcome.before[name] for name in now} == now
    assert outcome.changed
    # Nothing of it stayed.
    assert {name: report.up_to_date for name, report in workshop.run().items() if name == "issues"} == {"issues": True}
    assert numbers(workshop) == now
    if settings:
        declare(workshop, settings)
        workshop.run()
    if drop:
        decide(workshop, drop, relabel=relabel)
        workshop.run()
    then = numbers(workshop)
    assert {name: outcome.after[name] for name in then} == pytest.approx(then, abs=1e-9)


def test_what_needs_a_run_is_named_and_left_out(workshop: Workshop) -> None:
    said = brain(workshop, "test", "--set", "similarity.k=3")
    assert said.exit_code == 0, said.output
    assert "needs a run: similarity (its settings are others)" in said.output
    assert "needs a run: near_duplicates (it follows from similarity)" in said.output
    found = json.loads(brain(workshop, "test", "--set", "similarity.k=3", "--json").output)
    assert "exact_duplicates" in found["after"]
    assert not {"leaks", "near_duplicates", "issue_leak", "issues"} & found["after"].keys()
    assert found["gates"] == []
    refused = brain(workshop, "test", "--set", "similarity.k=3", "--drop-duplicates")
    assert refused.exit_code == 1
    assert "who has near_duplicate is not known without a run of near_duplicates" in refused.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say what to suppose"),
        (("--set", "near_duplicates.threshold"), "--set wants KEY=VALUE"),
        (("--set", "near_duplicates.treshold=.2"), "treshold"),
        (("--drop", "ugliness"), "no issue 'ugliness'"),
    ],
)
def test_wrong_questions_are_refused_in_a_line(workshop: Workshop, words: tuple[str, ...], told: str) -> None:
    said = brain(workshop, "test", *words)
    assert said.exit_code != 0
    assert told in said.output
