"""``brain what-if``: what it says is what a run then gives, and nothing of it stays."""

import json
import shutil
import tempfile
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import strategies as st

from brain_assets.answers.health import health
from brain_assets.answers.issues import issues
from brain_assets.answers.published import published
from brain_assets.app.cli import main
from brain_assets.app.what_if import FLAGGED, SUGGESTED, Supposed, what_if
from brain_assets.assets import catalog
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


# The signals that the questions below are answered from; others only cost.
CHOSEN = {
    "reviews", "samples", "media", "ground_truth", "image_quality", "exact_duplicates", "embeddings", "similarity",
    "near_duplicates", "leaks", "label_issues",
}  # fmt: skip


@pytest.fixture
def few_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be no more signals than those, and what gathers and measures what they say."""
    chosen = [signal for signal in catalog.ALL if signal.name in CHOSEN]
    gathered = issues(chosen)
    answers = [gathered, health([*chosen, gathered])]
    monkeypatch.setattr(catalog, "ALL", (*chosen, *answers, published([*chosen, *answers])))


def small(root: Path, seed: int) -> Workshop:
    """Return a dataset of a few pictures, of which some are copies, in two splits, with labels of which some are wrong."""
    random = np.random.default_rng(seed)
    labels = ["filepath,label"]
    for number in range(int(random.integers(8, 14))):
        original = int(random.integers(7))
        form = str(random.choice(["PNG", "JPEG", "BMP"]))
        path = root / "media" / str(random.choice(["train", "test"])) / f"{number:02}.{form.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            encoded(picture(original, (40, 32)).point(lambda value, dim=original % 3: value // (1 + dim)), form)
        )
        labels.append(f"{path.relative_to(root / 'media')},{'cat' if random.random() < 0.2 else 'dog'}")
    (root / "labels.csv").write_text("\n".join(labels))
    gate = {"metric": "leaks", "operator": "<=", "limit": 1, "severity": "warn"}
    given = {"labels": [{"uri": str(root / "labels.csv")}], "gates": [gate], "similarity": {"k": 5}}
    found = Workshop(root / "home", root / "media", split_from="folder", **given)
    found.run()
    return found


SUPPOSED = st.builds(
    Supposed,
    st.fixed_dictionaries(
        {},
        optional={
            "near_duplicates.threshold": st.sampled_from(["0.0001", "0.05", "0.3", "null"]),
            "image_quality.thresholds.dark": st.sampled_from(["0.1", "0.4", "0.9"]),
            "image_quality.thresholds.bright": st.sampled_from(["0.2", "0.6"]),
            "keep_first": st.sampled_from(["[test]", "[train]", "[]"]),
        },
    ),
    st.lists(st.sampled_from(["exact_duplicate", "near_duplicate", "leak", "dark"]), max_size=2, unique=True),
    st.booleans(),
)


@pytest.mark.slow
@pytest.mark.usefixtures("few_signals")
@hypothesis.given(seed=st.integers(0, 999), steps=st.lists(SUPPOSED, min_size=1, max_size=2))
@hypothesis.settings(
    max_examples=3, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)  # fmt: skip
def test_it_says_what_the_run_then_gives(seed: int, steps: list[Supposed]) -> None:
    """Whatever is supposed, one after the other, of whatever set: it is done then, and nothing of it was there before."""
    with tempfile.TemporaryDirectory() as root:
        workshop = small(Path(root), seed)
        for supposed in steps:
            now = numbers(workshop)
            outcome = what_if(workshop.home, workshop.name, supposed)
            assert not outcome.needs_run
            assert outcome.before == now
            assert workshop.run()["issues"].up_to_date
            assert numbers(workshop) == now
            declare(workshop, dict(supposed.settings))
            workshop.run()
            decide(workshop, tuple(supposed.drop), relabel=supposed.relabel)
            workshop.run()
            gone = {metric: 0.0 for metric in now if metric.startswith("issue_")}
            assert outcome.after == pytest.approx(gone | numbers(workshop), abs=1e-9)


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
