"""Candidates from a vector index, for a search whose answers are then compared by the published vectors."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from brain_assets.incremental.runs import similarity_settings
from brain_assets.incremental.vectors import unit_rows
from brain_assets.resources.errors import BrainError, MissingError
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import Home
from brain_assets.resources.vector_indexes.door import Collection, Place, backend, opened

if TYPE_CHECKING:
    from brain_assets.answers.similar import Question

EXACT = "exact"
# More candidates than answers, as an index ranks by its own rounding, and finds equal distances in any order.
SPARE = 16
INDEXES = """
    select brain_key, similarity, backend, collection, url, metric, vectors from vector_indexes
    where embeddings = ? order by similarity != 'neighbors', brain_key"""


def candidates(
    home: Home,
    name: str,
    connection: duckdb.DuckDBPyConnection,
    question: "Question",
    vectors: NDArray[np.float64],
) -> list[str] | None:
    """Return the subjects among which the answers are, from an index; None where every vector is to be compared.

    An index that cannot be reached is named in the log, and every vector compared.

    Raises
    ------
    MissingError
        If the question names an index that holds no such vectors, or has another metric.
    """
    if question.index == EXACT or question.farthest or (question.aggregate != "mean" and len(vectors) > 1):
        return None
    chosen = _chosen(connection, question)
    if chosen is None:
        return None
    settings = similarity_settings(load_dataset(home.existing(name).config).settings, chosen["similarity"])
    query = vectors.mean(axis=0).astype(np.float32)
    place = Place(
        chosen["backend"], chosen["collection"], len(query), chosen["metric"],
        str(home.paths(name).folder / "indexes"), chosen["url"], settings.index.options,
    )  # fmt: skip
    try:
        with opened(place) as collection:
            sent = unit_rows(query[None])[0] if place.metric == "cosine" else query
            return _enough(connection, question, collection, sent, backend(place.backend).most)
    except BrainError as error:
        logging.getLogger("brain").warning(f"compared with every vector, as an index is out of reach: {error}")
        return None


def _chosen(connection: duckdb.DuckDBPyConnection, question: "Question") -> dict[str, Any] | None:
    try:
        found = connection.sql(INDEXES, params=[question.brain_key]).to_arrow_table().to_pylist()
    except duckdb.CatalogException:
        found = []
    fitting = [one for one in found if one["metric"] == question.metric and question.index in (None, one["brain_key"])]
    if not fitting and question.index is not None:
        named = ", ".join(f"{one['brain_key']} ({one['metric']})" for one in found)
        raise MissingError(
            f"no index {question.index!r} holds vectors of run {question.brain_key!r} for the metric {question.metric}"
            f" (indexes: {named or 'none'}; 'exact' compares with every vector)"
        )
    # One that holds a part of the subjects answers for that part only where it is named.
    whole = [one for one in fitting if question.index or one["vectors"] == _subjects(connection, question)]
    return whole[0] if whole else None


def _subjects(connection: duckdb.DuckDBPyConnection, question: "Question") -> int:
    query = "select count(*) from embeddings where brain_key = ?"
    return int(connection.execute(query, [question.brain_key]).fetchall()[0][0])


def _enough(
    connection: duckdb.DuckDBPyConnection,
    question: "Question",
    collection: Collection,
    query: NDArray[np.float32],
    most: int,
) -> list[str] | None:
    """Search ever wider until as many candidates meet the question's condition as answers are wanted."""
    held, wanted = collection.count(), question.k + SPARE
    width = wanted
    while True:
        found = list(collection.search(query, min(width, held, most)))
        if len(found) >= held or _allowed(connection, question, found) >= wanted:
            return found
        if width >= most:
            return None
        width *= 4


def _allowed(connection: duckdb.DuckDBPyConnection, question: "Question", found: Sequence[str]) -> int:
    if question.condition == "true":
        return len(found)
    query = f"""
        select count(*) from (
            select coalesce(object_id, sample_id) as subject_id, sample_id from embeddings where brain_key = ?)
        where subject_id in (select unnest(?::varchar[])) and {question.condition}"""
    return int(connection.execute(query, [question.brain_key, list(found)]).fetchall()[0][0])
