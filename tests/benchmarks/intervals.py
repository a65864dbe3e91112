"""Average precision and area under the ROC curve with what chance does to them: paired bootstraps of several scores.

Ties are taken together: a score that many share has one precision, whichever of them happens to stand first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ROUNDS = 1000


@dataclass(frozen=True)
class Ranking:
    """One score of all subjects, sorted once: which are wrong, and where those begin and end that share a score."""

    order: np.ndarray
    hits: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, wrong: np.ndarray, scores: np.ndarray) -> "Ranking":
        order = np.argsort(-scores, kind="stable")
        falling = scores[order]
        last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
        shared = np.diff(last, prepend=-1)
        starts, ends = np.repeat(last - shared + 1, shared), np.repeat(last, shared)
        return cls(order, wrong[order].astype(float), starts, ends)

    def average_precision(self, weights: np.ndarray | None = None) -> float:
        """Return the area under precision and recall, subjects counting as often as they were drawn; NaN without any wrong."""
        hits, misses = self._weighted(weights)
        if not hits.sum():
            return float("nan")
        found = hits.cumsum()[self.ends]
        precision = found / np.maximum(found + misses.cumsum()[self.ends], 1)
        return float((precision * hits).sum() / hits.sum())

    def area(self, weights: np.ndarray | None = None) -> float:
        """Return the area under the ROC curve; NaN where all or none are wrong."""
        hits, misses = self._weighted(weights)
        if not hits.sum() * misses.sum():
            return float("nan")
        before = np.append(0.0, misses.cumsum())
        above = (before[self.starts] + before[self.ends + 1]) / 2
        return float(1 - (above * hits).sum() / hits.sum() / misses.sum())

    def _weighted(self, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        weight = np.ones(len(self.order)) if weights is None else weights[self.order]
        return self.hits * weight, (1 - self.hits) * weight


Measure = Callable[[Ranking, np.ndarray | None], float]


def average_precision(wrong: np.ndarray, scores: np.ndarray) -> float:
    return Ranking.of(wrong, scores).average_precision()


@dataclass(frozen=True)
class Scene:
    """What is wrong, and what each method says of it; ``groups`` are drawn together, such as all objects of an image."""

    wrong: np.ndarray
    scores: Mapping[str, np.ndarray]
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class Compared:
    """The mean of a method's figure over scenes, and the 95 % interval of the first one's less it."""

    figure: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.figure:.3f} ({self.low:+.3f} to {self.high:+.3f})"


def compared(
    scenes: Sequence[Scene], measure: Measure = Ranking.average_precision, rounds: int = ROUNDS
) -> dict[str, Compared]:
    """Return the methods beside the first of them.

    Scenes of one set, such as draws of errors or several detectors, share what is drawn of its subjects or groups.
    """
    random = np.random.default_rng(0)
    groups = [np.arange(len(one.wrong)) if one.groups is None else one.groups for one in scenes]
    count = max(int(of.max()) + 1 for of in groups)
    draws = [random.multinomial(count, np.full(count, 1 / count)).astype(float) for _ in range(rounds)]
    figures, resampled = {}, {}
    for method in scenes[0].scores:
        ranked = [Ranking.of(one.wrong, one.scores[method]) for one in scenes]
        figures[method] = float(np.nanmean([measure(one, None) for one in ranked]))
        drawn = [[measure(one, draw[of]) for draw in draws] for one, of in zip(ranked, groups, strict=True)]
        resampled[method] = np.nanmean(drawn, axis=0)
    first = next(iter(resampled.values()))
    quantiles = {method: np.nanquantile(first - each, [0.025, 0.975]) for method, each in resampled.items()}
    return {method: Compared(figures[method], *map(float, quantiles[method])) for method in figures}


def cells(methods: Mapping[str, Compared], titles: Sequence[str]) -> list[str]:
    """Return what stands in a table's row: the first method's figure alone, the others' with intervals, "-" for none."""
    first = next(iter(methods))
    told = {name: f"{one.figure:.3f}" if name == first else str(one) for name, one in methods.items()}
    return [told.get(title, "-") for title in titles]


def heading(titles: Sequence[str]) -> str:
    """Return the first two lines of a table in Markdown."""
    return f"{row(titles)}\n{row(['---'] * len(titles))}"


def row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
