"""What is installed behind each door, from signals to engines, and what could not be used."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, packages_distributions, version

from brain_assets.resources.settings.configuration import (
    BACKENDS,
    ENGINES,
    LABEL_FORMATS,
    OWN_ENGINES,
    VECTOR_INDEXES,
)

OURS = "brain-assets"
# The library that runs the models of a scheme, as it is imported, and the extra that brings it.
LIBRARIES = {
    "builtin": ("onnxruntime", ""),
    "onnx": ("onnxruntime", ""),
    "torchscript": ("torch", ""),
    "hf": ("transformers", "hf"),
    "timm": ("timm", "timm"),
    "open_clip": ("open_clip", "open-clip"),
}
# What each backend of vector indexes is reached by; the others need nothing.
CLIENTS = {
    "sklearn": "sklearn", "faiss": "faiss", "qdrant": "qdrant_client", "redis": "redis", "milvus": "pymilvus",
    "lancedb": "lancedb", "pgvector": "psycopg", "elasticsearch": "elasticsearch", "opensearch": "opensearchpy",
    "mongodb": "pymongo", "pinecone": "pinecone",
}  # fmt: skip


@dataclass(frozen=True)
class Plugin:
    """One member of a door.

    Attributes
    ----------
    kind : str
        ``signal``, ``label format``, ``embedding model``, ``vector index`` or ``engine``.
    name : str
    distribution, version : str
        The installed package that brings it; empty where none is.
    fault : str
        Why it is left out; empty where it is used.
    """

    kind: str
    name: str
    distribution: str
    version: str
    fault: str = ""


def installed() -> list[Plugin]:
    """Return all members of all doors, those of the house first."""
    return [*_signals(), *_label_formats(), *_models(), *_indexes(), *_engines()]


def told() -> Iterator[str]:
    """Yield a line for each member, aligned."""
    rows = [(one.kind, one.name, f"{one.distribution} {one.version}".strip(), one.fault) for one in installed()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for kind, name, origin, fault in rows:
        shown = f"{kind:{widths[0]}}  {name:{widths[1]}}  {origin:{widths[2]}}"
        yield (f"{shown}  left out: {fault}" if fault else shown).rstrip()


def as_json() -> list[dict[str, str]]:
    """Return all members for machines."""
    return [asdict(one) for one in installed()]


def _signals() -> Iterator[Plugin]:
    from brain_assets.signals.plugins import GROUP, LEFT_OUT
    from brain_assets.signals.registry import SIGNALS

    for signal in SIGNALS:
        if not signal.plugin:
            yield _ours("signal", signal.name)
    yield from _brought("signal", GROUP, LEFT_OUT)


def _label_formats() -> Iterator[Plugin]:
    from brain_assets.resources.label_formats.door import LEFT_OUT, TABLE_FORMS, formats
    from brain_assets.resources.label_formats.house import READ

    formats()
    yield from (_ours("label format", name) for name in (*(one.name for one in READ), *TABLE_FORMS))
    yield from _brought("label format", LABEL_FORMATS, LEFT_OUT)


def _models() -> Iterator[Plugin]:
    from brain_assets.resources.models.embedding_models import SCHEMES

    for scheme in SCHEMES:
        module, extra = LIBRARIES.get(scheme, ("brain_assets", ""))
        yield _library("embedding model", f"{scheme}:", module, extra)


def _indexes() -> Iterator[Plugin]:
    for name in BACKENDS:
        yield _library("vector index", name, CLIENTS.get(name, "brain_assets"), name)
    yield from _brought("vector index", VECTOR_INDEXES, {})


def _engines() -> Iterator[Plugin]:
    for name, (_, library) in OWN_ENGINES.items():
        yield _library("engine", name, library or "brain_assets", name)
    yield from _brought("engine", ENGINES, {})


def _library(kind: str, member: str, module: str, extra: str) -> Plugin:
    """Return a member, with the library that it needs, without importing that."""
    if module == "brain_assets":
        return _ours(kind, member)
    for name in packages_distributions().get(module, []):
        return Plugin(kind, member, name, version(name))
    fault = f"{module} is not installed: pip install 'brain-assets[{extra}]'" if extra else f"{module} is not installed"
    return Plugin(kind, member, "", "", fault)


def _ours(kind: str, name: str) -> Plugin:
    try:
        return Plugin(kind, name, OURS, version(OURS))
    except PackageNotFoundError:
        return Plugin(kind, name, OURS, "")


def _brought(kind: str, group: str, left_out: dict[str, str]) -> Iterator[Plugin]:
    for entry in sorted(entry_points(group=group), key=lambda one: (one.name, one.value)):
        yield _of_entry(kind, entry, left_out.get(f"{entry.name} = {entry.value}", ""))


def _of_entry(kind: str, entry: EntryPoint, fault: str) -> Plugin:
    distribution = entry.dist
    named = (distribution.name, distribution.version) if distribution else ("", "")
    return Plugin(kind, entry.name, *named, fault)
