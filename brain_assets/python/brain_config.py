"""Settings for all datasets, said in code: what the variables ``BRAIN_...`` say, as an object that can be read and changed."""

import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import yaml

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.settings.configuration import (
    ENVIRONMENT_PREFIX,
    DatasetSettings,
    Value,
    fields,
    load_dataset,
)

# No dataset's file: what stands in none is a default, or said by a variable.
NOWHERE = Path(os.devnull).parent / "no-dataset.yaml"


class BrainConfig(MutableMapping[str, Any]):
    """What holds of every dataset that this process, and what it starts, looks at.

    A setting goes by its dotted key, such as ``similarity.k``. One that is set wins over ``dataset.yaml``, as a variable does;
    one that is deleted is again what each dataset says. Nothing is written into any file.

    Examples
    --------
    >>> brain_config["similarity.k"] = 30
    >>> brain_config["similarity.k"], os.environ["BRAIN_SIMILARITY_K"]
    (30, '30')
    >>> del brain_config["similarity.k"]
    >>> brain_config["similarity.k"]
    20
    """

    def __getitem__(self, key: str) -> Any:
        """Return what holds of a dataset that says nothing itself."""
        return _known(key).value

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value for all datasets; raises ConfigurationError, and sets nothing, where it is wrong."""
        text = yaml.safe_dump(value, default_flow_style=True, width=1 << 20).removesuffix("\n").removesuffix("\n...")
        _values({key: text})
        os.environ[_variable(key)] = text

    def __delitem__(self, key: str) -> None:
        """Leave a setting to each dataset."""
        _known(key)
        os.environ.pop(_variable(key), None)

    def __iter__(self) -> Iterator[str]:
        """Yield the keys of all settings."""
        return (key for key, _ in fields(DatasetSettings) if key != "media")

    def __len__(self) -> int:
        """Return the number of all settings."""
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        """Return what is set."""
        return f"brain_config({self.changed})"

    @property
    def changed(self) -> dict[str, Any]:
        """The settings that are set, by the key of each."""
        return {key: self[key] for key in self if _variable(key) in os.environ}

    @property
    def default_similarity_backend(self) -> str:
        """What keeps vectors to be searched where nothing else is said."""
        return str(self["similarity.backend"])

    @default_similarity_backend.setter
    def default_similarity_backend(self, backend: str) -> None:
        self["similarity.backend"] = backend

    @property
    def default_visualization_method(self) -> str:
        """How maps are made where nothing else is said."""
        return str(self["visualization.method"])

    @default_visualization_method.setter
    def default_visualization_method(self, method: str) -> None:
        self["visualization.method"] = method

    def load(self, path: str | Path) -> None:
        """Set what a file of JSON or YAML says, in sections or by dotted keys; raises ConfigurationError, OSError."""
        try:
            tree = yaml.safe_load(Path(path).expanduser().read_text("utf-8"))
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{path} is not JSON or YAML: {' '.join(str(error).split())}") from None
        if not isinstance(tree, dict):
            raise ConfigurationError(f"{path} must hold keys and values such as 'similarity: {{k: 30}}'")
        self.update(_flat(tree, set(self)))


def _flat(tree: Mapping[str, Any], keys: set[str], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        found |= _flat(value, keys, f"{key}.") if isinstance(value, dict) and key not in keys else {key: value}
    return found


def _variable(key: str) -> str:
    return ENVIRONMENT_PREFIX + key.upper().replace(".", "_")


def _values(said: Mapping[str, str]) -> dict[str, Value]:
    return {one.key: one for one in load_dataset(NOWHERE, {"media": "nowhere", **said}).values}


def _known(key: str) -> Value:
    values = _values({})
    if key not in values:
        raise KeyError(key)
    return values[key]


brain_config = BrainConfig()
