"""Answers to "what is like this?" over the published vectors: by samples, a vector, a text or a picture."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.answers.index_search import candidates
from brain_assets.methods.similarity.metrics import CALLED, METRICS, Aggregation, Metric
from brain_assets.methods.similarity.queries import Query, combine, distances_between, ranked
from brain_assets.resources.dataset import limits_of
from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.local_files import open_local
from brain_assets.resources.models.embedding_models import PRECOMPUTED, load_model, may_embed_text
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.publishing import manifest

if TYPE_CHECKING:
    from brain_assets.resources.models.embedding_models import EmbeddingModel

BLOCK = 8192
SUBJECTS = (
    "select coalesce(object_id, sample_id) as subject_id, sample_id, model, vector from embeddings where brain_key = ?"
)
ALLOWED = "subjects_that_may_be_answers"


@dataclass(frozen=True)
class Question:
    """What to look for, and how.

    Attributes
    ----------
    ids : sequence of str
        Subject ids or filepaths of query samples; give either these, ``vectors``, ``text`` or ``image``.
    vectors : (d,) or (q, d) float, optional
        Query vectors in the space of the embeddings.
    text : str, optional
        A text, where the model embeds text.
    image : Path or bytes, optional
        A picture that need not be in the dataset: its file, or what the file holds.
    k : int
        Number of answers.
    farthest : bool
        Farthest first.
    aggregate : {"mean", "post-mean", "post-min", "post-max"}
        How several queries combine: ``mean`` averages their vectors, the others the distances to them.
    metric : {"cosine", "euclidean", "dotproduct", "manhattan", "chebyshev", "canberra", "braycurtis", "correlation"}
        Cosine is 1 - cosine, dotproduct 1 - dot product; ``l1``, ``l2`` and ``linf`` are understood, too.
    where : str, optional
        SQL condition on the published ``samples``; only these are answers. The query samples may lie outside it.
    among : array of str or bytes, optional
        Ids of the subjects that may be answers; the query samples may be others.
    brain_key : str
        The run of the embeddings.
    index : str, optional
        The vector index to ask: a run of the table vector_indexes, or "exact" to compare with every published vector. By
        default the one that holds these vectors and has the metric, if there is one. What it finds is compared and ranked
        by the published vectors; the farthest, and several queries that are not averaged, are always compared with all.
    """

    ids: Sequence[str] = ()
    vectors: NDArray[np.floating] | None = None
    text: str | None = None
    image: Path | bytes | None = None
    k: int = 15
    farthest: bool = False
    aggregate: Aggregation = "mean"
    metric: Metric = "cosine"
    where: str | None = None
    among: NDArray[np.str_ | np.bytes_] | None = None
    brain_key: str = "embeddings"
    index: str | None = None

    def __post_init__(self) -> None:
        given = [len(self.ids) > 0, *(one is not None for one in (self.vectors, self.text, self.image))]
        if sum(given) != 1:
            raise ConfigurationError("say what to look for: sample ids, a vector, a text or a picture, one of the four")
        if self.text is not None and not self.text.strip():
            raise ConfigurationError("the text to look for is empty")
        if self.metric not in METRICS:
            raise ConfigurationError(f"metric {self.metric!r} is unknown: use one of {', '.join(METRICS)}")

    @property
    def condition(self) -> str:
        """SQL over ``subject_id`` and ``sample_id`` that holds of what may be an answer, while `allowing` the subjects."""
        parts = [f"sample_id in (select sample_id from samples where {self.where})"] if self.where else []
        parts += [f"subject_id in (select subject_id from {ALLOWED})"] if self.among is not None else []
        return " and ".join(parts) or "true"


@dataclass(frozen=True)
class Asked:
    """The query in vectors; ``subjects`` are the ids of query samples, which are at distance 0 from themselves."""

    vectors: NDArray[np.float64]
    subjects: Sequence[str] = ()


Load = Callable[..., "EmbeddingModel"]


def similar(
    home: Home, name: str, connection: duckdb.DuckDBPyConnection, question: Question, load: Load = load_model
) -> pa.Table:
    """Return the samples nearest to, or farthest from, what is asked for.

    Parameters
    ----------
    home : Home
    name : str
        The dataset.
    connection : duckdb.DuckDBPyConnection
        Sees its published tables.
    question : Question
    load : callable
        Loads a model as `load_model` does; who asks often keeps what it loaded.

    Returns
    -------
    pyarrow.Table
        ``rank`` (from 1), ``subject_id``, ``sample_id``, ``filepath`` and ``distance``, nearest first, equal distances by
        subject id. A sample whose vector is not finite is never an answer.

    Raises
    ------
    BrainError
        In one line, if an id, run or index is unknown, a vector does not fit, the model does not embed text, or a picture cannot
        be decoded.
    """
    try:
        asked = _asked(home, name, connection, question, load)
        with _allowing(connection, question):
            found = candidates(home, name, connection, question, asked.vectors)
            ids, distances = _distances(connection, question, asked, found)
    except duckdb.Error as error:
        raise BrainError(f"SQL: {' '.join(str(error).split())}") from None
    return _answers(connection, question, ids, distances)


@contextmanager
def _allowing(connection: duckdb.DuckDBPyConnection, question: Question) -> Iterator[None]:
    """Let a connection see the subjects that a question is confined to."""
    if question.among is None:
        yield
        return
    ids = pa.array(question.among)
    connection.register(ALLOWED, pa.table({"subject_id": ids.cast(pa.string())}))
    try:
        yield
    finally:
        connection.unregister(ALLOWED)


@dataclass(frozen=True)
class Searchable:
    """A run of the embeddings, and by what else than samples and vectors it can be searched.

    Attributes
    ----------
    brain_key : str
    of_objects : bool
        Whether its subjects are objects.
    subjects : int
        How many have a vector.
    model : str
        As settings name it.
    """

    brain_key: str
    of_objects: bool
    subjects: int
    model: str

    @property
    def by_picture(self) -> bool:
        """Whether a model is at hand to embed a picture."""
        return not self.model.startswith(f"{PRECOMPUTED}:")

    @property
    def by_text(self) -> bool:
        """Whether the model may embed text; a custom one says so when it is loaded."""
        return may_embed_text(self.model)


def searchable(home: Home, name: str, connection: duckdb.DuckDBPyConnection) -> list[Searchable]:
    """Return the runs of the embeddings whose vectors are published, the default one first."""
    settings = load_dataset(home.existing(name).config).settings.embeddings
    try:
        rows = connection.execute("""
            select brain_key, count(object_id) > 0, count(*) from embeddings group by brain_key
            order by brain_key != 'embeddings', brain_key""").fetchall()
    except duckdb.CatalogException:
        return []
    return [Searchable(key, objects, count, _uri(connection, key, settings.model)) for key, objects, count in rows]


def _uri(connection: duckdb.DuckDBPyConnection, brain_key: str, default: str) -> str:
    """Return the model that a run was made with."""
    query = "select config->>'model' from runs where brain_key = ? and state = 'done' order by started_at desc limit 1"
    try:
        found = connection.execute(query, [brain_key]).fetchall()
    except duckdb.CatalogException:
        found = []
    return str(found[0][0]) if found and found[0][0] else default


def question_of(connection: duckdb.DuckDBPyConnection, query: object, **options: Any) -> Question:
    """Return the question that a value of any kind stands for.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Sees the published tables.
    query : str, sequence of str, Path, bytes, or array
        An id or filepath, several, a text (a string that is neither), a picture as its file or its bytes, or vectors.
    **options
        The further attributes of the question.
    """
    if isinstance(query, Path | bytes):
        return Question(image=query, **options)
    if isinstance(query, str):
        return Question(ids=[query], **options) if _is_sample(connection, query) else Question(text=query, **options)
    if isinstance(query, Sequence) and all(isinstance(one, str) for one in query):
        return Question(ids=[str(one) for one in query], **options)
    return Question(vectors=_matrix(query, "the query"), **options)


def _is_sample(connection: duckdb.DuckDBPyConnection, text: str) -> bool:
    query = f"select 1 from ({SUBJECTS}) join samples using (sample_id) where ? in (subject_id, filepath) limit 1"
    query = query.replace("brain_key = ?", "true")
    return bool(connection.execute(query, [text]).fetchall())


def read_vectors(path: Path) -> NDArray[np.float64]:
    """Return the vectors of a ``.npy`` file as a (q, d) matrix; raises MissingError or ConfigurationError."""
    try:
        with open_local(path) as file:
            return _matrix(np.load(file, allow_pickle=False), str(path))
    except FileNotFoundError:
        raise MissingError(f"{path} does not exist") from None
    except (OSError, ValueError, EOFError) as error:
        raise ConfigurationError(f"{path} is not a .npy file of numbers: {error}") from None


def _matrix(values: object, origin: str) -> NDArray[np.float64]:
    try:
        matrix = np.atleast_2d(np.asarray(values, np.float64))
    except (TypeError, ValueError):
        raise ConfigurationError(f"{origin} is neither ids, nor a text, nor numbers") from None
    if matrix.ndim != 2 or not matrix.size:
        raise ConfigurationError(f"{origin} must hold one vector, or one per row, not shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ConfigurationError(f"{origin} holds NaN or infinite values")
    return matrix


def _asked(home: Home, name: str, connection: duckdb.DuckDBPyConnection, question: Question, load: Load) -> Asked:
    model, dimension = _published_model(connection, question.brain_key)
    if question.ids:
        return _of_samples(connection, question)
    if question.text is not None or question.image is not None:
        embed = _of_text if question.text is not None else _of_image
        return Asked(embed(home, name, question, _model_of(home, name, connection, question, model, load)))
    vectors = _matrix(question.vectors, "the query")
    if vectors.shape[1] != dimension:
        raise ConfigurationError(
            f"the query vector has {vectors.shape[1]} numbers, those of {question.brain_key!r} have {dimension}"
        )
    return Asked(vectors)


def _published_model(connection: duckdb.DuckDBPyConnection, brain_key: str) -> tuple[str, int]:
    """Return version and dimension of the model behind a run of the embeddings."""
    found = connection.execute(
        "select model, len(vector) from embeddings where brain_key = ? limit 1", [brain_key]
    ).fetchall()
    if found:
        return str(found[0][0]), int(found[0][1])
    keys = [row[0] for row in connection.execute("select distinct brain_key from embeddings order by 1").fetchall()]
    raise MissingError(
        f"no vectors are published of run {brain_key!r} (runs with vectors: {', '.join(keys) or 'none'})"
    )


def _of_samples(connection: duckdb.DuckDBPyConnection, question: Question) -> Asked:
    wanted = list(dict.fromkeys(question.ids))
    rows = connection.execute(
        f"""select asked, subject_id, vector from (select unnest(?::varchar[]) as asked)
            left join (select subjects.*, filepath from ({SUBJECTS}) as subjects join samples using (sample_id))
            on asked = subject_id or asked = filepath order by asked, subject_id""",
        [wanted, question.brain_key],
    ).fetchall()
    missing = [asked for asked, subject, _ in rows if subject is None]
    if missing:
        raise MissingError(
            f"no sample {missing[0]!r} with a vector of run {question.brain_key!r} (ids and filepaths count)"
        )
    subjects = {subject: vector for _, subject, vector in rows}
    return Asked(np.array(list(subjects.values()), np.float64), list(subjects))


def _model_of(
    home: Home, name: str, connection: duckdb.DuckDBPyConnection, question: Question, version: str, load: Load
) -> "EmbeddingModel":
    """Return the model of the published vectors, in the runtime that they came from."""
    paths = home.existing(name)
    settings = load_dataset(paths.config).settings.embeddings
    uri = _uri(connection, question.brain_key, settings.model)
    if uri.startswith(f"{PRECOMPUTED}:"):
        raise ConfigurationError(
            f"the vectors of {question.brain_key!r} were given as a file: no model is at hand to embed a text or a picture;"
            " ask by a sample or a vector"
        )
    # The runtime that the vectors came from, whatever this machine would choose today.
    remembered = (manifest(paths.published) or {}).get("facts", {}).get("runtimes", {}).get(uri)
    runtime = settings.runtime or (remembered if (settings.device or "cpu") == "cpu" else None)
    if question.text is not None and not may_embed_text(uri):
        raise _without_text(question.text, uri)
    model = load(uri, device=settings.device, runtime=runtime, cache=home.cache)
    if question.text is not None and not model.supports_text:
        raise _without_text(question.text, uri)
    if model.version != version:
        raise ConfigurationError(
            f"the published vectors are of another version of {uri}: run 'brain materialize {name}'"
        )
    return model


def _without_text(text: str, uri: str) -> ConfigurationError:
    return ConfigurationError(
        f"{text!r} is a text (no sample has this id or filepath), and {uri} does not embed text:"
        " use a CLIP model (hf: or open_clip:)"
    )


def _of_text(home: Home, name: str, question: Question, model: "EmbeddingModel") -> NDArray[np.float64]:
    return np.asarray(model.embed_text([str(question.text)]), np.float64)


def _of_image(home: Home, name: str, question: Question, model: "EmbeddingModel") -> NDArray[np.float64]:
    """Return the vector of a picture, decoded as samples are, with their limits."""
    from brain_assets.resources.decoding.decoding import DecodeJob, Decoder

    source, spec = question.image, model.input
    assert spec is not None, "a model that is not given as a file has an input"
    named = str(source) if isinstance(source, Path) else "the picture"
    if isinstance(source, Path) and not source.is_file():
        raise MissingError(f"{source} is no file")
    load = source.read_bytes if isinstance(source, Path) else partial(bytes, source or b"")
    limits = limits_of(load_dataset(home.existing(name).config).settings)
    with Decoder(inputs=[spec], limits=limits, threads=1) as decoder:
        (decoded,) = decoder.decode([DecodeJob(named, load)])
    if decoded.error:
        raise ConfigurationError(f"{named} cannot be looked at: {decoded.error}")
    return np.asarray(model.embed(decoded.inputs[spec.name][None]), np.float64)


def _distances(
    connection: duckdb.DuckDBPyConnection, question: Question, asked: Asked, among: Sequence[str] | None
) -> tuple[list[str], NDArray[np.float64]]:
    """Return the subjects that may be answers with their distances, read block by block; those of a sequence, or all."""
    within = question.condition
    parameters: list[Any] = [question.brain_key]
    if among is not None:
        within, parameters = f"{within} and subject_id in (select unnest(?::varchar[]))", [*parameters, list(among)]
    relation = connection.sql(f"select subject_id, vector from ({SUBJECTS}) where {within}", params=parameters)
    reader: Iterable[pa.RecordBatch] = relation.to_arrow_reader(BLOCK)
    ids: list[str] = []
    distances = [np.zeros(0)]
    for batch in reader:
        ids += batch.column(0).to_pylist()
        vectors = batch.column(1).flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
        distances.append(_block(question, asked, ids[-batch.num_rows :], vectors))
    return ids, np.concatenate(distances)


def _block(question: Question, asked: Asked, ids: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    single = asked.vectors.mean(axis=0, keepdims=True) if question.aggregate == "mean" else asked.vectors
    between = distances_between(single, vectors, CALLED.get(question.metric, question.metric))
    if question.metric != "dotproduct" and len(asked.subjects) == len(single):
        between[np.array(asked.subjects)[:, None] == np.array(ids)] = 0.0
    return combine(between, question.aggregate)


def _answers(
    connection: duckdb.DuckDBPyConnection, question: Question, ids: list[str], distances: NDArray[np.float64]
) -> pa.Table:
    order = np.argsort(np.array(ids, dtype=object)) if ids else np.zeros(0, np.int64)
    query = _query(question)
    positions, found = ranked(np.arange(len(order)), distances[order], query)
    subjects = [ids[row] for row in order[positions]]
    files = {row[0]: row[1:] for row in _named(connection, question.brain_key, subjects)}
    return pa.table({
        "rank": pa.array(range(1, len(subjects) + 1), pa.int32()),
        "subject_id": pa.array(subjects, pa.string()),
        "sample_id": pa.array([files[subject][0] for subject in subjects], pa.string()),
        "filepath": pa.array([files[subject][1] for subject in subjects], pa.string()),
        "distance": pa.array(found),
    })  # fmt: skip


def _query(question: Question) -> Query:
    try:
        return Query(rows=[0], aggregation=question.aggregate, reverse=question.farthest, k=question.k)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _named(
    connection: duckdb.DuckDBPyConnection, brain_key: str, subjects: Sequence[str]
) -> list[tuple[str, str, str]]:
    return connection.execute(
        f"select subject_id, sample_id, filepath from ({SUBJECTS}) join samples using (sample_id)"
        " semi join (select unnest(?::varchar[]) as subject_id) using (subject_id)",
        [brain_key, list(subjects)],
    ).fetchall()
