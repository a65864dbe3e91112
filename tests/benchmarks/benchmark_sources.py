"""What the same images cost as files of a folder, members of archives, objects of a store and frames of a video.

Run as ``python -m tests.benchmarks.benchmark_sources [COUNT]``. Each source goes through the same assets in a process of
its own; CPU time is that of the process and its workers, the server of the store (moto) is another process. Tables are
compared with those of the folder. A video is compared with its frames as BMP files, as its pixels are other ones.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from PIL import Image

from brain_assets.resources.media.object_stores import _parts, _store
from tests.benchmarks.benchmark_decoding import photos
from tests.workshop import Workshop, write_archive

ASSETS = ("samples", "media", "embeddings", "exact_duplicates", "image_quality", "published")
MODEL = "builtin:efficientnet-lite0"
BUCKET = "s3://benchmark"
LIMIT = 1.3
SIZE = (500, 375)
QUERIES = (
    "select status, error, content_hash, bytes, width, height, format from samples order by all",
    "select * exclude (sample_id) from image_quality order by all",
    "select vector from embeddings order by all",
)
# A frame's content is named by its video.
OF_FRAMES = (QUERIES[0].replace("content_hash, ", ""), *QUERIES[1:])


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    if len(sys.argv) > 3:
        print(json.dumps(measure(Path(sys.argv[2]), sys.argv[3])))
        return
    with tempfile.TemporaryDirectory() as folder, store():
        report(Path(folder), count)


def report(root: Path, count: int) -> None:
    files = {f"{number:05}.jpg": data for number, data in enumerate(many(count))}
    places = write_sources(root, files)
    print(f"{count} photos of 500x375: CPU ms per image, beside the same files in a folder")
    costs = {}
    for name, media in places.items():
        costs[name] = run(count, root / "homes" / name, media)
        reference = "frames" if name in {"frames", "video"} else "folder"
        same = same_tables(root, name, reference)
        ratio = costs[name]["cpu"] / costs[reference]["cpu"]
        print(
            f"  {name:10}{1000 * costs[name]['cpu'] / count:8.2f} = {ratio:.2f} x {reference:8}"
            f" {costs[name]['wall'] / count * 1000:8.2f} ms passed, peak {costs[name]['memory']:.0f} MB,"
            f" {'same tables' if same else 'OTHER TABLES'}{'' if ratio <= LIMIT else f', above {LIMIT}'}"
        )


def many(count: int) -> Iterator[bytes]:
    """Yield so many different photos, made of fewer by a mark in a corner."""
    import io

    base = [Image.open(io.BytesIO(data)).convert("RGB") for data in photos(*SIZE, min(count, 100))]
    random = np.random.default_rng(0)
    for number in range(count):
        image = base[number % len(base)].copy()
        image.paste(tuple(random.integers(0, 256, 3).tolist()), (0, 0, 16, 16))
        encoded = io.BytesIO()
        image.save(encoded, "JPEG", quality=88)
        yield encoded.getvalue()


def write_sources(root: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    import obstore

    for folder in ("folder", "frames"):
        (root / folder).mkdir()
    scheme, bucket, _ = _parts(BUCKET)
    for name, data in files.items():
        (root / "folder" / name).write_bytes(data)
        obstore.put(_store(scheme, bucket), name, data)
    archives = {kind: str(write_archive(root / f"photos.{kind}", files)) for kind in ("zip", "tar", "tar.gz")}
    write_video(root / "clip.mkv", root)
    return {"folder": str(root / "folder"), **archives, "store": BUCKET,
            "frames": str(root / "frames"), "video": str(root / "clip.mkv")}  # fmt: skip


def write_video(path: Path, root: Path) -> None:
    """Write a lossless video of one photo per second, and its frames as files."""
    import av

    with av.open(str(path), "w") as video:
        stream = video.add_stream("ffv1", rate=1)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "bgr0"
        for photo in sorted((root / "folder").iterdir()):
            image = Image.open(photo).convert("RGB")
            image.save(root / "frames" / f"{photo.stem}.bmp")
            video.mux(stream.encode(av.VideoFrame.from_image(image)))
        video.mux(stream.encode(None))


def run(count: int, home: Path, media: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.benchmark_sources", str(count), str(home), media]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def measure(home: Path, media: str) -> dict[str, float]:
    """Bring one source up to date; the model and the compiled functions are loaded before."""
    import io

    from brain_assets.resources.models.embedding_models import load_model

    model = load_model(MODEL, device=None, runtime=None, cache=home.parent)
    model.embed(np.zeros((1, model.input.height, model.input.width, 3), np.uint8))
    workshop = Workshop(home, media, embeddings={"model": MODEL})
    sys.stderr = io.StringIO()
    before, started = cpu(), time.monotonic()
    workshop.run(ASSETS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    end_workers()
    return {"cpu": cpu() - before, "wall": time.monotonic() - started, "memory": peak}


def end_workers() -> None:
    """End the worker processes of videos, so that their time counts."""
    from brain_assets.resources.limits import DEFAULT_LIMITS
    from brain_assets.resources.media import videos

    videos._pool(DEFAULT_LIMITS).close()


def cpu() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def same_tables(root: Path, name: str, reference: str) -> bool:
    found = [Workshop(root / "homes" / one, "none", "test") for one in (name, reference)]
    queries = OF_FRAMES if name == "video" else QUERIES
    return all(repr(found[0].rows(query)) == repr(found[1].rows(query)) for query in queries)


@contextmanager
def store() -> Iterator[None]:
    """Serve S3's protocol from another process."""
    import urllib3

    script = "from moto.server import ThreadedMotoServer as S; s = S('127.0.0.1', 0, verbose=False); s.start();"
    script += "print(s.get_host_and_port()[1], flush=True); input()"
    server = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        port = next(line for line in server.stdout if line.strip().isdigit()).strip()
        given = {
            "ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "ACCESS_KEY_ID": "key",
            "SECRET_ACCESS_KEY": "s",
            "REGION": "us-east-1",
        }
        os.environ |= {f"AWS_{name}": value for name, value in given.items()}
        urllib3.request("PUT", f"http://127.0.0.1:{port}/{_parts(BUCKET)[1]}")
        yield
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
