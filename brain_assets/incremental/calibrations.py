"""Thresholds that fit the dataset: an input of the signals, fitted once and kept with their evidence.

A calibration is computed when the dataset has ``calibration.min_samples`` (a few, where a prior stands in for the others),
from a bounded number of samples that their content chooses. It is redone only on request (``brain calibrate``), when the
dataset has doubled, or when half of the vectors that it was fitted to have gone or become others. So a threshold does not
move with every sample, and a dataset given the same calibrations is the same however it came about.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from brain_assets.incremental.update import Update, literal
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


Measured = tuple[float, Mapping[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """A threshold that a signal asks for.

    Attributes
    ----------
    fit : callable
        Gives value and evidence, looking at no more than ``calibration.sample_size`` samples.
    default : tuple
        What holds while there are too few samples.
    """

    fit: Callable[[], Measured]
    default: Measured


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
    fit: Callable[[], Measured],
    default: Measured,
    when: Fitting | None = None,
) -> Calibration:
    """Return the threshold of an issue for a run, as `calibrated_together` does of several."""
    return calibrated_together(update, {issue: Wanted(fit, default)}, when)[issue]


def calibrated_together(
    update: Update, wanted: Mapping[str, Wanted], when: Fitting | None = None
) -> dict[str, Calibration]:
    """Return the thresholds of some issues for a run; fit those for which that is due.

    Parameters
    ----------
    update : Update
        Fitted thresholds are committed in its name.
    wanted : mapping of str to Wanted
        What is asked for, by the issue that it decides.
    when : Fitting, optional
        When they are fitted; by default once ``calibration.min_samples`` are readable, and again when the dataset has doubled.
    """
    when = when or Fitting(int(update.dataset.store.value("select count(*) from readable")))
    few = when.size < (update.dataset.settings.calibration.min_samples if when.least is None else when.least)
    if update.anew and few:
        _forget(update, wanted)
    stored = {} if update.anew else _stored(update, wanted)
    found = {issue: one for issue, one in stored.items() if few or not _is_outdated(update, one, when)}
    fitted = {} if few else {issue: _fitted(update, one, when) for issue, one in wanted.items() if issue not in found}
    _commit(update, fitted)
    defaults = {
        issue: Calibration(one.default[0], {**one.default[1], "origin": "default"}) for issue, one in wanted.items()
    }
    return {**defaults, **found, **fitted}


def _fitted(update: Update, wanted: Wanted, when: Fitting) -> Calibration:
    value, evidence = wanted.fit()
    fitted_to = remembered(update) if "embeddings" in update.run.settings else ()
    return Calibration(float(value), {**evidence, "samples": when.size, "origin": "fitted"}, fitted_to)


def _forget(update: Update, issues: Collection[str]) -> None:
    """Drop thresholds that were fitted under other settings: whoever finds them would take them for those that hold now."""
    named = ", ".join(literal(issue) for issue in issues)
    none = "select * exclude (changed) from calibrations limit 0"
    update.commit(Merge("calibrations", none, within=f"brain_key = {update.key} and issue in ({named})"))


def _is_outdated(update: Update, stored: Calibration, when: Fitting) -> bool:
    return _refit_due(update, stored, when.size) or when.outdated(stored)


def _refit_due(update: Update, stored: Calibration, size: int) -> bool:
    return size >= DOUBLED * stored.evidence.get("samples", size) or mostly_replaced(update, stored.fitted_to)


def keep_visible(update: Update, standing: Mapping[str, Calibration]) -> None:
    """Keep the thresholds that were not fitted, by issue, so that all that hold can be seen; fitting stays due."""
    others = {issue: one for issue, one in standing.items() if one.evidence["origin"] != "fitted"}
    # A threshold that rests on no samples is fitted as soon as there are enough.
    _commit(update, {issue: Calibration(one.value, {**one.evidence, "samples": 0}) for issue, one in others.items()})


def stored_calibration(update: Update, issue: str) -> Calibration | None:
    """Return the fitted threshold, or None."""
    return _stored(update, [issue]).get(issue)


def _stored(update: Update, issues: Collection[str]) -> dict[str, Calibration]:
    query = "select issue, value, evidence, fitted_to from calibrations where brain_key = ? and list_contains(?, issue)"
    rows = update.dataset.store.rows(query, [update.run.brain_key, [*issues]])
    return {
        issue: Calibration(value, json.loads(evidence), fitted_to or ()) for issue, value, evidence, fitted_to in rows
    }


def _commit(update: Update, calibrations: Mapping[str, Calibration]) -> None:
    """Keep thresholds, by the issue that each decides."""
    if not calibrations:
        return
    now = update.dataset.store.value("select now()")
    rows = [
        {
            "calibration_id": f"{update.run.brain_key}.{issue}",
            "brain_key": update.run.brain_key,
            "issue": issue,
            "value": one.value,
            "evidence": json.dumps(one.evidence, default=float),
            "fitted_to": list(one.fitted_to),
            "calibrated_at": now,
        }
        for issue, one in calibrations.items()
    ]
    update.commit(Merge("calibrations", pa.Table.from_pylist(rows)))
