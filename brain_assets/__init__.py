"""What is known of a dataset of images: one module per word of the domain, thin assets over pure methods.

>>> import brain_assets as brain
>>> brain.dataset("flowers").table("uniqueness").df()  # doctest: +SKIP
"""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from brain_assets.resources import telemetry  # noqa: F401 - first of all, before any library is imported

if TYPE_CHECKING:
    from brain_assets.app.api import DatasetReader
    from brain_assets.app.views import View
    from brain_assets.component import BrainDataset
    from brain_assets.python.brain_config import brain_config
    from brain_assets.python.brain_runs import (
        delete_brain_run,
        delete_brain_runs,
        get_brain_info,
        has_brain_run,
        list_brain_runs,
        load_brain_results,
        load_brain_view,
        rename_brain_run,
    )
    from brain_assets.python.computing import (
        compute_exact_duplicates,
        compute_hardness,
        compute_leaky_splits,
        compute_mistakenness,
        compute_near_duplicates,
        compute_representativeness,
        compute_similarity,
        compute_uniqueness,
        compute_visualization,
    )
    from brain_assets.python.datasets import add, remove, status
    from brain_assets.python.datasets import list_datasets as list
    from brain_assets.python.datasets import set_values as set
    from brain_assets.python.fiftyone_datasets import from_fiftyone, to_fiftyone
    from brain_assets.python.folder_scan import scan
    from brain_assets.python.ledger import seen

# Where each name comes from, and what it is called there; nothing is imported before it is used.
NAMES = {
    **{name: ("datasets", name) for name in ("add", "remove", "status")},
    "list": ("datasets", "list_datasets"),
    "set": ("datasets", "set_values"),
    "brain_config": ("brain_config", "brain_config"),
    "scan": ("folder_scan", "scan"),
    "seen": ("ledger", "seen"),
    **{name: ("fiftyone_datasets", name) for name in ("from_fiftyone", "to_fiftyone")},
    **{
        name: ("brain_runs", name)
        for name in (
            "delete_brain_run",
            "delete_brain_runs",
            "get_brain_info",
            "has_brain_run",
            "list_brain_runs",
            "load_brain_results",
            "load_brain_view",
            "rename_brain_run",
        )
    },
    **{
        f"compute_{name}": ("computing", f"compute_{name}")
        for name in (
            "exact_duplicates",
            "hardness",
            "leaky_splits",
            "mistakenness",
            "near_duplicates",
            "representativeness",
            "similarity",
            "uniqueness",
            "visualization",
        )
    },
}

ELSEWHERE = {"BrainDataset": "brain_assets.component", "View": "brain_assets.app.views"}

__all__ = [
    "BrainDataset",
    "View",
    "add",
    "brain_config",
    "compute_exact_duplicates",
    "compute_hardness",
    "compute_leaky_splits",
    "compute_mistakenness",
    "compute_near_duplicates",
    "compute_representativeness",
    "compute_similarity",
    "compute_uniqueness",
    "compute_visualization",
    "dataset",
    "delete_brain_run",
    "delete_brain_runs",
    "from_fiftyone",
    "get_brain_info",
    "has_brain_run",
    "list",
    "list_brain_runs",
    "load_brain_results",
    "load_brain_view",
    "remove",
    "rename_brain_run",
    "scan",
    "seen",
    "set",
    "status",
    "to_fiftyone",
]


def __getattr__(name: str) -> Any:
    """Return a name of the package, imported when it is first used."""
    if name in ELSEWHERE:
        return getattr(import_module(ELSEWHERE[name]), name)
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, called = NAMES[name]
    return getattr(import_module(f"brain_assets.python.{module}"), called)


def dataset(name: "str | os.PathLike[str]", home: str | None = None) -> "DatasetReader":
    """Return a dataset to read from and to bring up to date.

    Parameters
    ----------
    name : str or Path
        Its name; or the path of a folder or archive, with a slash in it, which is declared as `add` does it when it is
        first asked for.
    home : str, optional
        The folder that holds all state; by default ``$BRAIN_HOME``, else ``~/.brain``.

    Raises
    ------
    MissingError
        If there is no such dataset.
    ConfigurationError
        If there is no such folder or archive.
    """
    from brain_assets.app.api import DatasetReader

    if isinstance(name, os.PathLike) or os.sep in name:
        from brain_assets.python.datasets import reader_of

        return reader_of(name, home)
    return DatasetReader(name, home)


def __dir__() -> Sequence[str]:
    return [*globals(), *__all__]
