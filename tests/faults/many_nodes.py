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


def gpus() -> list[dict[str, Any]]:
    """Two pretended GPUs, and more parts than fit at once."""
    ended = run_tasks(report, 0.05, parts(40), TaskConfig(cpus=0.5, gpus=1))
    return [{"part": part.id, "problem": problem, **(result or {})} for part, result, problem in ended]


def main() -> None:
    """Print what happened."""
    with many_nodes.cluster() as made:
        first = many_nodes.join(made, 2, gpus=2)
        print("the work begins", file=sys.stderr)
        print(json.dumps({"gpus": gpus(), "grows": grows(made, first)}))


if __name__ == "__main__":
    main()
