"""A dataset with the signal of an installed package, told as JSON: `python -m tests.signals.plugin_story FOLDER`."""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from brain_assets.app.reference import reference
from brain_assets.assets import catalog
from brain_assets.assets.declarations import metrics
from brain_assets.definitions import definitions
from brain_assets.report.writing import report_json
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.review.app import create_app
from tests.review.client import TOKEN, Client
from tests.workshop import Workshop, assert_equals_rebuild, encoded, picture, write_pictures

OWN = "filename_length"
# What its rows depend on, and what is answered from them; no image has to be decoded for it.
SELECTED = ("samples", OWN, "issues", "health", "published", "report")
LONG = "a_name_of_more_than_24_characters.png"


def judged(workshop: Workshop) -> dict[str, Any]:
    """Bring the dataset up to date, and return how many subjects were judged and what came of it."""
    report = workshop.run(SELECTED)[OWN]
    counts = report.counts
    return {
        "judged": report.notes.get("judged", 0),
        "counts": [counts.added, counts.changed, counts.deleted],
        "failed": report.failed,
        "rows": workshop.rows(f"select filepath, length from {OWN} join samples using (sample_id) order by 1"),
    }


def story(root: Path) -> dict[str, Any]:
    media = root / "media"
    write_pictures(media, range(5))
    workshop = Workshop(root / "home", media)
    told = {"first": judged(workshop), "again": judged(workshop)}
    (media / LONG).write_bytes(encoded(picture(9)))
    (media / "00001.png").write_bytes(encoded(picture(77, (24, 24))))
    (media / "00002.png").unlink()
    told["changed"] = judged(workshop)
    rebuild = Workshop(root / "rebuilt", media)
    judged(rebuild)
    assert_equals_rebuild(workshop, rebuild)
    return told | shown(workshop)


def shown(workshop: Workshop) -> dict[str, Any]:
    """Return what each of its faces says of the signal."""
    client = Client(create_app(workshop.home.root, token=TOKEN), dataset=workshop.name).sign_in()
    configuration = load_dataset(workshop.paths.config)
    spec = next(spec for spec in definitions().resolve_all_asset_specs() if spec.key.path == [OWN])
    return {
        "sql": workshop.rows("select issue, source, is_issue from issues where issue = 'long_name'"),
        "health": dict(workshop.rows("select metric, value from health qualify row_number() over (partition by metric"
            " order by recorded_at desc) = 1")),
        "wrong": workshop.wrong(SELECTED),
        "gates": sorted(metrics(configuration.settings)),
        "dagster": [sorted(dep.asset_key.path[-1] for dep in spec.deps), spec.description],
        "report": json.loads(report_json(workshop.paths, configuration)),
        "page": workshop.paths.report.read_text("utf-8"),
        "overview": client.get("overview").json(),
        "queue": client.get("queue", issue="long_name").json(),
        "reference": reference(),
        "signals": [signal.name for signal in catalog.ALL],
    }  # fmt: skip


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        found = story(Path(sys.argv[1]))
    json.dump(found, sys.stdout)
