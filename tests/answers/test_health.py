"""What is measured of a dataset after each run."""

from pathlib import Path

from brain_assets.resources.store.store import Store
from tests.workshop import Workshop, write_pictures

CHAIN = ("reviews", "samples", "media", "embeddings", "ground_truth", "issues", "health", "published")
LAST = "select metric, arg_max(value, recorded_at) from health where metric in ('samples', 'embedded', 'labelled') group by 1"


def test_numbers_of_tables_that_are_as_they_were_are_not_measured_again(tmp_path: Path) -> None:
    write_pictures(tmp_path / "media", range(4))
    labels = tmp_path / "labels.csv"
    labels.write_text("filepath,label\n00000.png,a\n")
    workshop = Workshop(tmp_path / "home", tmp_path / "media", labels=[{"uri": str(labels)}])
    workshop.run(CHAIN)
    assert dict(workshop.rows(LAST)) == {"samples": 4, "embedded": 4, "labelled": 1}
    # A number that nobody would measure tells which are taken over.
    store = Store(workshop.paths.store)
    store.connection.execute("update health set value = 99 where metric = 'embedded'")
    store.close()
    labels.write_text("filepath,label\n00000.png,a\n00001.png,b\n")
    workshop.run(CHAIN)
    assert dict(workshop.rows(LAST)) == {"samples": 4, "embedded": 99, "labelled": 2}
    write_pictures(tmp_path / "media", [7])
    workshop.run(CHAIN)
    assert dict(workshop.rows(LAST)) == {"samples": 5, "embedded": 5, "labelled": 2}
