"""Which of the files in a folder are taken for images: by suffix, and by content where the suffix says nothing."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from brain_assets.resources.decoding.formats import EXTENSIONS, sniff
from brain_assets.resources.local_files import open_local
from brain_assets.resources.media.listing import Status
from brain_assets.resources.media.videos import is_video

IMAGE_SUFFIXES = frozenset(f".{name}" for name in EXTENSIONS) | {
    ".icns",
    ".tpic",
    ".pnm",
    ".ras",
    ".im",
    ".xbm",
    ".xpm",
    ".fits",
}
IMAGE_FORMATS = frozenset().union(*EXTENSIONS.values())
# What lies beside images and is never opened to see whether it is one.
OTHER_SUFFIXES = frozenset({
    ".txt", ".lst", ".csv", ".json", ".tsv", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".xml", ".yaml", ".yml",
    ".toml", ".ini", ".cfg", ".log", ".md", ".rst", ".rtf", ".html", ".htm", ".css", ".js", ".py", ".ipynb", ".sh", ".npy",
    ".npz", ".pt", ".pth", ".onnx", ".pkl", ".pickle", ".h5", ".hdf5", ".mat", ".db", ".sqlite", ".duckdb", ".lock", ".tmp",
    ".part", ".crdownload", ".swp", ".bak", ".md5", ".sha1", ".sha256", ".doc", ".docx", ".xls", ".xlsx", ".pdf", ".svg",
    ".eps", ".ai", ".wmf", ".emf", ".names", ".data", ".cache", ".pbtxt", ".pb", ".prototxt", ".ckpt", ".safetensors",
    ".tfrecord", ".tfrecords", ".rec", ".idx", ".xmp", ".aae", ".thm", ".exif", ".dcm", ".dicom", ".nii", ".7z", ".rar",
    ".gz", ".bz2", ".xz", ".zst", ".geojson", ".kml", ".shp", ".shx", ".dbf", ".prj", ".ovr", ".aux", ".jgw", ".tfw",
    ".pgw", ".wld", ".cls", ".m4a", ".mp3", ".wav", ".flac", ".aac", ".ply", ".pcd", ".obj", ".stl", ".las", ".laz",
})  # fmt: skip
OTHER_NAMES = frozenset({"thumbs.db", "desktop.ini", "license", "readme", "makefile", "citation"})
DICOM_SUFFIXES = {".dcm", ".dicom"}
HEAD, DICOM_AT = 512, 128
KNOWN_FILES = 200_000
KINDS_SHOWN = 4
PLAIN_SUFFIX = re.compile(r"\.\w{1,12}")
EXPLAINED = {"DICOM": "not decoded: export them as PNG or TIFF", "videos": "with --frames, frames are taken of them"}


def may_be_image(name: str) -> bool:
    """Tell whether a file of this name may be an image, where nobody can look at its content."""
    return not name.startswith(".") and _by_name(name) is not False


def is_image(path: str, status: Status) -> bool:
    """Tell whether a local file is one by its suffix, or by its first bytes where the suffix does not say."""
    name = os.path.basename(path)
    known = _by_name(name)
    return (_content(path, status) in IMAGE_FORMATS) if known is None else known


def kind_of_other(path: str, status: Status) -> str:
    """Return what a file that is left out is called when such files are counted."""
    suffix = _suffix(path)
    if suffix in DICOM_SUFFIXES or (not suffix and _content(path, status) == "DICOM"):
        return "DICOM"
    if is_video(path):
        return "videos"
    return suffix if PLAIN_SUFFIX.fullmatch(suffix) else "without a suffix"


def left_out_told(counts: Mapping[str, int]) -> str:
    """Return how many files are no samples, those that might be taken for images first; empty where there is none.

    Examples
    --------
    >>> left_out_told({".xmp": 12, "videos": 1})
    '13 files are no images: 1 videos (with --frames, frames are taken of them), 12 .xmp'
    """
    if not counts:
        return ""
    # What one might have taken for images comes first.
    ordered = sorted(counts, key=lambda kind: (kind not in EXPLAINED, -counts[kind], kind))
    shown = [f"{counts[one]} {one}" + (f" ({EXPLAINED[one]})" if one in EXPLAINED else "") for one in ordered]
    total, more = sum(counts.values()), sum(counts[one] for one in ordered[KINDS_SHOWN:])
    if more:
        shown = [*shown[:KINDS_SHOWN], f"{more} of other kinds"]
    return f"{total} {'file is no image' if total == 1 else 'files are no images'}: {', '.join(shown)}"


def count_other(counts: Counter[str], path: str, status: Status) -> None:
    """Count a file that is no sample; hidden ones and what systems leave behind are not worth a word."""
    name = os.path.basename(path)
    if not name.startswith(".") and name.lower() not in OTHER_NAMES:
        counts[kind_of_other(path, status)] += 1


def _by_name(name: str) -> bool | None:
    """Return whether a file is an image by its name, or None where that does not tell."""
    suffix = _suffix(name)
    if name.startswith(".") or name.lower() in OTHER_NAMES or suffix in OTHER_SUFFIXES or is_video(name):
        return False
    return True if suffix in IMAGE_SUFFIXES else None


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _content(path: str, status: Status) -> str | None:
    return _format_of(path, status) if status.bytes > 0 else None


@lru_cache(KNOWN_FILES)
def _format_of(path: str, _: Status) -> str | None:
    """Return what the first bytes of a file announce, as long as it does not change."""
    try:
        with open_local(path) as file:
            head = file.read(HEAD)
    except OSError:
        return None
    return "DICOM" if head[DICOM_AT : DICOM_AT + 4] == b"DICM" else sniff(head)
