"""Kill jobs at random moments on several small nodes, run them again, and compare with jobs that nothing happened to.

    PYTHONPATH=.:tests python tests/faults/kill_jobs.py [--jobs map,embed] [--what worker,driver,node,store,disk]
        [--kills 3] [--seed 0] [--folder FOLDER]
    PYTHONPATH=.:tests python tests/faults/kill_jobs.py --quick

Arrays, tables and archives must be equal, weights within 1e-5. `store` writes to an S3 server that is out of reach for
some seconds, `disk` to a disk that is too small and then made larger (as root, who may mount). A FOLDER keeps the
inputs and the untouched artefacts for another call. With --quick: an untrained model and a map of which a worker and
then the driver are killed.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from faults import small_chain
from faults.same_content import differences
from helpers import many_nodes, proxied_store
from upath import UPath

TRAINING = ("pretrain", "finetune")
_STARTS = 6  # of a job until it ends well
_A_WHILE = 0.02  # most share of a job's time from the first work to the harm
_OUT_OF_REACH_S = 6.0


@dataclass
class Cluster:
    """What may fail: nodes, and a store that was there before them, so that their workers know its address."""

    made: Any
    nodes: list[Any]
    store: proxied_store.Proxy | None = None

    def lose_one(self, rng: random.Random) -> None:
        """Remove a node at once, and add another."""
        node = self.nodes.pop(rng.randrange(len(self.nodes)))
        self.made.remove_node(node, allow_graceful=False)
        self.nodes.append(many_nodes.join(self.made, 2))


@dataclass(frozen=True)
class Place:
    """Where the jobs' configurations, inputs and logs lie."""

    folder: Path

    def start(self, name: str, **changes: object) -> subprocess.Popen[str]:
        """Begin a job on the cluster, with other values of some keys."""
        words = [str(Path(sys.executable).with_name("sdm-ray")), name, str(self.folder / "configs" / f"{name}.yaml")]
        words += [f"{key}={value}" for key, value in {"run_dir": self.folder / "run", **changes}.items()]
        said = (self.folder / "said.txt").open("a")
        return subprocess.Popen(words, stdout=said, stderr=subprocess.STDOUT, text=True)

    def last_line(self) -> str:
        """What was said last."""
        lines = (self.folder / "said.txt").read_text().strip().splitlines()
        return lines[-1][:300] if lines else ""

    def finish(self, name: str, **changes: object) -> int:
        """Run a job until it ends well; returns how often it had to be started.

        Raises:
            SystemExit: it does not.
        """
        for attempt in range(1, _STARTS + 1):
            if self.start(name, **changes).wait() == 0:
                return attempt
            print(f"  {name} ended badly: {self.last_line()}", flush=True)
        raise SystemExit(f"{name}: did not finish in {_STARTS} starts")


def busy_workers(*, idle_too: bool = True) -> list[psutil.Process]:
    """Ray's workers of this program's clusters that are at work; idle ones where there are no others."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            found.append((" ".join(process.cmdline()), process))
        except psutil.Error:
            continue
    # A node's agents are named like workers, and the node ends with them
    workers = [(words, process) for words, process in found if words.startswith("ray::") and "Agent" not in words]
    working = [process for words, process in workers if "IDLE" not in words]
    return working if working or not idle_too else [process for _, process in workers]


def wait_for_work(job: subprocess.Popen[str]) -> None:
    """Wait until a worker is at work, or the job has ended."""
    while job.poll() is None and not busy_workers(idle_too=False):
        time.sleep(0.05)


def strike(what: str, job: subprocess.Popen[str], cluster: Cluster, rng: random.Random) -> str:
    """Do a job some harm; returns what."""
    if job.poll() is not None:
        return "nothing, it had ended"
    if what == "worker":
        workers = busy_workers()
        if not workers:
            return "nothing, it had no worker"
        victim = rng.choice(workers)
        words = victim.cmdline()[0]
        victim.send_signal(signal.SIGKILL)
        return f"worker {words}"
    if what == "node":
        cluster.lose_one(rng)
    elif what == "store":
        assert cluster.store is not None
        cluster.store.stop()
        time.sleep(_OUT_OF_REACH_S)
        cluster.store.begin()
    else:
        job.send_signal(signal.SIGKILL)
    return what


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[None]:
    """A disk of so many megabytes at a place."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def on_a_full_disk(name: str, place: Path, at: Place) -> tuple[str, list[str]]:
    """A job on a disk that is too small, run again on a larger one."""
    used = sum(
        file.stat().st_size for each in small_chain.OUTPUTS[name] for file in (at.folder / "run" / each).rglob("*")
    )
    with small_disk(place, max(1, int(0.4 * used / 1e6))):
        ended = at.start(name, output=place / "out" / small_chain.OUTPUTS[name][0]).wait()
        said = at.last_line()
        one_line = ended != 0 and not said.startswith(("Traceback", " "))
        subprocess.run(["mount", "-o", "remount,size=900m", str(place)], check=True)
        at.finish(name, output=place / "out" / small_chain.OUTPUTS[name][0])
        found = compared(name, at, UPath(place / "out"))
    return f"disk full: {said}", found if one_line else [f"no line about the disk: {said}", *found]


def compared(name: str, at: Place, other: UPath) -> list[str]:
    """What differs between the untouched artefacts of a job and others."""
    outputs = small_chain.OUTPUTS[name]
    return [line for each in outputs for line in differences(UPath(at.folder / "run" / each), other / each)]


def one_kill(name: str, what: str, at: Place, cluster: Cluster, rng: random.Random, seconds: float) -> bool:
    """Do a job harm once, run it until it ends, and compare; whether nothing differs."""
    with ExitStack() as stack:
        other = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=at.folder)))
        if what == "disk":
            told, found = on_a_full_disk(name, other / "disk", at)
        else:
            root = UPath("s3://kills") / other.name if what == "store" else UPath(other)
            # `prepare` writes a whole run folder
            changes = {"run_dir": root} if name == "prepare" else {"output": root / small_chain.OUTPUTS[name][0]}
            job, begun = at.start(name, **changes), time.monotonic()
            if name == "prepare":
                time.sleep(rng.uniform(0.3, 0.9) * seconds)
            else:
                wait_for_work(job)  # a job on a busy machine may take much longer, or less, than the untouched one
                time.sleep(rng.uniform(0, _A_WHILE) * seconds)
            told = f"{time.monotonic() - begun:5.1f} s: {strike(what, job, cluster, rng)}"
            again = 0 if job.wait() == 0 else at.finish(name, **changes)
            told += f"; started {again} more times"
            found = compared(name, at, root)
    print(f"{name}: {told}; {'equal' if not found else found[:3]}", flush=True)
    return not found


def ways(name: str, wanted: list[str]) -> list[str]:
    """What can be done to a job, of what is wanted."""
    able = {"worker", "driver", "node"}
    if name == "prepare":
        able = {"driver"}
    if name in ("map", "embed", "indicators"):
        able |= {"store", "disk"} if os.geteuid() == 0 else {"store"}
    return [each for each in wanted if each in able]


def figure(name: str, equal: int, total: int) -> int:
    """Print one figure; the exit status."""
    print(json.dumps({"figure": name, "value": equal, "unit": "jobs", "goal": total, "holds": equal == total}))
    return int(equal != total)


def main() -> int:
    """0 where every artefact is equal to the one that nothing happened to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", default=",".join(small_chain.JOBS))
    parser.add_argument("--what", default="worker,driver,node,store,disk")
    parser.add_argument("--kills", type=int, default=1, help="of each job in each way")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    jobs, wanted, kept = given.jobs.split(","), given.what.split(","), given.folder
    if given.quick:
        jobs, wanted, kept = ["map"], ["worker", "driver"], None
    rng = random.Random(given.seed)
    equal = total = 0
    with ExitStack() as stack:
        at = Place(kept or Path(stack.enter_context(tempfile.TemporaryDirectory())))
        tracking = "http" if set(jobs) & set(TRAINING) else "sqlite"
        address = stack.enter_context(tracked(at.folder, tracking))
        store = stack.enter_context(proxied_store.store("kills")) if "store" in wanted else None
        made = stack.enter_context(many_nodes.cluster(connected=False))
        cluster = Cluster(made, [many_nodes.join(made, 2) for _ in range(1 if given.quick else 2)], store)
        os.environ |= {"RAY_ADDRESS": made.address, "MLFLOW_TRACKING_URI": address}
        (small_chain.write_quick if given.quick else small_chain.write)(at.folder)
        times = untouched(jobs, at)
        for name in jobs:
            for what in ways(name, wanted):
                for _ in range(given.kills):
                    equal += one_kill(name, what, at, cluster, rng, times[name])
                    total += 1
    return figure("artefacts equal after a kill", equal, total)


def untouched(jobs: list[str], at: Place) -> dict[str, float]:
    """Make the artefacts of the jobs, and what they need before; returns the seconds that each job took."""
    noted = at.folder / "seconds.json"
    times: dict[str, float] = json.loads(noted.read_text()) if noted.exists() else {}
    chain = small_chain.JOBS
    for name in chain[: max(map(chain.index, jobs)) + 1]:
        if name in times or not (at.folder / "configs" / f"{name}.yaml").exists():
            continue
        begun = time.monotonic()
        at.finish(name)
        times[name] = time.monotonic() - begun
        noted.write_text(json.dumps(times))
        print(f"{name}: {times[name]:.1f} s", flush=True)
    return times


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


if __name__ == "__main__":
    sys.exit(main())
