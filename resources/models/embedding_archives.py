"""What an archive of ``torch.export.save`` may hold, so that loading it runs nothing of its author's.

Such an archive is meant to be trusted: torch unpickles its sample inputs, constants and some weights without
restriction, evaluates its symbolic sizes as Python, calls functions by name, loads compiled libraries. What is let
through is what a plain network needs: tensors, operators of torch, and sizes that are arithmetic.
"""

import ast
import json
import os
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brain_assets.resources.errors import ConfigurationError

# Entries below data/ and models/, as torch names those of the one network that is loaded; elsewhere lie only notes.
ENTRY = re.compile(
    r"models/model\.json|data/sample_inputs/model\.pt"
    r"|data/weights/(weight_\d+|model\.pt|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model\.pt|model_constants_config\.json)"
)
GRAPHS = ("models/model.json", "serialized_exported_program.json")
OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|torchvision)\.\w+\.\w+"
    r"|torch\.ops\.higher_order\.(cond|map_impl|wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|_operator\.\w+|math\.\w+|torch\.sym_\w+|torch\._sym_\w+"
)
FILE_OPERATORS = {"torch.ops.aten.from_file.default", "torch.ops.aten.from_file.out"}
SYMBOL = re.compile(r"[a-z]{1,3}\d+")
EXPRESSION: tuple[type[ast.AST], ...] = (
    ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Constant, ast.Load, ast.Tuple, ast.BinOp, ast.UnaryOp, ast.Compare,
    ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip
FUNCTIONS = {
    "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Mod", "Max", "Min", "Abs", "floor", "ceiling",
    "FloorDiv", "CleanDiv", "CeilDiv", "PythonMod", "ModularIndexing", "Where", "IntTrueDiv", "FloatTrueDiv", "ToFloat",
    "TruncToInt", "TruncToFloat", "FloorToInt", "CeilToInt", "RoundToInt", "RoundDecimal", "Identity", "PowByNatural",
    "FloatPow", "IsNonOverlappingAndDenseIndicator", "LShift", "RShift", "Equality", "Eq", "Unequality", "Ne",
    "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "And", "Or", "Not",
}  # fmt: skip
CONSTANTS = {"true", "false", "oo", "int_oo"}
ADVICE = "export it to ONNX (onnx:PATH), or write a class that loads it (python:MODULE:CLASS) if you trust it"

_FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_forcing = threading.RLock()


@contextmanager
def weights_only() -> Iterator[None]:
    """Let ``torch.load`` read tensors and plain values only while the block runs, whatever its caller asks for."""
    with _forcing:
        before = os.environ.get(_FORCED)
        os.environ[_FORCED] = "1"
        try:
            yield
        finally:
            os.environ.pop(_FORCED)
            if before is not None:
                os.environ[_FORCED] = before


def check_archive(path: Path) -> None:
    """Refuse an archive of ``torch.export.save`` that holds more than tensors, operators of torch and arithmetic.

    Raises
    ------
    ConfigurationError
        With what it holds, and what to do instead.
    """
    for entries in _as_read(path):
        folded = [name.casefold() for name in entries]
        if len(set(folded)) < len(folded):
            raise ConfigurationError(f"{path} names an entry twice, which is refused: {ADVICE}")
        for name in entries:
            if name.casefold().startswith(("data/", "models/")) and not ENTRY.fullmatch(name):
                raise ConfigurationError(f"{path} holds {name}, which may run code when it is loaded: {ADVICE}")
        for name in set(GRAPHS) & entries.keys():
            _check_graph(json.loads(entries[name]), path)


def _as_read(path: Path) -> Iterator[Mapping[str, bytes]]:
    """Yield the entries as either reader of torch finds them: its own, and Python's for archives of earlier releases."""
    import torch

    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise ConfigurationError(f"{path} names an entry twice, which is refused: {ADVICE}")
        yield {name: archive.read(name) if name in GRAPHS else b"" for name in names}
    try:
        reader = torch._C.PyTorchFileReader(str(path))
    except RuntimeError:
        return  # as torch.export.load then reads it with zipfile
    records = reader.get_all_records()
    yield {name: reader.get_record(name) if name in GRAPHS else b"" for name in records}
    if len(set(records)) < len(records):
        raise ConfigurationError(f"{path} names an entry twice, which is refused: {ADVICE}")


def _check_graph(tree: Any, path: Path) -> None:
    """Refuse a serialized graph that calls anything but torch's operators, or whose sizes are not arithmetic."""
    for key, value in _strings(tree):
        if key == "target" and (value in FILE_OPERATORS or not OPERATOR.fullmatch(value)):
            raise ConfigurationError(f"{path} calls {value[:80]!r}, which is no operator of a network: {ADVICE}")
        if key == "expr_str" and not _is_arithmetic(value):
            raise ConfigurationError(f"{path} has the size {value[:80]!r}, which is not arithmetic: {ADVICE}")
        if key in {"in_spec", "out_spec"} and "default_factory" in value:
            raise ConfigurationError(f"{path} takes or gives a defaultdict, whose maker could be anything: {ADVICE}")


def _strings(tree: Any) -> Iterator[tuple[str, str]]:
    """Yield every text in a JSON tree with the key that it stands under."""
    waiting = [("", tree)]
    while waiting:
        key, node = waiting.pop()
        if isinstance(node, str):
            yield key, node
        elif isinstance(node, Mapping):
            waiting += node.items()
        elif isinstance(node, list):
            waiting += [(key, item) for item in node]


def _is_arithmetic(text: str) -> bool:
    """Tell whether sympy can evaluate a text without calling anything but functions of numbers and symbols."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_plain(node) for node in ast.walk(tree))


def _is_plain(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS
    if isinstance(node, ast.Name):
        return node.id in FUNCTIONS | CONSTANTS or SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.fullmatch(r"\w+|-?[\d.e+-]+", node.value) is not None
    return isinstance(node, EXPRESSION)
