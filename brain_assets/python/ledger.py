"""Ask the home's ledger from Python."""

from collections.abc import Iterable
from pathlib import Path

from brain_assets.answers.seen import Answer, Lookout
from brain_assets.resources.errors import MissingError
from brain_assets.resources.settings.home import Home


def seen(pictures: "str | Path | bytes | Iterable[str | Path | bytes]", home: str | None = None) -> list[Answer]:
    """Return, for each picture, where it was ever seen: by the datasets of the home, or in fingerprints that were taken in.

    Parameters
    ----------
    pictures : path, bytes of a file, or several
    home : str, optional
        By default ``$BRAIN_HOME``, else ``~/.brain``.

    Raises
    ------
    MissingError
        If a path is no file.
    """
    given = [pictures] if isinstance(pictures, str | Path | bytes) else list(pictures)
    if missing := next((one for one in given if not isinstance(one, bytes) and not Path(one).is_file()), None):
        raise MissingError(f"{missing} is no file")
    files = (
        (f"picture {place}", one) if isinstance(one, bytes) else _read(Path(one)) for place, one in enumerate(given)
    )
    return list(Lookout(Home.default(home)).look(files))


def _read(path: Path) -> tuple[str, bytes]:
    return str(path), path.read_bytes()
