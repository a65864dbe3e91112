"""What a notebook asks of leaks: between the splits of the dataset, or between any sets of samples."""

from collections.abc import Iterable, Mapping, Sequence

import duckdb
import numpy as np
import pyarrow as pa

from brain_assets.app.duplicates import check_threshold, copies_of, own_copies
from brain_assets.methods.duplicates import leaks as method
from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.settings.configuration import DatasetSettings

Splits = Mapping[str, Iterable[str]] | Sequence[str] | None


def leaks(
    connection: duckdb.DuckDBPyConnection,
    settings: DatasetSettings,
    splits: Splits = None,
    threshold: float | None = None,
    vectors: str | None = None,
) -> pa.Table:
    """Return every pair of copies that lies in two splits, in both directions.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Sees the published tables.
    settings : DatasetSettings
    splits : mapping of str to ids, sequence of str, or None
        The members of each split, by sample id or filepath; or tags, each of which is a split; or the samples' own.
    threshold : float, optional
        Inclusive; by default what the dataset itself takes for copies.
    vectors : str, optional
        The run of vectors of which 1 - cosine is the distance; by default it is that of the table ``pairs``.

    Returns
    -------
    pyarrow.Table
        ``sample_id``, ``filepath``, ``split``, ``partner_id``, ``partner_filepath``, ``partner_split``, ``distance`` and
        ``kind`` (exact or near), ordered by sample, distance and partner.

    Raises
    ------
    ConfigurationError, MissingError
        If a member is no sample, no sample has one of the tags, or the threshold is out of range.
    """
    check_threshold(threshold)
    if threshold is None and vectors is not None:
        raise ConfigurationError("a threshold on embeddings has no default: give one, such as 0.2")
    if threshold is None:
        copies = own_copies(connection, settings, settings.near_duplicates.leak_relations)
    else:
        copies = copies_of(connection, settings, vectors)
    limit = np.inf if threshold is None else threshold
    ids, files = (copies.rows.column(name).combine_chunks() for name in ("sample_id", "filepath"))
    membership = _membership(connection, copies.rows, splits)
    found = method.find_leaks(copies.pairs_within(limit), copies.identity, membership)
    names = pa.array(membership.names, pa.string())
    table = pa.table({
        "sample_id": ids.take(pa.array(found.sample)),
        "filepath": files.take(pa.array(found.sample)),
        "split": names.take(pa.array(found.split)),
        "partner_id": ids.take(pa.array(found.partner)),
        "partner_filepath": files.take(pa.array(found.partner)),
        "partner_split": names.take(pa.array(found.partner_split)),
        "distance": pa.array(found.distance),
        "kind": pa.array(["exact" if exact else "near" for exact in found.exact.tolist()], pa.string()),
    })  # fmt: skip
    return table.sort_by([("sample_id", "ascending"), ("distance", "ascending"), ("partner_id", "ascending")])


def _membership(connection: duckdb.DuckDBPyConnection, rows: pa.Table, splits: Splits) -> method.Splits:
    if splits is None:
        return method.splits_from_labels(rows.column("split").to_pylist())
    if isinstance(splits, Mapping):
        place = {
            name: row for key in ("sample_id", "filepath") for row, name in enumerate(rows.column(key).to_pylist())
        }
        everyone = set(place) | {row[0] for row in connection.execute("select sample_id from samples").fetchall()}
        members = {name: list(given) for name, given in splits.items()}
        for one in (one for given in members.values() for one in given):
            if one not in everyone:
                raise MissingError(f"no sample {one!r} (ids and filepaths count)")
        return method.splits_from_mapping(
            {name: [place[one] for one in given if one in place] for name, given in members.items()}
        )
    if isinstance(splits, str) or len(set(splits)) < 2:
        raise ConfigurationError(
            f"splits must name at least two tags, or be a mapping of names to samples, not {splits!r}"
        )
    tagged = _tags(connection, rows)
    known = sorted({tag for tags in tagged for tag in tags})
    for name in splits:
        if name not in known:
            own = sorted({one for one in rows.column("split").to_pylist() if one})
            raise MissingError(
                f"no sample has the tag {name!r} (tags: {', '.join(known) or 'none'}; splits: {', '.join(own) or 'none'})"
            )
    return method.splits_from_tags(tagged, splits)


def _tags(connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> list[list[str]]:
    """Return the tags of samples: those of the source, and those that people gave."""
    said: dict[str, list[str]] = {}
    for subject, tag in connection.execute("select subject_id, tag from tags").fetchall():
        said.setdefault(subject, []).append(tag)
    given = zip(rows.column("sample_id").to_pylist(), rows.column("tags").to_pylist(), strict=True)
    return [[*(tags or []), *said.get(sample, [])] for sample, tags in given]


def members_without(
    connection: duckdb.DuckDBPyConnection, found: pa.Table, split: str, splits: Splits
) -> duckdb.DuckDBPyRelation:
    """Return the samples of a split, as rows of ``samples``, without those that some leaks name in it."""
    rows = connection.sql("select * from samples where status = 'ok' order by sample_id").to_arrow_table()
    membership = _membership(connection, rows, splits)
    if split not in membership.names:
        raise MissingError(f"no split {split!r} (splits: {', '.join(membership.names) or 'none'})")
    inside = membership.sample[membership.split == membership.names.index(split)]
    both = zip(found.column("sample_id").to_pylist(), found.column("split").to_pylist(), strict=True)
    leaky = {sample for sample, where in both if where == split}
    ids = rows.column("sample_id").to_pylist()
    return connection.from_arrow(
        rows.take(pa.array([row for row in inside.tolist() if ids[row] not in leaky], pa.int64()))
    )
