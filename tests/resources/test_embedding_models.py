"""The default model, what all models share, and what a model version promises."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_assets.resources.errors import BrainError, MissingError
from brain_assets.resources.image_input import InputSpec
from brain_assets.resources.models.embedding_cache import file_digest, write_atomically
from brain_assets.resources.models.embedding_models import (
    ALIASES,
    SCHEMES,
    EmbeddingModel,
    check_model,
    load_model,
    model_version,
)
from brain_assets.resources.models.embedding_networks import Network, Placement, place

LITE0 = "builtin:efficientnet-lite0"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def lite0(cache: Path) -> EmbeddingModel:
    return load_model(LITE0, device="cpu", cache=cache)


@pytest.fixture(scope="session")
def lite0_torch(cache: Path) -> EmbeddingModel:
    return load_model(LITE0, device="cpu", runtime="torch", cache=cache)


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (6, 224, 224, 3), dtype=np.uint8)


def test_default_model_describes_itself(lite0: EmbeddingModel) -> None:
    assert isinstance(lite0, EmbeddingModel)
    assert (lite0.name, lite0.runtime, lite0.dimension, lite0.supports_text) == (LITE0, "onnxruntime", 1280, False)
    assert lite0.input is not None
    assert (lite0.input.height, lite0.input.width, lite0.input.resize) == (224, 224, "squash")


def test_runtimes_agree_to_rounding(
    lite0: EmbeddingModel, lite0_torch: EmbeddingModel, images: NDArray[np.uint8]
) -> None:
    vectors = lite0.embed(images)
    assert vectors.shape == (6, 1280)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(lite0_torch.embed(images), vectors, atol=5e-5)
    assert np.linalg.norm(vectors[0] - vectors[1]) > 1


@pytest.mark.parametrize("model", ["lite0", "lite0_torch"])
def test_vector_is_that_of_the_published_network(model: str, request: pytest.FixtureRequest) -> None:
    y, x = np.mgrid[:224, :224]
    pattern = np.stack([x, y, x * y % 256], -1).astype(np.uint8)
    vector = request.getfixturevalue(model).embed(pattern[None])[0]
    # timm 1.0.31, tf_efficientnet_lite0 with the same weights
    strongest = [1062, 989, 113, 782, 315, 115]
    assert np.argsort(-vector)[:6].tolist() == strongest
    np.testing.assert_allclose(vector[strongest], [4.9052, 4.1841, 4.1275, 3.7036, 3.5777, 3.1626], atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(vector), 18.69348, atol=1e-3)


@pytest.mark.parametrize("model", ["lite0", "lite0_torch"])
def test_vector_does_not_depend_on_its_batch(
    model: str, images: NDArray[np.uint8], request: pytest.FixtureRequest
) -> None:
    embed = request.getfixturevalue(model).embed
    alone = np.concatenate([embed(image[None]) for image in images])
    np.testing.assert_array_equal(embed(images), alone)
    np.testing.assert_array_equal(embed(images[::-1]), alone[::-1])
    np.testing.assert_array_equal(embed(images[[2, 2, 5]]), alone[[2, 2, 5]])


@pytest.mark.parametrize("model", ["lite0", "lite0_torch"])
def test_threads_share_a_model(model: str, images: NDArray[np.uint8], request: pytest.FixtureRequest) -> None:
    embed = request.getfixturevalue(model).embed
    barrier = threading.Barrier(4, timeout=30)

    def work(_: int) -> NDArray[np.float32]:
        barrier.wait()
        return embed(images[:3])

    expected = embed(images[:3])
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(work, range(4)):
            np.testing.assert_array_equal(vectors, expected)


def test_views_and_read_only_images_are_taken(lite0_torch: EmbeddingModel, images: NDArray[np.uint8]) -> None:
    mirrored = images[:1, :, ::-1]
    frozen = mirrored.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(lite0_torch.embed(mirrored), lite0_torch.embed(frozen))


def test_no_images_give_no_vectors(lite0: EmbeddingModel) -> None:
    assert lite0.embed(np.empty((0, 224, 224, 3), np.uint8)).shape == (0, 1280)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 223, 224, 3), np.uint8),
        np.zeros((1, 3, 224, 224), np.uint8),
        np.zeros((224, 224, 3), np.uint8),
        np.zeros((1, 224, 224, 3), np.float32),
    ],
)
def test_images_of_another_form_are_refused(lite0: EmbeddingModel, wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="expected uint8 images"):
        lite0.embed(wrong)


def test_text_is_refused_by_a_model_of_images(lite0: EmbeddingModel) -> None:
    with pytest.raises(TypeError, match="does not embed text"):
        lite0.embed_text(["a cat"])


def test_version_names_the_runtime_not_the_device(lite0: EmbeddingModel, cache: Path) -> None:
    assert model_version(LITE0, device="cpu", cache=cache) == lite0.version
    assert model_version(LITE0, runtime="onnxruntime", cache=cache) == lite0.version
    on_gpu = model_version(LITE0, device="cuda", cache=cache)
    assert on_gpu != lite0.version
    assert on_gpu == model_version(LITE0, device="cpu", runtime="torch", cache=cache)


def test_version_needs_no_runtime(cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from brain_assets.resources.models.embedding_models import model_version;"
        f"print(model_version({LITE0!r}, device='cpu', cache=Path({str(cache)!r})));"
        "print([m for m in ('torch', 'onnxruntime', 'onnx', 'transformers', 'scipy', 'PIL') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    assert out.split("\n")[:2] == [model_version(LITE0, device="cpu", cache=cache), "[]"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("builtin:efficientnet-lite9", "there is builtin:efficientnet-lite0"),
        ("bultin:efficientnet-lite0", "did you mean builtin:"),
        ("efficientnet-lite0", "does not name a model"),
        ("dinov2m", "did you mean dinov2"),
        ("builtin:", "does not name a model"),
        ("", "does not name a model"),
    ],
)
def test_unknown_model_names_the_right_one(uri: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BrainError, match=message) as error:
        load_model(uri, cache=tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(BrainError, match=message):
        model_version(uri, cache=tmp_path)


@pytest.mark.parametrize("alias", ALIASES)
def test_what_others_call_a_model_is_one(alias: str) -> None:
    check_model(alias)
    assert ALIASES[alias].partition(":")[0] in SCHEMES


def test_an_alias_gives_the_same_vectors(tmp_path: Path) -> None:
    assert model_version("efficientnet", cache=tmp_path) == model_version(LITE0, cache=tmp_path)


def test_unsupported_placement_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BrainError, match="onnxruntime or torch"):
        load_model(LITE0, runtime="tensorflow", cache=tmp_path)
    with pytest.raises(BrainError, match="use cpu, cuda or cuda:N"):
        load_model(LITE0, device="tpu", cache=tmp_path)


@pytest.mark.parametrize(
    ("device", "runtime", "supported", "placed"),
    [
        (None, None, ("onnxruntime", "torch"), ("torch", "cuda")),
        (None, "onnxruntime", ("onnxruntime", "torch"), ("onnxruntime", "cpu")),
        (None, "torch", ("onnxruntime", "torch"), ("torch", "cuda")),
        (None, None, ("onnxruntime",), ("onnxruntime", "cpu")),
        ("cpu", None, ("onnxruntime", "torch"), ("onnxruntime", "cpu")),
        ("cpu", None, ("torch",), ("torch", "cpu")),
        ("cuda:1", None, ("onnxruntime", "torch"), ("torch", "cuda:1")),
        ("cuda", None, ("onnxruntime",), ("onnxruntime", "cuda")),
    ],
)
def test_placement_beside_a_gpu(
    device: str | None,
    runtime: str | None,
    supported: tuple[str, ...],
    placed: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("brain_assets.resources.models.embedding_networks._has_cuda", lambda: True)
    assert place(device, runtime, supported) == Placement(*placed)


def test_placement_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brain_assets.resources.models.embedding_networks._has_cuda", lambda: False)
    assert place(None, None, ("onnxruntime", "torch")) == Placement("onnxruntime", "cpu")
    assert place(None, "torch", ("onnxruntime", "torch")) == Placement("torch", "cpu")


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_gpu_that_is_not_there_is_one_line(runtime: str, cache: Path) -> None:
    if any(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("there is a GPU")
    with pytest.raises(MissingError, match="or set `device: cpu`") as error:
        load_model(LITE0, device="cuda", runtime=runtime, cache=cache)
    assert "\n" not in str(error.value)


def test_padding_is_cut_off() -> None:
    seen = []

    def run(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(batch.shape)
        return batch[:, 0, 0].astype(np.float32)

    network = Network(InputSpec("tiny", 2, 2), 3, 4, run)
    images = np.arange(6 * 12, dtype=np.uint8).reshape(6, 2, 2, 3)
    np.testing.assert_array_equal(network.embed(images), images[:, 0, 0])
    assert seen == [(4, 2, 2, 3)] * 2


def test_digest_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, cache = tmp_path / "weights", tmp_path / "cache"
    weights.write_bytes(b"one")
    first = file_digest(weights, cache)
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", lambda *_: pytest.fail("read again"))
        assert file_digest(weights, cache) == first
    weights.write_bytes(b"three")
    assert file_digest(weights, cache) != first


def test_damaged_digest_note_is_written_anew(tmp_path: Path) -> None:
    weights, cache = tmp_path / "weights", tmp_path / "cache"
    weights.write_bytes(b"one")
    first = file_digest(weights, cache)
    for note in (cache / "digests").iterdir():
        note.write_text("{")
    assert file_digest(weights, cache) == first


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "model.onnx", fail)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_export_at_once(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from brain_assets.resources.models.embedding_models import load_model;"
        f"print(load_model({LITE0!r}, device='cpu', cache=Path({str(tmp_path)!r})).version)"
    )
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    versions = {process.communicate(timeout=120)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0]
    assert versions == {model_version(LITE0, device="cpu", cache=tmp_path) + "\n"}
    assert [path.suffix for path in tmp_path.iterdir() if path.is_file()] == [".onnx"]
