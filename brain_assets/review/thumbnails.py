"""Pictures for the page: JPEGs and PNGs of images, by sample id only, never of anything outside the media root."""

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from brain_assets.resources.dataset import limits_of
from brain_assets.resources.decoding.decoding import DecodeJob, Decoder
from brain_assets.resources.errors import BrainError
from brain_assets.resources.errors import Refused as Unreadable
from brain_assets.resources.limits import Limits
from brain_assets.resources.machine import share_freed_memory
from brain_assets.resources.media.media_source import open_media
from brain_assets.resources.settings.configuration import load_dataset
from brain_assets.resources.settings.home import DatasetPaths
from brain_assets.resources.store.previews import PreviewPack
from brain_assets.review.refusal import Refused
from brain_assets.review.sets import OpenSet
from brain_assets.review.subjects import fetch

Previews = Callable[[OpenSet, str], bytes | None]
SIDES = {"thumb": 256, "large": 1600, "full": 8192}
# What is shown pixel by pixel comes without loss up to so many of them; beyond, it would be slow to send.
LOSSLESS_PIXELS = 4_000_000
# Originals that are read and decoded at once; a browser asks for many, and each may be large.
AT_ONCE = 2
# An object is shown with this much of its surroundings, in shares of its longer side.
MARGIN = 0.25
CACHE_BYTES = 96 << 20


def packed_preview(opened: OpenSet, content_hash: str) -> bytes | None:
    """Return the preview of a content from a pack in the dataset's folder, where the set publishes its address."""
    if not opened.has("previews", "content_hash", "preview_offset", "preview_length", "pack"):
        return None
    query = "select pack, preview_offset, preview_length from previews where content_hash = ?"
    for row in fetch(opened, query, [content_hash]):
        if row["pack"] != Path(row["pack"]).name:
            return None
        try:
            with PreviewPack(opened.paths.folder / row["pack"], readonly=True) as pack:
                return pack.read(row["preview_offset"], row["preview_length"])
        except (OSError, ValueError):
            return None
    return None


@dataclass(frozen=True)
class Picture:
    """A JPEG or PNG and a tag that changes with its content."""

    encoded: bytes
    tag: str

    @property
    def media_type(self) -> str:
        """What kind of file it is."""
        return "image/png" if self.encoded.startswith(b"\x89PNG") else "image/jpeg"


class Pictures:
    """Makes pictures and keeps the last ones.

    Parameters
    ----------
    previews : callable
        Returns the small preview that is kept for a content hash, or None.
    """

    def __init__(self, previews: Previews = packed_preview) -> None:
        share_freed_memory()
        self.previews = previews
        self.lock = threading.Lock()
        self.cache: OrderedDict[tuple[str, ...], Picture] = OrderedDict()
        self.cached_bytes = 0
        self.turns = threading.BoundedSemaphore(AT_ONCE)
        self.wide = threading.BoundedSemaphore(AT_ONCE)
        self.decoders: dict[tuple[Limits, int], Decoder] = {}

    def close(self) -> None:
        """Stop the processes that decode."""
        with self.lock:
            while self.decoders:
                self.decoders.popitem()[1].close()

    def picture(self, opened: OpenSet, sample_id: str, size: str, object_id: str | None = None) -> Picture:
        """Return the picture of a sample, or of one of its objects with a margin around it.

        Raises
        ------
        Refused
            404 for an unknown id, or where there are neither pixels nor a preview to show.
        """
        sample = _sample(opened, sample_id)
        key = (opened.paths.name, sample_id, sample["content_hash"] or "", size, object_id or "")
        with self.lock:
            if key in self.cache:
                self.cache.move_to_end(key)
                return self.cache[key]
        if size == "full":
            encoded = self._full(opened, sample)
        else:
            image = self._image(opened, sample, SIDES[size] if object_id is None else SIDES["large"])
            if object_id is not None:
                image = _crop(image, opened, sample_id, object_id)
            encoded = _jpeg(image, SIDES[size])
        picture = Picture(encoded, f'"{abs(hash(key)):x}"')
        self._keep(key, picture)
        return picture

    def part(self, opened: OpenSet, sample_id: str, box: tuple[float, float, float, float]) -> bytes:
        """Return a part of an image with all its pixels, as a PNG.

        Parameters
        ----------
        opened : OpenSet
        sample_id : str
        box : tuple of float
            x, y, width and height, relative to the image.

        Raises
        ------
        Refused
            404 for an unknown id, or where there are no pixels.
        """
        with self.wide:
            image = self._image(opened, _sample(opened, sample_id), SIDES["full"])
            x, y, width, height = box
            (left, right), (top, bottom) = _span(x, width, image.width), _span(y, height, image.height)
            out = io.BytesIO()
            image.crop((left, top, right, bottom)).save(out, "PNG", compress_level=1)
            return out.getvalue()

    def _keep(self, key: tuple[str, ...], picture: Picture) -> None:
        with self.lock:
            if key not in self.cache:
                self.cache[key] = picture
                self.cached_bytes += len(picture.encoded)
            while self.cached_bytes > CACHE_BYTES:
                self.cached_bytes -= len(self.cache.popitem(last=False)[1].encoded)

    def _image(self, opened: OpenSet, sample: dict[str, str | None], side: int) -> Image.Image:
        """Return the preview where it is large enough, else the original, else the preview."""
        content = sample["content_hash"]
        preview = self.previews(opened, content) if content else None
        if preview and side <= SIDES["thumb"]:
            return _opened(preview)
        if sample["status"] != "error":
            try:
                return self._decoded(opened.paths, sample["filepath"] or "", max(side, SIDES["large"]))
            except Refused:
                if not preview:
                    raise
        if preview:
            return _opened(preview)
        raise Refused(404, "there is no picture of this sample")

    def _full(self, opened: OpenSet, sample: dict[str, str | None]) -> bytes:
        """Return every pixel of an original; few at once, because each may take hundreds of megabytes."""
        with self.wide:
            image = self._image(opened, sample, SIDES["full"])
            if image.width * image.height > LOSSLESS_PIXELS:
                return _jpeg(image, SIDES["full"], quality=95, subsampling=0)
            out = io.BytesIO()
            image.save(out, "PNG", compress_level=1)
            return out.getvalue()

    def _decoded(self, paths: DatasetPaths, filepath: str, side: int) -> Image.Image:
        """Return an original, its longest side at most ``side``, as the pipeline decodes it and at its limits."""
        with self.turns:
            source = original(paths, filepath)
            if source is None:
                raise Refused(404, "there is no picture of this sample")
            size = source.stat().st_size if isinstance(source, Path) else len(source.getbuffer())
            load = source.read_bytes if isinstance(source, Path) else source.getvalue
            (row,) = self._decoder(paths, side).decode([DecodeJob(filepath, load, size)])
        if row.preview is None:
            raise Refused(404, f"the image cannot be decoded: {row.error}")
        return _opened(row.preview)

    def _decoder(self, paths: DatasetPaths, side: int) -> Decoder:
        limits = limits_of(load_dataset(paths.config).settings)
        with self.lock:
            if (limits, side) not in self.decoders:
                self.decoders[limits, side] = Decoder(preview_size=side, limits=limits, threads=1)
            return self.decoders[limits, side]


def original(paths: DatasetPaths, filepath: str) -> Path | io.BytesIO | None:
    """Return what is behind a sample's path, or None unless it is a plain file, or inside one, below the media root.

    Symbolic links are followed first, so that neither they nor ``..`` lead out of the root.
    """
    try:
        settings = load_dataset(paths.config).settings
        source = open_media(settings)
        uri = source.locate(filepath)
        if uri is None:
            return None
        return Path(uri) if os.path.isfile(uri) else io.BytesIO(source.read(uri))
    except (OSError, ValueError, BrainError, Unreadable):
        return None


def _sample(opened: OpenSet, sample_id: str) -> dict[str, str | None]:
    (position,) = opened.positions("images", [sample_id])
    query = f"select filepath, content_hash, status from {opened.frame('images')} where position = ?"
    for sample in fetch(opened, query, [position]):
        return sample
    raise Refused(404, "there is no such image")


def _opened(encoded: bytes) -> Image.Image:
    """Return a picture that we have made."""
    with Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG")) as opened:
        return opened.convert("RGB")


def _crop(image: Image.Image, opened: OpenSet, sample_id: str, object_id: str) -> Image.Image:
    positions = opened.positions("objects", [object_id]) + opened.positions("images", [sample_id])
    query = f"select x, y, width, height from {opened.frame('objects')} where position = ? and sample_at = ?"
    found = fetch(opened, query, positions)
    if not found or None in found[0].values():
        raise Refused(404, "there is no such object")
    box = found[0]
    margin = MARGIN * max(box["width"] * image.width, box["height"] * image.height)
    left, right = _span(box["x"], box["width"], image.width, margin)
    top, bottom = _span(box["y"], box["height"], image.height, margin)
    return image.crop((left, top, right, bottom))


def _span(start: float, length: float, pixels: int, margin: float = 0) -> tuple[int, int]:
    """Return first and last pixel of a side with its margin, at least one pixel and inside the image."""
    first = min(max(0, round(start * pixels - margin)), pixels - 1)
    return first, max(first + 1, min(pixels, round((start + length) * pixels + margin)))


def _jpeg(image: Image.Image, side: int, **options: int) -> bytes:
    image.thumbnail((side, side))
    out = io.BytesIO()
    image.save(out, "JPEG", **{"quality": 85, **options})
    return out.getvalue()
