"""What one decode pass finds in every content: whether it can be decoded, its size, hashes and a small preview."""

from collections.abc import Iterator

import pyarrow as pa

from brain_assets import decode_pass
from brain_assets.incremental import Check, Derivation, MethodRun, Publication, Update, section_settings
from brain_assets.pruning import UNUSED_CONTENT, unused
from resources.dataset import FIRST_PACK, PREVIEW_PACK, Dataset, fact
from resources.previews import PreviewPack, compact
from resources.store import Merge

# One file stands for all samples of a content.
CONTENTS = """
    select content_hash, any_value(uri order by sample_id) as uri, any_value(bytes) as bytes
    from samples where content_hash is not null and {condition} group by content_hash"""
UNDECODED = "content_hash not in (from media select content_hash)"
EMBEDDED = "content_hash in (select input_key from vectors where model_version = '{version}')"
EMBEDDINGS = "embeddings"
# A pack of previews below this size is not worth rewriting.
SMALL_PACK = 1 << 22


def update_media(update: Update) -> Iterator[Merge]:
    """Decode every content that is new; embed it in the same pass when embeddings are wanted too.

    What was decoded with other settings is decoded again, but not embedded again.
    """
    _remove_old_packs(update.dataset)
    if update.anew:
        _decode(update, EMBEDDED.format(version=_model_version(update.dataset)), embed=False)
        _decode(update, "not " + EMBEDDED.format(version=_model_version(update.dataset)))
    else:
        _decode(update, UNDECODED)
    update.commit(*(unused(table, UNUSED_CONTENT, at_once=update.anew) for table in ("media", "quality_statistics")))
    _compact_previews(update)
    yield from ()


def _decode(update: Update, condition: str, *, embed: bool = True) -> None:
    contents = update.query(CONTENTS.format(condition=condition))
    update.notes["decoded"] = update.notes.get("decoded", 0) + contents.num_rows
    dataset = update.dataset
    wanted = embed and EMBEDDINGS in dataset.selected and contents.num_rows > 0
    model = dataset.model(dataset.settings.embeddings.model) if wanted else None
    decode_pass.decode(update, contents, facts=True, model=model)


def _model_version(dataset: Dataset) -> str:
    return dataset.model_version(dataset.settings.embeddings.model)


def _compact_previews(update: Update) -> None:
    """Copy the previews into a new pack once more than half of the old one belongs to no row.

    The new addresses and the pack's name are committed together. The old pack stays until the next update, for readers
    of what was published before.
    """
    dataset = update.dataset
    pack = dataset.paths.folder / dataset.preview_pack
    used = dataset.store.value("select coalesce(sum(preview_length), 0) from media")
    if not pack.exists() or pack.stat().st_size < max(SMALL_PACK, 2 * used):
        return
    live = update.query(
        "select content_hash, preview_offset, preview_length from media where preview_length is not null"
    )
    addresses = list(zip(live.column(1).to_pylist(), live.column(2).to_pylist(), strict=True))
    name = f"previews-{dataset.run_id}.pack"
    try:
        moved = compact(dataset.previews, dataset.paths.folder / name, addresses)
    except ValueError as error:
        (dataset.paths.folder / name).unlink()
        update.notes["previews"] = str(error)
        return
    dataset.store.connection.register(
        "moved", live.select([0]).append_column("offset", pa.array([at for at, _ in moved]))
    )
    update.commit(Merge("media", MOVED), fact(PREVIEW_PACK, name))
    dataset.previews.close()
    dataset.previews = PreviewPack(dataset.paths.folder / name)


MOVED = """
    select media.* exclude (changed) replace (moved.offset as preview_offset)
    from media join moved using (content_hash)"""


def _remove_old_packs(dataset: Dataset) -> None:
    for path in dataset.paths.folder.glob("previews*.pack"):
        if path.name != dataset.preview_pack:
            path.unlink()


def _runs(dataset: Dataset) -> list[MethodRun]:
    settings = section_settings(dataset.settings.decoding)
    return [MethodRun("media", settings | {"statistics": decode_pass.STATISTICS_VERSION})]


MEDIA = Derivation(
    name="media",
    description="What decoding finds in every image: whether its whole stream is sound (else the reason), size, format,"
    " hashes, statistics of its pixels, and a small preview. Each content is decoded once, wherever it moves.",
    group="media",
    reads=("samples",),
    writes=("media", "quality_statistics"),
    update=update_media,
    runs=_runs,
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
            ("media", "samples"),
            {
                "content_hash": "The content, as samples name it.",
                "preview_offset": "Where its preview starts in the pack.",
                "preview_length": "Bytes of its entry there.",
                "pack": "Name of the pack, a file in the dataset's folder; others may come to hold other contents.",
            },
        ),
    ),
)
