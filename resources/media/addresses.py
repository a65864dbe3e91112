"""One way to read any sample by its address, wherever it lies: a file, near or far, or inside an archive or a video."""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from brain_assets.resources.errors import Refused
from brain_assets.resources.limits import DEFAULT_LIMITS, Limits
from brain_assets.resources.local_files import bytes_of
from brain_assets.resources.media import archives, object_stores, videos
from brain_assets.resources.media.listing import content_hash, file_name
from brain_assets.resources.media.object_stores import is_remote

# A web address may end with a query.
MEMBER = re.compile(r"(.+?\.(?:zip|tar|tar\.gz|tgz)(?:\?.*?)?)!/(.+)", re.IGNORECASE | re.DOTALL)


def read(uri: str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the bytes of a sample; ``limits`` are those of decoding a video.

    Raises
    ------
    OSError
        If it cannot be read this time.
    Refused
        If it is damaged where it lies.
    """
    if member := member_of(uri):
        return archives.read_member(*member)
    if frame := frame_of(uri):
        return videos.read_frame(*frame, limits)
    return object_stores.read_object(uri) if is_remote(uri) else read_local(uri)


def read_local(uri: str) -> bytes:
    """Return the bytes of a local file; raises OSError, also for what is no file, such as a pipe, which might block."""
    return bytes_of(file_name(uri))


def member_of(uri: str) -> tuple[str, str] | None:
    """Return archive and name of a member of one, None for anything else."""
    return _inside(MEMBER, uri)


def frame_of(uri: str) -> tuple[str, str] | None:
    """Return video and time of a frame of one, None for anything else."""
    found = _inside(videos.FRAME, uri)
    return None if found and not is_remote(uri) and os.path.lexists(file_name(uri)) else found


def _inside(pattern: re.Pattern[str], uri: str) -> tuple[str, str] | None:
    """Return a container and what is named inside it; a folder may be called as if it were one."""
    far = is_remote(uri)
    found = pattern.fullmatch(uri if far else os.fsdecode(file_name(uri)))
    return (found[1], found[2]) if found and (far or os.path.isfile(found[1])) else None


def name_of_content(uri: str, data: bytes) -> str:
    """Return the content hash of a sample that was read; a frame is named by its video."""
    if frame := frame_of(uri):
        return videos.frame_hash(videos.video_hash(frame[0]), frame[1])
    return content_hash(data)


def sequential(uri: str) -> str | None:
    """Return the file within which a sample can only be reached by passing all before it, None where there is none."""
    member, frame = member_of(uri), frame_of(uri)
    if frame:
        return frame[0]
    return member[0] if member and archives.is_sequential(member[0]) else None


def read_in_order(
    container: str, uris: Collection[str], limits: Limits = DEFAULT_LIMITS
) -> Iterator[tuple[str, str, bytes | Refused]]:
    """Yield address, content hash and bytes of samples of a sequential file as they come, in one pass.

    A frame that cannot be decoded comes with its reason.

    Raises
    ------
    OSError
        If the file cannot be read this time.
    Refused
        If an archive is damaged.
    """
    if frames := {frame[1]: uri for uri in uris if (frame := frame_of(uri))}:
        for name, key, found in videos.read_frames(container, list(frames), limits):
            yield frames[name], key, found
        return
    wanted = {member[1]: uri for uri in uris if (member := member_of(uri))}
    for name, data in archives.read_members(container, wanted.keys()):
        yield wanted[name], content_hash(data), data


def below(root: str, filepath: str) -> str | None:
    """Return the address of a sample below a folder, or None where its path leads out of it.

    On this machine it must be a plain file, or inside one; symbolic links are followed first, so that neither they nor
    ``..`` lead out of the folder.
    """
    if is_remote(root):
        return None if ".." in filepath.split("/") else f"{root}/{filepath}"
    try:
        name, rest = _parted(Path(root), filepath)
        folder = Path(root).resolve(strict=True)
        path = (folder / name).resolve(strict=True)
        return f"{path}{rest}" if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _parted(root: Path, filepath: str) -> tuple[str, str]:
    """Return the path of a file and what leads to a sample inside it."""
    return (filepath, "") if (root / filepath).exists() else parted(filepath)


def parted(filepath: str) -> tuple[str, str]:
    """Return the path of what would be a container by its name, and what leads to a sample inside it."""
    for pattern, separator in ((MEMBER, archives.SEPARATOR), (videos.FRAME, videos.SEPARATOR)):
        if found := pattern.fullmatch(filepath):
            return found[1], f"{separator}{found[2]}"
    return filepath, ""
