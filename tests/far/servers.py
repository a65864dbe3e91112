"""What tests put into stores, and a web server that sends parts of files."""

import http.server
import re
from pathlib import Path

from brain_assets.resources.media import object_stores
from brain_assets.resources.media.listing import content_hash


def put(uri: str, data: bytes) -> None:
    scheme, name, path = object_stores._parts(uri)
    import obstore

    obstore.put(object_stores._store(scheme, name), path, data)


def delete(uri: str) -> None:
    scheme, name, path = object_stores._parts(uri)
    import obstore

    obstore.delete(object_stores._store(scheme, name), path)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and parts of its files, without a word."""

    parts = True

    def do_GET(self) -> None:
        """Answer to a range of bytes where one is asked for."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not (wanted and self.parts and path.is_file()):
            super().do_GET()
            return
        data = path.read_bytes()
        etag, (start, last) = f'"{content_hash(data)}"', map(int, wanted.groups())
        if self.headers.get("If-Match", etag) != etag:
            self.send_error(412)
            return
        part = data[start : last + 1]
        self.send_response(206)
        self.send_header("ETag", etag)
        self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
