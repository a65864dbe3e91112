"""One vector per sample: what a model sees in its image."""

from collections.abc import Iterator

from brain_assets import decode_pass
from brain_assets.incremental import Check, Derivation, MethodRun, Publication, Update, declared_runs
from resources.dataset import Dataset
from resources.store import Merge

# One file stands for all samples of a content.
WITHOUT_VECTOR = """
    select content_hash, any_value(uri order by sample_id) as uri, any_value(bytes) as bytes
    from samples semi join readable using (content_hash)
    where content_hash not in (select input_key from vectors where model_version = ?) group by content_hash"""
ROWS = """
    select {key} as brain_key, sample_id as subject_id, sample_id, null::varchar as object_id, model_version, input_key
    from readable join vectors on input_key = content_hash
    where model_version = '{version}' and vectors.error is null"""


def update_embeddings(update: Update) -> Iterator[Merge]:
    """Embed contents that have no vector of this model yet, and give every readable sample its vector."""
    dataset, version = update.dataset, str(update.run.model_version)
    contents = update.query(WITHOUT_VECTOR, [version])
    if contents.num_rows:
        model = dataset.model(update.run.settings["model"])
        decode_pass.decode(update, contents, facts=False, model=model)
    yield Merge("embeddings", ROWS.format(key=update.key, version=version), within=f"brain_key = {update.key}")


def _runs(dataset: Dataset) -> list[MethodRun]:
    uri = dataset.settings.embeddings.model
    wanted = {"embeddings": uri} | {run.brain_key: run.model or uri for run in declared_runs(dataset, "embeddings")}
    return [MethodRun(key, {"model": uri}, dataset.model_version(uri)) for key, uri in wanted.items()]


EMBEDDINGS = Derivation(
    name="embeddings",
    description="One vector per readable image, from an embedding model. Vectors are kept by content and model version, so"
    " nothing is embedded twice.",
    group="similarity",
    reads=("samples", "media"),
    writes=("embeddings", "vectors"),
    update=update_embeddings,
    runs=_runs,
    kinds=("python", "pytorch", "duckdb"),
    checks=(
        Check(
            "every_readable_sample_has_a_vector",
            "select count(*) from readable"
            " where sample_id not in (select subject_id from embeddings where brain_key = 'embeddings')",
            "Each readable image has a vector.",
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
            select ordinal // 4096 as part, embeddings.sample_id, object_id, brain_key, model_version as model, vector
            from embeddings join vectors using (model_version, input_key)
            join samples on samples.sample_id = embeddings.sample_id""",
            ("embeddings",),
            {
                "sample_id": "The sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "brain_key": "The run.",
                "model": "Version of the model: weights, preprocessing and runtime.",
                "vector": "The model's output, as it gave it (not normalised).",
            },
            parts="""
            select ordinal // 4096 as part, bit_xor(hash(subject_id, brain_key, model_version, input_key)) as mark
            from embeddings join samples on samples.sample_id = embeddings.sample_id group by part""",
        ),
    ),
    metrics={"embedded": "select count(*) from embeddings"},
)
