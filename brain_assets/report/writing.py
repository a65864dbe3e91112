"""Read what is published, and write its report: the page, or JSON for machines."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from brain_assets.report.building import build
from brain_assets.report.content import Report
from brain_assets.report.page import SET_NAME, render
from brain_assets.report.tables import Tables
from brain_assets.report.thumbnails import thumbnails
from brain_assets.resources.errors import BrainError, StoreError, naming_full_disk
from brain_assets.resources.settings.configuration import Configuration, DatasetSettings
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.store import publishing

# Another version writes another page of the same tables.
VERSION = "1"
MARK = re.compile(f'<meta name="{SET_NAME}" content="([^"]*)"')
HEAD = 500


class Written(NamedTuple):
    """A report that was written."""

    path: Path
    bytes: int
    pictures: int
    report: Report


def write_page(paths: DatasetPaths, configuration: Configuration[DatasetSettings], target: Path) -> Written:
    """Write the report of what is published as an HTML file, in one step.

    Raises
    ------
    MissingError
        If nothing was published yet.
    StoreError
        If the file cannot be written.
    """
    with _reading(paths, configuration) as (report, tables):
        pictures = thumbnails(tables, paths.folder, [subject.sample_id for subject in report.subjects()])
    page = render(report, pictures, mark_of(report.set_number)).encode("utf-8", "replace")
    write_file(target, page)
    return Written(target, len(page), len(pictures), report)


def report_json(paths: DatasetPaths, configuration: Configuration[DatasetSettings]) -> str:
    """Return the report of what is published as JSON; raises MissingError."""
    with _reading(paths, configuration) as (report, _):
        return json.dumps(report.as_json(), indent=2, default=str)


@contextmanager
def _reading(paths: DatasetPaths, configuration: Configuration[DatasetSettings]) -> Iterator[tuple[Report, Tables]]:
    with publishing.open_set(paths.published) as path, publishing.connect_to(path, tolerant=True) as connection:
        manifest: dict[str, Any] | None = publishing.manifest_of(path)
        if manifest is None:
            raise BrainError(
                f"what is published of {paths.name} cannot be understood: run 'brain materialize {paths.name}'"
            )
        damaged = sorted(publishing.damaged_tables(path, manifest))
        yield build(paths, connection, manifest, configuration, damaged), Tables(connection)


def mark_of(set_number: int) -> str:
    """Return what names the content of a page: the set it tells of, and who wrote it."""
    return f"{set_number}.{VERSION}"


def written_mark(path: Path) -> str | None:
    """Return the mark of a page that was written; None where there is none."""
    try:
        with path.open("rb") as handle:
            found = MARK.search(handle.read(HEAD).decode("utf-8", "replace"))
    except OSError:
        return None
    return found[1] if found else None


def write_file(path: Path, content: bytes, what: str = "report") -> None:
    """Write a file in one step; raises StoreError.

    What a link points to is replaced, not the link; and a device or pipe, such as ``/dev/null``, is written to as it is.
    """
    target = path.resolve()
    draft = target.with_name(f".{target.name}.draft")
    try:
        with naming_full_disk(target.parent):
            if target.exists() and not target.is_file():
                target.write_bytes(content)
            else:
                draft.write_bytes(content)
                draft.replace(target)
    except OSError as error:
        raise StoreError(f"the {what} cannot be written to {path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
