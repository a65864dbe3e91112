"""Images far away: in object stores (``s3://``, ``gs://``, ``az://``, ``minio://SERVER/``) and behind ``http(s)://`` addresses.

Listing a store reads no object: size, time and ETag come with the list, a thousand at a time. A web address is asked for
its headers. Nothing is kept on disk. Credentials come from where the stores' own tools look: environment, profile,
metadata service.
"""

import errno
import itertools
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

from brain_assets.resources.errors import MissingError, SourceError
from brain_assets.resources.media import store_credentials
from brain_assets.resources.media.listing import Status, content_hash

STORES = ("s3", "gs", "az", "minio")
# Of MinIO the server stands before the bucket.
REMOTE = re.compile(r"(s3|gs|az|https?)://([^/]+)/?(.*)|(minio)://([^/]+/[^/]+)/?(.*)", re.DOTALL)
# How many answers are waited for at the same time.
CONNECTIONS = 16
# A web address may send anything; what is larger is not taken into memory.
MOST_BYTES = 1 << 30
# What a web server answers to a request for a part: here it is, the file is another by now, it has no such part.
PARTIAL, CHANGED, EMPTY = 206, 412, 416
LIST_ATTEMPTS = 3
TIMEOUT = "30s"
# Bytes kept between the two times that an object is needed: for its hash, and to be decoded.
KEPT_BYTES = 64 << 20


@dataclass(frozen=True)
class Version:
    """An object as it was at some time.

    Attributes
    ----------
    status : Status
    etag : str or None
        Names its content, where the server does that.
    """

    status: Status
    etag: str | None


# The last known versions of files that are read in parts.
_versions: dict[str, Version] = {}


def is_remote(uri: str) -> bool:
    """Tell whether an address lies in an object store or on the web."""
    return REMOTE.fullmatch(uri) is not None


def is_store(uri: str) -> bool:
    """Tell whether an address can be listed."""
    return uri.startswith(tuple(f"{scheme}://" for scheme in STORES))


def without_query(uri: str) -> str:
    """Return a web address without what follows a question mark, which may hold a signature; others as they are."""
    return uri.partition("?")[0].partition("#")[0] if uri.startswith("http") else uri


def list_objects(uri: str) -> Iterator[tuple[str, Status]]:
    """Yield address and state of every object below a folder of a store; a listing that breaks off is gone on with.

    Raises
    ------
    SourceError
        If the store cannot be listed.
    """
    scheme, bucket, prefix = _parts(uri)
    last = None
    for attempt in itertools.count(1):
        try:
            for found in _pages(_store(scheme, bucket), prefix.rstrip("/") or None, last):
                last = found["path"]
                yield f"{scheme}://{bucket}/{last}", _status(found)
            return
        except Exception as error:  # noqa: BLE001 - reported in one line
            if attempt == LIST_ATTEMPTS or last is None or isinstance(error, MissingError | SourceError):
                raise _unlisted(uri, error) from None


def read_object(uri: str) -> bytes:
    """Return the bytes of an object; raises OSError."""
    scheme, bucket, path = _parts(uri)
    if scheme not in STORES:
        return _read_web(uri)
    import obstore

    with _failing(uri):
        return bytes(obstore.get(_store(scheme, bucket), path).bytes())


def version(uri: str, *, anew: bool = False) -> Version:
    """Return what an object is: as last known, or asked for again; raises OSError."""
    if anew or uri not in _versions:
        _versions[uri] = _version_in_store(uri) if is_store(uri) else _version_on_web(uri)
    return _versions[uri]


def read_range(uri: str, start: int, stop: int, expected: Version) -> bytes:
    """Return the bytes from ``start`` up to ``stop``; raises OSError, also where the object is another version by now."""
    data = (_range_in_store if is_store(uri) else _range_on_web)(uri, start, stop, expected.etag)
    if len(data) < stop - start:
        raise _changed(uri)
    return data


def _changed(uri: str) -> OSError:
    _versions.pop(uri, None)
    return OSError(errno.ESTALE, "the file changed while it was being read")


@contextmanager
def _failing(uri: str) -> Iterator[None]:
    """Turn what a store answers into an OSError of one line."""
    import obstore

    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, f"there is no object {uri}") from None
    except obstore.exceptions.PreconditionError:
        raise _changed(uri) from None
    except obstore.exceptions.BaseError as error:
        raise OSError(errno.EIO, _line(error)) from None


def _version_in_store(uri: str) -> Version:
    import obstore

    scheme, bucket, path = _parts(uri)
    with _failing(uri):
        found = obstore.head(_store(scheme, bucket), path)
    return Version(_status(found), found.get("e_tag"))


def _range_in_store(uri: str, start: int, stop: int, etag: str | None) -> bytes:
    import obstore

    scheme, bucket, path = _parts(uri)
    options: Any = {"range": (start, stop), "if_match": etag}
    with _failing(uri):
        return bytes(obstore.get(_store(scheme, bucket), path, options=options).bytes())


def statuses(uris: Iterable[str]) -> list[Status]:
    """Return the state of addresses, asked for side by side; -1 bytes where there is nothing, or no answer this time.

    Raises
    ------
    SourceError
        If no address at all answers.
    """
    wanted = list(uris)
    with ThreadPoolExecutor(CONNECTIONS, "head") as pool:
        found = list(pool.map(_ask, wanted))
    lost = [answer for answer in found if isinstance(answer, str)]
    if lost and len(lost) == len(wanted):
        raise SourceError(f"none of {len(lost)} addresses can be reached: {lost[0]}")
    return [Status() if isinstance(answer, str) else answer for answer in found]


class Keeper:
    """Reads objects and keeps some between the first time and the second, so that they are fetched once."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def read(self, uri: str, fetch: Callable[[], bytes]) -> bytes:
        """Return the bytes of an object, fetched unless they are kept."""
        with self._lock:
            data = self._kept.pop(uri, None)
            if data is not None:
                self._bytes -= len(data)
                return data
        data = fetch()
        with self._lock:
            if uri not in self._kept and self._bytes + len(data) <= KEPT_BYTES:
                self._kept[uri] = data
                self._bytes += len(data)
        return data


def _parts(uri: str) -> tuple[str, str, str]:
    found = REMOTE.fullmatch(uri)
    if found is None:
        wanted = "s3://, gs:// or az:// and the bucket, or minio://SERVER:PORT and the bucket"
        raise SourceError(f"{uri} names no object store: it begins with {wanted}")
    scheme, bucket, path = (part for part in found.groups() if part is not None)
    return scheme, bucket, path


def _pages(store: Any, prefix: str | None, after: str | None) -> Iterator[Any]:
    import obstore

    for page in obstore.list(store, prefix, offset=after):
        yield from page


def _status(found: Any) -> Status:
    mark = found.get("e_tag") or found.get("version") or ""
    return Status(found["size"], int(found["last_modified"].timestamp() * 1e9), _number(mark))


def _number(mark: str) -> int:
    return int(content_hash(mark.encode())[:15], 16)


@lru_cache(16)
def _store(scheme: str, bucket: str) -> Any:
    try:
        from obstore.store import from_url
    except ImportError:
        extra = "s3" if scheme == "minio" else scheme
        raise MissingError(f"{scheme}:// needs an optional library: pip install 'brain-assets[{extra}]'") from None
    server, _, name = bucket.rpartition("/")
    given = store_credentials.found(scheme, server)
    plain = str(given.get("endpoint") or given.get("base_url")).startswith("http:")
    client: Any = {"timeout": TIMEOUT, "connect_timeout": "10s", "allow_http": plain}
    try:
        address = f"s3://{name}" if scheme == "minio" else f"{scheme}://{bucket}"
        return from_url(address, client_options=client, retry_config={"max_retries": 3}, **given)
    except Exception as error:  # noqa: BLE001 - reported in one line
        raise _unlisted(f"{scheme}://{bucket}", error) from None


def _unlisted(uri: str, error: Exception) -> Exception:
    if isinstance(error, MissingError | SourceError):
        return error
    line = _line(error)
    hint = store_credentials.hint(uri.partition(":")[0], line)
    return SourceError(f"{uri} cannot be listed: {hint or line}")


def _line(error: BaseException) -> str:
    """Return the part of an error that a person needs; the stores' answers come as pages of XML."""
    text = str(error).partition("Debug source")[0]
    message = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
    text = f"{text.partition('<?xml')[0]} {message[1]}" if message else text.partition("<")[0]
    return " ".join(text.split())[:300] or type(error).__name__


@lru_cache(1)
def _web() -> Any:
    import urllib3

    retries = urllib3.Retry(3, backoff_factor=0.3, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False)
    timeout = urllib3.Timeout(connect=10, read=30)
    return urllib3.PoolManager(maxsize=CONNECTIONS, retries=retries, timeout=timeout)


def _ask(uri: str) -> Status | str:
    """Return the state of an address, or why it does not answer."""
    try:
        if is_store(uri):
            return _head_object(uri)
        response = _web().request("HEAD", uri)
        if response.status in {403, 405, 501}:  # some servers, and signed addresses, allow GET only
            response = _web().request("GET", uri, preload_content=False)
            response.close()
    except FileNotFoundError:
        return Status()
    except MissingError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever one address does, the others stand
        return _line(error)
    if response.status >= 500:
        return f"{uri} answers {response.status}"
    headers = response.headers
    return Status() if response.status >= 400 else _web_status(headers, headers.get("content-length", ""))


def _head_object(uri: str) -> Status:
    import obstore

    scheme, bucket, path = _parts(uri)
    return _status(obstore.head(_store(scheme, bucket), path))


def _web_status(headers: Any, size: str) -> Status:
    modified = 0
    if "last-modified" in headers:
        try:
            modified = int(parsedate_to_datetime(headers["last-modified"]).timestamp()) * 10**9
        except ValueError:
            modified = 0
    return Status(int(size) if size.isdigit() else 0, modified, _number(headers.get("etag", "")))


def _read_web(uri: str) -> bytes:
    with _answer(uri) as response:
        data: bytes = response.read(MOST_BYTES + 1, decode_content=True)
    if len(data) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"more than {MOST_BYTES} bytes")
    return data


def _version_on_web(uri: str) -> Version:
    """Ask for one byte, which signed addresses allow too, and which tells whether parts can be had."""
    with _answer(uri, {"Range": "bytes=0-0"}) as response:
        headers = response.headers
    size, etag = headers.get("content-range", "").rpartition("/")[2], headers.get("etag", "")
    if not size.isdigit():
        raise OSError(
            errno.EOPNOTSUPP, "the server does not send parts of files: download it, or serve it from elsewhere"
        )
    return Version(_web_status(headers, size), etag if etag.startswith('"') else None)


def _range_on_web(uri: str, start: int, stop: int, etag: str | None) -> bytes:
    wanted = {"Range": f"bytes={start}-{stop - 1}"} | ({"If-Match": etag} if etag else {})
    with _answer(uri, wanted) as response:
        data: bytes = response.read(decode_content=False) if response.status == PARTIAL else b""
    return data


@contextmanager
def _answer(uri: str, headers: dict[str, str] | None = None) -> Iterator[Any]:
    """Get an address; raises OSError of one line."""
    import urllib3

    try:
        with _web().request("GET", uri, headers=headers, preload_content=False) as response:
            if response.status == CHANGED:
                raise _changed(uri)
            if response.status >= 400 and response.status != EMPTY:
                reason = f"the server answers {response.status} {response.reason or ''}"
                raise OSError(errno.EIO, reason.strip())
            yield response
    except urllib3.exceptions.HTTPError as error:
        raise OSError(errno.EIO, _line(error)) from None
