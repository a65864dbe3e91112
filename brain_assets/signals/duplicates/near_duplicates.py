"""Images, or objects in them, that are copies of each other but for an edit, in groups that mean what they say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from brain_assets.incremental.runs import model_of, runs_of, similarity_settings, with_parameters
from brain_assets.incremental.signal import (
    Check,
    Cutoff,
    Issue,
    IssueQuery,
    MethodRun,
    Publication,
    Sheet,
    Signal,
    Whole,
)
from brain_assets.incremental.subjects import PICTURED, SUBJECT
from brain_assets.incremental.update import Update, literal
from brain_assets.methods.duplicates import duplicates
from brain_assets.methods.duplicates import keep_policy as policy
from brain_assets.methods.duplicates.relations import FARTHEST_COPY
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.settings.configuration import NearDuplicateSettings, RunSettings
from brain_assets.resources.store.store import Merge
from brain_assets.signals.duplicates.candidates import update_pairs
from brain_assets.signals.duplicates.keeping import TIME, keep_criteria, say_copy
from brain_assets.signals.duplicates.labelled import LABELLED
from brain_assets.signals.duplicates.labelled import READS as LABELS
from brain_assets.signals.duplicates.pairs import Rows, contents_of

# What exact_duplicates proposes to drop is told there.
COPIES = "select sample_id from exact_duplicates where not keep"
# Subjects with equal bytes or equal pixels are one identity: copies at distance 0.
IDENTITIES = """
    select subject_id, sample_id, identity, picture, rectangle[3] - rectangle[1] as width, rectangle[4] - rectangle[2] as height
    from depicted join pictures using (picture)
    where brain_key = {embeddings} and subject_id in (select subject_id from neighbors where brain_key = {similarity})"""

# Measured pairs, with what reviewers said of their contents in place of what was found.
JUDGED = """
    select content_pairs.* replace (coalesce(kind, relation) as relation), kind as decided
    from content_pairs left join decided_pairs decided
        on decided.first_content = least(content_pairs.first_content, content_pairs.second_content)
        and decided.second_content = greatest(content_pairs.first_content, content_pairs.second_content)"""
# Pairs of identities that are copies, and what is asked of the subjects that share an identity or are in a pair.
LINKS = f"""
    with identities as materialized ({{identities}}),
    contents as (select distinct picture, identity from identities),
    judged as ({JUDGED}),
    links as (
        select least(a.identity, b.identity) as one, greatest(a.identity, b.identity) as other, min(distance) as distance,
            arg_min(relation, (distance, first_content, second_content)) as relation
        from judged join contents a on a.picture = first_content join contents b on b.picture = second_content
        where brain_key = {{key}} and {{linked}} and a.identity != b.identity group by all)"""
CONCERNED = f"""
    select subject_id, sample_id, split, bytes, filepath, identities.width, identities.height, identity,
        {TIME} as existed_at, sample_id in ({LABELLED}) as labelled, sample_id in ({COPIES}) as is_copy
    from sample_facts join identities using (sample_id)
    where identity in (select one from links union select other from links
        union select identity from identities group by identity having count(*) > 1)
    order by subject_id"""
# The picture of every subject, by the run of near duplicates that compares it.
COMPARED = """
    select watermarks.brain_key, subject_id, sample_id, object_id, picture from depicted
    join watermarks on asset = 'near_duplicates' and depicted.brain_key = settings ->> '$.embeddings'"""


@dataclass(frozen=True)
class Samples:
    """Samples, or objects in them, with copies, ordered by id, with the identity of each and the pairs of identities."""

    rows: pa.Table
    identity: Rows
    pairs: duplicates.Pairs
    relations: Mapping[tuple[int, int], str | None]

    def relation(self, one: int, other: int) -> str | None:
        """Return what two samples are to each other."""
        first, second = sorted((int(self.identity[one]), int(self.identity[other])))
        return "same" if first == second else self.relations.get((first, second))


def update_near_duplicates(update: Update) -> Iterator[Merge]:
    """Measure new candidate pairs, then group those that are copies."""
    settings = NearDuplicateSettings.model_validate(update.run.settings["settings"])
    # Who is labelled, and what reviewers say of a pair, decides between copies and makes no others.
    pictures, lists = update.changed(contents_of(update.run)), update.changed("from graph")
    if pictures or lists:
        update_pairs(update, settings)
    if settings.threshold is not None:
        update.notes["threshold"] = settings.threshold
    copies = linked_by(settings.threshold, settings.relations)
    samples = read_samples(update.dataset, update.run, copies)
    yield update.replace("near_duplicates", _groups(update, settings, samples))
    link = settings.component_threshold or settings.threshold
    if settings.component_threshold:
        samples = read_samples(update.dataset, update.run, linked_by(link, ()))
    yield update.replace("components", _components(update, samples, link or FARTHEST_COPY))


def linked_by(threshold: float | None, relations: Sequence[str]) -> str:
    """Return the condition on pairs that are copies: within the threshold set by hand, else of one of the relations.

    What reviewers said of a pair is its relation, whatever was measured: ``same_scene``, or ``not_copy``, which none is.
    """
    if threshold is not None:
        return f"distance <= {threshold} and decided is null"
    return f"relation in ({', '.join(literal(relation) for relation in relations)})"


def read_samples(dataset: Dataset, run: MethodRun, linked: str) -> Samples:
    """Return the samples that have copies by a condition on pairs, with their identities and the pairs of these."""
    names = {key: literal(run.settings[key]) for key in ("similarity", "embeddings")}
    links = LINKS.format(identities=IDENTITIES.format(**names), key=literal(run.brain_key), linked=linked)
    found = dataset.store.query(f"{links} from links order by all")
    rows = dataset.store.query(f"{links} {CONCERNED}")
    known = sorted(set(rows.column("identity").to_pylist()))
    place = {identity: position for position, identity in enumerate(known)}
    identity, first, second = (
        np.array([place[one] for one in column.to_pylist()], np.int64)
        for column in (rows.column("identity"), found.column("one"), found.column("other"))
    )
    relations = dict(zip(_ordered(first, second), found.column("relation").to_pylist(), strict=True))
    return Samples(rows, identity, duplicates.Pairs(first, second, found.column("distance").to_numpy()), relations)


def _ordered(first: Rows, second: Rows) -> Iterator[tuple[int, int]]:
    return zip(np.minimum(first, second).tolist(), np.maximum(first, second).tolist(), strict=True)


def _groups(update: Update, settings: NearDuplicateSettings, samples: Samples) -> pa.Table:
    ids, paths = (samples.rows.column(name).to_pylist() for name in ("subject_id", "filepath"))
    criteria = keep_criteria(samples.rows, settings.keep, update.dataset.settings.keep_first)
    cover = duplicates.cover_with_copies(samples.pairs, samples.identity, policy.keep_rank(criteria, ids))
    sizes = np.bincount(cover.nearest, minlength=len(ids))
    members = np.flatnonzero(sizes[cover.nearest] > 1) if len(ids) else np.zeros(0, np.int64)
    rows = []
    for member in members.tolist():
        nearest = int(cover.nearest[member])
        if cover.keep[member]:
            reason = f"kept of {sizes[member]} look-alikes"
        else:
            winner = int(cover.dropped_by[member])
            reason = f"{paths[winner]} is kept: {policy.keep_reason(criteria, winner, member)}"
        distance = float(cover.distance[member])
        relation = None if cover.keep[member] else samples.relation(member, nearest)
        kept = bool(cover.keep[member])
        rows.append((update.run.brain_key, ids[member], ids[nearest], ids[nearest], distance, kept, reason, relation))
    names = ("brain_key", "subject_id", "group_id", "nearest_id", "distance", "keep", "reason", "relation")
    types = (*[pa.string()] * 4, pa.float64(), pa.bool_(), pa.string(), pa.string())
    return _table(rows, dict(zip(names, types, strict=True)))


def _components(update: Update, samples: Samples, threshold: float) -> pa.Table:
    """Return the connected components of more than one sample; copies are linked at distance 0."""
    ids = samples.rows.column("subject_id").to_pylist()
    count = int(samples.identity.max(initial=-1)) + 1
    component = duplicates.connected_components(samples.pairs, count)[samples.identity] if count else samples.identity
    sizes = np.bincount(component, minlength=count)
    smallest: dict[int, str] = {}
    for position, label in enumerate(component.tolist()):
        smallest.setdefault(label, ids[position])
    rows = [
        (update.run.brain_key, ids[position], smallest[label], int(sizes[label]), threshold)
        for position, label in enumerate(component.tolist())
        if sizes[label] > 1
    ]
    names = ("brain_key", "subject_id", "component_id", "size", "threshold")
    types = (pa.string(), pa.string(), pa.string(), pa.int32(), pa.float64())
    return _table(rows, dict(zip(names, types, strict=True)))


def _table(rows: list[tuple[Any, ...]], types: Mapping[str, pa.DataType]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(types)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types.values(), strict=True)]
    return pa.table(arrays, names=list(types))


def runs(dataset: Dataset) -> list[MethodRun]:
    """Return the configured runs of near duplicates."""
    return [_run(dataset, run) for run in runs_of(dataset, "near_duplicates", "near_duplicates")]


def _run(dataset: Dataset, run: RunSettings) -> MethodRun:
    section = with_parameters(dataset.settings.near_duplicates, run)
    graph = similarity_settings(dataset.settings, run.similarity)
    settings = {
        "embeddings": run.embeddings,
        "similarity": run.similarity,
        "k": graph.k,
        "metric": graph.metric,
        "model": model_of(dataset, run.embeddings),
        "keep_first": dataset.settings.keep_first,
        "preview_size": dataset.settings.decoding.preview_size,
        "settings": section.model_dump(mode="json"),
    }
    return MethodRun(run.brain_key, settings)


NEAR_DUPLICATE = Issue(
    "near_duplicate",
    60,
    "Near duplicates",
    "The same picture after a small edit, a re-encoding, or the next frame.",
    "Drop all but the one to keep, unless the small differences are what you train on.",
    say_copy,
    groups="near_duplicates",
    cutoff=Cutoff(
        "near_duplicates.threshold",
        "below",
        """
        select min(distance) as value from pairs where object_id is null and decided is null
        group by subject_id, partner_id""",
        counted="pairs",
    ),
)

NEAR_DUPLICATES = Signal(
    name="near_duplicates",
    description="Images, or objects where a run reads their vectors, that are copies but for an edit (recompressed, resized,"
    " cropped, mirrored, stamped): found by embedding or perceptual hash, by corners that lie alike"
    " under any turn, flip, scale or crop, and verified on pixels: closer than is usual for such pictures here, or"
    " different nowhere. Every member is a copy of the one that is kept.",
    group="duplicates",
    reads=(
        "neighbors",
        "embeddings",
        "samples",
        "media",
        "crops",
        "pixel_hashes",
        "exact_duplicates",
        *LABELS,
        "graph",
        "vectors",
        "said_pairs",
    ),
    writes=("content_pairs", "near_duplicates", "components"),
    update=Whole(update_near_duplicates),
    version="5",
    runs=runs,
    options=frozenset({"embeddings", "parameters", "similarity", "where"}),
    parameters=lambda settings: settings.near_duplicates,
    kinds=("python", "numba", "duckdb"),
    checks=(
        Check(
            "members_are_near_their_kept_one",
            "select count(*) from near_duplicates one anti join near_duplicates kept on kept.brain_key = one.brain_key"
            " and kept.subject_id = one.nearest_id and kept.keep",
            "Each member's nearest is a kept sample.",
        ),
    ),
    publishes=(
        Publication(
            "near_duplicates",
            f"""
            select brain_key, group_id, {SUBJECT}, nearest_id, distance, keep, reason, relation
            from near_duplicates {PICTURED} order by brain_key, group_id, distance, subject_id""",
            {
                "brain_key": "The run.",
                "group_id": "The kept subject's id.",
                "subject_id": "The object for crops, else the sample.",
                "sample_id": "The sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "nearest_id": "The kept subject it is nearest to.",
                "distance": "How far it is from that one: 0 for copies; 1 - (.8 pixel agreement + .2 closeness).",
                "keep": "Whether this is the one to keep.",
                "reason": "Why, in words.",
                "relation": "What it is to the kept one: same (but for its encoding), edited or same_scene; NULL for that one.",
            },
        ),
        Publication(
            "components",
            f"""
            select brain_key, component_id, {SUBJECT}, size, threshold
            from components {PICTURED} order by brain_key, component_id, subject_id""",
            {
                "brain_key": "The run.",
                "component_id": "Smallest subject id of the component.",
                "subject_id": "A member: a chain of copies leads to every other.",
                "sample_id": "The sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "size": "Members of the component.",
                "threshold": "Largest distance that a link may have.",
            },
        ),
        Publication(
            "pairs",
            f"""
            with compared as ({COMPARED}),
            judged as ({JUDGED}),
            both_ways as (
                from judged union all
                select * replace (second_content as first_content, first_content as second_content,
                    partner_region as region, region as partner_region) from judged),
            -- Materialized, as the planner would else join all that is compared with all before it looks at the pairs.
            begun as materialized (
                select both_ways.*, subject_id, sample_id, object_id
                from both_ways join compared on compared.brain_key = both_ways.brain_key and picture = first_content)
            select begun.brain_key, begun.subject_id, compared.subject_id as partner_id, begun.sample_id, begun.object_id,
                distance, verification, embedding_distance, hamming, relation, usual_distance, change, region,
                partner_region, decided
            from begun join compared on compared.brain_key = begun.brain_key and picture = second_content
            where begun.subject_id < compared.subject_id
            order by brain_key, distance, subject_id, partner_id""",
            {
                "brain_key": "The run.",
                "subject_id": "One of two.",
                "partner_id": "The other; each unordered pair is listed once.",
                "sample_id": "The subject's sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "distance": "How far apart they are: 1 - (.8 pixel agreement + .2 closeness).",
                "verification": "How far the pixels agree, in [0, 1]; NULL where there are none to compare.",
                "embedding_distance": "1 - cosine of the two vectors.",
                "hamming": "Bits in which the perceptual hashes differ, plain or mirrored.",
                "relation": "same (but for its encoding), edited, same_scene (as near as a copy, but so are others that are"
                " none), or NULL.",
                "usual_distance": "How far pictures like the two usually are from them; NULL where nothing is near.",
                "change": "Largest local difference of light inside the shared region, in grey levels; NULL without a region.",
                "region": "Box of what both show, in the subject: left, top, right, bottom as shares of its sides; NULL where"
                " corners show none.",
                "partner_region": "The same in the partner.",
                "decided": "What a reviewer said of the two: not_copy, or same_scene; NULL where nothing was said.",
            },
        ),
    ),
    issues=(
        IssueQuery(
            f"""
            from (
                select {SUBJECT}, 'near_duplicate' as issue, brain_key as source, 1.0 - 0.5 * distance as score,
                    true as is_issue, json_object('partner', nearest_id, 'distance', distance, 'reason', reason) as evidence
                from near_duplicates {PICTURED} where not keep)
            where sample_id not in ({COPIES})""",
            (NEAR_DUPLICATE,),
        ),
    ),
    metrics={
        "near_duplicates": "select count(*) from near_duplicates where not keep and brain_key = {key}",
        "near_duplicate_share": "select coalesce((select count(*) from near_duplicates where not keep"
        " and brain_key = {key}) / nullif((select count(*) from live_samples), 0), 0)",
    },
    chart=Sheet(
        "the largest groups",
        "select subject_id from near_duplicates where brain_key = {default}"
        " order by count(*) over (partition by group_id) desc, group_id, keep desc, subject_id",
    ),
    view={"tab": "groups", "table": "near_duplicates"},
)
