"""Bring some assets up to date in this process without Dagster: for answers that somebody waits for."""

import uuid
from collections.abc import Collection

from brain_assets.assets import catalog
from brain_assets.assets.declarations import check_declaration
from brain_assets.incremental.tables import open_with_tables
from brain_assets.incremental.update import bring_up_to_date
from brain_assets.resources import progress
from brain_assets.resources.dataset import Opening
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.home import Home


def bring_directly(
    home: Home, name: str, assets: Collection[str], purpose: str, keys: Collection[str] | None = None
) -> None:
    """Bring assets up to date, as a run does; it is recorded in ``runs``, and is none of Dagster's.

    Parameters
    ----------
    home : Home
    name : str
        The dataset.
    assets : collection of str
        Their names; each is brought up to date in the order of the catalogue.
    purpose : str
        What those are told who wait for the dataset.
    keys : collection of str, optional
        The declared runs whose failure is one of this call; by default all. Of the others it is recorded.

    Raises
    ------
    BrainError
        With the reason, when a run of a method failed; what else was done is kept and published.
    """
    chosen = [signal for signal in catalog.ALL if signal.name in assets]
    opening = Opening(str(uuid.uuid4()), purpose, frozenset(signal.name for signal in chosen))
    failed: list[str] = []
    with progress.shown(), open_with_tables(home, name, opening, catalog.ALL) as dataset:
        check_declaration(dataset.settings)
        for signal in chosen:
            progress.step(signal.name, len(chosen))
            of_signal = bring_up_to_date(signal, dataset).failed
            failed += [reason for key, reason in of_signal.items() if keys is None or key in keys]
    if failed:
        raise BrainError(failed[0])
