"""A small web server for the page and the stores that it shows: byte ranges of files inside these folders alone."""

import ipaddress
import json
import mimetypes
import re
import socket
import sys
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from sdm_ray.errors import InputError
from sdm_ray.progress import say
from sdm_ray.viewer.site import PAGE, Site

LOCAL = "127.0.0.1"
PORT = 8642
"""The port where none is given and this one is free, so that links keep working."""
_FRAMES = "frame-ancestors 'self' http://localhost:* http://127.0.0.1:*"  # a notebook's, which shows the page inside
_NO_BORDERS = '{"type":"FeatureCollection","features":[]}'
_AT_ONCE = 1 << 18  # bytes read and sent
_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


@dataclass
class Traffic:
    """What was sent since the server began, for measurements."""

    requests: int = 0
    bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, size: int) -> None:
        """Count one answer of some bytes."""
        with self._lock:
            self.requests += 1
            self.bytes += size


class Server(ThreadingHTTPServer):
    """Serves one site.

    Attributes:
        site: what it shows.
        traffic: what was sent.
        url: address of the page.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, site: Site, host: str, port: int) -> None:
        self.site = site
        self.traffic = Traffic()
        self._drawing = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        name = "localhost" if host == LOCAL else host
        self.url = f"http://{f'[{name}]' if ':' in name else name}:{self.server_address[1]}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing where the browser went away, which it does whenever the view moves on."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def borders(self) -> str | None:
        """Countries around the map as GeoJSON, made when they are first asked for; None where they cannot be."""
        with self._drawing:  # takes seconds for a continent, so that others wait for the first
            try:
                return self.site.borders
            except Exception as error:  # a damaged land store leaves the map as it is
                say(f"view: no coastlines and borders: {error}")
                return None

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve_forever, daemon=True).start()


def open_server(site: Site, host: str = LOCAL, port: int | None = None) -> Server:
    """A server that listens, and serves once it is started.

    Args:
        site: what it shows.
        host: address to listen on.
        port: 0 for any free one; None for `PORT` or, where that is taken, any free one.

    Raises:
        InputError: the port is taken or the address cannot be listened on.
    """
    try:
        return Server(site, host, PORT if port is None else port)
    except (OSError, OverflowError) as error:
        if port is None:
            return open_server(site, host, 0)
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"--host {host} --port {port}: cannot be listened on ({reason}); name another") from None


def inside(root: Path, name: str) -> Path | None:
    """The file of a name inside a folder; None where there is none, or where it lies outside, a link's target too."""
    try:
        root, found = root.resolve(), (root / name).resolve()
        return found if found.is_relative_to(root) and found.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, with a zero byte, or a link to itself
        return None


def byte_range(text: str | None, size: int) -> tuple[int, int] | None:
    """First byte and end that a `Range` header asks for, of a file of some size; None for all of it.

    Raises:
        ValueError: it begins behind the end.
    """
    match = _RANGE.match(text.strip()) if text else None
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        return max(0, size - int(match[2])), size
    first, end = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
    if match[2] and int(match[2]) < first:
        return None
    if first >= size:
        raise ValueError(f"byte {first} of {size}")
    return first, end


def known_host(text: str | None) -> bool:
    """Whether a `Host` header names this machine or a bare address.

    A page from elsewhere whose domain is pointed at this machine (DNS rebinding) has its own domain there.
    """
    try:
        name = urlsplit(f"//{text or ''}").hostname or ""
        return name in ("localhost", socket.gethostname().lower()) or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "sdm-ray"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""

    def _answer(self) -> None:
        if not known_host(self.headers.get("Host")):
            self._send_text(HTTPStatus.FORBIDDEN, "This server answers to localhost and bare addresses alone.\n")
            return
        name = unquote(urlsplit(self.path).path).lstrip("/")
        made = self._made(name)
        if made is not None:
            self._send(BytesIO(made), len(made), name)
            return
        file = self._file(name or "index.html")
        if file is None:
            self._send_text(HTTPStatus.NOT_FOUND, "There is no such file here.\n")
            return
        with file.open("rb") as opened:
            self._send(opened, file.stat().st_size, file.name)

    def _made(self, name: str) -> bytes | None:
        """What is no file: configuration and borders."""
        if name == "viewer.json":
            return json.dumps(self.server.site.config()).encode()
        if name == "borders.geojson":
            return (self.server.borders() or _NO_BORDERS).encode()
        return None

    def _file(self, name: str) -> Path | None:
        match = re.match(r"stores/(\d{1,4})/(.+)", name)
        if match is None:
            return inside(PAGE, name)
        number, folders = int(match[1]), self.server.site.folders
        return inside(folders[number], match[2]) if number < len(folders) else None

    def _send(self, content: BinaryIO, size: int, name: str) -> None:
        try:
            part = byte_range(self.headers.get("Range"), size)
        except ValueError:
            self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, name, {"Content-Range": f"bytes */{size}"})
            return
        first, end = part or (0, size)
        status = HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT
        more = {} if part is None else {"Content-Range": f"bytes {first}-{end - 1}/{size}"}
        self._head(status, end - first, name, more)
        if self.command == "GET":
            content.seek(first)
            while first < end and (block := content.read(min(_AT_ONCE, end - first))):
                self.wfile.write(block)
                first += len(block)

    def _send_text(self, status: HTTPStatus, text: str) -> None:
        self._head(status, len(text), "message.txt", {})
        if self.command == "GET":
            self.wfile.write(text.encode())

    def _head(self, status: HTTPStatus, length: int, name: str, more: dict[str, str]) -> None:
        kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
        text = "; charset=utf-8" if (kind or "").startswith("text/") else ""
        headers = {
            "Content-Type": (kind or "application/octet-stream") + text,
            "Content-Length": str(length),
            "Accept-Ranges": "bytes",
            "Cache-Control": "no-store",  # a map may be made anew under the same address
            "Content-Security-Policy": f"{self.server.site.security_policy()}; {_FRAMES}",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        self.server.traffic.add(length if self.command == "GET" else 0)
        self.send_response(status)
        for header, value in (headers | more).items():
            self.send_header(header, value)
        self.end_headers()
