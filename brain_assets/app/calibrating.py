"""Refit a dataset's thresholds, on request."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from brain_assets.app.materializing import materialize
from brain_assets.incremental.update import literal
from brain_assets.resources.dataset import Dataset, Opening, open_dataset
from brain_assets.resources.errors import MissingError
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.publishing import connect

STORED = """
    select brain_key, issue, value from calibrations where evidence->>'origin' = 'fitted' order by issue, brain_key"""


@dataclass(frozen=True)
class Recalibration:
    """A threshold before and after; None while there was none, or where too few samples are left to fit one."""

    brain_key: str
    issue: str
    before: float | None
    after: float | None

    def __str__(self) -> str:
        return f"{self.issue}  {self.brain_key}  {_told(self.before)} -> {_told(self.after)}"


def _told(value: float | None) -> str:
    return "default" if value is None else f"{value:.6g}"


def recalibrate(home: Home, name: str, issue: str | None = None) -> list[Recalibration]:
    """Delete the thresholds that were fitted, fit them to the dataset as it is, and bring it up to date.

    Parameters
    ----------
    home : Home
    name : str
        The dataset.
    issue : str, optional
        The issue whose thresholds are meant; all by default.

    Returns
    -------
    list of Recalibration
        One per run and issue, by issue.

    Raises
    ------
    MissingError
        If no threshold was fitted for ``issue``.
    """
    with open_dataset(home, name, Opening(uuid.uuid4().hex, "brain calibrate")) as dataset:
        before = _thresholds(dataset.store.rows(STORED))
        if issue is not None and issue not in {known for _, known in before}:
            known = ", ".join(sorted({known for _, known in before})) or "nothing yet"
            raise MissingError(f"no threshold of {name} is fitted for {issue!r} (fitted: {known})")
        forget(dataset, issue)
    materialize(home, name)
    with connect(home.paths(name).published) as connection:
        after = _thresholds(connection.execute(STORED).fetchall())
    keys = sorted({key for key in before | after if issue in (None, key[1])}, key=lambda key: key[::-1])
    return [Recalibration(*key, before.get(key), after.get(key)) for key in keys]


def forget(dataset: Dataset, issue: str | None = None) -> None:
    """Delete the thresholds of an issue, or all, and have the runs that used them recomputed."""
    wanted = "true" if issue is None else f"issue = {literal(issue)}"
    with dataset.store.write(dataset.run_id, "calibrations") as transaction:
        transaction.execute(
            f"update watermarks set due = true where brain_key in (select brain_key from calibrations where {wanted})"
        )
        transaction.delete("calibrations", wanted)


def _thresholds(rows: Sequence[tuple[str, str, float]]) -> dict[tuple[str, str], float]:
    return {(brain_key, issue): value for brain_key, issue, value in rows}
