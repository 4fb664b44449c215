"""Run as a program: parts of work on several small nodes that join and leave, and on pretended GPUs.

    PYTHONPATH=.:tests python tests/faults/many_nodes.py

Prints one JSON document: what each part reported.
"""

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from helpers import many_nodes

from sdm_ray.config import TaskConfig
from sdm_ray.geo.windows import Tile, Window
from sdm_ray.ray_tasks import run_tasks

POOL = {"pool": "data"}
_FLUSHED_S = 20.0  # at most, until a log shows what was written
_PROCESSES, _COMPANY_S = 2, 90.0  # of a node, which a busy machine starts one long after the other


def parts(count: int) -> list[Tile]:
    """Parts numbered from 0."""
    return [Tile(str(number), Window(0, 0, 1, 1)) for number in range(count)]


def report(shared: tuple[float, str], part: Tile) -> dict[str, Any]:
    """Wait for another process that does parts, where none was seen before, and take some time; returns when and where.

    Args:
        shared: seconds to take, and a folder in which processes leave their ids.
        part: which part it is.
    """
    import ray

    begun, end = time.time(), time.monotonic() + _COMPANY_S
    seconds, folder = shared
    (Path(folder) / str(os.getpid())).touch()
    while len(os.listdir(folder)) < _PROCESSES and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(seconds)
    where = {"node": ray.get_runtime_context().get_node_id(), "pid": os.getpid()}
    return {**where, "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "begun": begun, "ended": time.time()}


def stumble(shared: str, part: Tile) -> None:
    """Raise an error of several lines."""
    raise ArithmeticError(f"{shared} {part.id} cannot be done\nas its second line says")


def _folder() -> str:
    return tempfile.mkdtemp(dir=os.environ["RAY_TMPDIR"])


def grows(made: Any, first: Any) -> list[dict[str, Any]]:
    """Nodes join while parts wait, and the first leaves again."""
    ended = []
    for number, (part, result, problem) in enumerate(run_tasks(report, (0.4, _folder()), parts(40), TaskConfig())):
        print(part.id, number, problem, file=sys.stderr) if problem or number % 10 == 0 else None
        ended.append({"part": part.id, "problem": problem, **(result or {})})
        if number in (6, 7):
            many_nodes.join(made, 2)
        if number == 22:
            made.remove_node(first, allow_graceful=False)
    return ended


def pool() -> list[dict[str, Any]]:
    """Batches read by tasks that belong on nodes with a label."""
    import ray

    from sdm_ray.streams.loader import Stream, batches
    from sdm_ray.streams.reader_tasks import ReaderTasks
    from sdm_ray.streams.sampler import Sampler

    stream = Stream(Places(), Sampler(64, 0), 16, ReaderTasks(2, labels=POOL))
    named = {node["NodeID"]: node["Labels"].get("pool") for node in ray.nodes() if node["Alive"]}
    return [{"pool": named[bytes(each).hex()]} for batch in batches(stream, 0, 1, 0, 4) for each in batch["node"]]


class Places:
    """Rows that tell which node read them."""

    def __len__(self) -> int:
        return 64

    def read(self, ids: Any, epochs: Any) -> dict[str, Any]:
        """A batch."""
        import numpy as np
        import ray

        node = np.frombuffer(bytes.fromhex(ray.get_runtime_context().get_node_id()), np.uint8)
        return {"node": np.tile(node, (len(ids), 1))}

    def parts(self) -> list[Any]:
        """All are decoded."""
        from sdm_ray.streams.parts import Decoded

        return [Decoded(self.read)]


def fails() -> dict[str, Any]:
    """Parts whose work raises an error: what the driver gets, and the logs of the workers that hold the tracebacks."""
    problems = {part.id: problem for part, _, problem in run_tasks(stumble, "the part", parts(3), TaskConfig())}
    end = time.monotonic() + _FLUSHED_S
    while len(logs := tracebacks()) < len(problems) and time.monotonic() < end:
        time.sleep(0.2)
    return {"problems": problems, "logs": logs}


def tracebacks() -> dict[str, str]:
    """Id of a part -> the traceback of its error, from the workers' logs in the session's folder."""
    found = {}
    for file in Path(os.environ["RAY_TMPDIR"]).glob("ray/session_*/logs/worker-*.err"):
        for each in file.read_text(errors="replace").split("Traceback (most recent call last):")[1:]:
            if match := re.search(r"ArithmeticError: the part (\d+) cannot be done", each):
                found[match[1]] = each
    return found


def gpus() -> list[dict[str, Any]]:
    """Two pretended GPUs, and more parts than fit at once."""
    ended = run_tasks(report, (0.05, _folder()), parts(40), TaskConfig(cpus=0.5, gpus=1))
    return [{"part": part.id, "problem": problem, **(result or {})} for part, result, problem in ended]


def main() -> None:
    """Print what happened."""
    with many_nodes.cluster() as made:
        first = many_nodes.join(made, 2, gpus=2)
        print("the work begins", file=sys.stderr)
        found = {"fails": fails(), "gpus": gpus(), "grows": grows(made, first)}
        many_nodes.join(made, 1, labels=POOL)
        print(json.dumps(found | {"pool": pool()}))


if __name__ == "__main__":
    main()
