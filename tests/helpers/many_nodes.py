"""A Ray cluster of several small nodes on this machine, for programs that run beside the session's Ray."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
_FRUGAL = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_enable_worker_prestart": "0",  # a node starts sooner without processes that may not be needed
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_metrics_collection": "0",
    "OMP_NUM_THREADS": "1",
}
STORE_BYTES = 75 << 20  # Ray's least
_TRIES = 2  # of a node that does not start
_START_S = 120.0  # until a node counts as one that does not start; Ray itself waits 30 s, too few for a busy machine


@contextlib.contextmanager
def cluster(*, connected: bool = True, head_cpus: int = 0, dashboard: bool = False) -> Iterator[Any]:
    """A cluster with a head alone, without work for it, to which `join` adds nodes.

    Args:
        connected: whether this process is a driver of it.
        head_cpus: of the head, where it is to work.
        dashboard: whether the head has Ray's dashboard, as that of every real cluster, without which Ray Train does not
            notice that a driver was killed.
    """
    with tempfile.TemporaryDirectory(prefix="nodes-", dir="/tmp") as folder:
        # Ray notes the address of the cluster in its folder, where any other start of Ray here would find it
        os.environ |= {"RAY_TMPDIR": folder, **_FRUGAL}
        os.environ.pop("RAY_ADDRESS", None)
        from sdm_ray.buffers import ONE_ARENA
        from sdm_ray.ray_runtime import RESTING

        os.environ |= ONE_ARENA | RESTING
        import ray
        from ray.cluster_utils import Cluster

        wait_for_nodes_to_start()
        made = Cluster()
        try:
            join(made, head_cpus, dashboard=dashboard)
            if connected:
                ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
            yield made
        finally:
            ray.shutdown()
            for node in made.list_all_nodes():  # the head last, and none has anything to end in good order
                with contextlib.suppress(Exception):
                    made.remove_node(node, allow_graceful=False) if node != made.head_node else None
            if made.head_node is not None:
                made.remove_node(made.head_node, allow_graceful=False)


def wait_for_nodes_to_start() -> None:
    """Have this process wait longer than Ray does for a node that it has just started, as on a busy machine."""
    from ray._private import services

    get_node: Callable[..., Any] = services.get_node

    def wait(*arguments: Any) -> Any:
        end = time.monotonic() + _START_S
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)

    services.get_node = wait


def join(
    made: Any, cpus: float, gpus: int = 0, labels: Mapping[str, str] | None = None, *, dashboard: bool = False
) -> Any:
    """Add a node; returns it once it has joined."""
    for attempt in range(1, _TRIES + 1):
        before = made.list_all_nodes()
        begun = time.monotonic()
        try:
            held = {
                "num_cpus": cpus,
                "num_gpus": gpus,
                "object_store_memory": STORE_BYTES,
                "labels": dict(labels or {}),
            }
            node = made.add_node(**held, include_dashboard=dashboard)
            print(f"a node of {cpus} CPUs started in {time.monotonic() - begun:.1f} s", file=sys.stderr)
            return node
        except Exception as error:
            print(f"a node did not start ({type(error).__name__}: {error})", file=sys.stderr)
            if attempt == _TRIES:
                raise
            for node in set(made.list_all_nodes()) - set(before):
                with contextlib.suppress(Exception):
                    made.remove_node(node, allow_graceful=False)
    raise AssertionError


def run_program(program: Path, *arguments: str, timeout_s: float = 240, tries: int = 2) -> str:
    """Run a program in a process of its own; once more where it fails, as on a busy machine.

    Returns:
        What it printed.

    Raises:
        AssertionError: it failed each time; with the end of what it wrote to standard error.
    """
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
    environment.pop("RAY_ADDRESS", None)
    problem = ""
    for _ in range(tries):
        command = [sys.executable, str(program), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            problem = f"not done after {timeout_s:g} s"
            continue
        if done.returncode == 0:
            return done.stdout
        problem = done.stderr[-3000:]
    raise AssertionError(f"{program.name}: {problem}")
