"""How likely each label is wrong, as a probability that adds up: of a hundred labels at .8, eighty should be wrong.

A label is taken to be either the true class, which views that do not know it see with their probabilities, or the class
that an error put in its place. How many labels are wrong, which classes errors go to, and how far the views are to be
trusted is what makes the labels as they are likeliest; Bayes' rule then gives the probability of each. An error that is
made again and again, such as one class taken for another, so counts for more than one of its kind alone.

Notes
-----
A model of the noise is a calibration: fitted on samples that their content chooses, stored, and an input of each
sample's probability.

References
----------
Dawid and Skene, Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm, 1979.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LIKELY = 0.25
"""The probability from which a label is flagged: below where F1 is highest (near .4), as a wrong label that is missed costs more
than a right one that is looked at."""
FEWEST = 100
"""Labels without which nothing is fitted."""
TEMPERATURES = np.geomspace(0.4, 1.5, 7)
"""Exponents of the views' probabilities: below 1 they are surer than they should be. Beyond 1.5 labels as they are may get
likelier still, but true ones never did: suspicions sharpen what they rest on."""
ROUNDS = 12
ANYWHERE = 10.0
"""Errors per class that are taken to go to all others alike, before any is suspected."""
LEAST_MOVES = 0.5
"""Suspected errors from one class to another below which they count as chance."""
SUSPECT = 1.0
"""Logarithm of the odds of another class against the label from which it is suspect at first."""
MOST_WRONG = 0.5
PRICE = 0.15
"""By how many nats each label that is taken to be wrong must make the labels likelier, for views that know nothing; it falls with
the square of their entropy. What views that know little get wrong looks like errors of labels, too, but explains little."""
BEGUN_WITH = 0.1
PRIOR_WRONG, PRIOR_ALL = 1.0, 20.0
"""Labels, wrong and all, that are taken to have been seen before the first."""
DEVIATION = 1.0
"""By how much the logarithm of all odds of being wrong is off at once: its standard deviation over sets."""
QUANTILE = 1.645
"""Of the normal distribution: nine in ten lie within as many standard deviations."""
TINY = 1e-12
Matrix = NDArray[np.float64]
Moves = list[tuple[int, int, float]]


@dataclass(frozen=True)
class LabelNoise:
    """How labels come to be wrong.

    Attributes
    ----------
    share : float in [0, 0.5]
        Of labels that are wrong.
    temperature : float, > 0
        Exponent of the views' probabilities.
    moves : list of (int, int, float)
        True class, label, and how many errors of that kind are suspected; beside them come `ANYWHERE` per class.
    """

    share: float
    temperature: float
    moves: Moves

    def wrong(self, probability: NDArray[np.floating], labels: NDArray[np.int64]) -> Matrix:
        """Return the probability that each label is wrong.

        Parameters
        ----------
        probability : (n, c) float in [0, 1]
            Of the classes, by views that do not know the label; NaN where there are none.
        labels : (n,) int64, in [0, c), or -1

        Returns
        -------
        (n,) float64 in [0, 1]
            NaN where there is no label or view.

        Examples
        --------
        >>> noise = LabelNoise(0.1, 1.0, [])
        >>> noise.wrong(np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([0, 0])).round(2)
        array([0.01, 0.5 ])
        """
        trusted = _tempered(probability, self.temperature)
        suspected = np.zeros((probability.shape[1],) * 2)
        for true, label, count in self.moves:
            suspected[true, label] = count
        found, _ = _posterior(trusted, labels, _spread(suspected), self.share)
        return np.where(labels < 0, np.nan, found)


@dataclass(frozen=True)
class ExpectedCount:
    """How many of some labels are wrong: the mean, and the interval that holds in nine sets of ten."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Shift:
    """By how much the logarithm of all odds of being wrong is to be moved, and how far that may still be off."""

    mean: float = 0.0
    deviation: float = DEVIATION


def shift_of(wrong: NDArray[np.floating], found: NDArray[np.bool_]) -> Shift:
    """Return the shift that makes what reviewers found likeliest, `DEVIATION` being what shifts are before they looked.

    Parameters
    ----------
    wrong : (n,) float in [0, 1]
        The probability that each reviewed label is wrong.
    found : (n,) bool
        Whether it is.

    Returns
    -------
    Shift
        The mode of its distribution, and the deviation of the normal one that lies on it (Laplace's method).

    Examples
    --------
    >>> shift = shift_of(np.full(100, 0.5), np.arange(100) < 80)
    >>> round(shift.mean, 1), round(shift.deviation, 2)
    (1.3, 0.24)
    >>> shift_of(np.zeros(0), np.zeros(0, bool)) == Shift()
    True
    """
    odds = np.log(np.clip(wrong, TINY, 1 - TINY)) - np.log1p(-np.clip(wrong, TINY, 1 - TINY))
    mean, precision = 0.0, 1 / DEVIATION**2
    for _ in range(ROUNDS):
        moved = 1 / (1 + np.exp(-(odds + mean)))
        precision = float((moved * (1 - moved)).sum()) + 1 / DEVIATION**2
        mean += (float((found - moved).sum()) - mean / DEVIATION**2) / precision
    return Shift(mean, precision**-0.5)


def expected_count(wrong: NDArray[np.floating], deviation: float = DEVIATION) -> ExpectedCount:
    """Return how many labels are wrong, from the probability of each.

    Parameters
    ----------
    wrong : (n,) float in [0, 1]
    deviation : float
        How far the logarithm of their odds may be off, for all at once.

    Returns
    -------
    ExpectedCount
        Chance adds the variance of independent draws, and the odds what a shift of all of them changes.

    Examples
    --------
    >>> expected_count(np.full(10, 0.5))  # doctest: +ELLIPSIS
    ExpectedCount(mean=5.0, low=0.1..., high=9.8...)
    """
    mean, variance = float(wrong.sum()), float((wrong * (1 - wrong)).sum())
    reach = QUANTILE * float(np.hypot(np.sqrt(variance), deviation * variance))
    return ExpectedCount(mean, max(mean - reach, 0.0), min(mean + reach, float(len(wrong))))


def fit(probability: NDArray[np.floating], labels: NDArray[np.int64]) -> LabelNoise | None:
    """Return the noise that makes labels likeliest, by views that do not know them.

    Parameters
    ----------
    probability : (n, c) float in [0, 1]
    labels : (n,) int64, in [0, c)

    Returns
    -------
    LabelNoise or None
        None for fewer than `FEWEST` labels.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> truth = random.integers(0, 3, 3000)
    >>> labels = np.where(random.random(3000) < 0.1, (truth + 1) % 3, truth)
    >>> noise = fit(np.full((3000, 3), 0.02) + 0.94 * np.eye(3)[truth], labels)
    >>> round(noise.share, 1), [move[:2] for move in noise.moves if move[2] > 50]
    (0.1, [(0, 1), (1, 2), (2, 0)])
    """
    if len(labels) < FEWEST or probability.shape[1] < 2:
        return None
    own, best = probability[np.arange(len(labels)), labels], probability.max(axis=1)
    # Sums of floats depend on their order: that of what is summed, whatever the order of the samples.
    order = np.lexsort(((probability**2).sum(axis=1), best, own, labels))
    given = probability[order], labels[order], PRICE * _ignorance(probability[order]) ** 2
    found = [_fit(*given, float(temperature)) for temperature in TEMPERATURES]
    return max(found, key=lambda one: one[0])[1]


def _ignorance(probability: NDArray[np.floating]) -> float:
    """Return the mean entropy of the views, as a share of that of views that find all classes equally likely."""
    entropy = -(probability * np.log(np.maximum(probability, TINY))).sum(axis=1)
    return float(entropy.mean() / np.log(probability.shape[1]))


def _fit(
    probability: NDArray[np.floating], labels: NDArray[np.int64], price: float, temperature: float
) -> tuple[float, LabelNoise]:
    """Return what the noise is worth at one temperature, and it, by expectation maximization.

    That is the mean logarithm of the labels' likelihood, less the price of the share that is taken to be wrong.
    """
    trusted = _tempered(probability, temperature)
    own = trusted[np.arange(len(labels)), labels]
    others = np.where(np.arange(trusted.shape[1]) == labels[:, None], 0.0, trusted)
    others /= np.maximum(others.sum(axis=1, keepdims=True), TINY)
    wrong = np.where(trusted.max(axis=1) > np.exp(SUSPECT) * own, 0.5, 0.0)
    share, likelihood = BEGUN_WITH, own
    suspected = np.zeros((trusted.shape[1],) * 2)
    for _ in range(ROUNDS):
        suspected = _suspected(others * wrong[:, None], labels)
        wrong, likelihood = _posterior(trusted, labels, _spread(suspected), share)
        share = min(_share((float(wrong.sum()) + PRIOR_WRONG) / (len(labels) + PRIOR_ALL), price), MOST_WRONG)
    moves = [(int(true), int(label), float(suspected[true, label])) for true, label in np.argwhere(suspected > 0)]
    worth = float(np.log(np.maximum(likelihood, TINY)).mean()) - price * share
    return worth, LabelNoise(share, temperature, moves)


def _share(wrong: float, price: float) -> float:
    """Return the share that is likeliest, less its price, of labels that are wrong with probability ``wrong`` on average."""
    # Of the two roots of a quadratic equation, in the form that holds for a price of nothing.
    return 2 * wrong / (1 + price + float(np.sqrt((1 + price) ** 2 - 4 * price * wrong)))


def _tempered(probability: NDArray[np.floating], temperature: float) -> Matrix:
    powers = np.maximum(probability, TINY) ** temperature
    normed: Matrix = powers / powers.sum(axis=1, keepdims=True)
    return normed


def _suspected(errors: Matrix, labels: NDArray[np.int64]) -> Matrix:
    """Return how many errors are suspected from each class to each label; a few are chance."""
    moves = np.zeros((errors.shape[1],) * 2)
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    moves[labels[order][starts]] = np.add.reduceat(errors[order], starts, axis=0)
    return np.where(moves.T >= LEAST_MOVES, moves.T, 0.0)


def _spread(suspected: Matrix) -> Matrix:
    """Return the probability of each label given that the true class is another and the label is wrong."""
    classes = len(suspected)
    moves = suspected + ANYWHERE * (1 - np.eye(classes)) / max(classes - 1, 1)
    np.fill_diagonal(moves, 0.0)
    spread: Matrix = moves / np.maximum(moves.sum(axis=1, keepdims=True), TINY)
    return spread


def _posterior(trusted: Matrix, labels: NDArray[np.int64], spread: Matrix, share: float) -> tuple[Matrix, Matrix]:
    """Return the probability that labels are wrong, and how likely they were at all."""
    own = trusted[np.arange(len(labels)), labels]
    mistaken = share * np.einsum("ij,ij->i", trusted, spread.T[labels])
    likelihood = mistaken + (1 - share) * own
    return mistaken / np.maximum(likelihood, TINY), likelihood
