"""Tags from a program: noted as the review page notes them, so that they can be undone, follow moved files and are kept."""

import getpass
from collections.abc import Iterable
from typing import Literal

import duckdb

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.store.events import Event, Events


def note_tag(
    connection: duckdb.DuckDBPyConnection,
    paths: DatasetPaths,
    samples: Iterable[str],
    tag: str,
    kind: Literal["tag", "untag"] = "tag",
) -> int:
    """Give samples a tag, or take it from them; return of how many that is news.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Sees the published tables.
    paths : DatasetPaths
    samples : iterable of str
        Their ids.
    tag : str
    kind : {"tag", "untag"}
    """
    if not (word := " ".join(tag.split())):
        raise ConfigurationError("the tag is empty")
    events, wanted = Events(paths.events), kind == "tag"
    asked = sorted(set(samples))
    has = {state.subject_id for state in events.tags(asked) if state.tag == word and state.present}
    news = [sample for sample in asked if (sample in has) != wanted]
    if news:
        contents = dict(connection.execute("select sample_id, content_hash from samples").fetchall())
        events.append(Event(kind, getpass.getuser(), word), [(sample, contents[sample]) for sample in news])
    return len(news)
