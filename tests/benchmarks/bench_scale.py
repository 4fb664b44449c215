"""The simulation of a map's scheduler beside runs on several small nodes whose tiles are calibrated sleeps.

uv run python tests/benchmarks/bench_scale.py            # some 90 s
uv run python tests/benchmarks/bench_scale.py --table    # the table of docs/scale.md alone
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import scale_model, scale_table

GOAL = 0.15
_NODES, _SLOTS = 2, 3


@dataclass(frozen=True)
class Sleep:
    """A tile that takes so many seconds."""

    id: str
    seconds: float


def sleep(shared: object, tile: Sleep) -> None:
    """Do a tile."""
    time.sleep(tile.seconds)


def measured(tiles: list[float]) -> float:
    """Seconds that a run takes."""
    from sdm_ray.config import TaskConfig
    from sdm_ray.ray_tasks import run_tasks

    begun = time.monotonic()
    parts = [Sleep(str(number), seconds) for number, seconds in enumerate(tiles)]
    for _ in run_tasks(sleep, None, parts, TaskConfig()):
        pass
    return time.monotonic() - begun


def main() -> int:
    """Compare, and print one JSON line per figure; exit status 1 where a goal does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true")
    if parser.parse_args().table:
        print(scale_table.table())
        return 0
    # Ray notes the address of the cluster in its folder, where any other start of Ray on the machine would find it.
    own_folder = tempfile.TemporaryDirectory(prefix="nodes-", dir="/tmp")
    os.environ["RAY_TMPDIR"] = own_folder.name
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(_NODES):
        cluster.add_node(num_cpus=_SLOTS)
    try:
        return compared(cluster)
    finally:
        sys.modules["ray"].shutdown()
        cluster.shutdown()


def compared(cluster) -> int:
    """Runs beside the simulation."""
    import ray

    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    measured([0.5] * 4 * _SLOTS)  # workers start
    rng, held = random.Random(0), True
    for name in ("60 tiles", "60 other tiles"):
        tiles = [rng.lognormvariate(0.3, 0.5) for _ in range(60)]
        took = measured(tiles)
        expected = scale_model.makespan(tiles, scale_model.Cluster(_NODES, _SLOTS))
        error = abs(expected - took) / took
        held = held and error <= GOAL
        print(f"{name} on {_NODES} nodes: {took:.1f} s, simulated {expected:.1f} s")
        figure = {"figure": f"simulation of {name}, error", "value": round(error, 3), "unit": "share", "goal": GOAL}
        print(json.dumps({**figure, "holds": error <= GOAL}))
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
