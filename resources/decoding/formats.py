"""Image formats recognised by content: names, extensions, what decodes in a thread, and which optional library reads what.

The first bytes decide, never the file's name. Names are Pillow's (``JPEG``, ``PNG``, ``TIFF``, ...); formats that
Pillow does not know are called ``HEIF``, ``JXL`` and ``RAW``, and what is no image by what it is (``HTML``).
Listing asks for names and first bytes alone, so Pillow is imported where a decoder is needed.
"""

import contextlib
import importlib
import re
from collections.abc import Sequence

# Decoders that neither hang nor crash on the fuzzed files we know; everything else decodes in a process we can kill.
THREADED = frozenset({"JPEG", "PNG", "WEBP", "GIF", "BMP"})

# Never opened: they start an interpreter (EPS), need another system (WMF), or hold no image that Pillow reads.
REFUSED = frozenset({"EPS", "WMF", "GRIB", "BUFR", "HDF5", "MPEG"})

SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WEBP"),
    (0, b"BM", "BMP"),
    (0, b"\xff\x0a", "JXL"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JXL"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (8, b"CR\x02\x00", "RAW"),
    (0, b"FUJIFILMCCD-RAW", "RAW"),
    (0, b"IIRO", "RAW"),
    (0, b"IIRS", "RAW"),
    (0, b"IIU\x00", "RAW"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"8BPS", "PSD"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "EPS"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"\x1f\x8b", "GZIP"),
)
BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"), "HEIF"),
    **dict.fromkeys((b"mif1", b"msf1", b"mif2"), "HEIF"),
    b"crx ": "RAW",
    **dict.fromkeys((b"isom", b"iso1", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"qt  "), "MP4"),
}
MARKUP = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(!doctype html|html|svg|!doctype svg)", re.IGNORECASE | re.DOTALL
)

EXTENSIONS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), frozenset({"JPEG", "MPO"})),
    "mpo": frozenset({"MPO", "JPEG"}),
    **dict.fromkeys(("png", "apng"), frozenset({"PNG"})),
    "gif": frozenset({"GIF"}),
    "webp": frozenset({"WEBP"}),
    **dict.fromkeys(("bmp", "dib"), frozenset({"BMP", "DIB"})),
    **dict.fromkeys(("tif", "tiff"), frozenset({"TIFF"})),
    **dict.fromkeys(("heic", "heif", "hif"), frozenset({"HEIF", "AVIF"})),
    "avif": frozenset({"AVIF"}),
    "jxl": frozenset({"JXL"}),
    **dict.fromkeys(("jp2", "j2k", "jpf", "jpx", "j2c", "jpc"), frozenset({"JPEG2000"})),
    **dict.fromkeys(("ppm", "pgm", "pbm", "pnm", "pfm"), frozenset({"PPM"})),
    **dict.fromkeys(("cr2", "cr3", "nef", "arw", "dng", "orf", "raf", "rw2", "pef", "srw"), frozenset({"RAW"})),
    **{
        name: frozenset({name.upper()})
        for name in ("ico", "cur", "tga", "dds", "psd", "sgi", "pcx", "qoi", "msp", "blp")
    },
}

INSTALL = {
    "HEIF": "install pillow-heif",
    "JXL": "install pillow-jxl-plugin",
    "RAW": "install rawpy",
    "AVIF": "install a Pillow that was built with libavif (11.3 or later)",
}


def sniff(data: bytes) -> str | None:
    """Return the name of the format that the first bytes announce, or None where they are not known.

    Examples
    --------
    >>> sniff(b"GIF89a..."), sniff(b"<html><body>404</body></html>"), sniff(b"nonsense")
    ('GIF', 'HTML', None)
    """
    for offset, signature, name in SIGNATURES:
        if data.startswith(signature, offset):
            return name
    if data[4:8] == b"ftyp":
        return _brand(data)
    return _markup(data[:512])


def _brand(data: bytes) -> str | None:
    end = min(int.from_bytes(data[:4], "big"), 256)
    name = BRANDS.get(data[8:12])
    generic = data[8:12] in {b"mif1", b"msf1", b"mif2"}
    return "AVIF" if generic and (b"avif" in data[16:end] or b"avis" in data[16:end]) else name


def _markup(head: bytes) -> str | None:
    found = MARKUP.match(head)
    return None if found is None else ("SVG" if b"svg" in found[1].lower() else "HTML")


def matches_extension(name: str, image_format: str) -> bool | None:
    """Tell whether a file's extension fits the format its content has; None where the extension says nothing.

    Examples
    --------
    >>> matches_extension("cat.JPG", "JPEG"), matches_extension("cat.jpg", "PNG"), matches_extension("cat", "PNG")
    (True, False, None)
    """
    expected = EXTENSIONS.get(name.rpartition(".")[2].lower()) if "." in name else None
    return None if expected is None else image_format in expected


def unidentified(data: bytes) -> str:
    """Return the reason for content that no decoder knows, with what to install where a library would read it."""
    from PIL import Image

    found = sniff(data)
    if found in REFUSED:
        return f"unsupported: {found} files are not decoded"
    if found in Image.OPEN:
        return f"damaged: starts like {found}, but its header cannot be read"
    if found in INSTALL:
        return missing_library(found)
    return f"not_an_image: the content {'is ' + found if found else 'has no known image format'}"


def missing_library(image_format: str) -> str:
    """Return the reason for a format that needs a library that is not installed."""
    return f"unsupported: {image_format} needs an optional library, {INSTALL[image_format]}"


def register_optional(plugins: Sequence[str] = ()) -> None:
    """Load every Pillow plugin, those of optional libraries where installed, and further ``plugins`` by module name."""
    from PIL import Image

    Image.init()
    importlib.import_module("brain_assets.resources.decoding.raw").register()
    for register in (_register_heif, _register_jxl):
        with contextlib.suppress(ImportError):
            register()
    for plugin in plugins:
        importlib.import_module(plugin)


def _register_heif() -> None:
    importlib.import_module("pillow_heif").register_heif_opener()


def _register_jxl() -> None:
    importlib.import_module("pillow_jxl")


def openable() -> list[str]:
    """Return the formats that files may be opened as: all that are registered but the refused ones, RAW before TIFF."""
    from PIL import Image

    return sorted((name for name in Image.OPEN if name not in REFUSED), key=lambda name: name != "RAW")
