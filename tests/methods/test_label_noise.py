"""Probabilities of labels being wrong: they add up, whatever way the errors go, and views that know nothing doubt nothing."""

import numpy as np
import pytest

from brain_assets.methods.labels import linear_probe
from brain_assets.methods.labels.label_issues import calibrate, label_issues, neighbor_votes
from brain_assets.methods.labels.label_noise import FEWEST, expected_count, fit

CLASSES = 5


def planted(kind: str, rate: float, seed: int = 0, count: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities of a view that is right four times in five and knows when, labels, and which are wrong."""
    random = np.random.default_rng(seed)
    sharp = random.choice([0.5, 2.0, 4.0], (count, 1))
    logits = sharp * random.normal(size=(count, CLASSES)) + sharp
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([random.choice(CLASSES, p=row) for row in probability])
    wrong = random.random(count) < rate
    step = {"pairs": 1, "symmetric": random.integers(1, CLASSES, count)}[kind]
    return probability, np.where(wrong, (truth + step) % CLASSES, truth), wrong


@pytest.mark.parametrize("kind", ["pairs", "symmetric"])
@pytest.mark.parametrize("rate", [0.03, 0.1, 0.3])
def test_probabilities_add_up(kind: str, rate: float) -> None:
    probability, labels, wrong = planted(kind, rate)
    noise = fit(probability, labels)
    assert noise is not None
    assert noise.share == pytest.approx(rate, rel=0.35)
    found = noise.wrong(probability, labels)
    assert found.sum() == pytest.approx(wrong.sum(), rel=0.35)
    for low, high in ((0.2, 0.6), (0.6, 1.0)):
        within = (found >= low) & (found <= high)
        assert found[within].mean() == pytest.approx(wrong[within].mean(), abs=0.15)


def test_an_error_that_is_made_again_and_again_counts_for_more() -> None:
    probability, labels, wrong = planted("pairs", 0.1)
    noise = fit(probability, labels)
    assert noise is not None
    unsure = np.full((2, CLASSES), 0.02)
    unsure[:, [0, 3]] = 0.5, 0.44
    usual, odd = noise.wrong(unsure, np.array([1, 2]))
    assert usual > odd
    assert wrong.any()


def test_a_view_that_knows_nothing_flags_nothing() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, 2000)
    votes = neighbor_votes(
        np.sort(random.random((2000, 20)), axis=1), labels[random.integers(0, 2000, (2000, 20))], CLASSES
    )
    assert label_issues(labels, None, votes, calibrate(labels, None, votes)).is_issue.mean() < 0.02


def of_clusters(classes: int, apart: float, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what is flagged and what is wrong among 600 labels of classes of four kinds each, by neighbours and the probe."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, 600)
    middles, kinds = random.normal(size=(classes, 30)), random.normal(size=(classes, 4, 30))
    vectors = apart * (middles[truth] + kinds[truth, random.integers(0, 4, 600)]) + random.normal(size=(600, 30))
    wrong = random.random(600) < rate
    labels = np.where(wrong, (truth + random.integers(1, classes, 600)) % classes, truth)
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=2) + np.diag(np.full(600, np.inf))
    nearest = np.argsort(distances, axis=1)[:, :20]
    votes = neighbor_votes(np.take_along_axis(distances, nearest, axis=1), labels[nearest], classes)
    folds = random.integers(0, linear_probe.FOLDS, 600)
    probe = linear_probe.scores(linear_probe.fit(vectors, labels, folds, classes), vectors, folds)
    return label_issues(labels, None, votes, calibrate(labels, None, votes, probe), probe).is_issue, wrong


def test_views_that_know_little_doubt_few_right_labels() -> None:
    flagged = [of_clusters(classes=10, apart=0.2, rate=0.0, seed=seed)[0] for seed in range(6)]
    assert np.mean(flagged) < 0.05


@pytest.mark.parametrize("seed", range(4))
def test_views_that_know_much_find_two_wrong_labels_in_five(seed: int) -> None:
    flagged, wrong = of_clusters(classes=25, apart=1.5, rate=0.4, seed=seed)
    assert (flagged & wrong).sum() > 0.95 * wrong.sum()
    assert (flagged & wrong).sum() > 0.95 * flagged.sum()


def test_too_few_labels_tell_no_noise() -> None:
    probability, labels, _ = planted("pairs", 0.1)
    assert fit(probability[: FEWEST - 1], labels[: FEWEST - 1]) is None


def test_an_interval_holds_its_mean_and_stays_within_what_is_flagged() -> None:
    sure = expected_count(np.ones(7))
    assert (sure.mean, sure.low, sure.high) == (7, 7, 7)
    doubtful = expected_count(np.linspace(0.4, 1, 50))
    assert 0 < doubtful.low < doubtful.mean < doubtful.high <= 50
