"""``python:PACKAGE.MODULE:FACTORY``: a model of the user's own.

Calling ``FACTORY`` without arguments gives an object with

- ``version``: a string that changes whenever the vectors would; as an attribute of the factory (a class) it is read
  without making the object;
- ``dimension``: the length of its vectors;
- ``input``: an ``InputSpec``, or the size of a square input in pixels;
- ``embed(images)``: ``(b, h, w, 3)`` uint8 to ``(b, dimension)``, safe to call from several threads at once, and such
  that a vector does not depend on the other images of its batch;
- optionally ``embed_text(texts)``: a list of texts to ``(n, dimension)``.

It should load what is heavy in its constructor, and import it there.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.image_input import InputSpec
from brain_assets.resources.models.embedding_networks import Placement, TextFunction, check_images, first_line


@dataclass(frozen=True)
class CustomNetwork:
    """A user's object whose answers are checked."""

    model: Any
    input: InputSpec
    dimension: int
    name: str

    @property
    def run_text(self) -> TextFunction | None:
        """What embeds text, None when the object does not."""
        return self._embed_text if hasattr(self.model, "embed_text") else None

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return what the object gives for images of the right form, ``(b, dimension)``."""
        check_images(images, self.input)
        return self._checked(self.model.embed(images), len(images))

    def _embed_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._checked(self.model.embed_text(texts), len(texts))

    def _checked(self, output: ArrayLike, rows: int) -> NDArray[np.float32]:
        vectors = np.asarray(output, np.float32)
        if vectors.shape != (rows, self.dimension):
            raise ConfigurationError(f"{self.name} returned shape {vectors.shape}, not {(rows, self.dimension)}")
        return vectors


@dataclass(frozen=True)
class CustomSource:
    """A factory of models named by its module and attribute."""

    target: str
    cache: Path
    runtimes = ("python",)

    def identity(self) -> list[object]:
        """Return what its vectors depend on: the factory's name and the version it states."""
        version = getattr(self._factory, "version", None)
        if not isinstance(version, str):
            version = self._attribute(self._make(), "version")
        return ["python", self.target, str(version)]

    def load(self, placement: Placement) -> CustomNetwork:
        """Return the object, checked for what it must have."""
        model = self._make()
        wanted, dimension = self._attribute(model, "input"), self._attribute(model, "dimension")
        self._attribute(model, "embed")
        if isinstance(wanted, int):
            wanted = InputSpec(f"{wanted}x{wanted}-squash-bilinear", wanted, wanted)
        if not isinstance(wanted, InputSpec):
            raise ConfigurationError(f"python:{self.target}: `input` must be an InputSpec or a size, not {wanted!r}")
        return CustomNetwork(model, wanted, int(dimension), f"python:{self.target}")

    @cached_property
    def _factory(self) -> Any:
        module, colon, name = self.target.partition(":")
        if not (module and colon and name):
            raise ConfigurationError(f"python:{self.target} does not name a factory: write python:package.module:Name")
        try:
            return getattr(importlib.import_module(module), name)
        except ImportError as error:
            raise MissingError(f"python:{self.target} cannot be imported: {first_line(error)}") from error
        except AttributeError:
            raise MissingError(f"python:{self.target}: the module {module} has no {name}") from None

    def _make(self) -> Any:
        try:
            return self._factory()
        except Exception as error:
            raise ConfigurationError(f"python:{self.target} could not be made: {first_line(error)}") from error

    def _attribute(self, model: Any, name: str) -> Any:
        if not hasattr(model, name):
            raise ConfigurationError(f"python:{self.target} has no `{name}`, which an embedding model must have")
        return getattr(model, name)
