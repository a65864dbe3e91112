"""Lance: one dataset in each folder, as LanceDB lays them out, for who samples rows and trains from them."""

from datetime import timedelta
from typing import Any

import pyarrow as pa

from brain_assets.resources.table_formats.door import MARK, Place

NEEDS = "lance"
# How it says that nothing is there.
ABSENT = "was not found"


class Lance:
    """Writes each table as a version of its own; the mark is among the metadata of its columns."""

    name, title = "lance", "Lance"
    unsigned = True

    def known(self, place: Place, table: str) -> str | None:
        """Return the mark of a table's newest rows."""
        try:
            there = self._opened(place, table)
        except ValueError as error:
            if ABSENT in str(error):
                return None
            raise
        return str((there.schema.metadata or {}).get(MARK.encode(), b"").decode())

    def write(self, place: Place, table: str, rows: pa.RecordBatchReader, mark: str) -> None:
        """Write a version with other rows, whatever columns the one before had."""
        import lance

        schema = rows.schema.with_metadata({MARK: mark})
        mode = "create" if self.known(place, table) is None else "overwrite"
        marked = pa.RecordBatchReader.from_batches(
            schema, (batch.replace_schema_metadata({MARK: mark}) for batch in rows)
        )
        lance.write_dataset(marked, self._uri(place, table), mode=mode, storage_options=dict(place.options))

    def forget(self, place: Place, table: str, age: timedelta) -> None:
        """Remove versions that are older, with files that no other needs."""
        self._opened(place, table).cleanup_old_versions(older_than=age, error_if_tagged_old_versions=False)

    def _opened(self, place: Place, table: str) -> Any:
        import lance

        return lance.dataset(self._uri(place, table), storage_options=dict(place.options))

    @staticmethod
    def _uri(place: Place, table: str) -> str:
        return f"{place.root}/{table}.lance"


FORMAT = Lance()
