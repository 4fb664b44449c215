"""An S3 server that is some milliseconds away and can be started anew: moto behind a proxy.

moto keeps objects in memory. One that is to be started anew notes the requests that it gets in a file, and does these
once more before it is within reach, so that it has what it had; uploads in parts that were under way are lost.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch
from urllib.request import Request, urlopen

KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}


class Server:
    """moto in a process of its own.

    Attributes:
        port: where it listens.
        starts: how often it was started.
    """

    def __init__(self, requests: Path | None = None) -> None:
        """Start it.

        Args:
            requests: file for the requests, without which a server that is started again is empty.
        """
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._requests = requests
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.begin()

    def begin(self) -> None:
        """Start it, with what it had before."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        noted = {}
        if self._requests is not None:
            noted = {"MOTO_ENABLE_RECORDING": "true", "MOTO_RECORDER_FILEPATH": str(self._requests)}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, env={**os.environ, **noted}, **quiet)
        self.starts += 1
        address = f"http://127.0.0.1:{self.port}/moto-api/"
        wait_for(address)
        if self._requests is not None and self._requests.exists():
            lines = self._requests.read_bytes().splitlines(keepends=True)  # one that was being written has no end
            self._requests.write_bytes(b"".join(line for line in lines if line.endswith(b"\n")))
            urlopen(Request(f"{address}recorder/replay-recording", method="POST")).close()

    def stop(self) -> None:
        """End it at once, with all that it holds in memory."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Proxy:
    """Passes connections on to a server, each direction of an answer later by a set time.

    Attributes:
        port: where it listens.
        latency_s: added to every answer that follows a request.
        server: what it passes them on to.
    """

    def __init__(self, server: Server, latency_s: float = 0.0) -> None:
        self.server, self.latency_s = server, latency_s
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
        """Break all connections and refuse new ones."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
            self._listener.close()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def restart_server(self, seconds: float) -> None:
        """Stop the server at once, and have it within reach again, with what it had, after so many seconds or more."""
        self.stop()
        self.server.stop()
        time.sleep(seconds)
        self.server.begin()
        self.begin()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self.server.port))
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
def store(bucket: str, latency_s: float = 0.0, *, restarts: bool = False) -> Iterator[Proxy]:
    """A server in a process of its own with an empty bucket, found through the environment; behind a proxy.

    Args:
        bucket: its name.
        latency_s: added to every answer.
        restarts: whether the server keeps what it has when it is started anew, which makes it slower.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = Server(folder / "requests" if restarts else None)
        stack.callback(server.stop)
        proxy = Proxy(server, latency_s)
        stack.callback(proxy.stop)
        stack.enter_context(patch.dict(os.environ, {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}))
        from upath import UPath

        UPath(f"s3://{bucket}").fs.mkdir(bucket)
        yield proxy


def wait_for(address: str, seconds: float = 240) -> None:
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
