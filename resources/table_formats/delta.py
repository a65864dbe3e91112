"""Delta Lake: one table in each folder, for Spark, Databricks, DuckDB, polars, pandas and others."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from brain_assets.resources.table_formats.door import MARK, Place

NEEDS = "deltalake"
# Commits that leave rows as they are.
UPKEEP = {"OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "ADD FEATURE", "FSCK"}
LOOKED_AT = 20


class Delta:
    """Writes each table as a version of its own; the mark is in the commit."""

    name, title = "delta", "Delta Lake"
    unsigned = False

    def known(self, place: Place, table: str) -> str | None:
        """Return the mark of a table's newest rows."""
        from deltalake import DeltaTable

        uri, options = self._uri(place, table), dict(place.options)
        if not DeltaTable.is_deltatable(uri, options):
            return None
        history = self._opened(place, table).history(LOOKED_AT)
        rows: dict[str, Any] = next((one for one in history if one["operation"] not in UPKEEP), {})
        return str(rows.get(MARK, ""))

    def write(self, place: Place, table: str, rows: pa.RecordBatchReader, mark: str) -> None:
        """Write a version with other rows, whatever columns the one before had."""
        from deltalake import CommitProperties, write_deltalake

        write_deltalake(
            self._uri(place, table),
            rows,
            mode="overwrite",
            schema_mode="overwrite",
            name=table,
            storage_options=dict(place.options),
            commit_properties=CommitProperties(custom_metadata={MARK: mark}),
        )

    def forget(self, place: Place, table: str, age: timedelta) -> None:
        """Remove files that no version needs that is younger."""
        there, hours = self._opened(place, table), int(age.total_seconds() // 3600)
        due = there.vacuum(hours, dry_run=True, enforce_retention_duration=False)
        if "://" in place.root:
            there.vacuum(hours, dry_run=not due, enforce_retention_duration=False)
            return
        # Without the two versions by which it would note that it did.
        for path in due:
            Path(self._uri(place, table), path).unlink(missing_ok=True)

    def _opened(self, place: Place, table: str) -> Any:
        from deltalake import DeltaTable

        return DeltaTable(self._uri(place, table), storage_options=dict(place.options))

    @staticmethod
    def _uri(place: Place, table: str) -> str:
        return f"{place.root}/{table}"


FORMAT = Delta()
