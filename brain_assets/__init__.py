"""What is known of a dataset of images: one module per word of the domain, thin assets over pure methods.

>>> import brain_assets as brain
>>> brain.dataset("flowers").table("uniqueness").df()  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from brain_assets.resources import telemetry  # noqa: F401 - first of all, before any library is imported

if TYPE_CHECKING:
    from brain_assets.app.api import DatasetReader

__all__ = ["dataset"]


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
