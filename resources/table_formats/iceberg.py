"""Iceberg: tables of one catalogue, a SQLite file beside them, for Spark, Trino, Snowflake, DuckDB and others."""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from brain_assets.resources.table_formats.door import MARK, Place

NEEDS = "pyiceberg.catalog.sql"
CATALOG, NAMESPACE = "brain", "published"
# As pyiceberg names what obstore knows by these words.
S3 = {
    "endpoint": "s3.endpoint", "region": "s3.region", "access_key_id": "s3.access-key-id", "session_token": "s3.session-token",
    "secret_access_key": "s3.secret-access-key",
}  # fmt: skip
# Earlier files of metadata are deleted with what they name.
PROPERTIES = {
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}


class Iceberg:
    """Writes each table as a snapshot of its own; the mark is in the snapshot."""

    name, title = "iceberg", "Iceberg"
    unsigned = False

    def known(self, place: Place, table: str) -> str | None:
        """Return the mark of a table's newest rows."""
        with _catalog(place) as catalog:
            if not catalog.table_exists((NAMESPACE, table)):
                return None
            snapshot = catalog.load_table((NAMESPACE, table)).current_snapshot()
        return str(snapshot.summary.get(MARK) or "") if snapshot and snapshot.summary else ""

    def write(self, place: Place, table: str, rows: pa.RecordBatchReader, mark: str) -> None:
        """Write a snapshot with other rows, whatever columns the one before had."""
        with _catalog(place) as catalog:
            catalog.create_namespace_if_not_exists(NAMESPACE)
            name = (NAMESPACE, table)
            # To create one that is there would leave a file behind.
            known = catalog.table_exists(name)
            there = (
                catalog.load_table(name) if known else catalog.create_table(name, rows.schema, properties=PROPERTIES)
            )
            with warnings.catch_warnings(), there.transaction() as transaction:
                # That there was no row to be replaced.
                warnings.filterwarnings("ignore", "Delete operation did not match", UserWarning)
                _fit(transaction, there, rows.schema)
                transaction.overwrite(rows.read_all(), snapshot_properties={MARK: mark})

    def forget(self, place: Place, table: str, age: timedelta) -> None:
        """Let go of snapshots that are older, and remove the files that no other needs."""
        with _catalog(place) as catalog:
            there = catalog.load_table((NAMESPACE, table))
            before = {path for snapshot in there.snapshots() for path in _files(there, snapshot)}
            there.maintenance.expire_snapshots().older_than(datetime.now(UTC) - age).commit()
            there = catalog.load_table((NAMESPACE, table))
            for path in before - {path for snapshot in there.snapshots() for path in _files(there, snapshot)}:
                there.io.delete(path)


def _fit(transaction: Any, there: Any, schema: pa.Schema) -> None:
    """Give a table the columns that its rows have now; one of another type is another column of that name."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    had = _types(schema_to_pyarrow(there.schema(), include_field_ids=False))
    wanted = _types(schema)
    if had == wanted:
        return
    with transaction.update_schema(allow_incompatible_changes=True) as update:
        for name in [name for name in had if had[name] != wanted.get(name)]:
            update.delete_column(name)
    with transaction.update_schema(allow_incompatible_changes=True) as update:
        update.union_by_name(schema)


def _types(schema: pa.Schema) -> dict[str, str]:
    """Return the types of columns as Iceberg tells them apart."""
    return {one.name: str(one.type).replace("large_", "") for one in schema}


def _files(there: Any, snapshot: Any) -> Iterator[str]:
    """Yield the files that a snapshot needs."""
    yield snapshot.manifest_list
    for manifest in snapshot.manifests(there.io):
        yield manifest.manifest_path
        for entry in manifest.fetch_manifest_entry(there.io, discard_deleted=True):
            yield entry.data_file.file_path


@contextmanager
def _catalog(place: Place) -> Iterator[Any]:
    """Open the catalogue of a place, making it where it is not there."""
    from pyiceberg.catalog.sql import SqlCatalog

    remote = "://" in place.root
    named = hashlib.blake2b(place.root.encode(), digest_size=6).hexdigest()
    file = place.folder / f"iceberg-{named}.db" if remote else Path(place.root) / "catalog.db"
    file.parent.mkdir(parents=True, exist_ok=True)
    options = {S3[key]: value for key, value in place.options.items() if key in S3}
    warehouse = place.root if remote else Path(place.root).as_uri()
    catalog = SqlCatalog(CATALOG, uri=f"sqlite:///{file}", warehouse=warehouse, **options)
    try:
        yield catalog
    finally:
        catalog.engine.dispose()


FORMAT = Iceberg()
