"""Camera RAW files as one more Pillow format, developed by rawpy (LibRaw).

Many RAW files are TIFF files whose first page is a thumbnail, which Pillow would take for the image. They are recognised
here by their tags, also where rawpy is missing: better no image than a wrong one.
"""

import importlib
from typing import Any, BinaryIO, cast

from PIL import Image, ImageFile, TiffImagePlugin

from brain_assets.resources.decoding.formats import missing_library, sniff
from brain_assets.resources.limits import Refused

TIFF_HEADER = 8
DNG_VERSION, SUB_IMAGES, MAKE, SUBFILE_TYPE, PHOTOMETRIC = 50706, 330, 271, 254, 262
THUMBNAIL, FILTER_ARRAY = 1, 32803


class RawImage(ImageFile.ImageFile):
    """A camera RAW file, developed with the camera's white balance to 8-bit RGB, upright."""

    format = "RAW"
    format_description = "Camera RAW"

    def _open(self) -> None:
        file = cast(BinaryIO, self.fp)
        if not is_raw(file):
            raise SyntaxError("not a RAW file")
        try:
            rawpy = importlib.import_module("rawpy")
        except ImportError as error:
            raise Refused(missing_library("RAW")) from error
        file.seek(0)
        self._raw: Any = rawpy.imread(file)
        sizes = self._raw.sizes
        turned = sizes.flip in {5, 6}
        self._size = (sizes.height, sizes.width) if turned else (sizes.width, sizes.height)
        self._mode = "RGB"

    def load(self) -> Any:
        """Develop the image."""
        if self._im is None:
            developed = Image.fromarray(self._raw.postprocess(use_camera_wb=True, output_bps=8))
            self._size, self.im = developed.size, developed.im
        return super().load()


def is_raw(file: BinaryIO) -> bool:
    """Tell by its first bytes, or by its tags where it is a TIFF, whether a file is RAW."""
    head = file.read(32)
    return sniff(head) == "RAW" or (sniff(head) == "TIFF" and _has_raw_tags(file))


def _has_raw_tags(file: BinaryIO) -> bool:
    file.seek(0)
    tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(TIFF_HEADER))
    file.seek(tags.next)
    tags.load(file)
    hides_images = tags.get(SUBFILE_TYPE) == THUMBNAIL and SUB_IMAGES in tags and MAKE in tags
    return DNG_VERSION in tags or hides_images or tags.get(PHOTOMETRIC) == FILTER_ARRAY


def register() -> None:
    """Let Pillow open RAW files; to be tried before TIFF."""
    Image.register_open(RawImage.format, RawImage, lambda prefix: sniff(prefix) in {"RAW", "TIFF"})
