"""Folders served as buckets of S3, to be read only, some milliseconds away.

Costs a fraction of the CPU that moto needs for an answer, since the kernel sends the files, so that what is measured is
the client. It answers GET with and without a range, HEAD and the listing of a prefix, and checks no signature.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from helpers.proxied_store import KEYS


class RangeServer(ThreadingHTTPServer):
    """Serves a folder, in threads of this process.

    Attributes:
        latency_s: by which every answer is held back.
        requests: answered.
        sent: bytes of content sent.
        signed: access keys that requests were signed with, "" for one without.
        refused: part of the names of programs that are refused.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder, self.latency_s, self.requests, self.sent = folder, 0.0, 0, 0
        self.signed: set[str] = set()
        self.refused: str | None = None


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RangeServer

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        time.sleep(self.server.latency_s)
        self.server.requests += 1
        self.server.signed.add(self.headers.get("Authorization", "=/").split("=", 1)[1].split("/", 1)[0])
        if self.server.refused and self.server.refused in self.headers.get("User-Agent", ""):
            self._content(403, b"<Error><Code>AccessDenied</Code></Error>")
            return
        address = urlsplit(self.path)
        asked, path = parse_qs(address.query), self.server.folder / unquote(address.path).strip("/")
        if "list-type" in asked:
            self._content(200, self._listing(path, asked.get("prefix", [""])[0], "delimiter" in asked))
        elif path.is_file():
            self._file(path)
        else:
            self._content(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def _file(self, path: Path) -> None:
        size, wanted = path.stat().st_size, self.headers.get("Range")
        first, last = 0, size - 1
        if wanted:
            begin, end = wanted.removeprefix("bytes=").split("-")
            first = int(begin) if begin else max(0, size - int(end))
            last = min(int(end), size - 1) if begin and end else size - 1
        extra = {"Content-Range": f"bytes {first}-{last}/{size}"} if wanted else {}
        self._head(206 if wanted else 200, last - first + 1, path, **extra)
        if self.command == "GET":
            length = last - first + 1
            with open(path, "rb") as file:
                while first <= last:
                    first += os.sendfile(self.connection.fileno(), file.fileno(), first, last - first + 1)
            self.server.sent += length

    def _head(self, status: int, length: int, path: Path | None = None, **headers: str) -> None:
        self.send_response(status)
        modified = formatdate(path.stat().st_mtime if path else None, usegmt=True)
        headers |= {"Content-Length": str(length), "Last-Modified": modified, "ETag": f'"{hash(path)}-{length}"'}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def _content(self, status: int, content: bytes) -> None:
        self._head(status, len(content))
        if self.command == "GET":
            self.wfile.write(content)

    def _listing(self, bucket: Path, prefix: str, flat: bool) -> bytes:
        files = [each for each in bucket.rglob("*") if each.is_file()]
        keys = sorted(key for each in files if (key := each.relative_to(bucket).as_posix()).startswith(prefix))
        folders = sorted({prefix + head + "/" for key in keys if (head := _folder(key[len(prefix) :]))}) if flat else []
        here = [key for key in keys if not (flat and _folder(key[len(prefix) :]))]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{(bucket / key).stat().st_size}</Size>"
            "<LastModified>2026-01-01T00:00:00Z</LastModified><ETag>x</ETag><StorageClass>STANDARD</StorageClass></Contents>"
            for key in here
        )
        contents += "".join(f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in folders)
        return (
            f"<ListBucketResult><Name>{bucket.name}</Name><KeyCount>{len(here) + len(folders)}</KeyCount>"
            f"<IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
        ).encode()

    def log_message(self, *_: object) -> None:
        pass


def _folder(rest: str) -> str:
    return rest.split("/", 1)[0] if "/" in rest else ""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[RangeServer]:
    """A server of the folders inside `folder` as buckets, found through the environment."""
    with RangeServer(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with patch.dict(os.environ, {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}):
            try:
                yield server
            finally:
                server.shutdown()
