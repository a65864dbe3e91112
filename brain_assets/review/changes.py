"""What is different between two runs, and why, as the versions that they published tell it."""

from pathlib import Path

from brain_assets.answers.differences import Pair, compare
from brain_assets.resources.errors import BrainError
from brain_assets.resources.store.history import History, Published, open_history
from brain_assets.review.queues import ends
from brain_assets.review.sets import OpenSet

NOT_KEPT = "the versions that these runs published are not both kept"


def changes(opened: OpenSet, published: Path, before: str, after: str) -> list[str]:
    """Return in lines what is different after a run from what was after another, and why.

    Of a run stands the first version that was published when it had ended; for the beginning, the first that is kept.
    """
    try:
        with open_history(published) as history:
            older, newer = (_published_by(history, end) for end in ends(opened, before, after))
            if older is None or newer is None or older.number >= newer.number:
                return [NOT_KEPT]
            return str(compare(Pair.of_versions(history, older, newer))).splitlines()
    except BrainError as error:
        return [str(error)]


def _published_by(history: History, end: float) -> Published | None:
    return next((one for one in reversed(history.versions) if one.at.timestamp() >= end), None)
