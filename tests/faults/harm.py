"""Harm that is done to a job: a process killed, a node removed, a store that is started anew, a disk that is full."""

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from faults.running import Running
from helpers import many_nodes, proxied_store

_OUT_OF_REACH_S = 6.0
RAY_KEEPS = ("_AutoscalingCoordinatorActor", "TrainStateActor")  # one of each kind as long as a cluster lives
# They stay between jobs: also a node's agents, and an actor of Ray Train that no dashboard tells to end
_NO_WORK = ("IDLE", "Agent", "PlacementGroupCleaner", *RAY_KEEPS)


@dataclass
class Cluster:
    """What may fail: nodes, and a store that was there before them, so that their workers know its address."""

    made: Any
    nodes: list[Any]
    store: proxied_store.Proxy | None = None

    def lose_one(self, rng: random.Random) -> str:
        """Remove a node at once, one that works where there is any, and add another; returns what it did."""
        at_work = {each.pid: words for words, each in busy_workers()}
        found = [(node, [at_work[pid] for pid in _workers_of(node) if pid in at_work]) for node in self.nodes]
        node, lost = rng.choice([each for each in found if each[1]] or found)
        self.nodes.remove(node)
        self.made.remove_node(node, allow_graceful=False)
        self.nodes.append(many_nodes.join(self.made, 2))
        return f"node with {', '.join(lost) or 'no worker at work'}"


def _workers_of(node: Any) -> list[int]:
    """Ids of the processes that a node's raylet has started."""
    (raylet,) = node.all_processes["raylet"]
    try:
        return [each.pid for each in psutil.Process(raylet.process.pid).children(recursive=True)]
    except psutil.Error:
        return []


def is_at_work(words: str) -> bool:
    """Whether the command line of a process is that of a worker of Ray that does a job's work."""
    return words.startswith("ray::") and not any(each in words for each in _NO_WORK)


def busy_workers() -> list[tuple[str, psutil.Process]]:
    """The command line and the process of each worker of this program's clusters that does a job's work."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            words = " ".join(process.cmdline()).strip()  # Ray pads the name of a worker
        except psutil.Error:
            continue
        if is_at_work(words):
            found.append((words, process))
    return found


def wait_for_work(job: Running) -> None:
    """Wait until a worker is at work, or the job has ended."""
    while not job.ended and not busy_workers():
        time.sleep(0.05)


def strike(what: str, job: Running, cluster: Cluster, rng: random.Random) -> str | None:
    """Do a job some harm; returns what, or None where the job ended before."""
    if what in ("worker", "node"):
        wait_for_work(job)
    if job.ended:
        return None
    if what == "worker":
        workers = busy_workers()
        if not workers:
            return None
        words, victim = rng.choice(workers)
        victim.send_signal(signal.SIGKILL)
        return f"worker {words}"
    if what == "node":
        return cluster.lose_one(rng)
    if what == "store":
        assert cluster.store is not None
        cluster.store.restart_server(_OUT_OF_REACH_S)
        return f"store, started {cluster.store.server.starts} times"
    job.process.send_signal(signal.SIGKILL)
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
