"""What a worker process does with a video: it tells which frames there are, and decodes those that are wanted.

A video is open in its worker from one request to the next, so that it is passed once.
"""

import errno
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from brain_assets.resources.errors import Refused
from brain_assets.resources.media.files import open_file

if TYPE_CHECKING:
    import av

# Half of what the last digit of a name stands for, and a little.
TOLERANCE = 0.0006
BMP_HEADER = 54
_session: dict[str, Iterator[Any]] = {}


def begin_listing(path: str) -> None:
    """Open a video to list its frames."""
    _session["open"] = _packets(path)


def begin_decoding(path: str, wanted: tuple[float, ...]) -> None:
    """Open a video to decode the frames at some times, in seconds and in order."""
    _session["open"] = _frames(path, wanted)


def next_batch(patience: float) -> tuple[list[Any], bool | OSError]:
    """Return what is found within some seconds, and whether the video has ended, or why it cannot be read.

    Frames come one at a time, as they are large.
    """
    import av

    found: list[Any] = []
    until = time.monotonic() + patience
    try:
        for result in _session["open"]:
            found.append(result)
            if time.monotonic() > until or isinstance(result[1], bytes):
                return found, False
    except (av.error.FFmpegError, OSError) as error:
        if not _is_damage(error):
            return [], OSError(error.errno, error.strerror)
        # What came before the damage is reported first.
        _session["open"] = _refusal(Refused(f"damaged: the video cannot be read to its end: {error.strerror}"))
        return found, False
    return found, True


def _is_damage(error: "av.error.FFmpegError | OSError") -> bool:
    """Tell damage from a file that cannot be read; where a video points to before its beginning, seeking fails."""
    import av

    return isinstance(error, av.error.FFmpegError) or error.errno == errno.EINVAL


def _refusal(refused: Refused) -> Iterator[Any]:
    raise refused
    yield


def _packets(path: str) -> Iterator[tuple[float, bool, int]]:
    """Yield time in seconds, whether it is a key frame, and bytes as an image of each frame, as the file names them."""
    import av

    with open_file(path) as file, av.open(file, "r") as video:
        stream = _stream(video)
        for packet in video.demux(stream):
            at = packet.pts if packet.pts is not None else packet.dts
            if at is not None and packet.size and not packet.is_discard and packet.time_base is not None:
                seconds = float(at * packet.time_base)
                if seconds >= 0:
                    yield seconds, bool(packet.is_keyframe), _size(stream.codec_context)


def _size(context: Any) -> int:
    """Return the bytes of a frame as BMP: rows are padded to four."""
    return int(BMP_HEADER + context.height * -(-3 * context.width // 4) * 4)


def _stream(video: Any) -> Any:
    if not video.streams.video:
        raise Refused("not_an_image: the file holds no video")
    stream = video.streams.video[0]
    stream.codec_context.thread_count = 1
    return stream


def _frames(path: str, wanted: tuple[float, ...]) -> Iterator[tuple[float, bytes]]:
    """Yield time and uncompressed image of each wanted frame that can be decoded."""
    import av

    missing = sorted(wanted)
    with open_file(path) as file, av.open(file, "r") as video:
        stream = _stream(video)
        if missing[0] > 1:
            video.seek(int((missing[0] - 1) / stream.time_base), stream=stream)
        for frame in _decoded(video, stream):
            at = frame.pts if frame.pts is not None else frame.dts
            seconds = float(at * frame.time_base) if at is not None and frame.time_base is not None else -1.0
            while missing and missing[0] < seconds - TOLERANCE:
                missing.pop(0)
            if not missing:
                return
            if abs(seconds - missing[0]) <= TOLERANCE:
                yield missing.pop(0), _encoded(frame)


def _decoded(video: Any, stream: Any) -> Iterator[Any]:
    """Yield frames in the order in which they are shown; what is damaged is passed over."""
    import av

    for packet in video.demux(stream):
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue


def _encoded(frame: Any) -> bytes:
    """Return a frame as displayed, as the bytes of a BMP."""
    import io

    from PIL import Image

    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
    if turn := int(getattr(frame, "rotation", 0)) % 360:
        image = image.rotate(turn, expand=True)
    encoded = io.BytesIO()
    image.save(encoded, "BMP")
    return encoded.getvalue()
