"""The report as an asset: after each run that published something, the page beside the dataset is of that set."""

from collections.abc import Iterator

from brain_assets.incremental.signal import Signal, Whole
from brain_assets.incremental.update import Update
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.store.publishing import manifest
from brain_assets.resources.store.store import Merge


def update_report(update: Update) -> Iterator[Merge]:
    """Write the page unless it is of the current set already."""
    from brain_assets.report.writing import mark_of, write_page, written_mark

    paths = update.dataset.paths
    current = manifest(paths.published)
    update.notes["written"] = bool(current) and written_mark(paths.report) != mark_of(
        current["number"] if current else 0
    )
    if update.notes["written"]:
        page = write_page(paths, load_dataset(paths.config), paths.report)
        update.notes |= {"path": str(page.path), "bytes": page.bytes, "pictures": page.pictures}
        update.notes |= {"flagged samples": page.report.flagged}
    yield from ()


REPORT = Signal(
    name="report",
    description="One self-contained page on the state of the dataset, to be opened or mailed: numbers with what changed, the"
    " worst of every issue with pictures and reasons, a map, classes, settings. Written to report.html in the dataset's folder.",
    group="answers",
    reads=(),
    writes=(),
    update=Whole(update_report),
    always=True,
    kinds=("html",),
    after=("published",),
)
