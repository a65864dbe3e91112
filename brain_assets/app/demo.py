"""The demo: real images that come with packages, most of them first, the rest dropped in for the sensor to find."""

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from brain_assets.answers.issues import COUNTED
from brain_assets.app.declaring import declare, remove
from brain_assets.app.demo_digits import DigitsDemo
from brain_assets.app.demo_photos import PhotosDemo
from brain_assets.app.demo_planting import Demo, Planted
from brain_assets.app.materializing import materialize
from brain_assets.app.serving import background
from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings import instance
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.deltas import rows_in
from brain_assets.resources.store.publishing import connect

PORT = 3000
PATIENCE = 300
# By the word that asks for it.
DEMOS: Mapping[str, Callable[[], Demo]] = {"digits": DigitsDemo, "photos": PhotosDemo}


def run_demo(home: Home, of: str, *, ui: bool) -> None:
    """Write the images, bring most of them up to date, drop the rest in, and show what was found.

    Raises
    ------
    MissingError
        If a package with the images is not installed.
    BrainError
        If the sensor did not pick up what was dropped in.
    """
    demo = DEMOS[of]()
    instance.prepare(home)
    if demo.name in home.names():
        remove(home, demo.name)
    media = home.root / f"{demo.name}-images"
    shutil.rmtree(media, ignore_errors=True)
    click.echo(f"{demo.total()} {demo.what}; {demo.first} of them go to {media}")
    demo.write_first(media)
    declare(home, demo.name, media=str(media), split_from="folder", **demo.settings(media))
    told = demo.write_predictions(home.paths(demo.name).predictions)
    click.echo(f"{told}; its predictions lie with the dataset")
    started = time.monotonic()
    materialize(home, demo.name)
    click.echo(f"everything derived of {demo.first} images in {time.monotonic() - started:.0f} s")
    planted = _drop_the_rest(home, media, demo)
    _show(home, demo)
    _tell_planted(home, demo, planted)
    click.echo(f"\nthe report, to be opened in a browser: {home.paths(demo.name).report}")
    click.echo(f"try: brain --home {home.root} sql {demo.name} 'select issue, count(*) from issues group by issue'")
    click.echo(f"     brain --home {home.root} status {demo.name}")
    if ui:
        from brain_assets.app.serving import serve

        serve(home, PORT, PORT + 1, browser=True)


def _drop_the_rest(home: Home, media: Path, demo: Demo) -> Planted:
    """Start the service, drop files, and wait until its sensor has had them published."""
    click.echo(f"starting the service (it writes to {home.service_log}) ...")
    with background(home, "brain demo") as service:
        planted = demo.drop_rest(media)
        dropped = time.monotonic()
        defects = "; ".join(f"{len(paths)} {words}" for _, words, paths in planted)
        click.echo(f"dropped {demo.total() - demo.first} new images: {defects}; waiting for the sensor")
        samples = home.paths(demo.name).published / "current" / "samples.parquet"
        while (rows_in(samples) or 0) < demo.total() or _under_way():
            service.require_alive()
            if time.monotonic() - dropped > PATIENCE:
                raise BrainError(f"the sensor did not pick up the new images; {service.log} may say why")
            time.sleep(0.2)
        click.echo(
            f"picked up, derived and published {time.monotonic() - dropped:.0f} s after the drop, service start included"
        )
        return planted


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


def _show(home: Home, demo: Demo) -> None:
    """Tell what was found."""
    with connect(home.paths(demo.name).published) as connection:
        found = connection.execute("select count(*), count_if(status = 'error') from samples").fetchall()[0]
        issues = connection.execute(COUNTED).fetchall()
    click.echo(f"\n{found[0]} samples, {found[1]} errors")
    for issue, count in issues:
        click.echo(f"  {issue}: {count}")


FOUND = """
    select count(distinct filepath) from issues join samples using (sample_id)
    where is_issue and issue = ? and filepath in (select unnest(?))"""


def _tell_planted(home: Home, demo: Demo, planted: Planted) -> None:
    """Tell how many of the planted defects were found."""
    with connect(home.paths(demo.name).published) as connection:
        for issue, what, paths in planted:
            found = connection.execute(FOUND, [issue, list(paths)]).fetchall()[0][0]
            click.echo(f"found {found} of the {len(paths)} that {what} ({issue})")
