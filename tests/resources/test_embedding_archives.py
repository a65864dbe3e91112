"""A crafted archive of torch.export runs nothing: each of these ran code, or could, when it was loaded."""

import contextlib
import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brain_assets.resources.errors import ConfigurationError
from brain_assets.resources.models import embedding_archives
from brain_assets.resources.models.embedding_models import load_model

torch = pytest.importorskip("torch")
Entries = dict[str, bytes]


class Deed:
    """Pickled, a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def pickled(deed: Deed) -> bytes:
    buffer = io.BytesIO()
    torch.save(deed, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Entries:
    """The entries of an honest archive with an open batch size, by their names below its root."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    path = tmp_path_factory.mktemp("sound") / "model.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(network, (torch.zeros(2, 3, 32, 32),), dynamic_shapes=shapes), path)
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write(path: Path, entries: Entries) -> Path:
    """Write an archive as torch does: stored, below one root."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            archive.writestr(f"{path.stem}/{name}", data)
    return path


def load(path: Path) -> Any:
    return load_model(f"torchscript:{path}", device="cpu", cache=path.parent / "cache")


def changed(entries: Entries, name: str, change: Callable[[Any], None]) -> Entries:
    """Return the entries with one JSON among them changed."""
    tree = json.loads(entries[name])
    change(tree)
    return entries | {name: json.dumps(tree).encode()}


def in_sample_inputs(entries: Entries, deed: Deed) -> Entries:
    return entries | {"data/sample_inputs/model.pt": pickled(deed)}


def in_pickled_weight(entries: Entries, deed: Deed) -> Entries:
    def unpickle(config: Any) -> None:
        next(iter(config["config"].values()))["use_pickle"] = True

    name = "data/weights/model_weights_config.json"
    return changed(entries, name, unpickle) | {"data/weights/weight_0": pickled(deed)}


def in_earlier_weights(entries: Entries, deed: Deed) -> Entries:
    return entries | {"data/weights/model.pt": pickled(deed)}


def in_opaque_constant(entries: Entries, deed: Deed) -> Entries:
    def name_it(config: Any) -> None:
        weights = json.loads(entries["data/weights/model_weights_config.json"])
        payload = next(iter(weights["config"].values()))
        config["config"] = {"made": payload | {"path_name": "opaque_obj_0", "use_pickle": True}}

    name = "data/constants/model_constants_config.json"
    return changed(entries, name, name_it) | {"data/constants/opaque_obj_0": pickle.dumps(deed)}


def in_size(entries: Entries, deed: Deed) -> Entries:
    call = f"__import__('pathlib').Path({str(deed.path)!r}).touch() or Integer(2)"
    text = entries["models/model.json"].decode()
    start = text.index('"expr_str": "') + len('"expr_str": "')
    end = text.index('"', start)
    return entries | {"models/model.json": (text[:start] + call + text[end:]).encode()}


def in_operator(entries: Entries, deed: Deed) -> Entries:
    def call(tree: Any) -> None:
        tree["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.load_library"

    return changed(entries, "models/model.json", call)


def in_file_operator(entries: Entries, deed: Deed) -> Entries:
    def call(tree: Any) -> None:
        tree["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"

    return changed(entries, "models/model.json", call)


def in_compiled_library(entries: Entries, deed: Deed) -> Entries:
    return entries | {"data/aotinductor/model/model.so": b"\x7fELF"}


def under_another_case(entries: Entries, deed: Deed) -> Entries:
    return entries | {"DATA/constants/opaque_obj_0": pickle.dumps(deed)}


RAN = [in_sample_inputs, in_pickled_weight, in_earlier_weights, in_opaque_constant, in_size]
DEEDS = [*RAN, in_operator, in_file_operator, in_compiled_library, under_another_case]


def test_an_honest_archive_is_loaded(sound: Entries, tmp_path: Path) -> None:
    path = write(tmp_path / "model.pt2", sound)
    Path(f"{path}.json").write_text('{"size": 32}')
    assert load(path).dimension == 8


@pytest.mark.parametrize("craft", DEEDS, ids=lambda craft: craft.__name__)
def test_a_crafted_archive_runs_nothing(craft: Any, sound: Entries, tmp_path: Path) -> None:
    deed = Deed(tmp_path / "done")
    path = write(tmp_path / "model.pt2", craft(sound, deed))
    with pytest.raises(ConfigurationError, match=r"export it to ONNX.*if you trust it") as error:
        load(path)
    assert not deed.path.exists()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("craft", RAN, ids=lambda craft: craft.__name__)
def test_torch_itself_does_run_it(craft: Any, sound: Entries, tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    deed = Deed(tmp_path / "done")
    path = write(tmp_path / "model.pt2", craft(sound, deed))
    with contextlib.suppress(Exception):
        torch.export.load(path)
    assert deed.path.exists()


def test_an_archive_of_an_earlier_release_is_held_to_the_same(sound: Entries, tmp_path: Path) -> None:
    deed = Deed(tmp_path / "done")
    parts = {"version": b"8.20", "serialized_exported_program.json": sound["models/model.json"]}
    parts |= {f"serialized_{name}.pt": pickled(deed) for name in ("state_dict", "constants", "example_inputs")}
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(ConfigurationError, match="holds more than tensors"):
        load(path)
    assert not deed.path.exists()


@pytest.mark.parametrize(
    "text",
    ["Symbol('s31', positive=True, integer=True)", "Add(Mul(Integer(2), Symbol('s0')), Integer(-1))", "s0*2 + 1", "oo"],
)
def test_sizes_are_arithmetic(text: str) -> None:
    assert embedding_archives._is_arithmetic(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "s0.__class__",
        "(lambda: 1)()",
        "eval('1')",
        "s0[0]",
        "Symbol('a b')",
        "[x for x in s0]",
        "(",
        "f'{s0}'",
    ],
)
def test_other_texts_are_no_sizes(text: str) -> None:
    assert not embedding_archives._is_arithmetic(text)


def test_forcing_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    buffer = io.BytesIO()
    torch.save({"path": Path("x")}, buffer)
    with embedding_archives.weights_only(), pytest.raises(pickle.UnpicklingError):
        torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    assert torch.load(io.BytesIO(buffer.getvalue()), weights_only=False) == {"path": Path("x")}
