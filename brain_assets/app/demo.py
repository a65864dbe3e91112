"""The demo: real images that come with a package, most of them first, the rest dropped in for the sensor to find."""

import shutil
import time
from pathlib import Path

import click

from brain_assets.answers.issues import COUNTED
from brain_assets.app import demo_images as images
from brain_assets.app.declaring import declare, remove
from brain_assets.app.materializing import materialize
from brain_assets.app.serving import background
from brain_assets.ingest.samples import UNREADABLE_FILE
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings import instance
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.publishing import connect, manifest
from brain_assets.signals.duplicates.leaks import LEAK
from brain_assets.signals.labels.label_issues import LABEL_MISTAKE

NAME = "demo"
PORT = 3000
PATIENCE = 300


def run_demo(home: Home, *, ui: bool) -> None:
    """Write the images, bring most of them up to date, drop the rest in, and show what was found.

    Raises
    ------
    MissingError
        If the package with the images is not installed.
    BrainError
        If the sensor did not pick up what was dropped in.
    """
    instance.prepare(home)
    if NAME in home.names():
        remove(home, NAME)
    media = home.root / "demo-images"
    shutil.rmtree(media, ignore_errors=True)
    digits = images.load_digits()
    click.echo(f"{len(digits.labels)} handwritten digits; {images.FIRST} of them go to {media}")
    images.write_first(digits, media)
    settings = {
        "labels": ["folder"],
        "classes": ",".join(images.CLASSES),
    }
    declare(home, NAME, media=str(media), split_from="folder", **settings)
    accuracy = images.write_predictions(digits, home.paths(NAME).predictions / "logistic.parquet")
    click.echo(
        f"a logistic regression has looked at all of them, {accuracy:.0%} right; its predictions lie with the dataset"
    )
    started = time.monotonic()
    materialize(home, NAME)
    click.echo(f"everything derived of {images.FIRST} images in {time.monotonic() - started:.0f} s")
    planted = _drop_the_rest(home, media, digits)
    _show(home)
    _tell_planted(home, planted)
    click.echo(f"\nthe report, to be opened in a browser: {home.paths(NAME).report}")
    click.echo(f"try: brain --home {home.root} sql {NAME} 'select issue, count(*) from issues group by issue'")
    click.echo(f"     brain --home {home.root} status {NAME}")
    if ui:
        from brain_assets.app.serving import serve

        serve(home, PORT, PORT + 1, browser=True)


def _drop_the_rest(home: Home, media: Path, digits: images.Digits) -> images.Planted:
    """Start the service, drop files, and wait until its sensor has had them published."""
    before = _number(home)
    click.echo(f"starting the service (it writes to {home.service_log}) ...")
    with background(home, "brain demo") as service:
        planted = images.drop_rest(digits, media)
        dropped = time.monotonic()
        click.echo(
            f"dropped {len(digits.labels) - images.FIRST} new images, of which {len(planted.wrong)} lie in the wrong class's"
            f" folder and {len(planted.broken)} are cut short, and {len(planted.copies)} copies of training images among the test"
            f" images; waiting for the sensor"
        )
        while _number(home) == before or _under_way():
            service.require_alive()
            if time.monotonic() - dropped > PATIENCE:
                raise BrainError(f"the sensor did not pick up the new images; {service.log} may say why")
            time.sleep(0.2)
        click.echo(
            f"picked up, derived and published {time.monotonic() - dropped:.0f} s after the drop, service start included"
        )
        return planted


def _number(home: Home) -> int:
    published = manifest(home.paths(NAME).published)
    return int(published["number"]) if published else 0


def _under_way() -> bool:
    import dagster as dg

    from brain_assets.assets.place import UNDER_WAY

    with dg.DagsterInstance.get() as dagster_instance:
        return dagster_instance.get_runs_count(dg.RunsFilter(statuses=UNDER_WAY)) > 0


def free_port() -> int:
    """Return a port that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _show(home: Home) -> None:
    """Tell what was found."""
    with connect(home.paths(NAME).published) as connection:
        found = connection.execute("select count(*), count_if(status = 'error') from samples").fetchall()[0]
        issues = connection.execute(COUNTED).fetchall()
    click.echo(f"\n{found[0]} samples, {found[1]} errors")
    for issue, count in issues:
        click.echo(f"  {issue}: {count}")


FOUND = """
    select count(distinct filepath) from issues join samples using (sample_id)
    where is_issue and issue = ? and filepath in (select unnest(?))"""


def _tell_planted(home: Home, planted: images.Planted) -> None:
    """Tell how many of the planted defects were found."""
    expected = (
        (LABEL_MISTAKE.name, "lie in the wrong class's folder", planted.wrong),
        (LEAK.name, "are copies of training images among the test images", planted.copies),
        (UNREADABLE_FILE.name, "are cut short", planted.broken),
    )
    with connect(home.paths(NAME).published) as connection:
        for issue, what, paths in expected:
            found = connection.execute(FOUND, [issue, list(paths)]).fetchall()[0][0]
            click.echo(f"found {found} of the {len(paths)} that {what} ({issue})")
