"""An S3 server that is some milliseconds away and can be out of reach for a while: moto behind a proxy."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from urllib.request import urlopen

KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}


class Proxy:
    """Passes connections on to a server, each direction of an answer later by a set time.

    Attributes:
        port: where it listens.
        latency_s: added to every answer that follows a request.
    """

    def __init__(self, target: int, latency_s: float = 0.0) -> None:
        self._target, self.latency_s = target, latency_s
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self.begin()

    def begin(self) -> None:
        """Listen, on the same port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self.port, self._listener = listener.getsockname()[1], listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Break all connections and refuse new ones, as a server does that is started anew."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
            self._listener.close()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                asked = [0.0]  # when the last part of a request went by
                self._open |= {near, far}
                for ends in ((near, far, asked, True), (far, near, asked, False)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, asked: list[float], request: bool) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(1 << 18):
                if request:
                    asked[0] = time.monotonic()
                elif (wait := asked[0] + self.latency_s - time.monotonic()) > 0:
                    time.sleep(wait)
                target.sendall(content)
        for each in (source, target):
            self._open.discard(each)
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def store(bucket: str, latency_s: float = 0.0) -> Iterator[Proxy]:
    """A server in a process of its own with an empty bucket, found through the environment; behind a proxy."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = dict(os.environ)
    proxy = None
    try:
        wait_for(f"http://127.0.0.1:{port}/moto-api/")
        proxy = Proxy(port, latency_s)
        os.environ |= {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}
        from upath import UPath

        UPath(f"s3://{bucket}").fs.mkdir(bucket)
        yield proxy
    finally:
        server.kill()
        server.wait()
        if proxy is not None:
            proxy.stop()
        os.environ.clear()
        os.environ.update(before)


def wait_for(address: str, seconds: float = 60) -> None:
    """Wait until an address answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            urlopen(address, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)
