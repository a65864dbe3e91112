"""Models of timm, open_clip and transformers: what is asked of the libraries, and what is said when they are absent."""

import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_assets.resources.errors import BrainError, ConfigurationError, MissingError
from brain_assets.resources.models.embedding_huggingface import read_preprocessing
from brain_assets.resources.models.embedding_models import EmbeddingModel, load_model, model_version

torch = pytest.importorskip("torch")

CLIP_MEAN, CLIP_STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)


def random_images(model: EmbeddingModel, count: int = 3) -> NDArray[np.uint8]:
    assert model.input is not None
    shape = (count, model.input.height, model.input.width, 3)
    return np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)


def normalised(images: NDArray[np.uint8], mean: Any, std: Any) -> Any:
    pixels = (images / 255.0 - np.array(mean)) / np.array(std)
    return torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32)


def assert_one_by_one(model: EmbeddingModel, images: NDArray[np.uint8]) -> None:
    alone = np.concatenate([model.embed(image[None]) for image in images])
    np.testing.assert_array_equal(model.embed(images), alone)


class Means(torch.nn.Module):
    """Stands in for a pretrained network: three colour means of images, three counts of tokens."""

    def forward(self, pixels: Any) -> Any:
        return pixels.mean((2, 3))

    encode_image = forward

    def encode_text(self, tokens: Any) -> Any:
        return torch.stack([(tokens == number).sum(1) for number in (1, 2, 3)], 1)


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A library in timm's place; gives the configuration it reports."""
    config = {
        "input_size": (3, 28, 28),
        "mean": CLIP_MEAN,
        "std": CLIP_STD,
        "crop_pct": 0.875,
        "crop_mode": "center",
        "interpolation": "bicubic",
    }

    def create_model(name: str, *, pretrained: bool, num_classes: int) -> Any:
        assert pretrained
        assert num_classes == 0
        if name != "tiny.tag":
            raise RuntimeError(f"Unknown model ({name})\nand more")
        return Means()

    library = ModuleType("timm")
    library.create_model = create_model  # type: ignore[attr-defined]
    library.data = SimpleNamespace(resolve_model_data_config=lambda _: config)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", library)
    return config


def test_timm_model_is_prepared_as_it_was_trained(timm: Mapping[str, Any], tmp_path: Path) -> None:
    model = load_model("timm:tiny.tag", device="cpu", cache=tmp_path)
    assert model.input is not None
    assert (model.input.height, model.input.resize, model.input.interpolation) == (32, "crop", "bicubic")
    images = random_images(model)
    expected = normalised(images[:, 2:-2, 2:-2], CLIP_MEAN, CLIP_STD).mean((2, 3)).numpy()
    np.testing.assert_allclose(model.embed(images), expected, atol=1e-5)
    assert_one_by_one(model, images)


def test_timm_squashes_where_the_model_does(timm: dict[str, Any], tmp_path: Path) -> None:
    timm.update(crop_mode="squash", crop_pct=1.0, interpolation="bilinear")
    model = load_model("timm:tiny.tag", device="cpu", cache=tmp_path)
    assert model.input is not None
    assert (model.input.height, model.input.resize, model.input.interpolation) == (28, "squash", "bilinear")


def test_unknown_timm_model_is_one_line(timm: Mapping[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot create 'other.tag': Unknown model \(other.tag\)$"):
        load_model("timm:other.tag", device="cpu", cache=tmp_path)


def test_tagged_timm_name_outlives_an_upgrade(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def versions(release: str) -> list[str]:
        monkeypatch.setattr("importlib.metadata.version", lambda _: release)
        return [model_version(f"timm:{name}", device="cpu", cache=tmp_path) for name in ("tiny.tag", "tiny")]

    before, after = versions("1.0"), versions("1.1")
    assert before[0] == after[0]
    assert before[1] != after[1]


@pytest.fixture
def open_clip(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A library in open_clip's place; gives the configuration it reports."""
    config = {"size": (16, 16), "mean": CLIP_MEAN, "std": CLIP_STD, "interpolation": "bicubic"}

    def create_model(name: str, *, pretrained: str | None) -> Any:
        if (name, pretrained) not in (("ViT-tiny", "tag"), ("local-dir:/models/tiny", None)):
            raise RuntimeError(f"Model config for {name} not found.")
        return Means()

    library = ModuleType("open_clip")
    library.create_model = create_model  # type: ignore[attr-defined]
    library.get_tokenizer = lambda _: lambda texts: torch.tensor([[len(text), 2, 0] for text in texts])  # type: ignore[attr-defined]
    library.get_model_preprocess_cfg = lambda _: config  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "open_clip", library)
    return config


@pytest.mark.parametrize("target", ["ViT-tiny/tag", "local-dir:/models/tiny"])
def test_open_clip_embeds_images_and_texts(target: str, open_clip: Mapping[str, Any], tmp_path: Path) -> None:
    model = load_model(f"open_clip:{target}", device="cpu", cache=tmp_path)
    images = random_images(model)
    assert images.shape == (3, 16, 16, 3)
    expected = normalised(images, CLIP_MEAN, CLIP_STD).mean((2, 3)).numpy()
    np.testing.assert_allclose(model.embed(images), expected, atol=1e-5)
    assert_one_by_one(model, images)
    assert model.supports_text
    np.testing.assert_array_equal(model.embed_text(["a", "bcd"]), [[1, 1, 0], [0, 1, 1]])


def test_open_clip_asks_for_weights(open_clip: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not say which weights"):
        load_model("open_clip:ViT-tiny", device="cpu", cache=tmp_path)
    with pytest.raises(ConfigurationError, match="cannot create 'ViT-huge/tag': Model config"):
        load_model("open_clip:ViT-huge/tag", device="cpu", cache=tmp_path)
    open_clip["resize_mode"] = "longest"
    with pytest.raises(ConfigurationError, match="pads its images"):
        load_model("open_clip:ViT-tiny/tag", device="cpu", cache=tmp_path)


def test_version_of_open_clip_covers_a_weight_file(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"one")
    first = model_version(f"open_clip:ViT-B-32/{weights}", device="cpu", cache=tmp_path)
    weights.write_bytes(b"three")
    assert model_version(f"open_clip:ViT-B-32/{weights}", device="cpu", cache=tmp_path) != first


@pytest.fixture
def importing(monkeypatch: pytest.MonkeyPatch) -> dict[str, Exception]:
    """Modules whose import fails, and how."""
    failures: dict[str, Exception] = {}
    import_module = importlib.import_module

    def failing(name: str, package: str | None = None) -> Any:
        if name in failures:
            raise failures[name]
        return import_module(name, package)

    monkeypatch.setattr(importlib, "import_module", failing)
    return failures


URIS = {"timm": "timm:tiny.tag", "open_clip": "open_clip:ViT-B-32/openai", "transformers": "hf:"}


@pytest.mark.parametrize(("library", "extra"), [("timm", "timm"), ("open_clip", "open-clip"), ("transformers", "hf")])
@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (ModuleNotFoundError, r"{library} is not installed: pip install 'brain-assets\[{extra}\]'"),
        (
            ImportError("no nms", name="torchvision"),
            "{library} cannot be imported .no nms.: .*torchvision that belongs",
        ),
        (RuntimeError("operator torchvision::nms does not exist"), "nms does not exist.*torchvision that belongs"),
    ],
)
def test_missing_library_says_what_to_install(
    library: str, extra: str, failure: Any, message: str, importing: dict[str, Exception], tmp_path: Path
) -> None:
    importing[library] = failure(name=library) if isinstance(failure, type) else failure
    uri = URIS[library] if library != "transformers" else f"hf:{processor(tmp_path)}"
    with pytest.raises(MissingError, match=message.format(library=library, extra=extra)) as error:
        load_model(uri, device="cpu", cache=tmp_path / "cache")
    assert "\n" not in str(error.value)


def processor(folder: Path, name: str = "preprocessor_config.json", **changes: Any) -> Path:
    """Write an image processor's configuration like CLIP's."""
    config = {
        "size": {"shortest_edge": 40},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
        "resample": 3,
        "rescale_factor": 1 / 255,
        **changes,
    }
    given = {key: value for key, value in config.items() if value is not None}
    content = {"image_processor": given} if name == "processor_config.json" else given
    (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("changes", "size", "scaled", "resize"),
    [
        ({}, (32, 32), (40, 40), "crop"),
        ({"name": "processor_config.json"}, (32, 32), (40, 40), "crop"),
        ({"size": 40, "crop_size": 32}, (32, 32), (40, 40), "crop"),
        ({"size": 40, "crop_size": None, "do_center_crop": None}, (40, 40), None, "squash"),
        ({"size": {"height": 24, "width": 48}, "do_center_crop": False}, (24, 48), None, "squash"),
        ({"size": {"shortest_edge": 224}, "do_center_crop": False, "crop_pct": 0.875}, (224, 224), (256, 256), "crop"),
        ({"size": {"shortest_edge": 384}, "do_center_crop": False, "crop_pct": 0.875}, (384, 384), None, "crop"),
    ],
)
def test_geometry_of_an_image_processor(
    changes: dict[str, Any], size: Any, scaled: Any, resize: str, tmp_path: Path
) -> None:
    preprocessing = read_preprocessing(processor(tmp_path, **changes))
    assert (preprocessing.size, preprocessing.scaled, preprocessing.resize) == (size, scaled, resize)
    assert (preprocessing.mean, preprocessing.interpolation) == (CLIP_MEAN, "bicubic")


def test_processor_that_does_not_normalise(tmp_path: Path) -> None:
    preprocessing = read_preprocessing(processor(tmp_path, do_normalize=False, image_mean=None, resample=2))
    assert (preprocessing.mean, preprocessing.std, preprocessing.interpolation) == ((0, 0, 0), (1, 1, 1), "bilinear")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": None}, "lacks 'size'"),
        ({"size": {"longest_edge": 40}}, "lacks 'height'"),
        ({"size": "big"}, "is not supported"),
        ({"crop_size": 64}, "is not supported: cannot cut"),
        ({"do_flip_channel_order": True}, "is not supported: it wants pixels other than RGB"),
        ({"rescale_factor": 1 / 127.5}, "is not supported: it wants pixels other than RGB"),
    ],
)
def test_unsupported_processor_is_one_line(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message) as error:
        read_preprocessing(processor(tmp_path, **changes))
    assert str(tmp_path) in str(error.value)


def test_folder_without_a_processor_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"has no preprocessor_config\.json"):
        load_model(f"hf:{tmp_path}", device="cpu", cache=tmp_path / "cache")
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ConfigurationError, match="is not JSON"):
        load_model(f"hf:{tmp_path}", device="cpu", cache=tmp_path / "cache")


class Hub:
    """Stands in for huggingface_hub; counts what is fetched."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str | None]] = []

    def snapshot_download(self, name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        self.asked.append((name, revision))
        assert "*.safetensors" in allow_patterns
        if self.folder is None:
            raise OSError("no network\nsecond line")
        return str(self.folder)


def test_name_on_the_hub_is_fetched_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "snapshot"
    folder.mkdir()
    hub = Hub(processor(folder))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)  # type: ignore[arg-type]
    cache = tmp_path / "cache"
    versions = {model_version(f"hf:{name}", device="cpu", cache=cache) for name in ["org/tiny"] * 2 + [str(folder)]}
    assert len(versions) == 1
    assert hub.asked == [("org/tiny", None)]
    model_version("hf:org/tiny@v2", device="cpu", cache=cache)
    assert hub.asked[1:] == [("org/tiny", "v2")]


def test_hub_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub(None))  # type: ignore[arg-type]
    with pytest.raises(MissingError, match=r"no folder here, and the hub did not give it: no network$"):
        model_version("hf:org/tiny", device="cpu", cache=tmp_path)
    with pytest.raises(MissingError, match="no such folder"):
        model_version(f"hf:{tmp_path}/absent", device="cpu", cache=tmp_path)


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="transformers (extra `hf`) is not installed")


@pytest.fixture(scope="module")
def clip_folder(transformers: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIP of a few thousand weights with a tokenizer of single letters."""
    folder = processor(tmp_path_factory.mktemp("clip"))
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**tower, "vocab_size": 54, "max_position_embeddings": 12, "bos_token_id": 52, "eos_token_id": 53}
    vision = {**tower, "image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    transformers.CLIPModel(config).save_pretrained(folder)
    letters = [chr(code) + end for end in ("", "</w>") for code in range(ord("a"), ord("z") + 1)]
    vocabulary = {token: number for number, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


def test_clip_embeds_images_as_the_library_does(transformers: Any, clip_folder: Path, tmp_path: Path) -> None:
    model = load_model(f"hf:{clip_folder}", device="cpu", cache=tmp_path)
    images = random_images(model)
    assert images.shape == (3, 40, 40, 3)
    pixels = normalised(images[:, 4:-4, 4:-4], CLIP_MEAN, CLIP_STD)
    with torch.inference_mode():
        features = transformers.CLIPModel.from_pretrained(clip_folder).eval().get_image_features(pixel_values=pixels)
    expected = getattr(features, "pooler_output", features).numpy()
    np.testing.assert_allclose(model.embed(images), expected, atol=1e-5)
    assert_one_by_one(model, images)
    assert model.version == model_version(f"hf:{clip_folder}", device="cpu", cache=tmp_path)


def test_clip_embeds_text_as_the_library_does(transformers: Any, clip_folder: Path, tmp_path: Path) -> None:
    model = load_model(f"hf:{clip_folder}", device="cpu", cache=tmp_path)
    assert model.supports_text
    texts = ["a cat", "dog", "a text that is longer than the model can take"]
    vectors = model.embed_text(texts)
    assert vectors.shape == (3, model.dimension)
    tokens = transformers.CLIPTokenizer.from_pretrained(clip_folder)(["a cat"], return_tensors="pt")
    with torch.inference_mode():
        features = transformers.CLIPModel.from_pretrained(clip_folder).eval().get_text_features(**tokens)
    np.testing.assert_allclose(vectors[:1], getattr(features, "pooler_output", features).numpy(), atol=1e-5)
    np.testing.assert_array_equal(model.embed_text(texts[::-1]), vectors[::-1])
    assert model.embed_text([]).shape == (0, model.dimension)


def test_clip_without_a_tokenizer_embeds_no_text(clip_folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((clip_folder / name).read_bytes())
    model = load_model(f"hf:{tmp_path}", device="cpu", cache=tmp_path / "cache")
    assert not model.supports_text
    assert model.embed(random_images(model)).shape == (3, 12)


def test_text_is_padded_as_siglip_was_trained(transformers: Any, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "a": 2, "cat": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", model_input_names=["input_ids"]
    )
    tokenizer.save_pretrained(processor(tmp_path))
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**tower, "vocab_size": 4, "max_position_embeddings": 8, "pad_token_id": 0}
    vision = {**tower, "image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    network = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision)).eval()
    network.save_pretrained(tmp_path)
    with torch.inference_mode():
        features = network.get_text_features(input_ids=torch.tensor([[2, 3, 0, 0, 0, 0, 0, 0]]))
    vectors = load_model(f"hf:{tmp_path}", device="cpu", cache=tmp_path / "cache").embed_text(["a cat"])
    np.testing.assert_allclose(vectors, getattr(features, "pooler_output", features).numpy(), atol=1e-5)


def vision_transformer(transformers: Any, folder: Path, kind: str) -> Any:
    """Save a random network of one kind and return it."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(1)
    network = {
        "dinov2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(image_size=32, patch_size=8, **sizes)),
        "vit": lambda: transformers.ViTModel(transformers.ViTConfig(image_size=32, patch_size=8, **sizes)),
        "resnet": lambda: transformers.ResNetModel(
            transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
        ),
    }[kind]()
    network.eval().save_pretrained(processor(folder))
    return network


@pytest.mark.parametrize("kind", ["dinov2", "vit", "resnet"])
def test_network_of_images_gives_its_trained_pooling(transformers: Any, kind: str, tmp_path: Path) -> None:
    network = vision_transformer(transformers, tmp_path, kind)
    model = load_model(f"hf:{tmp_path}", device="cpu", cache=tmp_path / "cache")
    images = random_images(model)
    with torch.inference_mode():
        expected = network(normalised(images[:, 4:-4, 4:-4], CLIP_MEAN, CLIP_STD)).pooler_output.flatten(1)
    np.testing.assert_allclose(model.embed(images), expected.numpy(), atol=1e-5)
    assert_one_by_one(model, images)
    assert not model.supports_text


def test_untrained_pooling_is_not_used(transformers: Any, tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.ViTConfig(image_size=32, patch_size=8, **sizes)
    transformers.ViTForImageClassification(config).save_pretrained(processor(tmp_path))
    uri = f"hf:{tmp_path}"
    model = load_model(uri, device="cpu", cache=tmp_path / "cache")
    images = random_images(model)
    again = load_model(uri, device="cpu", cache=tmp_path / "cache").embed(images)
    np.testing.assert_array_equal(model.embed(images), again)  # a random pooling layer would differ


def test_folder_that_lacks_weights_is_one_line(transformers: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    vision_transformer(transformers, tmp_path, "dinov2")
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("layernorm.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigurationError, match=r"lacks weights, layernorm.weight among 1"):
        load_model(f"hf:{tmp_path}", device="cpu", cache=tmp_path / "cache")


def test_damaged_folder_is_one_line(transformers: Any, tmp_path: Path) -> None:
    vision_transformer(transformers, tmp_path, "dinov2")
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(BrainError, match="transformers cannot load") as error:
        load_model(f"hf:{tmp_path}", device="cpu", cache=tmp_path / "cache")
    assert "\n" not in str(error.value)
