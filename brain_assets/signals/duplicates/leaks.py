"""The same image in two splits: what a model was trained on, it must not be judged on."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from brain_assets.incremental.signal import Cutoff, Issue, IssueQuery, MethodRun, Publication, Sheet, Signal, Whole
from brain_assets.incremental.update import Update
from brain_assets.incremental.words import Evidence, number
from brain_assets.methods.duplicates.leaks import find_leaks, splits_from_labels
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.store.store import Merge
from brain_assets.signals.duplicates.near_duplicates import linked_by, read_samples
from brain_assets.signals.duplicates.near_duplicates import runs as duplicate_runs


def update_leaks(update: Update) -> Iterator[Merge]:
    """Find every pair of samples in different splits that are copies."""
    duplicates = MethodRun(update.run.settings["duplicates"], update.run.settings)
    settings = update.run.settings["settings"]
    copies = linked_by(settings["threshold"], settings["leak_relations"])
    samples = read_samples(update.dataset, duplicates, copies)
    splits = splits_from_labels(samples.rows.column("split").to_pylist())
    leaks = find_leaks(samples.pairs, samples.identity, splits)
    ids, names = samples.rows.column("sample_id").combine_chunks(), pa.array(splits.names, pa.string())
    rows = {
        "brain_key": pa.array([update.run.brain_key] * len(leaks.sample), pa.string()),
        "sample_id": ids.take(leaks.sample),
        "split": names.take(leaks.split),
        "partner_id": ids.take(leaks.partner),
        "partner_split": names.take(leaks.partner_split),
        "distance": pa.array(leaks.distance),
        "kind": pa.array(np.where(leaks.exact, "exact", "near").tolist(), pa.string()),
        "relation": pa.array(list(map(samples.relation, leaks.sample, leaks.partner)), pa.string()),
    }
    rows["shared"] = pa.nulls(len(leaks.sample), pa.string())
    if update.run.brain_key == "leaks":
        yield update.replace("leaks", pa.concat_tables([pa.table(rows), _between_groups(update, rows)]))
    else:
        yield update.replace("leaks", pa.table(rows))


def _between_groups(update: Update, known: Mapping[str, pa.Array]) -> pa.Table:
    """Return a row for each sample and each other split that has members of a group of its own, but for known pairs."""
    update.dataset.store.connection.register("known_leaks", pa.table({name: known[name] for name in PAIR}))
    found = update.query(BETWEEN_GROUPS, [update.run.brain_key])
    update.dataset.store.connection.unregister("known_leaks")
    return found


PAIR = ("sample_id", "partner_id")
# One partner for each split, the one with the smallest id: of a patient with a thousand images on both sides, a thousand rows.
BETWEEN_GROUPS = """
    with members as (
        select sample_id, split, unnest("groups") as shared from samples
        where split is not null and sample_id in (select sample_id from readable)),
    firsts as (select shared, split as partner_split, min(sample_id) as partner_id from members group by all)
    select ? as brain_key, sample_id, split, partner_id, partner_split, null::double as distance, 'group' as kind,
        null::varchar as relation, min(shared) as shared
    from members join firsts using (shared) where split != partner_split
        and (sample_id, partner_id) not in (select (sample_id, partner_id) from known_leaks)
    group by sample_id, split, partner_id, partner_split order by sample_id, partner_id"""


def _runs(dataset: Dataset) -> list[MethodRun]:
    """Return one run per run of near duplicates of images, whose pairs it uses."""
    return [
        MethodRun(_key(run.brain_key), {**run.settings, "duplicates": run.brain_key})
        for run in duplicate_runs(dataset)
        if dataset.settings.objects_of(run.settings["embeddings"]) is None
    ]


def _key(duplicates: str) -> str:
    return "leaks" if duplicates == "near_duplicates" else f"{duplicates}_leaks"


def _say(evidence: Evidence, labels: str, partner: str) -> str:
    distance = evidence.get("distance")
    if distance is None:
        return f"In {evidence.get('split')}; another of {evidence.get('shared')} is in {evidence.get('partner_split')}."
    copy = "the same pixels" if distance == 0 else f"a near copy (distance {number(distance)})"
    more = int(evidence.get("partners") or 1) - 1
    also = f", and {more} more beside it" if more else ""
    return f"In {evidence.get('split')}; {copy} in {evidence.get('partner_split')}{also}."


LEAK = Issue(
    "leak",
    20,
    "Leaks between splits",
    "The same image, a near copy, or another of its group is in two splits, so that results on one are inflated by the other.",
    "Remove one side of each pair, best the one in the training split.",
    _say,
    share=1,
    cutoff=Cutoff(
        "near_duplicates.threshold",
        "below",
        """
        select min(distance) as value from pairs join samples on samples.sample_id = subject_id
        join samples partners on partners.sample_id = partner_id
        where object_id is null and decided is null and samples.split != partners.split group by subject_id, partner_id""",
        counted="pairs",
    ),
)

LEAKS = Signal(
    name="leaks",
    description="Images of one split that have a copy in another: every pair across splits, exact or near; and those of a group,"
    " such as a patient, that is in several splits.",
    group="duplicates",
    reads=(
        "content_pairs",
        "samples",
        "media",
        "pixel_hashes",
        "embeddings",
        "neighbors",
        "crops",
        "exact_duplicates",
        "ground_truth",
        "objects",
        "said_pairs",
    ),
    writes=("leaks",),
    update=Whole(update_leaks),
    runs=_runs,
    publishes=(
        Publication(
            "leaks",
            """
            select brain_key, sample_id, split, partner_id, partner_split, distance, kind, relation, shared,
                sample_id as subject_id, null::varchar as object_id
            from leaks order by brain_key, sample_id, partner_id""",
            {
                "brain_key": "The run.",
                "sample_id": "A sample.",
                "split": "Its split.",
                "partner_id": "Its copy in another split; each pair is listed in both directions. Of a group, the member with the"
                " smallest id in each other split.",
                "partner_split": "The partner's split.",
                "distance": "0 for exact copies; NULL where only the group is the same.",
                "kind": "exact (same bytes or pixels), near, or group (no copies, but of one group).",
                "relation": "What the two are to each other: same (but for its encoding), edited or same_scene.",
                "shared": "The group that both belong to, as NAME=VALUE; NULL for copies.",
                "subject_id": "The sample.",
                "object_id": "NULL.",
            },
        ),
    ),
    issues=(
        IssueQuery(
            """
            select sample_id as subject_id, sample_id, null as object_id, 'leak' as issue, brain_key as source,
                1.0 - 0.5 * coalesce(nearest.distance, 1) as score, true as is_issue,
                if(nearest.distance is null,
                    json_object('partner', nearest.partner_id, 'partner_split', nearest.partner_split, 'split', nearest.split,
                        'shared', nearest.shared, 'partners', partners),
                    json_object('partner', nearest.partner_id, 'partner_split', nearest.partner_split, 'split', nearest.split,
                        'distance', nearest.distance, 'partners', partners)) as evidence
            from (
                select brain_key, sample_id, count(*) as partners, arg_min(leaks, (coalesce(distance, 2), partner_id)) as nearest
                from leaks group by brain_key, sample_id)""",
            (LEAK,),
        ),
    ),
    metrics={"leaks": "select count(distinct sample_id) from leaks where brain_key = {key}"},
    chart=Sheet(
        "the nearest pairs",
        "select unnest([subject_id, partner_id]) from (select least(sample_id, partner_id) as subject_id,"
        " greatest(sample_id, partner_id) as partner_id, min(distance) as distance from leaks where brain_key = {default}"
        " group by all order by 3, 1, 2)",
    ),
    view={"tab": "queue", "issue": LEAK.name},
)
