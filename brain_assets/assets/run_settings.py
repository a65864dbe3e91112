"""Settings for one run, as Dagster's launchpad offers them: with their names, choices and descriptions.

Whoever may start a run may give them. So the launchpad has numbers, switches and choices; what is free text, and could name
code, files or addresses, goes into `other`, and only what dataset.yaml allows by name is taken.
"""

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

import dagster as dg
from pydantic import ConfigDict, Field, create_model

from brain_assets.resources.settings.configuration import DatasetSettings, Section, is_plain

OTHER = "other"


class _Deferred(dg.Config):
    """Built when a run is first configured."""

    model_config = ConfigDict(defer_build=True)


def _config_of(section: type[Section], name: str, **more: Any) -> type[dg.Config]:
    """Return a section's settings that any run may set, as a config of Dagster; all may be left out."""
    fields: dict[str, Any] = {}
    for key, field in section.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            inner = _config_of(kind, f"{name}_{key}")
            if inner.model_fields:
                fields[key] = (inner | None, Field(None, description=_said(kind)))
        elif is_plain(kind):
            fields[key] = (_shown(kind, f"{name}_{key}") | None, Field(None, description=field.description))
    return create_model(name, __base__=_Deferred, **fields, **more)


def _said(section: type[Section]) -> str:
    return (section.__doc__ or "").partition("\n")[0]


def _shown(kind: Any, name: str) -> Any:
    """Return the type that Dagster checks a plain setting by; the settings themselves check its bounds."""
    if get_origin(kind) is Annotated:
        return _shown(get_args(kind)[0], name)
    if get_origin(kind) is list:
        return list[_shown(get_args(kind)[0], f"{name}_item")]  # type: ignore[misc]
    if get_origin(kind) is Literal:
        return _choice(get_args(kind), name)
    parts = [part for part in get_args(kind) if part is not type(None)]
    return kind if not parts else _shown(parts[0], name) if len(parts) == 1 else Any


def _choice(values: tuple[Any, ...], name: str) -> Any:
    kinds = {type(value) for value in values}
    return Enum(name, {value: value for value in values}) if kinds == {str} else kinds.pop()


RunSettings = _config_of(
    DatasetSettings,
    "settings",
    other=(
        dict[str, str],
        Field(
            {},
            description="Settings of free text, dotted key to YAML value, such as {embeddings.model: 'onnx:FILE'}: those that"
            " dataset.yaml allows by name in tag_settings.",
        ),
    ),
)


def arguments(settings: dg.Config | None) -> dict[str, str]:
    """Return what was given for a run, dotted key to YAML value."""
    if settings is None:
        return {}
    given = settings.model_dump(exclude_none=True, mode="json")
    free: dict[str, str] = given.pop(OTHER, {})
    return {key: json.dumps(value) for key, value in _flat(given)} | free


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
