"""Thresholds that fit the dataset: an input of the signals, fitted once and kept with their evidence.

A calibration is computed when the dataset has ``calibration.min_samples`` (a few, where a prior stands in for the others),
from a bounded number of samples that their content chooses. It is redone only on request (``brain calibrate``), when the
dataset has doubled, or when half of the vectors that it was fitted to have gone or become others. So a threshold does not
move with every sample, and a dataset given the same calibrations is the same however it came about.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from brain_assets.incremental.update import Update
from brain_assets.incremental.vectors import mostly_replaced, remembered
from brain_assets.resources.store.store import Merge

DOUBLED = 2
# The contents that a calibration looks at: chosen by their hash, so that the order of arrival does not matter.
CHOSEN = "select distinct content_hash from readable order by md5(content_hash) limit {limit}"


@dataclass(frozen=True)
class Calibration:
    """A threshold and where it came from.

    Attributes
    ----------
    value : float
    evidence : mapping
        JSON values; ``samples`` is the size of the dataset when it was fitted, ``origin`` is fitted, default or settings.
    fitted_to : sequence of str
        Keys of some of the vectors that it was fitted to; none where it was not fitted to vectors.
    """

    value: float
    evidence: Mapping[str, Any]
    fitted_to: Sequence[str] = ()


@dataclass(frozen=True)
class Fitting:
    """When a threshold is fitted.

    Attributes
    ----------
    size : int
        How many samples could be looked at.
    least : int, optional
        How many they must be; by default ``calibration.min_samples``.
    outdated : callable
        Says of the stored threshold whether it is to be fitted again before the dataset has doubled.
    """

    size: int
    least: int | None = None
    outdated: Callable[[Calibration], bool] = lambda _: False


def calibrated(
    update: Update,
    issue: str,
    fit: Callable[[], tuple[float, Mapping[str, Any]]],
    default: tuple[float, Mapping[str, Any]],
    when: Fitting | None = None,
) -> Calibration:
    """Return the threshold of an issue for a run; fit it where that is due.

    Parameters
    ----------
    update : Update
        A fitted threshold is committed in its name.
    issue : str
        What the threshold decides.
    fit : callable
        Gives value and evidence, looking at no more than ``calibration.sample_size`` samples.
    default : tuple
        What holds while there are too few samples.
    when : Fitting, optional
        When it is fitted; by default once ``calibration.min_samples`` are readable, and again when the dataset has doubled.
    """
    when = when or Fitting(int(update.dataset.store.value("select count(*) from readable")))
    size = when.size
    stored = None if update.anew else stored_calibration(update, issue)
    few = size < (update.dataset.settings.calibration.min_samples if when.least is None else when.least)
    if stored and (few or not (_refit_due(update, stored, size) or when.outdated(stored))):
        return stored
    if few:
        return Calibration(default[0], {**default[1], "origin": "default"})
    value, evidence = fit()
    fitted_to = remembered(update) if "embeddings" in update.run.settings else ()
    fitted = Calibration(float(value), {**evidence, "samples": size, "origin": "fitted"}, fitted_to)
    update.commit(Merge("calibrations", _row(update, issue, fitted)))
    return fitted


def _refit_due(update: Update, stored: Calibration, size: int) -> bool:
    return size >= DOUBLED * stored.evidence.get("samples", size) or mostly_replaced(update, stored.fitted_to)


def keep_visible(update: Update, standing: Mapping[str, Calibration]) -> None:
    """Keep the thresholds that were not fitted, by issue, so that all that hold can be seen; fitting stays due."""
    others = {issue: one for issue, one in standing.items() if one.evidence["origin"] != "fitted"}
    # A threshold that rests on no samples is fitted as soon as there are enough.
    rows = [
        _row(update, issue, Calibration(one.value, {**one.evidence, "samples": 0})) for issue, one in others.items()
    ]
    if rows:
        update.commit(Merge("calibrations", pa.concat_tables(rows)))


def stored_calibration(update: Update, issue: str) -> Calibration | None:
    """Return the fitted threshold, or None."""
    query = "select value, evidence, fitted_to from calibrations where brain_key = ? and issue = ?"
    rows = update.dataset.store.rows(query, [update.run.brain_key, issue])
    return Calibration(rows[0][0], json.loads(rows[0][1]), rows[0][2] or ()) if rows else None


def _row(update: Update, issue: str, calibration: Calibration) -> pa.Table:
    row = {
        "calibration_id": f"{update.run.brain_key}.{issue}",
        "brain_key": update.run.brain_key,
        "issue": issue,
        "value": calibration.value,
        "evidence": json.dumps(calibration.evidence, default=float),
        "fitted_to": list(calibration.fitted_to),
        "calibrated_at": update.dataset.store.value("select now()"),
    }
    return pa.Table.from_pylist([row])
