"""What is known of a dataset of images: one module per word of the domain, thin assets over pure methods.

>>> import brain_assets as brain
>>> brain.dataset("flowers").table("uniqueness").df()  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from brain_assets.resources import telemetry  # noqa: F401 - first of all, before any library is imported

if TYPE_CHECKING:
    from brain_assets.app.api import DatasetReader
    from brain_assets.component import BrainDataset

__all__ = ["BrainDataset", "dataset"]


def dataset(name: str, home: str | None = None) -> "DatasetReader":
    """Return a dataset to read from and to bring up to date.

    Parameters
    ----------
    name : str
        Its name.
    home : str, optional
        The folder that holds all state; by default ``$BRAIN_HOME``, else ``~/.brain``.

    Raises
    ------
    MissingError
        If there is no such dataset.
    """
    from brain_assets.app.api import DatasetReader

    return DatasetReader(name, home)


def __getattr__(name: str) -> Any:
    """Return the Dagster component, which costs the import of Dagster, when somebody asks for it."""
    if name == "BrainDataset":
        from brain_assets.component import BrainDataset

        return BrainDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), "BrainDataset"]
