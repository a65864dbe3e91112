"""Ten million fingerprints: what they take, how fast a picture is looked for among them, and which edits are recognised.

    python -m tests.benchmarks.benchmark_ledger [--fingerprints N] [--photos N]

Fingerprints of photos of ``BRAIN_TEST_DATA/clothing`` lie among others that are made of them: as many bits changed as two
unrelated photos differ in, so that they crowd where pictures crowd. Each photo is looked for in 26 edits; what is found of
photos that are not there is false. Times are of a warm process, in which the pages of the index are in memory.
"""

import argparse
import io
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageOps

from brain_assets.answers.seen import Lookout
from brain_assets.ledger import entries
from brain_assets.resources.media.listing import content_hash
from brain_assets.resources.settings.home import Home
from tests.benchmarks.copy_edits import EDITS, encoded
from tests.conftest import SHARED
from tests.helpers import peak_memory

NOISE = 0.35
PART = 1 << 20


def photos(count: int) -> list[Image.Image]:
    found = []
    for path in sorted((SHARED / "clothing").rglob("*.jpg"))[:count]:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        picture.thumbnail((500, 500))
        found.append(picture)
    return found


def changed(rng: np.random.Generator, codes: np.ndarray, share: float) -> np.ndarray:
    bits = rng.random((len(codes), codes.shape[1] * 64), np.float32) < share
    return codes ^ np.packbits(bits, axis=1).view(np.uint64)


def others(rng: np.random.Generator, hashes: np.ndarray, codes: np.ndarray, model: str, count: int) -> pa.Table:
    """Return rows that are made of others."""
    parts = []
    for start in range(0, count, PART):
        size = min(PART, count - start)
        rows = rng.integers(0, len(hashes), size)
        digests = rng.bytes(16 * size)
        content = pa.array([digests[place : place + 16].hex() for place in range(0, 16 * size, 16)], pa.string())
        code = changed(rng, codes[rows], NOISE).astype(">u8").tobytes()
        packed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(entries.CODE_BYTES), size, [None, pa.py_buffer(code)])
        columns = {
            "content_hash": content,
            "phash": pa.array(changed(rng, hashes[rows][:, None], NOISE)[:, 0]),
            "code": packed,
            "model": pa.array([model]).take(pa.array(np.zeros(size, np.int64))),
        }
        nothing = {one.name: pa.nulls(size, one.type) for one in entries.ROWS if one.name not in columns}
        parts.append(pa.table(columns | nothing).select(entries.ROWS.names).cast(entries.ROWS))
    return pa.concat_tables(parts)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fingerprints", type=int, default=10_000_000)
    parser.add_argument("--photos", type=int, default=104)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    pictures = photos(2 * asked.photos)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        lookout = Lookout(home)
        files = [encoded(picture) for picture in pictures]
        sought = lookout._sought(files, lookout._decoded(files))
        known = slice(0, asked.photos)
        own = pa.table({
            "content_hash": [content_hash(data) for data in files[known]],
            "phash": sought.hashes[known, 0],
            "code": entries.packed(sought.codes[known]),
            "model": [sought.model] * asked.photos,
            "name": [str(place) for place in range(asked.photos)],
        })  # fmt: skip
        nothing = {
            one.name: pa.nulls(asked.photos, one.type) for one in entries.ROWS if one.name not in own.column_names
        }
        own = pa.table({name: own.column(name) for name in own.column_names} | nothing)
        made = others(rng, sought.hashes[:, 0], sought.codes, str(sought.model), asked.fingerprints - asked.photos)
        started = time.perf_counter()
        entry = entries.write(
            home, "file", "others", pa.concat_tables([own.select(entries.ROWS.names).cast(entries.ROWS), made])
        )
        size = sum(path.stat().st_size for path in entry.folder.iterdir())
        print(
            f"{asked.fingerprints} fingerprints taken in: {time.perf_counter() - started:.0f} s, {size / 1e6:.0f} MB on disk,"
        )
        print(f"  {size / asked.fingerprints:.0f} bytes each; peak memory of this process {peak_memory() / 1e6:.0f} MB")
        del made
        measure(lookout, rng, pictures, asked.photos)


def measure(lookout: Lookout, rng: np.random.Generator, pictures: list[Image.Image], count: int) -> None:
    names, hits, false, times = list(EDITS), defaultdict(list), 0, []
    decoding = []
    for place in range(count):
        name = names[place % len(names)]
        edited = EDITS[name](pictures[place], rng, pictures[(place + 7) % len(pictures)])
        data = encoded(edited)
        started = time.perf_counter()
        (answer,) = lookout.look([("asked", data)])
        times.append(time.perf_counter() - started)
        started = time.perf_counter()
        Image.open(io.BytesIO(data)).convert("RGB")
        decoding.append(time.perf_counter() - started)
        found = {one.name for one in answer.seen}
        hits[name].append(str(place) in found)
        false += len(found - {str(place)})
    unknown = [
        len(answer.seen) for answer in lookout.look((str(p), encoded(pictures[p])) for p in range(count, 2 * count))
    ]
    warm = np.array(times[len(names) :]) * 1000
    print(
        f"a picture, decoded, embedded and looked for: {np.median(warm):.0f} ms (95 % within {np.quantile(warm, 0.95):.0f} ms),"
    )
    print(f"  of which decoding alone {np.median(decoding) * 1000:.1f} ms")
    every = [hit for found in hits.values() for hit in found]
    print(f"recognised: {np.mean(every):.3f} of {len(every)} edits; others beside it {false}")
    print(f"of {count} photos that are not there, {sum(map(bool, unknown))} were said to be")
    for name, found in hits.items():
        print(f"  {name:28s} {sum(found)} of {len(found)}")


if __name__ == "__main__":
    main()
