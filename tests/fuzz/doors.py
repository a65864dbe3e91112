"""The doors by which bytes of others come in: valid files for each, and what may come of damaged ones."""

import io
import json
import random
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from brain_assets.resources.decoding.decoding import DecodeJob, Decoder
from brain_assets.resources.errors import BrainError, Refused
from brain_assets.resources.limits import is_outside
from brain_assets.resources.media import archives, videos
from brain_assets.resources.media.media_source import open_source
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.review import create_app
from tests.fuzz.mutations import mutated
from tests.resources.test_label_formats import EXAMPLES
from tests.resources.test_odd_inputs import read_everything
from tests.review.client import HOST, TOKEN, Client
from tests.review_data import Synthetic
from tests.workshop import encoded, picture

Corpus = Mapping[str, bytes]


class FoundFault(AssertionError):
    """What no input may cause."""


@dataclass(frozen=True)
class Door:
    """A way in.

    Attributes
    ----------
    corpus : callable
        Returns valid files by name.
    enter : callable
        Takes a file's name and bytes; raises where something else happens than may.
    """

    corpus: Callable[[], Corpus]
    enter: Callable[[str, bytes], object]


def case(door: str, seed: int) -> tuple[str, bytes]:
    """Return the name and bytes of one case; a seed always gives the same."""
    source = random.Random(f"{door} {seed}")
    files = dict(DOORS[door].corpus())
    name = source.choice(sorted(files))
    return name, mutated(files[name], list(files.values()), source)


def enter(door: str, seed: int) -> None:
    """Send one case through a door; raises what must not happen."""
    name, data = case(door, seed)
    DOORS[door].enter(name, data)


# -- images ------------------------------------------------------------------------------------

IMAGE_FORMS: dict[str, dict[str, Any]] = {
    "a.jpg": {"format": "JPEG"}, "b.jpg": {"format": "JPEG", "progressive": True}, "a.png": {"format": "PNG"},
    "a.gif": {"format": "GIF"}, "a.bmp": {"format": "BMP"}, "a.webp": {"format": "WEBP"},
    "b.webp": {"format": "WEBP", "lossless": True}, "a.tif": {"format": "TIFF"},
    "b.tif": {"format": "TIFF", "compression": "tiff_lzw"}, "a.jp2": {"format": "JPEG2000"}, "a.ppm": {"format": "PPM"},
    "a.tga": {"format": "TGA"}, "a.ico": {"format": "ICO"}, "a.pcx": {"format": "PCX"}, "a.sgi": {"format": "SGI"},
    "a.avif": {"format": "AVIF"}, "a.dds": {"format": "DDS"},
}  # fmt: skip
THREADED_FORMS = {"JPEG", "PNG", "GIF", "BMP", "WEBP"}


def _images() -> Iterator[tuple[str, bytes]]:
    for name, options in IMAGE_FORMS.items():
        with suppress(OSError, KeyError):
            buffer = io.BytesIO()
            picture(len(name), (40, 30)).save(buffer, **options)
            yield name, buffer.getvalue()
    frames = [picture(seed, (20, 16)) for seed in range(3)]
    for name, form in (("c.gif", "GIF"), ("c.png", "PNG"), ("c.webp", "WEBP")):
        buffer = io.BytesIO()
        frames[0].save(buffer, form, save_all=True, append_images=frames[1:])
        yield name, buffer.getvalue()
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    picture(9, (40, 30)).save(buffer, "JPEG", exif=exif)
    yield "exif.jpg", buffer.getvalue()


@cache
def _decoder() -> Decoder:
    return Decoder(preview_size=64)


def _decode(name: str, data: bytes) -> None:
    (row,) = list(_decoder().decode([DecodeJob(name, lambda: data, len(data))]))
    if row.status == "ok":
        if not (row.width and row.height and row.preview):
            raise FoundFault(f"a sound image without a size or a preview: {row}")
    elif not row.error or is_outside(row.error) or "\n" in row.error or row.error.startswith("crashed"):
        raise FoundFault(f"{name}: {row.error}")
    list(_decoder().pixel_hashes([DecodeJob(name, lambda: data, len(data))]))


# -- archives ----------------------------------------------------------------------------------


def _archives() -> Iterator[tuple[str, bytes]]:
    members = {"train/a.png": encoded(picture(1)), "b.bmp": encoded(picture(2), "BMP"), "notes.txt": b"x" * 50}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name, (2023, 11, 14, 22, 13, 20)), data, method)
        yield f"{method}.zip", buffer.getvalue()
    for name, mode, form in (
        ("a.tar", "w", tarfile.PAX_FORMAT),
        ("b.tar", "w", tarfile.GNU_FORMAT),
        ("a.tar.gz", "w:gz", None),
    ):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode, format=form or tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
            for member, data in members.items():
                info = tarfile.TarInfo(member)
                info.size, info.mtime, info.pax_headers = len(data), 1_700_000_000, {"comment": "x"}
                archive.addfile(info, io.BytesIO(data))
        yield name, buffer.getvalue()


def _look_into(name: str, data: bytes) -> None:
    with _file(name, data) as path:
        found = archives.list_members(str(path))
        for member in found.members[:20]:
            if member.error is None:
                with suppress(Refused, OSError):
                    archives.read_member(str(path), member.name)
        if archives.is_sequential(str(path)):
            with suppress(Refused, OSError):
                list(archives.read_members(str(path), [member.name for member in found.members]))
        _one_line(found.error)


# -- videos ------------------------------------------------------------------------------------


def _videos() -> Iterator[tuple[str, bytes]]:
    import av

    forms = {"a.mp4": ("libx264", "yuv420p"), "a.mkv": ("ffv1", "bgr0"), "a.avi": ("mjpeg", "yuvj420p")}
    with tempfile.TemporaryDirectory() as folder:
        for name, (codec, form) in forms.items():
            path = Path(folder) / name
            with av.open(str(path), "w") as video:
                stream = video.add_stream(codec, rate=4)
                stream.width, stream.height, stream.pix_fmt = 64, 48, form
                for seed in range(8):
                    video.mux(stream.encode(av.VideoFrame.from_image(picture(seed, (64, 48)))))
                video.mux(stream.encode(None))
            yield name, path.read_bytes()


def _watch(name: str, data: bytes) -> None:
    with _file(name, data) as path:
        found = videos.list_frames(str(path), 0.5)
        _one_line(found.error)
        names = [member.name for member in found.members][:10]
        for _, _, frame in videos.read_frames(str(path), names) if names else ():
            _one_line(str(frame) if isinstance(frame, Refused) else None)


# -- labels, tables, listings, settings --------------------------------------------------------


def _labels() -> Iterator[tuple[str, bytes]]:
    for name, content in EXAMPLES.values():
        data = content if isinstance(content, bytes) else content if isinstance(content, str) else json.dumps(content)
        if Path(name).suffix in (".json", ".xml", ".txt"):
            yield name.replace("/", "_"), data if isinstance(data, bytes) else data.encode()


def _tables() -> Iterator[tuple[str, bytes]]:
    rows = {
        "filepath": ["a.png", "b.png"],
        "label": ["cat", "dog"],
        "confidence": [0.5, 0.7],
        "logits": [[1.0, 2.0], [0.0, 1.0]],
    }
    table = pa.table(rows)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    yield "net.parquet", buffer.getvalue()
    yield "net.csv", b'filepath,label,confidence,split,tags\na.png,cat,0.5,train,"x,y"\nb.png,"a ""dog""",0.7,val,\n'
    yield "net.jsonl", "\n".join(json.dumps(row) for row in table.to_pylist()).encode()


def _read(name: str, data: bytes) -> None:
    with _file(name, data) as path, suppress(BrainError):
        read_everything(path, data)


def _listings() -> Iterator[tuple[str, bytes]]:
    yield "list.txt", "pictures/a.png\n# a comment\n\npictures/b.png\nfile:///nowhere/ü.jpg\n".encode()
    yield "manifest.csv", b"filepath,split,tags\npictures/a.png,train,x\npictures/b.png,val,y\n"
    yield "manifest.jsonl", b'{"filepath": "pictures/a.png", "split": "train"}\n{"filepath": "b.png", "tags": ["a"]}\n'
    yield "data.yaml", b"path: .\ntrain: pictures\nval: [pictures]\nnc: 2\nnames: {0: cat, 1: dog}\n"
    buffer = io.BytesIO()
    pq.write_table(pa.table({"filepath": ["pictures/a.png", "b.png"], "split": ["train", None]}), buffer)
    yield "manifest.parquet", buffer.getvalue()


def _list(name: str, data: bytes) -> None:
    with _file(name, data) as path:
        try:
            open_source(str(path), "column").list()
        except BrainError as error:
            _one_line(str(error))


SETTINGS = b"""\
# A dataset
media: [/pictures, "s3://bucket/a"]
split_from: folder
labels:
- {uri: a.csv, field: kind}
- uri: folder
similarity: {k: 5, metric: cosine}
near_duplicates:
  threshold: null
runs:
- {brain_key: mine, method: uniqueness, where: "split = 'train'"}
gates:
- {metric: issue_leak, limit: 0, severity: block}
classes: [cat, dog]
"""


def _settings() -> Iterator[tuple[str, bytes]]:
    yield "dataset.yaml", SETTINGS


def _load(name: str, data: bytes) -> None:
    with _file(name, data) as path:
        try:
            load_dataset(path)
        except BrainError as error:
            _one_line(str(error))


# -- requests of the page ----------------------------------------------------------------------

QUESTIONS: dict[str, Any] = {
    "find": {"version": "000001", "frame": "images", "where": "uniqueness < 0.5 and split = 'train'", "text": "a"},
    "rows": {"version": "000001", "frame": "images", "positions": [0, 1, 2]},
    "alike": {"version": "000001", "frame": "images", "ids": ["x"], "k": 5, "metric": "cosine", "aggregate": "mean"},
    "say": {"version": "000001", "kind": "tag", "value": "odd", "ids": ["x"], "by": "ada"},
    "say-of-pairs": {"version": "000001", "kind": "not_copy", "ids": ["x", "y"]},
    "correct": {"version": "000001", "sample": "x", "kind": "draw", "label": "cat",
                "shape": {"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2}},
    "approve": {"version": "000001", "frame": "objects", "ids": ["x"]},
    "undo": {"event_id": 1}, "save-view": {"name": "mine", "state": {"frame": "images"}},
    "GET column": "name=split&frame=images", "GET subject": "id=x", "GET queue": "issue=outlier&offset=0",
    "GET groups": "table=near_duplicates&brain_key=near_duplicates&offset=0", "GET overview": "", "GET version": "",
    "GET evaluation": "field=ground_truth&model=net", "GET ../image/demo/x": "size=thumb&content=y",
}  # fmt: skip


@lru_cache(1)
def _page() -> tuple[Client, list[str]]:
    synthetic = Synthetic(Path(tempfile.mkdtemp()), count=100).create()
    client = Client(create_app(synthetic.home, token=TOKEN)).sign_in()
    return client, [row["sample_id"] for row in _samples(synthetic)]


def _samples(synthetic: Synthetic) -> list[dict[str, Any]]:
    path = Path(synthetic.home) / "datasets" / synthetic.name / "published" / "current" / "samples.parquet"
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def _questions() -> Iterator[tuple[str, bytes]]:
    client, ids = _page()
    version = client.get("version").json()
    known = version["version"] if isinstance(version, dict) else version
    for name, question in QUESTIONS.items():
        text = question if isinstance(question, str) else json.dumps(question)
        yield (
            name,
            text.replace('"x"', f'"{ids[0]}"').replace('"y"', f'"{ids[1]}"').replace("000001", str(known)).encode(),
        )


def _ask(name: str, data: bytes) -> None:
    client, _ = _page()
    if name.startswith("GET "):
        query = data.decode("latin-1").replace("\n", "")
        reply = client.request("GET", f"/api/{client.dataset}/{name[4:]}?{query}")
    else:
        usual = {"origin": f"http://{HOST}", "content_type": "application/json"}
        reply = client.request("POST", f"/api/{client.dataset}/{name}", data, **usual)
    if reply.status >= 500:
        raise FoundFault(f"{name} {data[:300]!r}: {reply.status} {reply.body[:300]!r}")


# -- what all share ----------------------------------------------------------------------------


class _file:
    """A file of the bytes, in a folder of its own with two pictures."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name, self.data = name, data

    def __enter__(self) -> Path:
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        (root / "pictures").mkdir()
        (root / "pictures" / "a.png").write_bytes(b"not looked into")
        path = root / self.name
        path.write_bytes(self.data)
        return path

    def __exit__(self, *_: object) -> None:
        self.folder.cleanup()


def _one_line(text: str | None) -> None:
    if text is not None and ("\n" in text or not text.strip()):
        raise FoundFault(f"no line: {text!r}")


def _corpus(files: Callable[[], Iterator[tuple[str, bytes]]]) -> Callable[[], Corpus]:
    return cache(lambda: dict(files()))


DOORS: dict[str, Door] = {
    "images": Door(_corpus(_images), _decode),
    "archives": Door(_corpus(_archives), _look_into),
    "videos": Door(_corpus(_videos), _watch),
    "labels": Door(_corpus(_labels), _read),
    "tables": Door(_corpus(_tables), _read),
    "listings": Door(_corpus(_listings), _list),
    "settings": Door(_corpus(_settings), _load),
    "requests": Door(_corpus(_questions), _ask),
}
