"""Who reviewed how much, and how far two reviewers agree on what both decided."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from brain_assets.resources.store.events import Decision, Events, standing
from brain_assets.review.subjects import Row

# An image or object with its content, and what of it was decided.
Matter = tuple[str, str | None, str]
MOST = 20
"""Reviewers who are compared with each other: those who decided most."""


@dataclass(frozen=True)
class Agreement:
    """How far two reviewers agree.

    Attributes
    ----------
    both : int
        Matters that both decided.
    same : int
        Of these, those of which both said the same.
    kappa : float
        Cohen's kappa, at most 1: agreement beyond what chance gives reviewers who use each word as often as these do; NaN where
        both said one and the same of everything.
    """

    both: int
    same: int
    kappa: float


def agreement(pairs: Sequence[tuple[str, str]]) -> Agreement:
    """Return how far two reviewers agree who said of each matter the two words of a pair.

    By J. Cohen, A coefficient of agreement for nominal scales (1960): (p_o - p_e) / (1 - p_e).

    Examples
    --------
    >>> agreement([("keep", "keep"), ("drop", "drop"), ("keep", "drop"), ("drop", "drop")])
    Agreement(both=4, same=3, kappa=0.5)
    """
    size, same = len(pairs), sum(one == other for one, other in pairs)
    ours, theirs = (Counter(pair[side] for pair in pairs) for side in (0, 1))
    chance = sum(ours[word] * theirs[word] for word in ours) / size**2 if size else 1.0
    return Agreement(size, same, (same / size - chance) / (1 - chance) if chance < 1 else math.nan)


def reviewers(events: Events) -> Row:
    """Return who reviewed, by what stands of what each said, undone words and tags left out.

    Returns
    -------
    dict
        ``people``, those first who decided most: by, decisions, subjects, kinds (how many of each) and last (when, in UTC);
        and ``pairs`` of those who decided the same matters: by (two names), both, same, and kappa or None.
    """
    said = _by_person(events.decisions())
    people = sorted((_person(by, own) for by, own in said.items()), key=lambda one: (-one["decisions"], one["by"]))
    words = {one["by"]: _words(said[one["by"]]) for one in people[:MOST]}
    pairs = (_pair(*names, words) for names in combinations(words, 2))
    return {"people": people, "pairs": [pair for pair in pairs if pair["both"]]}


def _by_person(decisions: Iterable[Decision]) -> dict[str, list[Decision]]:
    """Return the last word of each reviewer on each matter, whatever others said later."""
    found: dict[str, list[Decision]] = {}
    for one in decisions:
        found.setdefault(one.by, []).append(one)
    last = {by: [one for aspects in standing(own).values() for one in aspects.values()] for by, own in found.items()}
    return {by: own for by, own in last.items() if own}


def _person(by: str, own: Sequence[Decision]) -> Row:
    return {
        "by": by,
        "decisions": len(own),
        "subjects": len({one.subject_id for one in own}),
        "kinds": dict(Counter(one.kind for one in own).most_common()),
        "last": max(one.at for one in own),
    }


def _words(own: Iterable[Decision]) -> dict[Matter, str]:
    """Return what somebody said of each matter on which others may say the same: boxes are never drawn alike."""
    kept = (one for one in own if one.kind in {"keep", "drop", "confirm", "relabel"})
    return {
        (
            one.subject_id,
            one.content_hash,
            "label" if one.kind == "relabel" else "fate",
        ): f"{one.kind} {one.value or ''}"
        for one in kept
    }


def _pair(one: str, other: str, words: Mapping[str, Mapping[Matter, str]]) -> Row:
    ours, theirs = words[one], words[other]
    found = agreement([(ours[matter], theirs[matter]) for matter in ours.keys() & theirs.keys()])
    kappa = None if math.isnan(found.kappa) else found.kappa
    return {"by": [one, other], "both": found.both, "same": found.same, "kappa": kappa}
