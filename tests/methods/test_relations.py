"""A copy is closer than is usual, or differs nowhere; what is near where all are near is none."""

import numpy as np

from brain_assets.methods.duplicates.relations import LISTED, Evidence, related, usual_distance

NOWHERE, EVERYWHERE = np.full(8, np.nan), np.array([0.0, 0.0, 1.0, 1.0] * 2)


def relation(distance: float, usual: float, change: float = np.nan, bits: int = 9) -> str | None:
    region = NOWHERE if np.isnan(change) else EVERYWHERE
    one = Evidence(*(np.array([value]) for value in (distance, 1 - distance, change)), region[None], np.array([bits]))
    return related(one, np.array([usual]))[0]


def listed(*distances: float) -> np.ndarray:
    return np.array([[*distances, *[1.0] * (LISTED - len(distances))]])


def test_closer_than_usual_is_a_copy_and_as_close_as_usual_is_none() -> None:
    assert relation(0.2, 0.8) == "edited"
    assert relation(0.2, 0.3) == "same_scene"
    assert relation(0.6, 0.9) is None
    assert relation(0.2, np.nan) == "same_scene"


def test_what_differs_nowhere_is_a_copy_however_usual_that_is() -> None:
    assert relation(0.1, 0.1, change=3.0) == "edited"
    assert relation(0.1, 0.1, change=60.0) == "same_scene"
    assert relation(0.01, 0.8, change=3.0, bits=0) == "same"
    assert relation(0.01, 0.8, change=60.0, bits=0) == "edited"


def test_a_few_copies_do_not_make_copies_usual_and_a_crowd_does() -> None:
    assert usual_distance(listed(*[0.1] * 7, 0.8), 1000).tolist() == [0.8]
    assert usual_distance(listed(*[0.1] * 8, 0.8), 1000).tolist() == [0.1]


def test_small_sets_are_judged_from_the_second_picture_on() -> None:
    assert usual_distance(listed(0.1), 2).tolist() == [1.0]
    assert usual_distance(listed(0.1, 0.8), 3).tolist() == [0.8]
    # Six forms of one template: half of the others are as near.
    assert usual_distance(listed(0.0, 0.11, 0.12, 0.12, 0.14), 6).tolist() == [0.12]
