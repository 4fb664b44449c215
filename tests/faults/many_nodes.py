"""Run as a program: parts of work on several small nodes that join and leave, and on pretended GPUs.

    PYTHONPATH=.:tests python tests/faults/many_nodes.py

Prints one JSON document: what each part reported.
"""

import json
import os
import sys
import time
from typing import Any

from helpers import many_nodes

from sdm_ray.config import TaskConfig
from sdm_ray.geo.windows import Tile, Window
from sdm_ray.ray_tasks import run_tasks

POOL = {"pool": "data"}
loaded: dict[str, int] = {}  # of this process: how often it loaded a model


def parts(count: int) -> list[Tile]:
    """Parts numbered from 0."""
    return [Tile(str(number), Window(0, 0, 1, 1)) for number in range(count)]


def report(seconds: float, part: Tile) -> dict[str, Any]:
    """Take some time; returns when and where."""
    import ray

    begun = time.time()
    if not loaded:
        loaded["model"] = loaded.get("model", 0) + 1
    time.sleep(seconds)
    where = {"node": ray.get_runtime_context().get_node_id(), "pid": os.getpid()}
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    return {**where, "gpu": gpu, "loads": loaded["model"], "begun": begun, "ended": time.time()}


def grows(made: Any, first: Any) -> list[dict[str, Any]]:
    """Nodes join while parts wait, and the first leaves again."""
    ended = []
    for number, (part, result, problem) in enumerate(run_tasks(report, 0.4, parts(40), TaskConfig())):
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


def gpus() -> list[dict[str, Any]]:
    """Two pretended GPUs, and more parts than fit at once."""
    ended = run_tasks(report, 0.05, parts(40), TaskConfig(cpus=0.5, gpus=1))
    return [{"part": part.id, "problem": problem, **(result or {})} for part, result, problem in ended]


def main() -> None:
    """Print what happened."""
    with many_nodes.cluster() as made:
        first = many_nodes.join(made, 2, gpus=2)
        print("the work begins", file=sys.stderr)
        found = {"gpus": gpus(), "grows": grows(made, first)}
        many_nodes.join(made, 1, labels=POOL)
        print(json.dumps(found | {"pool": pool()}))


if __name__ == "__main__":
    main()
