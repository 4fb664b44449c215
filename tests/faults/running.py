"""Jobs run as programs of their own, what they say, and the server that figures of training go to."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from helpers import proxied_store

_STARTS = 6  # of a job until it ends well


@dataclass(frozen=True)
class Running:
    """A job that was started.

    Attributes:
        process: the driver.
        said: file that all jobs of a place write to.
        start: bytes in that file before this one began.
    """

    process: subprocess.Popen[str]
    said: Path
    start: int

    @property
    def ended(self) -> bool:
        """Whether the driver has ended."""
        return self.process.poll() is not None

    def output(self) -> str:
        """All that it has said so far."""
        with self.said.open("rb") as file:
            file.seek(self.start)
            return file.read().decode(errors="replace")

    def count(self, pattern: str) -> int:
        """How often a regular expression is found in what it has said so far."""
        return len(re.findall(pattern, self.output()))

    def last_line(self) -> str:
        """What was said last, but for MLflow's links."""
        lines = [line for line in self.output().strip().splitlines() if " at: http" not in line]
        return lines[-1][:300] if lines else ""


@dataclass(frozen=True)
class Place:
    """Where the jobs' configurations, inputs and logs lie; the folder is made."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, **changes: object) -> Running:
        """Begin a job on the cluster, with other values of some keys; `map-crossfit` is a variant of `map`."""
        job = name.partition("-")[0]
        words = [str(Path(sys.executable).with_name("sdm-ray")), job, str(self.folder / "configs" / f"{name}.yaml")]
        words += [f"{key}={value}" for key, value in {"run_dir": self.folder / "run", **changes}.items()]
        said = self.folder / "said.txt"
        with said.open("a") as file:
            start = said.stat().st_size
            return Running(subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, text=True), said, start)

    def finish(self, name: str, **changes: object) -> tuple[Running, int]:
        """Run a job until it ends well; returns its last run and how often it had to be started.

        Raises:
            SystemExit: it does not.
        """
        for attempt in range(1, _STARTS + 1):
            job = self.start(name, **changes)
            if job.process.wait() == 0:
                return job, attempt
            print(f"  {name} ended badly: {job.last_line()}", flush=True)
        raise SystemExit(f"{name}: did not finish in {_STARTS} starts")


@contextmanager
def tracked(folder: Path, kind: str) -> Iterator[str]:
    """Where figures of runs go: a file, or a server, which training on several nodes needs."""
    database = f"sqlite:///{folder}/mlflow.db"
    if kind == "sqlite":
        yield database
        return
    port = 10_000 + os.getpid() % 20_000
    program = str(Path(sys.executable).with_name("mlflow"))
    words = [program, "server", "--backend-store-uri", database, "--port", str(port), "--workers", "1"]
    words += ["--artifacts-destination", str(folder / "mlartifacts")]
    with (folder / "mlflow.txt").open("w") as said:
        server = subprocess.Popen(words, stdout=said, stderr=said)
    try:
        proxied_store.wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        for each in (*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)):
            each.kill()
        server.wait()
