"""Addresses of views of the review page."""

import json
from typing import Any
from urllib.parse import urlencode


def link(base: str, dataset: str, **view: Any) -> str:
    """Return the address of a view of a dataset.

    Parameters
    ----------
    base : str
        Where the page is served, such as ``http://127.0.0.1:3001``.
    dataset : str
    **view
        What to show: ``tab`` (overview, explore, queue, groups, evaluation, news), ``issue``, ``id``, ``frame``, ``map``,
        ``colour``, ``size``, ``sort``, ``where``, ``text``, ``similar`` (ids, parted by commas), ``words`` (what the images
        look like), ``model`` and ``other`` (of the evaluation); ``filters`` as a mapping of column to words or to
        [least, most].

    Examples
    --------
    >>> link("http://127.0.0.1:3001", "birds", tab="queue", issue="leak")
    'http://127.0.0.1:3001/?dataset=birds&tab=queue&issue=leak'
    >>> link("http://127.0.0.1:3001", "birds", filters={"uniqueness": [None, 0.1]})
    'http://127.0.0.1:3001/?dataset=birds&f.uniqueness=%5Bnull%2C+0.1%5D'
    """
    filters = {f"f.{column}": json.dumps(filter_) for column, filter_ in view.pop("filters", {}).items()}
    return f"{base}/?{urlencode({'dataset': dataset, **view, **filters})}"
