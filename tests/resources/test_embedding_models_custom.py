"""A model of the user's own, named by its module and factory."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.models.embedding_models import EmbeddingModel, load_model, model_version

MODULE = dedent(
    """
    import numpy as np
    from brain_assets.resources.image_input import InputSpec

    made = 0

    class Colors:
        version = "colors-1"
        dimension = 3
        input = 8

        def __init__(self):
            global made
            made += 1

        def embed(self, images):
            return images.mean((1, 2))

        def embed_text(self, texts):
            return [[255 * (text == name) for name in ("red", "green", "blue")] for text in texts]

    class Wide(Colors):
        input = InputSpec("wide", 4, 16, "crop", "bicubic")

    def configured():
        model = Colors()
        model.version = "colors-2"
        return model

    class Unversioned:
        dimension = 3

    class Wrong(Colors):
        dimension = 4

    class Unsized(Colors):
        input = "224"

    class Broken(Colors):
        def __init__(self):
            raise OSError("weights.bin does not exist\\nsecond line")
    """
)


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_colors.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_colors", None)


def test_own_class_is_a_model(tmp_path: Path) -> None:
    model = load_model("python:my_colors:Colors", cache=tmp_path)
    assert isinstance(model, EmbeddingModel)
    assert model.input is not None
    assert (model.name, model.dimension, model.input.height) == ("python:my_colors:Colors", 3, 8)
    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[1, ..., 0] = 255
    vectors = model.embed(images)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, [[0, 0, 0], [255, 0, 0]])
    np.testing.assert_array_equal(model.embed_text(["red"]), vectors[1:])
    assert model.embed_text([]).shape == (0, 3)


def test_own_input_is_kept(tmp_path: Path) -> None:
    wide = load_model("python:my_colors:Wide", cache=tmp_path).input
    assert wide is not None
    assert (wide.name, wide.height, wide.width, wide.resize) == ("wide", 4, 16, "crop")


def test_version_is_the_users_and_read_without_making_the_model(tmp_path: Path) -> None:
    version = model_version("python:my_colors:Colors", cache=tmp_path)
    assert sys.modules["my_colors"].made == 0
    assert version == load_model("python:my_colors:Colors", cache=tmp_path).version
    assert version != model_version("python:my_colors:configured", cache=tmp_path)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("my_colors", "write python:package.module:Name"),
        ("my_colors.Colors", "write python:package.module:Name"),
        ("my_colours:Colors", "cannot be imported: No module named 'my_colours'"),
        ("my_colors:Colours", "the module my_colors has no Colours"),
        ("my_colors:Unversioned", "has no `version`"),
        ("my_colors:Broken", "could not be made: weights.bin does not exist"),
        ("my_colors:Unsized", "must be an InputSpec or a size"),
    ],
)
def test_unusable_class_is_one_line(target: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigurationError, MissingError), match=message) as error:
        load_model(f"python:{target}", cache=tmp_path)
    assert "\n" not in str(error.value)


def test_answer_of_another_shape_is_refused(tmp_path: Path) -> None:
    model = load_model("python:my_colors:Wrong", cache=tmp_path)
    with pytest.raises(ConfigurationError, match=r"returned shape \(2, 3\), not \(2, 4\)"):
        model.embed(np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="expected uint8 images"):
        model.embed(np.zeros((2, 9, 8, 3), np.uint8))
