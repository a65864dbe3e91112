"""What one decode pass finds in every content: whether it can be decoded, its size, hashes and a small preview."""

from collections.abc import Iterator

from brain_assets import decode_pass
from brain_assets.incremental import Check, Derivation, MethodRun, Update, section_settings
from resources.dataset import Dataset
from resources.store import Merge

# One file stands for all samples of a content.
CONTENTS = """
    select content_hash, any_value(uri order by sample_id) as uri, any_value(bytes) as bytes
    from samples where content_hash is not null and {condition} group by content_hash"""
EMBEDDINGS = "embeddings"


def update_media(update: Update) -> Iterator[Merge]:
    """Decode every content that is new; embed it in the same pass when embeddings are wanted too."""
    condition = "true" if update.anew else "content_hash not in (from media select content_hash)"
    contents = update.query(CONTENTS.format(condition=condition))
    update.notes["decoded"] = contents.num_rows
    dataset = update.dataset
    wanted = EMBEDDINGS in dataset.selected and contents.num_rows > 0
    model = dataset.model(dataset.settings.embeddings.model) if wanted else None
    decode_pass.decode(update, contents, facts=True, model=model)
    yield from ()


def _runs(dataset: Dataset) -> list[MethodRun]:
    return [MethodRun("media", section_settings(dataset.settings.decoding))]


MEDIA = Derivation(
    name="media",
    description="What decoding finds in every image: whether its whole stream is sound (else the reason), size, format,"
    " hashes, and a small preview. Each content is decoded once, wherever it moves.",
    group="media",
    reads=("samples",),
    writes=("media",),
    update=update_media,
    runs=_runs,
    kinds=("python", "pillow", "duckdb"),
    checks=(
        Check(
            "every_content_was_decoded",
            "select count(*) from samples anti join media using (content_hash) where content_hash is not null",
            "Each content that could be read has a verdict: ok, or an error with its reason.",
        ),
    ),
)
