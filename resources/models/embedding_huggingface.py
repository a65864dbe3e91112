"""``hf:FOLDER`` and ``hf:NAME[@REVISION]``: models of the Hugging Face library transformers, such as CLIP and DINOv2.

A folder is read as it is, offline. A name is downloaded from the hub once (naming it is asking for it) and from then on
read from where it was put: a dataset keeps the weights it began with, whatever is uploaded under the name later. The
model version covers the content of the files, so that a folder and a download of the same model agree.

Images are prepared by what the model's processor configuration says. The vector of an image is ``get_image_features``
where the model has it (CLIP and its kin, which then embed text as well), else the trained pooled output, else the class
token or, of a convolutional network, the mean over positions.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brain_assets.resources.errors import ConfigurationError, MissingError
from brain_assets.resources.models.embedding_archives import weights_only
from brain_assets.resources.models.embedding_cache import files_digest, fingerprint, write_text
from brain_assets.resources.models.embedding_libraries import image_network, import_library
from brain_assets.resources.models.embedding_networks import (
    Network,
    Placement,
    TextFunction,
    first_line,
    one_by_one,
    torch_runner,
)
from brain_assets.resources.models.embedding_preprocessing import Preprocessing, read_json

GENERATION = 1  # raise when the same files would give other vectors
SUFFIXES = (".json", ".safetensors", ".bin", ".txt", ".model")
TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
NAME = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?")
Size = tuple[int, int]
BICUBIC, LANCZOS = 3, 1  # Pillow's numbers, as the configurations use them


@dataclass(frozen=True)
class HuggingFaceSource:
    """A folder of transformers, given or downloaded."""

    target: str
    cache: Path
    runtimes = ("torch",)

    def identity(self) -> list[object]:
        """Return what its vectors depend on, apart from the runtime."""
        files = [path for path in self._folder().iterdir() if path.suffix in SUFFIXES and path.is_file()]
        return ["hf", GENERATION, files_digest(files, self.cache)]

    def load(self, placement: Placement) -> Network:
        """Return the network, tried once."""
        folder = self._folder()
        preprocessing = read_preprocessing(folder)
        transformers = _transformers()
        model, missing = _load_model(transformers, folder)
        forward = torch_runner(model, placement, _image_function(model, missing))
        network = image_network(forward, preprocessing, placement, f"hf:{self.target}")
        return replace(network, run_text=_text_function(transformers, model, folder, placement))

    def _folder(self) -> Path:
        path = Path(self.target).expanduser()
        if path.is_dir():
            return path
        match = NAME.fullmatch(self.target)
        if match is None:
            raise MissingError(f"hf:{self.target}: no such folder, and it cannot be a name on the hub")
        return _downloaded(match["name"], match["revision"], self.cache)


def _downloaded(name: str, revision: str | None, cache: Path) -> Path:
    """Return the folder of a model of the hub; it is asked for only when it was never fetched whole."""
    note = cache / "hub" / f"{fingerprint(name, revision)}.json"
    if note.exists() and (folder := Path(str(read_json(note)["folder"]))).is_dir():
        return folder
    hub = import_library("huggingface_hub", "hf")
    try:
        folder = Path(hub.snapshot_download(name, revision=revision, allow_patterns=[f"*{end}" for end in SUFFIXES]))
    except Exception as error:
        raise MissingError(f"hf:{name} is no folder here, and the hub did not give it: {first_line(error)}") from error
    write_text(note, json.dumps({"name": name, "revision": revision, "folder": str(folder)}))
    return folder


def _transformers() -> Any:
    transformers = import_library("transformers", "hf")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def _load_model(transformers: Any, folder: Path) -> tuple[Any, frozenset[str]]:
    """Return the model and the names of weights that its files lack; only a pooling layer may be lacking."""
    import torch

    try:
        with weights_only():
            model, report = transformers.AutoModel.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, output_loading_info=True
            )
    except Exception as error:
        raise ConfigurationError(f"transformers cannot load {folder}: {first_line(error)}") from error
    missing = frozenset(report["missing_keys"])
    untrained = sorted(key for key in missing if "pooler" not in key)
    if untrained:
        raise ConfigurationError(f"{folder} lacks weights, {untrained[0]} among {len(untrained)}: download it again")
    return model.eval(), missing


def _image_function(model: Any, missing: frozenset[str]) -> Callable[[Any], Any]:
    if hasattr(model, "get_image_features"):
        return lambda pixels: _pooled(model.get_image_features(pixel_values=pixels), trained=True)
    return lambda pixels: _pooled(model(pixel_values=pixels), trained=not missing)


def _pooled(output: Any, *, trained: bool) -> Any:
    """Return one vector per image from a tensor (earlier releases of transformers) or an output object."""
    if not hasattr(output, "last_hidden_state"):
        return output
    pooled = getattr(output, "pooler_output", None)
    if pooled is not None and trained:
        return pooled.flatten(1)
    hidden = output.last_hidden_state
    return hidden[:, 0] if hidden.ndim == 3 else hidden.flatten(2).mean(2)


def _text_function(transformers: Any, model: Any, folder: Path, placement: Placement) -> TextFunction | None:
    """Return what embeds text, None when the model or its folder has no means to."""
    if not hasattr(model, "get_text_features") or not any((folder / name).exists() for name in TOKENIZERS):
        return None
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    length = model.config.text_config.max_position_embeddings

    def tokenize(text: str) -> Sequence[Any]:
        tokens = tokenizer([text], padding="max_length", truncation=True, max_length=length, return_tensors="np")
        return [tokens[name] for name in ("input_ids", "attention_mask") if name in tokens]

    def features(ids: Any, mask: Any = None) -> Any:
        return _pooled(model.get_text_features(input_ids=ids, attention_mask=mask), trained=True)

    return one_by_one(torch_runner(model, placement, features), tokenize)


def read_preprocessing(folder: Path) -> Preprocessing:
    """Return what the image processor of a folder does, from ``preprocessor_config.json`` or ``processor_config.json``.

    Raises
    ------
    MissingError
        There is neither.
    ConfigurationError
        It lacks something, or asks for what is not supported.
    """
    config = _processor_configuration(folder)
    try:
        return _preprocessing(config)
    except KeyError as error:
        raise ConfigurationError(f"{folder}: the image processor's configuration lacks {error}") from None
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{folder}: the image processor is not supported: {error}") from None


def _processor_configuration(folder: Path) -> dict[str, Any]:
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).exists():
            config = read_json(folder / name)
            return dict(config.get("image_processor", config))
    raise MissingError(f"{folder} has no preprocessor_config.json, which says how images are prepared")


def _preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    if config.get("do_flip_channel_order") or abs(255 * config.get("rescale_factor", 1 / 255) - 1) > 1e-6:
        raise ValueError("it wants pixels other than RGB in [0, 1]")
    size, scaled = _geometry(config)
    shortest_edge = "shortest_edge" in config["size"] if isinstance(config["size"], dict) else scaled is not None
    plain = not config.get("do_normalize", True)
    return Preprocessing(
        size=size,
        scaled=scaled,
        resize="crop" if shortest_edge else "squash",
        interpolation="bicubic" if config.get("resample") in (BICUBIC, LANCZOS) else "bilinear",
        mean=(0.0, 0.0, 0.0) if plain else tuple(config["image_mean"]),
        std=(1.0, 1.0, 1.0) if plain else tuple(config["image_std"]),
    )


def _geometry(config: Mapping[str, Any]) -> tuple[Size, Size | None]:
    """Return the size the network takes and the one before its centre is cut out, if it is."""
    height, width = _sides(config["size"])
    if config.get("do_center_crop", "crop_size" in config):
        return _sides(config["crop_size"]), (height, width)
    if "crop_pct" in config and height < 384:
        return (height, width), (int(height / config["crop_pct"]), int(width / config["crop_pct"]))
    return (height, width), None


def _sides(size: Any) -> Size:
    """Return height and width of a size in any of the forms that configurations use."""
    if isinstance(size, int):
        return size, size
    if "shortest_edge" in size:
        return size["shortest_edge"], size["shortest_edge"]
    return size["height"], size["width"]
