"""Change what a dataset's file says: add labels and predictions, set a value; comments in it stay."""

import shutil
from collections.abc import Mapping
from typing import Any

import yaml

from brain_assets.app.declaring import absolute, inputs_of
from brain_assets.assets.declarations import check_declaration, check_inputs
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.label_formats.input_files import IN_PATHS
from brain_assets.resources.media.media_source import open_media
from brain_assets.resources.settings.configuration import ENVIRONMENT_PREFIX, load_dataset
from brain_assets.resources.settings.editing import appended, assigned
from brain_assets.resources.settings.home import DatasetPaths, Home, put_in_place
from brain_assets.resources.settings.run_entries import delete_entry


def attach(home: Home, name: str, **inputs: Any) -> list[str]:
    """Add labels and predictions to a dataset and return a line for each.

    Parameters
    ----------
    home : Home
    name : str
        The dataset.
    **inputs
        ``labels``, ``predictions``, ``labels_format`` and ``predictions_format``, as for `declare`.

    Raises
    ------
    ConfigurationError
        If one is attached already, or the settings would be wrong.
    SourceError
        If there are no such labels or predictions.
    """
    paths, told = home.existing(name), []
    text = paths.config.read_text("utf-8")
    known = yaml.safe_load(text) or {}
    for role, entries in inputs_of({key: value for key, value in inputs.items() if value}).items():
        for entry in entries:
            if any(entry.items() <= one.items() for one in known.get(role) or () if isinstance(one, dict)):
                raise ConfigurationError(f"{entry['uri']} is among the {role} of {name} already")
            told.append(f"{role}: {entry['uri']}")
        text = appended(text, role, entries)
    _write(paths, text)
    return told


def set_value(home: Home, name: str, key: str, value: str) -> str | None:
    """Set a value in a dataset's file; return what keeps it from having an effect, if anything does.

    Parameters
    ----------
    home : Home
    name : str
    key : str
        Dotted, such as ``similarity.k``; a position counts from 0, as in ``labels.0.format``.
    value : str
        As YAML; empty for the default.

    Raises
    ------
    ConfigurationError
        If there is no such setting, or the value is wrong.
    """
    paths = home.existing(name)
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigurationError(f"{key}: {value!r} is not a value") from None
    if isinstance(parsed, str) and key.rpartition(".")[2] in {"media", "uri", "contract"} and parsed not in IN_PATHS:
        parsed = absolute(parsed)
    _write(paths, assigned(paths.config.read_text("utf-8"), key, parsed))
    origins = {one.key: one.origin for one in load_dataset(paths.config).values}
    if origins.get(key, "").startswith(ENVIRONMENT_PREFIX):
        return f"{origins[key]} in the environment overrides it"
    return None


def put_run(home: Home, name: str, entry: Mapping[str, Any]) -> bool:
    """Declare a run, in the place of another of this method that has its key; return whether anything is other than before.

    Parameters
    ----------
    home : Home
    name : str
    entry : mapping
        As one of ``runs`` in the dataset's file.

    Raises
    ------
    ConfigurationError
        If the key belongs to another method, or the run would be wrong.
    """
    paths = home.existing(name)
    text = paths.config.read_text("utf-8")
    declared = (yaml.safe_load(text) or {}).get("runs") or []
    if found := next((one for one in declared if one.get("brain_key") == entry["brain_key"]), None):
        if found == dict(entry):
            return False
        if found["method"] != entry["method"]:
            raise ConfigurationError(f"{entry['brain_key']} is a run of {found['method']} already: choose another key")
        text = delete_entry(text, entry["brain_key"])
    _write(paths, appended(text, "runs", [dict(entry)]))
    return True


def _write(paths: DatasetPaths, text: str) -> None:
    """Replace a dataset's file once what it would say is right."""
    draft = paths.folder / ".draft" / paths.config.name
    draft.parent.mkdir(exist_ok=True)
    try:
        draft.write_text(text, "utf-8")
        settings = load_dataset(draft).settings
        check_declaration(settings)
        check_inputs(settings)
        open_media(settings)
        shutil.copymode(paths.config, draft)
        put_in_place(draft, paths.config)
    finally:
        shutil.rmtree(draft.parent, ignore_errors=True)
