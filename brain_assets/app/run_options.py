"""What a further run of a method may say, as a form offers it and as the dataset's file has it."""

from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from brain_assets.incremental.signal import Signal
from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import DatasetSettings, RunSettings, Section, is_plain
from brain_assets.review.methods import Option

PARAMETER = "parameters."
SOURCES = {
    "embeddings": ("embeddings", ("embeddings", "object_embeddings")),
    "similarity": ("neighbors", ("similarity",)),
}


def options_of(signal: Signal, settings: DatasetSettings) -> list[Option]:
    """Return what a run of a method may say beside its condition, with the values that hold otherwise.

    Numbers, switches and choices alone: what could name code, files or addresses is said in the dataset's file, by whoever may
    write to it.
    """
    fields = RunSettings.model_fields
    named = [
        Option(name, fields[name].description or "", choices[0], choices)
        for name, choices in _sources(settings).items()
        if name in signal.options and len(choices) > 1
    ]
    section = signal.parameters(settings) if signal.parameters else None
    return named + (list(_parameters(section)) if section else [])


def said(options: Mapping[str, str], offered: Iterable[Option]) -> dict[str, Any]:
    """Return what a run says by options of a form, as ``runs`` in the dataset's file has it.

    Raises
    ------
    ConfigurationError
        If an option is not offered, or its value is not YAML; what else a value must be is for the declaration to say.
    """
    known, entry = {one.name: one for one in offered}, dict[str, Any]()
    for name, text in options.items():
        if name not in known or (name == "model" and text not in known[name].choices):
            raise ConfigurationError(f"{name}: {text!r} cannot be said here: declare the run in dataset.yaml")
        inner = name.removeprefix(PARAMETER)
        (entry if inner == name else entry.setdefault("parameters", {}))[inner] = _value(name, text)
    return entry


def _value(name: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigurationError(f"{name}: {text!r} is not a value") from None


def _sources(settings: DatasetSettings) -> dict[str, list[str]]:
    """Return the models that the dataset's file names, and the runs that others may read; first what holds by default."""
    models = [settings.embeddings.model, *sorted({run.model for run in settings.runs if run.model})]
    runs = {
        name: [default, *(run.brain_key for run in settings.runs if run.method in methods)]
        for name, (default, methods) in SOURCES.items()
    }
    return {"model": list(dict.fromkeys(models)), **runs}


def _parameters(section: Section) -> Iterator[Option]:
    for name, field in type(section).model_fields.items():
        if is_plain(field.annotation):
            value = as_yaml(getattr(section, name))
            yield Option(PARAMETER + name, field.description or "", value, _choices(field.annotation))


def as_yaml(value: Any) -> str:
    """Return a value as one line of YAML, empty for none."""
    if value is None:
        return ""
    return yaml.safe_dump(value, default_flow_style=True, width=1 << 20).removesuffix("\n").removesuffix("\n...")


def _choices(annotation: Any) -> list[str]:
    """Return the values that a setting can have where they are few; none where any may be written."""
    if annotation is bool:
        return ["true", "false"]
    if get_origin(annotation) is Literal:
        return [as_yaml(value) for value in get_args(annotation)]
    if get_origin(annotation) in {Union, UnionType}:
        parts = [_choices(one) for one in get_args(annotation) if one is not type(None)]
        return [choice for part in parts for choice in part] if all(parts) else []
    return []
