"""What was seen elsewhere: images of other datasets of the home, of published files, and those that were here before."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from brain_assets.incremental.digests import Slice
from brain_assets.incremental.signal import Issue, IssueQuery, MethodRun, PerSubject, Publication, Sheet, Signal, Table
from brain_assets.incremental.update import Update, literal
from brain_assets.incremental.words import Evidence
from brain_assets.ledger import entries
from brain_assets.ledger.looking import MATCHES, UNKNOWN, Pictures, oriented, rows_of, seen
from brain_assets.resources.dataset import Dataset
from brain_assets.signals.duplicates.fingerprints import codes_of
from brain_assets.signals.duplicates.ledger_changes import LOOKED, ROWS, forget, note_changes, note_near

IMAGES = literal("embeddings")
BATCH = 8192
INPUTS = f"""
    select samples.sample_id, samples.content_hash, samples.split, phash, phash_mirrored, phash_turned,
        coalesce(looked.state, '') as looked,
        model_version as model, input_key,
        (select coalesce(list(if(first_content = samples.content_hash, second_content, first_content)), [])
            from decided_pairs where samples.content_hash in (first_content, second_content)) as apart
    from samples join media using (content_hash)
    left join (from embeddings where brain_key = {IMAGES}) as embedded on embedded.subject_id = samples.sample_id
    left join (from {LOOKED.name} where brain_key = {{key}}) as looked on looked.sample_id = samples.sample_id
    where samples.sample_id in (select sample_id from readable)"""
DROPPED, TRAINED_ON, TESTED_ON = "dropped", "trained_on", "tested_on"
SCHEMA = pa.schema([
    ("sample_id", pa.string()),
    ("source", pa.string()),
    ("source_kind", pa.string()),
    ("partner", pa.string()),
    ("partner_splits", pa.list_(pa.string())),
    ("match", pa.string()),
    ("hash_bits", pa.int32()),
    ("code_bits", pa.int32()),
    ("reason", pa.string()),
    ("dropped_at", entries.MOMENT),
    ("dropped_by", pa.string()),
])  # fmt: skip
KINDS = {"dataset": "dataset", "file": "file", "remembered": "itself"}


def is_training(split: str | None) -> bool:
    """Return whether models are trained on a split, going by its name; what has none may be trained on.

    Examples
    --------
    >>> [is_training(split) for split in ("train", "Training", None, "test", "val")]
    [True, True, True, False, False]
    """
    return split is None or split.lower().startswith("train")


def inputs(update: Update) -> Iterator[Slice]:
    """Return the samples, judged by one entry of the ledger: a file, which seldom changes, as a whole."""
    kind, name = (update.run.settings[one] for one in ("kind", "name"))
    entry = entries.existing(update.dataset.home, kind, name)
    if kind != "file":
        note_changes(update, entry)
    yield Slice(INPUTS.format(key=update.key), entry.version if kind == "file" else "", entry, BATCH)


def judge(update: Update, rows: pa.Table, entry: entries.Entry) -> pa.Table:
    """Return, of each sample that the entry has, the row that tells most."""
    found = seen(entry, _pictures(update, rows))
    if entry.kind != "file":
        note_near(update, rows, found.near.tolist())
    samples = rows.select(["sample_id", "content_hash", "split", "apart"]).to_pylist()
    first = _first_seen(update, [samples[place]["content_hash"] for place in found.picture.tolist()])
    best: dict[int, dict[str, Any]] = {}
    columns = (getattr(found, name).tolist() for name in ("picture", "match", "hash_bits", "code_bits"))
    for (place, match, *bits), partner in zip(
        zip(*columns, strict=True), rows_of(entry, found.row.tolist()), strict=True
    ):
        sample = samples[place]
        reason = _reason(entry, sample | {"first_seen": first.get(sample["content_hash"])}, partner)
        if partner["content_hash"] in sample["apart"] or (reason is None and entry.kind == "remembered"):
            continue
        if place not in best or (reason and not best[place]["reason"]):
            best[place] = _row(entry, sample, partner, reason) | _measured(match, bits)
    return pa.Table.from_pylist([best[place] for place in sorted(best)], schema=SCHEMA)


def _first_seen(update: Update, contents: list[str]) -> dict[str, datetime]:
    """Return when contents of the dataset were first seen, as its own entry tells, which outlives its store."""
    own = entries.find(update.dataset.home, "dataset", update.dataset.paths.name)
    asked: list[str | None] = [*dict.fromkeys(contents)]
    found = own.of_contents(asked) if own else ()
    return {str(asked[place]): own.rows.column("first_seen")[row].as_py() for place, row in found} if own else {}


def _pictures(update: Update, rows: pa.Table) -> Pictures:
    models = {one for one in rows.column("model").to_pylist() if one}
    contents = rows.column("content_hash").to_pylist()
    return Pictures(contents, oriented(rows), codes_of(update, rows), next(iter(models), None))


def _reason(entry: entries.Entry, sample: Mapping[str, Any], partner: Mapping[str, Any]) -> str | None:
    """Return what is wrong about an image that is both here and there, None where nothing is."""
    recorded, first = partner["recorded_at"], sample["first_seen"]
    if recorded and (sample["content_hash"] == partner["content_hash"] or (first and first > recorded)):
        return DROPPED
    splits: Sequence[str] = partner["former_splits"] + (partner["splits"] if entry.kind != "remembered" else [])
    if not is_training(sample["split"]):
        return TRAINED_ON if any(map(is_training, splits)) else None
    if entry.kind == "remembered":
        return None
    held_out = not all(map(is_training, splits)) if splits else entry.kind == "file"
    return TESTED_ON if held_out else None


def _row(
    entry: entries.Entry, sample: Mapping[str, Any], partner: Mapping[str, Any], reason: str | None
) -> dict[str, Any]:
    return {
        "sample_id": sample["sample_id"],
        "source": entry.name,
        "source_kind": KINDS[entry.kind],
        "partner": partner["name"],
        "partner_splits": sorted({*partner["splits"], *partner["former_splits"]}),
        "reason": reason,
        "dropped_at": partner["dropped_at"],
        "dropped_by": partner["dropped_by"],
    }


def _measured(match: int, bits: Sequence[int]) -> dict[str, Any]:
    hash_bits, code_bits = (None if one == UNKNOWN else one for one in bits)
    return {"match": MATCHES[match], "hash_bits": hash_bits, "code_bits": code_bits}


def _runs(dataset: Dataset) -> list[MethodRun]:
    """Return a run for each entry of the ledger but the dataset's own, and one for what it remembers of itself."""
    own = dataset.paths.name
    others = [one for one in entries.entries(dataset.home) if (one.kind, one.name) != ("dataset", own)]
    itself = entries.find(dataset.home, "remembered", own)
    chosen = [*others, itself] if itself else others
    return [MethodRun(f"{one.kind}:{one.name}", {"kind": one.kind, "name": one.name}) for one in chosen]


def _state(dataset: Dataset, run: MethodRun) -> str:
    entry = entries.find(dataset.home, run.settings["kind"], run.settings["name"])
    return entry.version if entry else ""


def _say(evidence: Evidence, labels: str, partner: str) -> str:
    where = f"{evidence.get('source')} ({evidence.get('seen_as')})"
    splits = ", ".join(evidence.get("splits") or []) or "held out"
    match evidence.get("reason"):
        case "dropped":
            day = str(evidence.get("dropped_at") or "")[:10]
            return f"{evidence.get('dropped_by')} dropped it from {where} on {day}, and it came again."
        case "trained_on":
            return f"In {evidence.get('split')} here; was seen in training: {splits} of {where}."
        case _:
            return f"In {evidence.get('split') or 'no split'} here; a test elsewhere: {splits} of {where}."


CONTAMINATION_ISSUE = Issue(
    "contamination",
    21,
    "Seen elsewhere",
    "The image is in the training set of one dataset and held out in another, in a published benchmark, or was dropped before.",
    "Remove it from the training set, or from the test; what was dropped before, drop again, or keep it to end the question.",
    _say,
    share=1,
)

REASON = (
    "What is wrong: trained_on (held out here, in training there), tested_on (held out there, and not here), dropped (by a"
    " reviewer, before it came here); NULL where nothing is."
)
COLUMNS = {
    "sample_id": ("varchar", "The sample."),
    "source": ("varchar", "The dataset or file that has it too."),
    "source_kind": ("varchar", "dataset, file, or itself: this dataset, as it was before."),
    "partner": ("varchar", "Path of the image there."),
    "partner_splits": ("varchar[]", "The splits that the image is, or ever was, in there."),
    "match": ("varchar", "bytes, hash (the pictures' hashes agree, turned or flipped), or vector."),
    "hash_bits": ("integer", "Bits of 64 in which the hashes differ; NULL where one says nothing."),
    "code_bits": ("integer", "Bits of 128 in which the codes of the vectors differ; NULL for another model's."),
    "reason": ("varchar", REASON),
    "dropped_at": ("timestamptz", "When a reviewer dropped it."),
    "dropped_by": ("varchar", "Who did."),
}

CONTAMINATION = Signal(
    name="contamination",
    description="Images that the home's ledger has seen elsewhere: in other datasets, in files of fingerprints that others"
    " publish, in a former split of this dataset, or among what reviewers dropped.",
    group="duplicates",
    reads=("samples", "media", "embeddings", "vectors", "said_pairs"),
    after=("fingerprints",),
    tables=(
        Table(
            "contamination",
            COLUMNS,
            key=("sample_id",),
        ),
        LOOKED,
        ROWS,
    ),
    retire=forget,
    update=PerSubject("contamination", ("sample_id",), inputs, judge),
    runs=_runs,
    outside=_state,
    publishes=(
        Publication(
            "contamination",
            """
            select brain_key, sample_id, source, source_kind, partner, partner_splits, match, hash_bits, code_bits, reason,
                dropped_at, dropped_by, sample_id as subject_id, null::varchar as object_id
            from contamination order by source, source_kind, sample_id""",
            {
                "brain_key": "The run: file:NAME, dataset:NAME or remembered:NAME.",
                **{name: meaning for name, (_, meaning) in COLUMNS.items()},
                "subject_id": "The sample.",
                "object_id": "NULL.",
            },
        ),
    ),
    issues=(
        IssueQuery(
            """
            select sample_id as subject_id, sample_id, null as object_id, 'contamination' as issue, brain_key as source,
                1.0 - 0.5 * coalesce(hash_bits, 64) / 64 as score, true as is_issue,
                json_object('source', source, 'seen_as', partner, 'splits', partner_splits, 'split', split, 'match', match,
                    'reason', reason, 'dropped_at', dropped_at::varchar, 'dropped_by', dropped_by) as evidence
            from contamination join samples using (sample_id) where reason is not null""",
            (CONTAMINATION_ISSUE,),
        ),
    ),
    metrics={"contaminated": "select count(distinct sample_id) from contamination where reason is not null"},
    chart=Sheet(
        "what was seen elsewhere",
        "select sample_id from contamination where reason is not null order by source, sample_id",
    ),
    view={"tab": "queue", "issue": CONTAMINATION_ISSUE.name},
)
