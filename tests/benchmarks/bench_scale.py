"""The simulation of a map's scheduler beside runs on several small nodes whose tiles are calibrated sleeps.

    python tests/benchmarks/bench_scale.py            # some minutes
    python tests/benchmarks/bench_scale.py --table    # the table of docs/scale.md alone

Nodes start and stop here in seconds that a busy machine decides: when each joined, how long its processes took to
start, and when Ray noticed that one was lost, is measured and given to the simulation, which foretells the rest.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import scale_model, scale_table
from helpers import many_nodes

GOAL = 0.15
_SLOTS = 3
_TILES = 48


@dataclass(frozen=True)
class Sleep:
    """A tile that takes so many seconds."""

    id: str
    seconds: float


def sleep(slow: dict[str, float], tile: Sleep) -> None:
    """Do a tile, on some nodes more slowly."""
    import ray

    time.sleep(tile.seconds * slow.get(ray.get_runtime_context().get_node_id(), 1.0))


def measured(tiles: list[float], slow: dict[str, float] | None = None, *, twice: bool = False) -> float:
    """Seconds that a run takes."""
    from sdm_ray.config import TaskConfig
    from sdm_ray.ray_tasks import run_tasks

    begun = time.monotonic()
    parts = [Sleep(str(number), seconds) for number, seconds in enumerate(tiles)]
    for _, _, problem in run_tasks(sleep, slow or {}, parts, TaskConfig(), twice=twice):
        assert problem is None, problem
    return time.monotonic() - begun


def drawn(seed: int) -> list[float]:
    """Seconds of tiles of all sizes, the largest first as a map does them."""
    rng = random.Random(seed)
    return sorted((rng.lognormvariate(0.3, 0.5) for _ in range(_TILES)), reverse=True)


class Trial:
    """Runs on one cluster, each beside its simulation.

    Attributes:
        nodes: that are alive.
        start_s: seconds that processes of a new node take to start.
    """

    def __init__(self, made: Any) -> None:
        self._made = made
        self.nodes = [many_nodes.join(made, _SLOTS)]
        self.start_s = measured([0.0] * 2 * _SLOTS)
        self._held = True

    def changed(
        self, tiles: list[float], after_s: float, change: Callable[[], object]
    ) -> tuple[float, tuple[float, float]]:
        """Seconds that a run takes during which something changes, and those at which it began and had happened.

        Nodes start and stop in the main thread alone, so that the run is in another.
        """
        with ThreadPoolExecutor(1) as thread:
            begun, run = time.monotonic(), thread.submit(measured, tiles)
            time.sleep(after_s)
            at = time.monotonic() - begun
            change()
            happened = time.monotonic() - begun
            return run.result(), (at, happened)

    def _lose_one(self) -> None:
        """Lose a node, and wait until Ray notices."""
        import ray

        node = self.nodes.pop()
        self._made.remove_node(node, allow_graceful=False)
        while any(each["Alive"] and each["NodeID"] == node.node_id for each in ray.nodes()):
            time.sleep(0.1)

    def compare(self, name: str, took: float, expected: float) -> None:
        """Print a run beside its simulation."""
        error = abs(expected - took) / took
        self._held = self._held and error <= GOAL
        print(f"{name}: {took:.1f} s, simulated {expected:.1f} s", flush=True)
        figure = {"figure": f"simulation, {name}: error", "value": round(error, 3), "unit": "share", "goal": GOAL}
        print(json.dumps({**figure, "holds": error <= GOAL}), flush=True)

    def run(self) -> bool:
        """All runs; whether every simulation is near enough."""
        one, many = scale_model.Cluster(1, _SLOTS), drawn(0)
        self.compare(f"{_TILES} tiles on 1 node", measured(many), scale_model.makespan(many, one))
        took, at = self.changed(many, 4.0, lambda: self.nodes.append(many_nodes.join(self._made, _SLOTS)))
        joining = scale_model.Cluster(2, _SLOTS, ready_s=(0.0, at[1] + self.start_s))
        self.compare(f"a node that joins after {at[1]:.0f} s", took, scale_model.makespan(many, joining))
        measured([0.3] * 12 * _SLOTS)
        two = scale_model.Cluster(2, _SLOTS)
        self.compare(f"{_TILES} tiles on 2 nodes", measured(many), scale_model.makespan(many, two))
        slow = {self.nodes[1].node_id: 3.0}
        lame = scale_model.Cluster(2, _SLOTS, slowness=(1.0, 3.0))
        self.compare("one of 2 nodes three times as slow", measured(many, slow), scale_model.makespan(many, lame))
        slow = {self.nodes[1].node_id: 100.0}
        hung = scale_model.Cluster(2, _SLOTS, slowness=(1.0, 100.0))
        took = measured(many, slow, twice=True)
        self.compare("a node that hangs, late tiles twice", took, scale_model.makespan(many, hung, twice=True))
        took, at = self.changed(many, 6.0, self._lose_one)
        lost = scale_model.Cluster(2, _SLOTS, lost_s={at[0]: 1}, noticed_s=at[1] - at[0], replaced_s=1e6)
        name = f"one of 2 nodes lost after {at[0]:.0f} s, noticed after {at[1]:.0f} s"
        self.compare(name, took, scale_model.makespan(many, lost))
        return self._held


def main() -> int:
    """Compare, and print one JSON line per figure; exit status 1 where a goal does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true")
    if parser.parse_args().table:
        print(scale_table.table())
        return 0
    with many_nodes.cluster() as made:
        return int(not Trial(made).run())


if __name__ == "__main__":
    sys.exit(main())
