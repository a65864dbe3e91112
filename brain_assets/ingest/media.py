"""What one decode pass finds in every content: whether it can be decoded, its size, hashes and a small preview."""

from collections.abc import Iterator

from brain_assets.incremental.signal import Check, MethodRun, Publication, Signal, Whole
from brain_assets.incremental.update import Update, section_settings
from brain_assets.ingest import decode_pass, previews
from brain_assets.ingest.pruning import UNUSED_CONTENT, unused
from brain_assets.resources.dataset import FIRST_PACK, PREVIEW_PACK, Dataset
from brain_assets.resources.store.store import Merge

# One file stands for all samples of a content.
CONTENTS = """
    select content_hash, any_value(uri order by sample_id) as uri, any_value(bytes) as bytes,
        content_hash in (select input_key from vectors where model_version = ?) as embedded
    from samples where content_hash is not null and {condition} group by content_hash"""
# What failed for a reason outside of the file is due after a while, or as soon as a file of that content is new or touched.
DUE = """coalesce(media.retry_at <= now(), false) or (media.attempts is not null and media.changed < (
        select max(samples.changed) from samples where samples.content_hash = media.content_hash))"""
# What older rules made other pixels of; the schema that came with newer ones forgot what was made of these.
OUTDATED = f"""(select content_hash from media where status = 'ok' and coalesce(colors, 1) < {decode_pass.COLORS_VERSION}
        and {decode_pass.ODD_COLORS})"""
# What was decoded has a preview, unless the pack was lost.
UNDECODED = f"""(content_hash in {OUTDATED} or content_hash not in (
        select content_hash from media where if(status = 'error', not ({DUE}), preview_length is not null)))"""
WAITING = "select count(*) from media semi join samples using (content_hash) where retry_at is not null"
EMBEDDINGS = "embeddings"


def update_media(update: Update) -> Iterator[Merge]:
    """Decode every content that is new; embed it in the same pass when embeddings are wanted too.

    What was decoded with other settings, or has lost its preview, is decoded again, but not embedded again.
    """
    previews.mend(update)
    dataset, uri = update.dataset, update.dataset.settings.embeddings.model
    # Vectors that are given wait for their asset: a million of 512 numbers would be held while all pictures are decoded.
    wanted = EMBEDDINGS in dataset.selected and dataset.embeds_pictures(uri)
    condition = "true" if update.anew else UNDECODED
    contents = update.query(
        f"select *, not embedded as fresh from ({CONTENTS.format(condition=condition)})",
        [dataset.model_version(uri) if wanted else ""],
    )
    update.notes["decoded"] = contents.num_rows
    decode_pass.decode(update, contents.filter(contents["embedded"]), facts=True, model=None)
    fresh = contents.filter(contents["fresh"])
    decode_pass.decode(update, fresh, facts=True, model=dataset.model(uri) if wanted and fresh.num_rows else None)
    update.commit(*(unused(table, UNUSED_CONTENT, at_once=update.anew) for table in ("media", "quality_statistics")))
    previews.compact(update)
    update.retry = bool(dataset.store.value(WAITING))
    yield from ()


def _runs(dataset: Dataset) -> list[MethodRun]:
    settings = section_settings(dataset.settings.decoding)
    return [MethodRun("media", settings | {"statistics": decode_pass.STATISTICS_VERSION})]


def _scalars(_: MethodRun) -> dict[str, str]:
    """Return what asks for a run although nothing that is read changed: other rules by which pictures are made."""
    return {"colors": f"select {decode_pass.COLORS_VERSION}"}


MEDIA = Signal(
    name="media",
    description="What decoding finds in every image: whether its whole stream is sound (else the reason), size, format,"
    " hashes, statistics of its pixels, and a small preview. Each content is decoded once, wherever it moves.",
    group="media",
    reads=("samples",),
    writes=("media", "quality_statistics", "crops", "vectors"),
    update=Whole(update_media),
    runs=_runs,
    scalars=_scalars,
    kinds=("python", "pillow", "duckdb"),
    checks=(
        Check(
            "every_content_was_decoded",
            "select count(*) from samples anti join media using (content_hash) where content_hash is not null",
            "Each content that could be read has a verdict: ok, or an error with its reason.",
        ),
        Check(
            "every_decoded_content_was_measured",
            "select count(*) from readable anti join quality_statistics using (content_hash)",
            "Each content that could be decoded has its statistics.",
        ),
    ),
    publishes=(
        Publication(
            "previews",
            f"""
            select content_hash, preview_offset, preview_length,
                coalesce((select value ->> '$' from facts where name = '{PREVIEW_PACK}'), '{FIRST_PACK}') as pack
            from media semi join samples using (content_hash) where preview_length is not null order by content_hash""",
            {
                "content_hash": "The content, as samples name it.",
                "preview_offset": "Where its preview starts in the pack.",
                "preview_length": "Bytes of its entry there.",
                "pack": "Name of the pack, a file in the dataset's folder; others may come to hold other contents.",
            },
        ),
    ),
)
