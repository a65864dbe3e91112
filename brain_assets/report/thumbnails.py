"""Small pictures as data URIs, from the packs of previews."""

import base64
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from brain_assets.report.tables import Row, Tables
from brain_assets.resources.store.previews import PreviewPack

SIDE = 160
QUALITY = 72
# A preview of no more bytes is taken as it is.
SMALL = 3000
# All pictures of a report together.
MOST_BYTES = 4 << 20
KINDS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"RIFF": "webp"}


class Thumbnail(NamedTuple):
    """A picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


def thumbnails(
    tables: Tables, folder: Path, sample_ids: Iterable[str], side: int = SIDE, most_bytes: int = MOST_BYTES
) -> Mapping[str, Thumbnail]:
    """Return pictures by sample id, in the order given until their bytes are spent; samples without a preview have none.

    Parameters
    ----------
    tables : Tables
    folder : Path
        The dataset's folder, which holds the packs.
    sample_ids : iterable of str
    side : int
        Longest side in pixels.
    most_bytes : int
        So many bytes of pictures, at most.
    """
    if not tables.has("previews", "pack", "preview_offset"):
        return {}
    found: dict[str, Thumbnail] = {}
    spent = 0
    previews = _previews(tables, folder, wanted := list(dict.fromkeys(sample_ids)))
    for sample_id in wanted:
        thumbnail = _thumbnail(previews.get(sample_id), side)
        if thumbnail is None:
            continue
        spent += len(thumbnail.uri)
        if spent > most_bytes:
            break
        found[sample_id] = thumbnail
    return found


ADDRESSES = """
    select sample_id, pack, preview_offset, preview_length from samples join previews using (content_hash)
    where sample_id in (select unnest(?))"""


def _previews(tables: Tables, folder: Path, wanted: list[str]) -> dict[str, bytes]:
    by_pack: dict[str, list[Row]] = defaultdict(list)
    for row in tables.rows(ADDRESSES, [wanted]):
        by_pack[Path(row["pack"]).name].append(row)
    return {key: preview for name, rows in by_pack.items() for key, preview in _read(folder / name, rows)}


def _read(path: Path, rows: Iterable[Row]) -> list[tuple[str, bytes]]:
    """Return the previews of a pack that are sound; one that was lost is simply not shown."""
    found = []
    try:
        with PreviewPack(path, readonly=True) as pack:
            for row in rows:
                try:
                    found.append((row["sample_id"], pack.read(row["preview_offset"], row["preview_length"])))
                except ValueError:
                    continue
    except OSError:
        return found
    return found


def _thumbnail(preview: bytes | None, side: int) -> Thumbnail | None:
    from PIL import Image

    if preview is None:
        return None
    kind = next((name for magic, name in KINDS.items() if preview.startswith(magic)), None)
    try:
        with Image.open(io.BytesIO(preview)) as image:
            if kind and len(preview) <= SMALL and max(image.size) <= side:
                return Thumbnail(_uri(kind, preview), *image.size)
            image.draft("RGB", (side, side))
            small = image.convert("RGB")
            small.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2)
    except (OSError, ValueError):
        return None
    out = io.BytesIO()
    small.save(out, "JPEG", quality=QUALITY)
    return Thumbnail(_uri("jpeg", out.getvalue()), *small.size)


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
