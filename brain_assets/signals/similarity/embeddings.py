"""One vector per sample: what a model sees in its image."""

from collections.abc import Iterator
from typing import Any

from brain_assets.incremental.runs import declared_runs, run_of_model
from brain_assets.incremental.signal import Check, MethodRun, Publication, Signal, Whole
from brain_assets.incremental.update import Update
from brain_assets.ingest import decode_pass
from brain_assets.ingest.given_vectors import assign
from brain_assets.ingest.pruning import UNUSED_CONTENT, unused
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.settings.configuration import file_state
from brain_assets.resources.store.store import Merge

PRECOMPUTED = "precomputed:"
# One file stands for all samples of a content.
WITHOUT_VECTOR = """
    select content_hash, any_value(uri order by sample_id) as uri, any_value(bytes) as bytes
    from samples semi join readable using (content_hash)
    where content_hash not in (select input_key from vectors where model_version = ?) group by content_hash"""
ROWS = """
    select {key} as brain_key, sample_id as subject_id, sample_id, null::varchar as object_id, model_version, input_key
    from ({assigned}) join vectors using (input_key)
    where model_version = '{version}' and vectors.error is null"""
BY_CONTENT = "select sample_id, content_hash as input_key from readable"
UNUSED = f"""
    not exists (select 1 from embeddings
        where embeddings.model_version = vectors.model_version and embeddings.input_key = vectors.input_key)
    and (model_version not in ({{versions}}) or {UNUSED_CONTENT.replace("content_hash not", "input_key not")})"""


def update_embeddings(update: Update) -> Iterator[Merge]:
    """Give every readable sample its vector; only contents that have none of this model yet are embedded."""
    version = str(update.run.model_version)
    embeds = update.dataset.embeds_pictures(update.run.settings["model"])
    assigned = _embed(update, version) if embeds else _assign_given(update)
    rows = ROWS.format(key=update.key, assigned=assigned, version=version)
    yield update.replace("embeddings", rows)
    yield unused("vectors", _unused(update))


def _unused(update: Update) -> str:
    """Return the condition of vectors that no embedding has, nor will have when the declared runs are up to date."""
    declared = update.signal.method_runs(update.dataset)
    return UNUSED.format(versions=", ".join(f"'{run.model_version}'" for run in declared))


def _assign_given(update: Update) -> str:
    from brain_assets.resources.models.embedding_precomputed import PrecomputedVectors

    uri = update.run.settings["model"]
    model = update.dataset.model(uri)
    assert isinstance(model, PrecomputedVectors)
    assigned = assign(update, model)
    # They are in the store now, where all others find them: a million of 512 numbers take two gigabytes.
    del update.dataset.models[uri]
    return assigned


def _embed(update: Update, version: str) -> str:
    contents = update.query(WITHOUT_VECTOR, [version])
    if contents.num_rows:
        decode_pass.decode(update, contents, facts=False, model=update.dataset.model(update.run.settings["model"]))
    return BY_CONTENT


def _runs(dataset: Dataset) -> list[MethodRun]:
    uri = dataset.settings.embeddings.model
    own = MethodRun("embeddings", _settings(uri), dataset.model_version(uri))
    declared = [(run.brain_key, run.model or uri) for run in declared_runs(dataset, "embeddings")]
    return [own, *(run_of_model(dataset, key, _settings(uri), uri) for key, uri in declared)]


def _settings(uri: str) -> dict[str, Any]:
    """Return what vectors depend on besides the model's version: given ones, which share a version, on their file."""
    return {"model": uri, "file": file_state(uri)} if uri.startswith(PRECOMPUTED) else {"model": uri}


# What the asset's watermark says of a run that is up to date: the model's URI and version.
CURRENT = """(select settings ->> '$.model' as model, model_version as version
        from watermarks where asset = 'embeddings' and brain_key = {key})"""


EMBEDDINGS = Signal(
    name="embeddings",
    description="One vector per readable image, from an embedding model. Vectors are kept by content and model version, so"
    " nothing is embedded twice.",
    group="similarity",
    reads=("samples", "media"),
    writes=("embeddings", "vectors"),
    update=Whole(update_embeddings),
    runs=_runs,
    options=frozenset({"model"}),
    kinds=("python", "pytorch", "duckdb"),
    checks=(
        Check(
            "every_readable_sample_has_a_vector",
            f"""
            select count(*) from readable, {CURRENT} as used
            where sample_id not in (select subject_id from embeddings where brain_key = {{key}})
                and content_hash not in (
                    select input_key from vectors where model_version = used.version and error is not null)
                and not starts_with(used.model, '{PRECOMPUTED}')""",
            "Each readable image has a vector, or a reason why not; given vectors may come later than their images.",
        ),
        Check(
            "every_vector_is_finite",
            f"""
            select count(*) from {CURRENT} as used join vectors on model_version = used.version
            join readable on content_hash = input_key where vectors.error is not null""",
            "No image's vector holds NaN or infinity; such an image has no neighbours and no scores.",
        ),
        Check(
            "no_vector_without_a_sample",
            "select count(*) from embeddings anti join samples using (sample_id)",
            "No vector is left of a sample that is gone.",
        ),
    ),
    publishes=(
        Publication(
            "embeddings",
            """
            select ordinal // 4096 as part, embeddings.sample_id, object_id, brain_key, model_version as model, vector,
                subject_id
            from embeddings join vectors using (model_version, input_key)
            join samples on samples.sample_id = embeddings.sample_id""",
            {
                "sample_id": "The sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "brain_key": "The run.",
                "model": "Version of the model: weights, preprocessing and runtime.",
                "vector": "The model's output, as it gave it (not normalised).",
                "subject_id": "The object for crops, else the sample.",
            },
            parts="""
            select ordinal // 4096 as part, bit_xor(hash(hash(subject_id, brain_key, model_version, input_key, node))) as mark
            from embeddings join vectors using (model_version, input_key)
            join samples on samples.sample_id = embeddings.sample_id group by part""",
        ),
    ),
    metrics={
        "embedded": "select count(*) from embeddings",
        "without_vector": "select count(*) from readable"
        " where sample_id not in (select subject_id from embeddings where brain_key = {default})",
    },
)
