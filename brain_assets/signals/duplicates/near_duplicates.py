"""Images, or objects in them, that are copies of each other but for an edit, in groups that mean what they say."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from brain_assets.incremental.calibrations import calibrated
from brain_assets.incremental.runs import model_of, runs_of, similarity_settings, with_parameters
from brain_assets.incremental.signal import Check, Issue, IssueQuery, MethodRun, Publication, Sheet, Signal, Whole
from brain_assets.incremental.subjects import PICTURED, SUBJECT
from brain_assets.incremental.update import Update, literal, section_settings
from brain_assets.methods.duplicates import duplicates
from brain_assets.methods.duplicates import keep_policy as policy
from brain_assets.methods.duplicates.calibration import DEFAULT_THRESHOLD, Image, calibrate, may_decide, mild_edits
from brain_assets.methods.duplicates.perceptual_hash import pair_hamming
from brain_assets.resources.dataset import Dataset
from brain_assets.resources.settings.configuration import NearDuplicateSettings, RunSettings
from brain_assets.resources.store.store import Merge
from brain_assets.resources.threads import one_blas_thread
from brain_assets.signals.duplicates.candidates import update_pairs
from brain_assets.signals.duplicates.keeping import TIME, keep_criteria, say_copy
from brain_assets.signals.duplicates.labelled import LABELLED
from brain_assets.signals.duplicates.labelled import READS as LABELS
from brain_assets.signals.duplicates.pairs import Contents, Rows, preview_pixels

Distances = NDArray[np.float64]

ISSUE = "near_duplicate"
EDITED_SAMPLES = 96
NO_PARTNER = 1.0
# What exact_duplicates proposes to drop is told there.
COPIES = "select sample_id from exact_duplicates where not keep"
# Subjects with equal bytes or equal pixels are one identity: copies at distance 0.
IDENTITIES = """
    select subject_id, sample_id, identity, picture, rectangle[3] - rectangle[1] as width, rectangle[4] - rectangle[2] as height
    from depicted join pictures using (picture)
    where brain_key = {embeddings} and subject_id in (select subject_id from neighbors where brain_key = {similarity})"""

# Pairs of identities within a threshold, and what is asked of the subjects that share an identity or are in a pair.
LINKS = """
    with identities as materialized ({identities}),
    contents as (select distinct picture, identity from identities),
    links as (
        select least(a.identity, b.identity) as one, greatest(a.identity, b.identity) as other, min(distance) as distance
        from content_pairs join contents a on a.picture = first_content join contents b on b.picture = second_content
        where brain_key = {key} and distance <= {threshold} and a.identity != b.identity group by all)"""
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
    identity: "np.ndarray[Any, np.dtype[np.int64]]"
    pairs: duplicates.Pairs


def update_near_duplicates(update: Update) -> Iterator[Merge]:
    """Measure new candidate pairs, then group what lies within the threshold."""
    settings = NearDuplicateSettings.model_validate(update.run.settings["settings"])
    threshold = update_pairs(update, settings, lambda contents, pairs: _threshold(update, settings, contents, pairs))
    update.notes["threshold"] = threshold
    samples = read_samples(update.dataset, update.run, threshold)
    yield update.replace("near_duplicates", _groups(update, settings, samples))
    link = settings.component_threshold or threshold
    linked = samples if link == threshold else read_samples(update.dataset, update.run, link)
    yield update.replace("components", _components(update, linked, link))


def _threshold(update: Update, settings: NearDuplicateSettings, contents: Contents, pairs: duplicates.Pairs) -> float:
    """Return the threshold set by hand, or the calibrated one."""
    if settings.threshold is not None:
        return settings.threshold
    default = (DEFAULT_THRESHOLD, {"why": "too few samples to fit a threshold"})
    subjects = f"select count(*) from depicted where brain_key = {literal(update.run.settings['embeddings'])}"
    size = int(update.dataset.store.value(subjects))
    return calibrated(update, ISSUE, lambda: _fit(update, contents, pairs), default, size).value


def _fit(update: Update, contents: Contents, pairs: duplicates.Pairs) -> tuple[float, Mapping[str, Any]]:
    """Compare mild edits of some pictures, which their names choose, with the nearest other pictures."""
    by_chance = np.argsort([hashlib.md5(name.encode()).hexdigest() for name in contents.names])
    chosen = by_chance[: update.dataset.settings.calibration.sample_size]
    nearest = np.full(len(contents), NO_PARTNER)
    for end in (pairs.first, pairs.second):
        np.minimum.at(nearest, end, pairs.distance)
    others = nearest[chosen]
    with one_blas_thread():
        edits = _edit_distances(update, contents, chosen[:EDITED_SAMPLES])
    found = calibrate(edits, others)
    evidence = {"edits_p95": found.edits, "others_p1": found.others, "edits": len(edits), "others": len(others)}
    return found.threshold, {name: value for name, value in evidence.items() if np.isfinite(value)}


def _edit_distances(update: Update, contents: Contents, chosen: Rows) -> Distances:
    """Return the distances of mild edits of some pictures to their originals; none where the model sees no pixels.

    An edit that the threshold cannot depend on, however the model sees it, is not embedded: the farthest it can be stands.
    """
    from brain_assets.methods.duplicates.verification import duplicate_distance

    model = update.dataset.model(update.run.settings["model"])
    if model.input is None:
        return np.zeros(0)
    originals = list(_originals(update, contents, chosen))
    looks = [_looks(original) for original in originals]
    bits, verified = np.concatenate([np.zeros((2, 0)), *looks], axis=1)
    nearest, farthest = np.zeros(len(bits)), np.ones(len(bits))
    undecided = may_decide(*(duplicate_distance(cosine, bits, verified) for cosine in (nearest, farthest)))
    ends = np.cumsum([look.shape[1] for look in looks])
    cosine = np.split(farthest, ends)
    for original, apart, wanted in zip(originals, cosine, np.split(undecided, ends), strict=False):
        apart[wanted] = _apart(original, wanted, model)
    return duplicate_distance(farthest, bits, verified)


def _originals(update: Update, contents: Contents, chosen: Rows) -> Iterator[Image]:
    for offset, length in contents.previews[chosen].tolist():
        if offset >= 0:
            yield preview_pixels(update.dataset.previews.read(offset, length))


def _looks(original: Image) -> Distances:
    """Return (2, m): the bits in which hashes of mild edits differ from the original's, and how far the pixels agree."""
    from PIL.Image import fromarray

    from brain_assets.methods.duplicates import verification
    from brain_assets.resources.store.fingerprints import perceptual_hashes

    pictures = [original, *mild_edits(original).values()]
    first, second = np.zeros(len(pictures) - 1, np.int64), np.arange(1, len(pictures))
    plain, mirrored = np.array([perceptual_hashes(fromarray(picture)) for picture in pictures], np.uint64).T
    bits = pair_hamming(plain, mirrored, first, second)
    return np.stack([bits, verification.verify(verification.prints_of(pictures), first, second)])


def _apart(original: Image, wanted: NDArray[np.bool_], model: Any) -> Distances:
    """Return the cosine distances of some mild edits to their original."""
    from PIL.Image import fromarray

    from brain_assets.resources.decoding.resampling import model_input

    if not wanted.any():
        return np.zeros(0)
    edits = (edit for edit, is_wanted in zip(mild_edits(original).values(), wanted, strict=True) if is_wanted)
    inputs = [model_input(fromarray(picture), model.input) for picture in (original, *edits)]
    vectors = np.asarray(model.embed(np.stack(inputs)), np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    return np.asarray(1 - vectors[1:] @ vectors[0] / np.maximum(lengths[1:] * lengths[0], 1e-12))


def read_samples(dataset: Dataset, run: MethodRun, threshold: float) -> Samples:
    """Return the samples that have copies within a threshold, with their identities and the pairs of these."""
    names = {key: literal(run.settings[key]) for key in ("similarity", "embeddings")}
    links = LINKS.format(identities=IDENTITIES.format(**names), key=literal(run.brain_key), threshold=threshold)
    found = dataset.store.query(f"{links} from links order by all")
    rows = dataset.store.query(f"{links} {CONCERNED}")
    known = sorted(set(rows.column("identity").to_pylist()))
    place = {identity: position for position, identity in enumerate(known)}
    identity, first, second = (
        np.array([place[one] for one in column.to_pylist()], np.int64)
        for column in (rows.column("identity"), found.column("one"), found.column("other"))
    )
    return Samples(rows, identity, duplicates.Pairs(first, second, found.column("distance").to_numpy()))


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
        rows.append(
            (update.run.brain_key, ids[member], ids[nearest], ids[nearest], distance, bool(cover.keep[member]), reason)
        )
    names = ("brain_key", "subject_id", "group_id", "nearest_id", "distance", "keep", "reason")
    types = (pa.string(), pa.string(), pa.string(), pa.string(), pa.float64(), pa.bool_(), pa.string())
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
        **section_settings(dataset.settings.calibration),
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
)

NEAR_DUPLICATES = Signal(
    name="near_duplicates",
    description="Images, or objects where a run reads their vectors, that are copies but for an edit (recompressed, resized,"
    " cropped, mirrored, stamped): found by embedding or perceptual hash, verified on pixels. Every member is within the"
    " threshold of the one that is kept.",
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
    ),
    writes=("content_pairs", "near_duplicates", "components"),
    update=Whole(update_near_duplicates),
    version="3",
    runs=runs,
    options=frozenset({"embeddings", "parameters", "similarity", "where"}),
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
            select brain_key, group_id, {SUBJECT}, nearest_id, distance, keep, reason
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
                "subject_id": "A member: a chain of pairs within the threshold leads to every other.",
                "sample_id": "The sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "size": "Members of the component.",
                "threshold": "Largest distance of a link.",
            },
        ),
        Publication(
            "pairs",
            f"""
            with compared as ({COMPARED}),
            both_ways as (
                from content_pairs union all
                select * replace (second_content as first_content, first_content as second_content) from content_pairs),
            -- Materialized, as the planner would else join all that is compared with all before it looks at the pairs.
            begun as materialized (
                select both_ways.*, subject_id, sample_id, object_id
                from both_ways join compared on compared.brain_key = both_ways.brain_key and picture = first_content)
            select begun.brain_key, begun.subject_id, compared.subject_id as partner_id, begun.sample_id, begun.object_id,
                distance, verification, embedding_distance, hamming
            from begun join compared on compared.brain_key = begun.brain_key and picture = second_content
            where begun.subject_id < compared.subject_id
            order by brain_key, distance, subject_id, partner_id""",
            {
                "brain_key": "The run.",
                "subject_id": "One of two.",
                "partner_id": "The other; each unordered pair is listed once.",
                "sample_id": "The subject's sample.",
                "object_id": "The object for crops; NULL for whole images.",
                "distance": "What the threshold is compared with.",
                "verification": "How far the pixels agree, in [0, 1]; NULL where there are none to compare.",
                "embedding_distance": "1 - cosine of the two vectors.",
                "hamming": "Bits in which the perceptual hashes differ, plain or mirrored.",
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
