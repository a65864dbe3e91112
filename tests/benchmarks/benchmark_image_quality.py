"""What the image statistics of one photo cost, against decoding it.

Run as ``python -m tests.benchmarks.benchmark_image_quality``. A photo of 500 x 375 pixels is decoded in full with
Pillow; the statistics are measured on it reduced to 256 x 192, and on a 32 x 32 thumbnail.
"""

import io
import os
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from PIL import Image

from brain_assets.methods.images.image_quality import measure
from tests.benchmarks.planted_defects import encode
from tests.conftest import SHARED


def milliseconds(work: Callable[[], object], repeats: int = 5, rounds: int = 100) -> float:
    """Return the CPU time of one call, the least of several rounds."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(repeats):
            work()
        times.append(1e3 * (time.process_time() - started) / repeats)
    return min(times)


def main() -> None:
    if not SHARED.is_dir():
        raise SystemExit(f"real test data not found at {SHARED} (set BRAIN_TEST_DATA to its folder)")
    with Image.open(min((SHARED / "clothing").rglob("*.jpg"))) as image:
        photo = image.convert("RGB").resize((500, 375))
    encoded = encode(photo, 90)
    reduced, thumbnail = (np.asarray(photo.resize(size)) for size in ((256, 192), (32, 32)))
    decoding = milliseconds(lambda: np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")))
    print(f"decoding 500x375 JPEG: {decoding:.2f} CPU-ms")
    for name, rgb in (("256x192", reduced), ("32x32", thumbnail)):
        spent = milliseconds(lambda rgb=rgb: measure(rgb))
        print(f"statistics of {name}: {spent:.2f} CPU-ms, {spent / decoding:.2f} of the decoding")


if __name__ == "__main__":
    main()
