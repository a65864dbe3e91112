"""What samples belong together by, and which classes they have: asked of the store, or of what is published."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from brain_assets.incremental.update import literal
from brain_assets.methods.distinct import distinct
from brain_assets.methods.splits.planning import Bonds, Rows
from brain_assets.signals.duplicates.near_duplicates import JUDGED

Query = Callable[[str], pa.Table]
CONTENT = "content"
# The run that compares whole images.
IMAGES = literal("near_duplicates")


@dataclass(frozen=True)
class Source:
    """Where samples, copies and classes are read; queries that give the same columns in the store and published."""

    samples: str
    pairs: str
    classes: str


STORE = Source(
    samples="""
        select *, content_hash as picture from sample_facts where sample_id in (select sample_id from readable)""",
    pairs=f"""
        select first_content as first, second_content as second, relation, distance, decided from ({JUDGED})
        where brain_key = {IMAGES}""",
    classes="""
        select sample_id, label_field || ':' || unnest(labels) as class from ground_truth
        union select sample_id, label_field || ':' || label from objects where model = 'ground_truth'""",
)
PUBLISHED = Source(
    samples="select *, sample_id as picture from samples where status = 'ok'",
    pairs=f"""
        select subject_id as first, partner_id as second, relation, distance, decided from pairs
        where brain_key = {IMAGES}""",
    classes="""
        select sample_id, label_field || ':' || unnest(labels) as class from ground_truth
        union select sample_id, label_field || ':' || label from objects where source = 'ground_truth'""",
)
# Every sample has a content, some are copies of others, frames of a video, or belong to a group.
BONDS = """
    with members as (select sample_id, filepath, picture, "groups" from ({samples}) where {where})
    select sample_id, 'content' as kind, picture as key from members
    union all select sample_id, 'exact copies', group_id from exact_duplicates join members using (sample_id)
    union all
    select sample_id, 'video', regexp_replace(filepath, '#t=[0-9.]+$', '') from members
    where regexp_matches(filepath, '#t=[0-9.]+$')
    union all
    select sample_id, split_part(shared, '=', 1), shared from (select sample_id, unnest("groups") as shared from members)"""
# Planned samples that belong together and are in different splits: two that share something, or whose contents are copies.
CROSSING = f"""
    with planned as (select sample_id, split from ({{planned}}) where split is not null),
    bonds as (select * from ({BONDS}) join planned using (sample_id)),
    linked as (select first, second from ({{pairs}}) where {{linked}})
    select count(*) from (
        select 1 from bonds group by kind, key having count(distinct split) > 1
        union all
        select 1 from linked join bonds one on one.kind = 'content' and one.key = first
        join bonds other on other.kind = 'content' and other.key = second where one.split != other.split)"""


@dataclass(frozen=True)
class Members:
    """The samples that are planned, by ascending id, what keeps them together, and their classes.

    Attributes
    ----------
    rows : pyarrow.Table
        ``sample_id``, ``filepath`` and ``split``, the one that the source gives.
    bonds : Bonds
    classes : (m,) int64, (m,) int64
        Sample and class.
    class_names : list of str
    together : mapping of str to mapping of str to int
        For copies, videos and each name of groups, how many there are with more than one sample, and of how many samples.
    pairs : mapping of str to int
        Pairs of contents by what they are to each other.
    """

    rows: pa.Table
    bonds: Bonds
    classes: tuple[Rows, Rows]
    class_names: list[str]
    together: Mapping[str, Mapping[str, int]]
    pairs: Mapping[str, int]


def linked_by(relations: Sequence[str], threshold: float | None) -> str:
    """Return the condition on pairs that must not be torn apart: of one of the relations, or within a threshold set by hand."""
    related = f"relation in ({', '.join(map(literal, relations)) or 'null'})"
    return related if threshold is None else f"({related} or (distance <= {threshold} and decided is null))"


def read_members(query: Query, source: Source, linked: str, where: str | None) -> Members:
    """Return what is known of the samples that are planned.

    Parameters
    ----------
    query : callable
        Runs a query.
    source : Source
        The tables that it sees.
    linked : str
        Condition on pairs that must not be torn apart.
    where : str or None
        SQL condition on samples: only these are planned.
    """
    import pyarrow.compute as pc

    where = where or "true"
    rows = query(f"select sample_id, filepath, split from ({source.samples}) where {where} order by sample_id")
    ids = rows.column("sample_id").combine_chunks()
    bonds = query(BONDS.format(samples=source.samples, where=where))
    links = query(
        f"select distinct first, second, coalesce(relation, 'near') as relation from ({source.pairs}) where {linked}"
    )
    sample = _places(bonds.column("sample_id"), ids)
    kinds, names = bonds.column("kind").combine_chunks(), bonds.column("key").combine_chunks()
    keys = pc.binary_join_element_wise(kinds, names, "\n").dictionary_encode()
    key = keys.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    ends = [_places(_contents(links.column(name)), keys.dictionary) for name in ("first", "second")]
    there = (ends[0] >= 0) & (ends[1] >= 0)
    classes = query(f"select sample_id, class from ({source.classes}) order by all")
    of, known = _places(classes.column("sample_id"), ids), classes.column("class").combine_chunks().dictionary_encode()
    code = known.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return Members(
        rows,
        Bonds(sample, key, ends[0][there], ends[1][there], len(ids), len(keys.dictionary)),
        (of[of >= 0], code[of >= 0]),
        known.dictionary.to_pylist(),
        _together(kinds, key),
        _counted(links.filter(pa.array(there)).column("relation")),
    )


def _contents(names: pa.ChunkedArray) -> pa.Array:
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(CONTENT, names.combine_chunks(), "\n")


def _places(values: pa.Array | pa.ChunkedArray, among: pa.Array) -> Rows:
    """Return where values stand among others, -1 for those that do not."""
    import pyarrow.compute as pc

    found = pc.index_in(values, value_set=among).fill_null(-1)
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)


def _together(kinds: pa.Array, key: Rows) -> dict[str, dict[str, int]]:
    import pyarrow.compute as pc

    size = np.bincount(key)[key] if len(key) else key
    found: dict[str, dict[str, int]] = {}
    for kind in sorted(set(kinds.unique().to_pylist()) - {CONTENT}):
        several = (pc.equal(kinds, kind).to_numpy(zero_copy_only=False)) & (size > 1)
        found[kind] = {"groups": len(distinct(key[several])), "samples": int(several.sum())}
    return found


def _counted(values: pa.ChunkedArray) -> dict[str, int]:
    return {
        one["values"]: one["counts"] for one in sorted(values.value_counts().to_pylist(), key=lambda one: one["values"])
    }
