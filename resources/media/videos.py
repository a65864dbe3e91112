"""Frames of videos: samples named ``clip.mp4#t=1.500``, listed and decoded in worker processes that can be killed.

A frame's content is named by the video's bytes and its time, so that a video is decoded once, in one pass, and a moved
one not again.
"""

import atexit
import errno
import importlib.util
import re
from collections.abc import Collection, Iterator
from functools import lru_cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from brain_assets.resources.errors import MissingError, Refused
from brain_assets.resources.limits import DEFAULT_LIMITS, Limits, is_outside
from brain_assets.resources.media.files import open_file, status_of
from brain_assets.resources.media.listing import Contents, Kind, Member, Status, content_hash, content_hash_of
from brain_assets.resources.media.object_stores import is_remote, version
from brain_assets.resources.media.video_structure import cut_short

if TYPE_CHECKING:
    from brain_assets.resources.decoding.decoding_workers import Worker, WorkerPool

SEPARATOR = "#t="
SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv")
FRAME = re.compile(
    r"(.+\.(?:mp4|m4v|mov|avi|mkv|webm|mpe?g|wmv|flv)(?:\?.*?)?)#t=(\d+\.\d{3})", re.IGNORECASE | re.DOTALL
)
# Seconds between two frames, or all key frames, or none.
Frames = float | str | None
KEY_FRAMES = "key"
DEFAULT_SECONDS = 1.0
BLOCK = 1 << 22
# Seconds after which a worker answers with what it has, where its time is not shorter.
PATIENCE = 5.0
# Seconds for which a video may show one frame: cameras that watch for changes wait for hours.
LONGEST_STILL = 2 * 86_400.0


def is_video(name: str) -> bool:
    """Tell whether a file's name is that of a video."""
    return name.lower().endswith(SUFFIXES)


def kind(frames: Frames, limits: Limits = DEFAULT_LIMITS) -> Kind:
    """Return how videos are listed."""
    if importlib.util.find_spec("av") is None:
        raise MissingError("videos need an optional library: pip install 'brain-assets[video]'")
    return Kind(SEPARATOR, partial(list_frames, frames=frames, limits=limits), str(frames))


def list_frames(path: str, frames: Frames, limits: Limits = DEFAULT_LIMITS) -> Contents:
    """Return the frames that are taken of a video; raises OSError where it cannot be read.

    Parameters
    ----------
    path : str
    frames : float or "key"
        Seconds between two frames, of which the first at or after each step is taken; or all key frames.
    limits : Limits
        What the worker process may use.
    """
    status, name = status_of(path, anew=True), video_hash(path)
    found: list[tuple[float, bool, int]] = []
    error = None
    try:
        for packet in _results(partial(_call, "begin_listing", path), limits):
            found.append(packet)
    except Refused as refused:
        error = str(refused)
    if found and error is None:
        error = _cut_short(path, status.bytes) or _odd_times(sorted(found))
    members = []
    for seconds, _, size in _chosen(sorted(found), frames):
        key = frame_hash(name, f"{seconds:.3f}")
        state = Status(size, status.modified_ns, int(key[:15], 16))
        members.append(Member(f"{seconds:.3f}", state, content_hash=key))
    return Contents(members, error or (None if found else "damaged: the video holds no frame"))


def _cut_short(path: str, size: int) -> str | None:
    with open_file(path) as file:
        return cut_short(file, size)


def _odd_times(found: list[tuple[float, bool, int]]) -> str | None:
    """Return in a line why the times of frames cannot be right: then they are fewer, or lie elsewhere, than in the video."""
    times = [seconds for seconds, *_ in found]
    twice = len(times) - len(set(times))
    if 2 * twice > len(times):
        return f"damaged: {twice} of {len(times)} frames bear the time of another one"
    leap = max((after - before for before, after in pairwise(times)), default=0.0)
    if leap > LONGEST_STILL:
        return f"damaged: the times of two frames that follow each other lie {leap / 86_400:.0f} days apart"
    return None


def _chosen(found: list[tuple[float, bool, int]], frames: Frames) -> Iterator[tuple[float, bool, int]]:
    if frames == KEY_FRAMES:
        yield from (packet for packet in found if packet[1])
        return
    step, due = float(frames or DEFAULT_SECONDS), -1.0
    for packet in found:
        if packet[0] >= due - 1e-6:
            due = step * ((packet[0] + 1e-6) // step + 1)
            yield packet


def read_frames(
    path: str, names: Collection[str], limits: Limits = DEFAULT_LIMITS
) -> Iterator[tuple[str, str, bytes | Refused]]:
    """Yield name, content hash and image (BMP), or the reason why there is none, of some frames, in one pass.

    Raises
    ------
    OSError
        If the video cannot be read.
    """
    video, wanted = video_hash(path), {float(name): name for name in names}
    problem = Refused("damaged: this frame of the video cannot be decoded")
    try:
        for seconds, data in _results(partial(_call, "begin_decoding", path, tuple(sorted(wanted))), limits):
            name = wanted.pop(seconds)
            yield name, frame_hash(video, name), data
    except Refused as refused:
        problem = refused
    for name in wanted.values():
        yield name, frame_hash(video, name), problem


def read_frame(path: str, name: str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return one frame as BMP; raises OSError, or Refused where it cannot be decoded."""
    ((_, _, data),) = read_frames(path, [name], limits)
    if isinstance(data, Refused):
        raise data
    return data


def frame_hash(video: str, name: str) -> str:
    """Return what names a frame's content: the video's hash and the time."""
    return content_hash(f"{video}{SEPARATOR}{name}".encode())


def video_hash(path: str) -> str:
    """Return what names a video's content: the hash of its bytes, read again only when its size or times differ.

    One that lies far away is named by its ETag, where there is one, so that it need not be fetched for that.
    """
    if is_remote(path) and (etag := version(path).etag):
        return content_hash(f"{version(path).status.bytes} {etag}".encode())
    return _hashed(path, status_of(path))


@lru_cache(256)
def _hashed(path: str, _: Status) -> str:
    with open_file(path) as file:
        return content_hash_of(iter(partial(file.read, BLOCK), b""))


def _call(name: str, *arguments: Any) -> Any:
    """Call a function of `brain_assets.resources.media.video_frames`; in a worker, which alone imports the library."""
    from brain_assets.resources.media import video_frames

    return getattr(video_frames, name)(*arguments)


def _results(begin: Any, limits: Limits) -> Iterator[Any]:
    """Yield what a worker finds in a video, from the beginning to the end; raises OSError where it cannot be read."""
    patience = min(PATIENCE, limits.seconds / 2)
    with _pool(limits).lease() as worker:
        _ask(worker, begin)
        ended = False
        while not ended:
            found, ended = _ask(worker, partial(_call, "next_batch", patience))
            if isinstance(ended, OSError):
                raise ended
            yield from found


def _ask(worker: "Worker", call: Any) -> Any:
    from brain_assets.resources.decoding.decoding_workers import Direct
    from brain_assets.resources.limits import LIGHT

    try:
        reply, result = worker.run(Direct(call), b"", LIGHT)
    except Refused as refused:
        if is_outside(str(refused)):
            raise OSError(errno.EINTR, str(refused)) from refused
        raise
    if reply == "refused":
        raise Refused(result)
    return result


@lru_cache(4)
def _pool(limits: Limits) -> "WorkerPool":
    from brain_assets.resources.decoding.decoding_workers import Budget, WorkerPool

    pool = WorkerPool(limits, Budget(limits.memory))
    atexit.register(pool.close)
    return pool
