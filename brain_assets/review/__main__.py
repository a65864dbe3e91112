"""``python -m brain_assets.review``: serves the page until interrupted."""

from pathlib import Path

import click

from brain_assets.resources.errors import BrainError
from brain_assets.resources.settings.home import Home
from brain_assets.review.app import serve


@click.command()
@click.option(
    "--home", type=click.Path(path_type=Path), help="Folder of all state; by default $BRAIN_HOME or ~/.brain."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; other than this machine needs --token.",
)
@click.option("--port", default=3001, show_default=True, help="Port to listen on.")
@click.option("--token", envvar="BRAIN_REVIEW_TOKEN", help="What opens the page; by default a fresh one is printed.")
@click.option("--dataset", help="Dataset to show first.")
def main(home: Path | None, host: str, port: int, token: str | None, dataset: str | None) -> None:
    """Serve the review page."""
    try:
        serve(Home.default(home).root, host, port, token, dataset)
    except BrainError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
