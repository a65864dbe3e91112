"""ONNX, TorchScript and torch.export files, and what a file beside them may say."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.models.embedding_models import EmbeddingModel, load_model, model_version
from brain_assets.resources.models.embedding_preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

torch = pytest.importorskip("torch")


def tiny_network(channels_last: bool = False) -> Any:
    """A random network of pooled features, of any input size."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    network = torch.nn.Sequential(*([ChannelsFirst()] if channels_last else []), *layers)
    return network.eval()


class ChannelsFirst(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x.permute(0, 3, 1, 2).float()


def save_onnx(path: Path, network: Any, example: Any, axes: dict[int, str] | None = None) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            path,
            input_names=["pixels"],
            output_names=["features"],
            dynamic_axes={"pixels": axes or {}},
            dynamo=False,
        )
    return path


def save_torchscript(path: Path, network: Any, example: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network, example).save(path)
    return path


def save_exported(path: Path, network: Any, example: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network, (example,)), path)
    return path


def write_sidecar(path: Path, **content: Any) -> None:
    Path(f"{path}.json").write_text(json.dumps(content))


def random_images(count: int, size: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def reference(network: Any, images: NDArray[np.uint8], mean: Any = IMAGENET_MEAN, std: Any = IMAGENET_STD) -> Any:
    """What the network gives for normalised images, written from the formula."""
    pixels = (images / 255.0 - np.array(mean)) / np.array(std)
    with torch.inference_mode():
        return network(torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32)).numpy()


SAVERS: dict[str, tuple[str, Callable[[Path, Any, Any], Path]]] = {
    "onnx": ("onnx", save_onnx),
    "torchscript": ("torchscript", save_torchscript),
    "export": ("torchscript", save_exported),
}


def saved_model(kind: str, folder: Path, batch: int = 1) -> tuple[EmbeddingModel, Any]:
    scheme, save = SAVERS[kind]
    network = tiny_network()
    path = save(folder / "model", network, torch.zeros(batch, 3, 32, 32))
    write_sidecar(path, size=32)
    return load_model(f"{scheme}:{path}", device="cpu", cache=folder), network


@pytest.mark.parametrize("kind", SAVERS)
def test_file_gives_the_vectors_of_its_network(kind: str, tmp_path: Path) -> None:
    model, network = saved_model(kind, tmp_path)
    images = random_images(5)
    assert model.dimension == 8
    np.testing.assert_allclose(model.embed(images), reference(network, images), atol=1e-5)
    assert model.version == model_version(model.name, device="cpu", cache=tmp_path)


@pytest.mark.parametrize("kind", SAVERS)
@pytest.mark.parametrize("batch", [1, 4])
def test_vector_does_not_depend_on_its_batch(kind: str, batch: int, tmp_path: Path) -> None:
    model, _ = saved_model(kind, tmp_path, batch)
    images = random_images(6)
    alone = np.concatenate([model.embed(image[None]) for image in images])
    np.testing.assert_array_equal(model.embed(images), alone)
    np.testing.assert_array_equal(model.embed(images[::-1]), alone[::-1])


def test_onnx_declares_its_size_and_layout(tmp_path: Path) -> None:
    network = tiny_network(channels_last=True)
    path = save_onnx(tmp_path / "model.onnx", network, torch.zeros(1, 20, 30, 3, dtype=torch.uint8), {0: "batch"})
    model = load_model(f"onnx:{path}", cache=tmp_path)
    assert model.input is not None
    assert (model.input.height, model.input.width) == (20, 30)
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = network(torch.tensor(images)).numpy()  # uint8 goes in as it is
    np.testing.assert_allclose(model.embed(images), expected, rtol=1e-4)


def test_open_size_comes_from_the_sidecar_or_is_224(tmp_path: Path) -> None:
    axes = {0: "batch", 2: "height", 3: "width"}
    path = save_onnx(tmp_path / "model.onnx", tiny_network(), torch.zeros(1, 3, 32, 32), axes)
    default = load_model(f"onnx:{path}", cache=tmp_path)
    write_sidecar(path, size=[40, 48], resize="crop", interpolation="bicubic", mean=[0, 0, 0], std=[1, 1, 1])
    model = load_model(f"onnx:{path}", cache=tmp_path)
    assert default.input is not None
    assert model.input is not None
    assert (default.input.height, default.input.resize, default.input.interpolation) == (224, "squash", "bilinear")
    assert (model.input.height, model.input.width) == (40, 48)
    assert (model.input.resize, model.input.interpolation) == ("crop", "bicubic")
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 48, 3), dtype=np.uint8)
    expected = reference(tiny_network(), images, (0, 0, 0), (1, 1, 1))
    np.testing.assert_allclose(model.embed(images), expected, atol=1e-5)
    assert default.version != model.version


def test_output_is_chosen_by_name(tmp_path: Path) -> None:
    class Two(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((2, 3)), x.amax((2, 3))

    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"input_names": ["pixels"], "output_names": ["mean", "maximum"]}
        torch.onnx.export(Two(), (torch.zeros(1, 3, 32, 32),), path, dynamo=False, **names)
    write_sidecar(path, output="maximum", mean=[0, 0, 0], std=[1, 1, 1])
    images = random_images(1)
    vector = load_model(f"onnx:{path}", cache=tmp_path).embed(images)[0]
    np.testing.assert_allclose(vector, images.max((0, 1, 2)) / 255, rtol=1e-6)
    write_sidecar(path, output="features")
    with pytest.raises(ConfigurationError, match="no output 'features': it has mean, maximum"):
        load_model(f"onnx:{path}", cache=tmp_path)


def test_half_precision_is_taken(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.AvgPool2d(32), torch.nn.Flatten()).half()
    path = save_onnx(tmp_path / "model.onnx", network, torch.zeros(1, 3, 32, 32).half())
    vectors = load_model(f"onnx:{path}", cache=tmp_path).embed(random_images(2))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, reference(network.float(), random_images(2)), atol=2e-3)


def test_trailing_axes_of_one_are_dropped(tmp_path: Path) -> None:
    network = tiny_network()[:-1]
    path = save_torchscript(tmp_path / "model.pt", network, torch.zeros(1, 3, 32, 32))
    assert load_model(f"torchscript:{path}", device="cpu", cache=tmp_path).dimension == 8


def test_nan_and_zero_vectors_are_returned(tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.log(x.mean((2, 3)) * 0 - 1) * torch.tensor([1.0, 1.0, 1.0])

    path = save_torchscript(tmp_path / "model.pt", Odd(), torch.zeros(1, 3, 32, 32))
    write_sidecar(path, size=32)
    assert np.isnan(load_model(f"torchscript:{path}", device="cpu", cache=tmp_path).embed(random_images(2))).all()


def test_version_follows_weights_sidecar_and_external_data(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    seen = set()
    for suffix, content in [("", b"one"), ("", b"two"), (".json", b"{}"), (".data", b"w"), ("_data", b"v")]:
        Path(f"{path}{suffix}").write_bytes(content)
        seen.add(model_version(f"onnx:{path}", cache=tmp_path / "cache"))
    assert len(seen) == 5
    moved = (tmp_path / "elsewhere").resolve()
    moved.mkdir()
    for file in tmp_path.glob("model.onnx*"):
        (moved / file.name.replace("model", "renamed")).write_bytes(file.read_bytes())
    assert model_version(f"onnx:{moved}/renamed.onnx", cache=tmp_path / "cache") in seen


def save_grayscale(path: Path) -> None:
    save_onnx(path, torch.nn.Flatten(), torch.zeros(1, 1, 32, 32))


def save_unpooled(path: Path) -> None:
    save_onnx(path, torch.nn.Conv2d(3, 8, 3), torch.zeros(1, 3, 32, 32))


def save_flat_input(path: Path) -> None:
    save_onnx(path, torch.nn.Linear(4, 2), torch.zeros(1, 4))


def save_weights(path: Path) -> None:
    torch.save(tiny_network().state_dict(), path)


def save_garbage(path: Path) -> None:
    path.write_bytes(b"no model at all")


def save_truncated(path: Path) -> None:
    save_torchscript(path, tiny_network(), torch.zeros(1, 3, 32, 32))
    path.write_bytes(path.read_bytes()[:-400])


@pytest.mark.parametrize(
    ("scheme", "save", "message"),
    [
        ("onnx", save_grayscale, "takes 1 channels as NCHW, not RGB"),
        ("onnx", save_unpooled, r"returns shape \(1, 8, 30, 30\).*pooled features"),
        ("onnx", save_flat_input, "must have one input, images of four axes"),
        ("onnx", save_garbage, "is not a usable ONNX model"),
        ("torchscript", save_weights, "weights alone.*torch.jit.trace"),
        ("torchscript", save_garbage, "holds no runnable network"),
        ("torchscript", save_truncated, "holds no runnable network"),
    ],
)
def test_unusable_file_is_one_line(scheme: str, save: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    save(tmp_path / "model")
    with pytest.raises(ConfigurationError, match=message) as error:
        load_model(f"{scheme}:{tmp_path / 'model'}", device="cpu", cache=tmp_path / "cache")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("scheme", ["onnx", "torchscript", "precomputed"])
def test_missing_file_is_one_line(scheme: str, tmp_path: Path) -> None:
    uri = f"{scheme}:{tmp_path / 'absent'}"
    with pytest.raises(MissingError, match="absent does not exist"):
        load_model(uri, cache=tmp_path)
    with pytest.raises(MissingError, match="is not a model file"):
        load_model(f"{scheme}:{tmp_path}", cache=tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"sise": 32}', r"sise: unknown key.*keys are size, resize"),
        ('{"std": [0, 1, 1]}', "std.0: must be more than 0.0, got 0"),
        ('{"size": 0}', "size"),
        ('{"size": 64}', r"takes height and width \(32, 32\); its sidecar says \(64, 64\)"),
        ("{", "is not JSON"),
    ],
)
def test_wrong_sidecar_is_one_line(content: str, message: str, tmp_path: Path) -> None:
    path = save_onnx(tmp_path / "model.onnx", tiny_network(), torch.zeros(1, 3, 32, 32))
    Path(f"{path}.json").write_text(content)
    with pytest.raises(ConfigurationError, match=message) as error:
        load_model(f"onnx:{path}", cache=tmp_path)
    assert "\n" not in str(error.value)


def test_model_runs_only_where_it_can(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(BrainError, match="runs in onnxruntime, not in 'torch'"):
        model_version(f"onnx:{tmp_path / 'model.onnx'}", runtime="torch", cache=tmp_path)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_preparation_cuts_the_centre_and_normalises(layout: Any) -> None:
    preprocessing = Preprocessing(size=(4, 6), scaled=(8, 8), mean=(0.5, 0.25, 0), std=(0.5, 1, 2), layout=layout)
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    expected = (images[:, 2:6, 1:7] / 255 - [0.5, 0.25, 0]) / [0.5, 1, 2]
    prepared = preprocessing.prepare(images)
    assert prepared.dtype == np.float32
    assert prepared.flags.c_contiguous
    np.testing.assert_allclose(prepared if layout == "NHWC" else prepared.transpose(0, 2, 3, 1), expected, atol=1e-6)


def test_equal_inputs_share_a_name() -> None:
    plain = Preprocessing(size=(32, 32))
    assert plain.spec == Preprocessing(size=(16, 16), scaled=(32, 32), mean=(0, 0, 0)).spec
    assert plain.spec.name != Preprocessing(size=(32, 32), resize="crop").spec.name


def test_impossible_preparation_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot cut"):
        Preprocessing(size=(32, 32), scaled=(16, 32))
