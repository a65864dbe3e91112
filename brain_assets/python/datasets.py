"""Declare, list, change and remove datasets from Python, from whatever people hold images in."""

import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from brain_assets.app import changing, declaring
from brain_assets.app.api import DatasetReader
from brain_assets.app.status import status as state_of
from brain_assets.app.views import View
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import Home

# What people pass as `samples`: a dataset or its name, a view, a folder, a frame with a column `filepath`, or FiftyOne's.
Samples = Any
GIVEN = "given"
COLUMNS = {"label": "labels", "labels": "labels"}
# So many addresses are written into dataset.yaml; more are a list of their own.
FEW = 20


def add(
    name: str, media: Any, *, labels: Any = None, predictions: Any = None, home: str | None = None, **settings: Any
) -> DatasetReader:
    """Declare a dataset; images, labels and predictions stay where they are.

    Parameters
    ----------
    name : str
    media : str, Path, sequence of these, or frame
        Folders, files, archives or addresses; or a pandas, polars or Arrow frame with a column ``filepath``, and ``label``,
        ``split`` or ``tags`` where it has them.
    labels, predictions : str, Path, sequence of these, frame or mapping
        Addresses, each with its field or model before a ``=`` where that is not the usual one; or a frame with columns
        ``filepath`` and ``label``; or, as a mapping, the content of a COCO file.
    home : str, optional
        By default ``$BRAIN_HOME``, else ``~/.brain``.
    **settings
        ``split_from``, ``frames``, ``model``, ``limit``, ``classes`` and whatever else ``dataset.yaml`` may say, also by dotted
        keys.

    Returns
    -------
    DatasetReader

    Raises
    ------
    BrainError
        In one line, if the name is taken, a setting is wrong, or there are no such media.

    Notes
    -----
    A folder or an archive that is given alone, without ``labels``, ``predictions`` and ``split_from``, is looked at first:
    splits, labels and predictions that surely lie there are taken in, and what is left out is logged. ``split_from="none"``
    takes it as it is.
    """
    place = Home.default(home)
    folder = declaring.undeclared(place, name).folder / GIVEN
    if isinstance(media, str | os.PathLike):
        said = {"labels": labels, "predictions": predictions, **settings}
        seen = _seen(str(media), said)
        media = seen.pop("media", media)
        labels, predictions = (seen.pop(role, said[role]) for role in ("labels", "predictions"))
        settings = {**settings, **seen}
    given: dict[str, Any] = {
        "labels": addresses(labels, folder, "labels"),
        "predictions": addresses(predictions, folder, "predictions"),
    }
    if _is_frame(media):
        manifest, columns = _manifest(media, folder)
        if set(columns) & set(COLUMNS) and labels is None:
            given["labels"] = [str(manifest)]
        settings = {"split_from": "column" if "split" in columns else None} | settings
        media = manifest
    declaring.declare(place, name, media=_media(media, folder), **given, **settings)
    return DatasetReader(name, home)


def list_datasets(home: str | None = None) -> list[str]:
    """Return the names of the declared datasets."""
    return Home.default(home).names()


def remove(name: str, home: str | None = None) -> None:
    """Remove a dataset's declaration and everything derived; its images are not touched."""
    declaring.remove(Home.default(home), name)


def set_values(name: str, values: Mapping[str, Any] | None = None, home: str | None = None, **settings: Any) -> None:
    """Set values in a dataset's file; comments in it stay.

    Parameters
    ----------
    name : str
    values : mapping, optional
        Dotted key to value, such as ``{"similarity.k": 30}``.
    home : str, optional
    **settings
        Further ones, whose keys are words.
    """
    for key, value in {**(values or {}), **settings}.items():
        changing.set_value(
            Home.default(home), name, key, yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n")
        )


def status(name: str, home: str | None = None) -> dict[str, Any]:
    """Return samples, errors, what is pending and how many of each issue, as ``brain status --json`` does."""
    return state_of(Home.default(home), name)


def reader_of(samples: Samples, home: str | None = None) -> DatasetReader:
    """Return the dataset or view that some samples are; a folder or frame that is none yet is declared.

    Parameters
    ----------
    samples : DatasetReader, View, str, Path, frame, or dataset or view of FiftyOne
        A string that names a dataset is that dataset, else a folder.

    Raises
    ------
    BrainError
        In one line, if it is none of these.
    """
    if isinstance(samples, DatasetReader):
        return samples
    if is_fiftyone(samples):
        from brain_assets.python.fiftyone_datasets import from_fiftyone

        return from_fiftyone(samples, home=home)
    place = Home.default(home)
    if isinstance(samples, str) and samples in place.names():
        return DatasetReader(samples, home)
    if isinstance(samples, str | os.PathLike):
        folder = Path(samples).expanduser().absolute()
        if not folder.exists():
            raise ConfigurationError(f"there is no dataset, folder or file {str(samples)!r}")
        if known := _known(place, str(folder)):
            return known
        # A look may have found that another folder or file leads to the images.
        name = _name(folder.name, str(folder))
        return DatasetReader(name, home) if name in place.names() else add(name, folder, home=home)
    if _is_frame(samples):
        paths = "\n".join(_arrow(samples).column("filepath").to_pylist())
        name = _name("frame", paths)
        return DatasetReader(name, home) if name in place.names() else add(name, samples, home=home)
    raise ConfigurationError(
        f"samples are a dataset, its name, a view, a folder or a frame, not {type(samples).__name__}"
    )


def is_fiftyone(samples: Any) -> bool:
    """Tell whether something is a dataset or view of FiftyOne, without importing that."""
    return type(samples).__module__.partition(".")[0] == "fiftyone" and hasattr(samples, "get_field_schema")


def _seen(media: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what surely lies in a folder or archive that is given alone, as ``brain add`` takes it; what else is told."""
    from brain_assets.app.scanning import look_at, says_where_to_look

    if not (folder := says_where_to_look([media], said)):
        return {}
    look = look_at(folder)
    settings = look.proposal(unsure=False)
    for line in [*look.told_of_rest(), *(f"{why}: {what}" for why, what in look.not_taken(settings))]:
        logging.getLogger("brain").warning(f"{media}: {line}")
    return {key: value for key, value in settings.items() if not said.get(key)}


def _known(home: Home, address: str) -> DatasetReader | None:
    for name in home.names():
        if load_dataset(home.paths(name).config).settings.media_addresses == [address]:
            return DatasetReader(name, str(home.root))
    return None


def _name(word: str, unique: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9_]+", "_", word).strip("_")[:60] or "samples"
    return f"{safe}_{hashlib.blake2b(unique.encode('utf-8', 'surrogateescape'), digest_size=4).hexdigest()}"


def _media(media: Any, folder: Path) -> Any:
    """Return addresses as `declare` takes them; many files become a list of them."""
    if isinstance(media, str | os.PathLike):
        return str(media)
    several = [str(one) for one in media]
    if not several:
        raise ConfigurationError("media is empty: give a folder, a file or several")
    if len(several) <= FEW and not all(Path(one).is_file() for one in several):
        return several
    if folders := [one for one in several if Path(one).is_dir()]:
        raise ConfigurationError(f"{folders[0]} is a folder among files: give folders, or files")
    return _written(folder / "media.txt", "\n".join(declaring.absolute(one) for one in several))


def addresses(given: Any, folder: Path, role: str) -> list[Any] | None:
    """Return labels or predictions as `declare` takes them; a frame, or what a COCO file would hold, is kept in a folder."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        return [_written(folder / f"{role}.json", json.dumps(given))]
    if _is_frame(given):
        from pyarrow import parquet

        folder.mkdir(parents=True, exist_ok=True)
        parquet.write_table(_arrow(given, required=False), folder / f"{role}.parquet")
        return [str(folder / f"{role}.parquet")]
    several = [given] if isinstance(given, str | os.PathLike) else given
    return [one if isinstance(one, Mapping) else str(one) for one in several]


def _manifest(frame: Any, folder: Path) -> tuple[str, Sequence[str]]:
    from pyarrow import parquet

    table = _arrow(frame)
    paths = [declaring.absolute(str(one)) for one in table.column("filepath").to_pylist()]
    place = table.column_names.index("filepath")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "manifest.parquet"
    parquet.write_table(table.set_column(place, "filepath", [paths]), target)
    return str(target), table.column_names


def _is_frame(given: Any) -> bool:
    return hasattr(given, "columns") or hasattr(given, "column_names")


def _arrow(frame: Any, *, required: bool = True) -> Any:
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        table = frame
    else:
        table = frame.to_arrow() if hasattr(frame, "to_arrow") else pa.Table.from_pandas(frame, preserve_index=False)
    if required and "filepath" not in table.column_names:
        raise ConfigurationError(
            f"the frame has no column filepath (columns: {', '.join(map(str, table.column_names))})"
        )
    return table


def _written(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return str(path)


def whole(reader: DatasetReader) -> DatasetReader:
    """Return the dataset behind a view, or the dataset itself."""
    return reader.dataset if isinstance(reader, View) else reader
