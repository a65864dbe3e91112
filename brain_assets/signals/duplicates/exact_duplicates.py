"""The same image more than once: the same bytes, or the same pixels in other bytes or another format."""

from collections.abc import Iterator

import pyarrow as pa

from brain_assets.incremental.signal import Check, Issue, IssueQuery, MethodRun, Publication, Sheet, Signal, Whole
from brain_assets.incremental.update import Update
from brain_assets.ingest import decode_pass
from brain_assets.ingest.pruning import UNUSED_CONTENT, unused
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.store.store import Merge
from brain_assets.signals.duplicates.keeping import say_copy
from brain_assets.signals.duplicates.labelled import LABELLED
from brain_assets.signals.duplicates.labelled import READS as LABELS

PIXEL_HASHES = pa.schema([("content_hash", pa.string()), ("pixel_hash", pa.string())])
LIVE = "select media.* from media semi join readable using (content_hash)"
# Contents of one size whose reduced pixels agree; JPEG decoders reduce a little differently, hence the second way.
CANDIDATES = f"""
    with live as ({LIVE}),
    alike as (
        select content_hash from live qualify count(*) over (partition by width, height, signature) > 1
        union
        select unnest([one.content_hash, other.content_hash]) from live one join live other
            on one.width = other.width and one.height = other.height and one.drafted and not other.drafted
            and bit_count(xor(one.phash, other.phash)) <= ?
    )
    select content_hash, any_value(uri order by sample_id) as uri, any_value(bytes) as bytes
    from samples join alike using (content_hash)
    where content_hash not in (from pixel_hashes select content_hash) group by content_hash"""
GROUPS = """
    with members as (
        select sample_id, filepath, content_hash, coalesce(pixel_hash, content_hash) as identity, split,
            row_number() over (partition by identity order by {preference}) as place,
            count(*) over (partition by identity) as size
        from samples semi join readable using (sample_id) left join pixel_hashes using (content_hash)
    ), kept as (select * from members where place = 1 and size > 1)
    select members.sample_id, kept.sample_id as group_id, members.place = 1 as keep,
        case when members.place = 1 then null
            when members.content_hash = kept.content_hash then 'bytes' else 'pixels' end as kind,
        case when members.place = 1 then 'kept of ' || kept.size || ' copies: ' || {kept_because}
            when members.content_hash = kept.content_hash then 'same bytes as ' || kept.filepath
            else 'same pixels as ' || kept.filepath end as reason
    from members join kept using (identity)"""
KEPT_BECAUSE = "'protected split, then labelled, then larger file, then older, then first by path'"


def update_exact_duplicates(update: Update) -> Iterator[Merge]:
    """Group samples by identity of bytes or pixels; only candidates are decoded in full."""
    _hash_pixels(update)
    splits = update.dataset.settings.keep_first
    ranks = " ".join(f"when '{split.replace(chr(39), chr(39) * 2)}' then {rank}" for rank, split in enumerate(splits))
    place = f"case split {ranks} else {len(splits)} end" if splits else "0"
    preference = f"{place}, sample_id not in ({LABELLED}), bytes desc, modified_at, filepath, sample_id"
    yield update.replace("exact_duplicates", GROUPS.format(preference=preference, kept_because=KEPT_BECAUSE))
    yield unused("pixel_hashes", UNUSED_CONTENT)


def _hash_pixels(update: Update) -> None:
    from brain_assets.resources.decoding.decoding import DRAFT_DISTANCE

    candidates = update.query(CANDIDATES, [DRAFT_DISTANCE]).to_pylist()
    update.notes["confirmed"] = len(candidates)
    if not candidates:
        return
    dataset = update.dataset
    with decode_pass.Looking.of(dataset).decoder() as decoder:
        found = [
            {"content_hash": key, "pixel_hash": digest.hex() if digest else None}
            for key, digest in decoder.pixel_hashes(decode_pass.jobs(dataset, candidates))
        ]
    # A file that could not be read this time says nothing of its pixels.
    update.incomplete = len(found) < len(candidates)
    update.commit(Merge("pixel_hashes", pa.Table.from_pylist(found, schema=PIXEL_HASHES)))


def _runs(dataset: Dataset) -> list[MethodRun]:
    return [MethodRun("exact_duplicates", {"keep_first": dataset.settings.keep_first})]


EXACT_DUPLICATE = Issue(
    "exact_duplicate",
    50,
    "Exact duplicates",
    "The same pixels are there more than once.",
    "Drop all but the one to keep: they weigh twice in training and tell nothing new.",
    say_copy,
    groups="exact_duplicates",
    share=1,
)

EXACT_DUPLICATES = Signal(
    name="exact_duplicates",
    description="Samples that are the same image: identical bytes, or identical pixels in other bytes or another format,"
    " confirmed in full resolution. One of each group is proposed to be kept, and the row says why.",
    group="duplicates",
    reads=("samples", "media", *LABELS),
    writes=("exact_duplicates", "pixel_hashes"),
    update=Whole(update_exact_duplicates),
    version="2",
    runs=_runs,
    checks=(
        Check(
            "one_kept_per_group",
            "select count(*) from (select 1 from exact_duplicates group by group_id having count_if(keep) != 1)",
            "Exactly one sample of each group is kept.",
        ),
    ),
    publishes=(
        Publication(
            "exact_duplicates",
            "select group_id, sample_id, kind, keep, reason from exact_duplicates order by group_id, keep desc, sample_id",
            {
                "group_id": "The kept sample's id.",
                "sample_id": "A member of the group.",
                "kind": "bytes or pixels: what it shares with the kept sample; NULL for the kept one.",
                "keep": "Whether this sample is the one to keep.",
                "reason": "Why, in words.",
            },
        ),
    ),
    issues=(
        IssueQuery(
            """
            select sample_id as subject_id, sample_id, null as object_id, 'exact_duplicate' as issue,
                'exact_duplicate' as source, 1.0 as score, true as is_issue,
                json_object('partner', group_id, 'kind', kind, 'distance', 0, 'reason', reason) as evidence
            from exact_duplicates where not keep""",
            (EXACT_DUPLICATE,),
        ),
    ),
    metrics={
        "exact_duplicates": "select count(*) from exact_duplicates where not keep",
        "exact_duplicate_share": "select coalesce((select count(*) from exact_duplicates where not keep)"
        " / nullif((select count(*) from live_samples), 0), 0)",
    },
    chart=Sheet(
        "the largest groups",
        "select sample_id from exact_duplicates"
        " order by count(*) over (partition by group_id) desc, group_id, keep desc, sample_id",
    ),
    view={"tab": "groups", "table": "exact_duplicates"},
)
