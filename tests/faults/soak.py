"""Many small jobs in one cluster, one after the other: nothing may be left behind by any of them.

    PYTHONPATH=.:tests python tests/faults/soak.py [--maps 100] [--resumes 10]
    PYTHONPATH=.:tests python tests/faults/soak.py --quick

Maps are made anew in folders of their own; a training is ended by SIGKILL after some seconds and continued, again and
again, until it has been as often as asked. Counted after each job: actors and placement groups alive, bytes in the
object store, drafts and temporary files. At the end every map must be equal to the first.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from faults import small_chain
from faults.kill_jobs import Place, tracked
from faults.same_content import differences
from helpers import many_nodes
from upath import UPath

_SETTLE_S = 20.0  # in which Ray ends what belonged to a driver
_KILL_AFTER_S = 25.0


@dataclass(frozen=True)
class Left:
    """What is there between two jobs.

    Attributes:
        actors: alive.
        groups: placement groups alive.
        store_mb: of the object stores of all nodes, in use.
        files: drafts and temporary files in the jobs' folder.
    """

    actors: int
    groups: int
    store_mb: float
    files: int

    @property
    def nothing(self) -> bool:
        """Whether it is nothing, but for what Ray itself keeps."""
        return self.actors == self.groups == self.files == 0 and self.store_mb < 1


def left(folder: Path) -> Left:
    """What is there now, once Ray has had time to end what it ends."""
    end = time.monotonic() + _SETTLE_S
    while True:
        found = _left(folder)
        if found.nothing or time.monotonic() > end:
            return found
        time.sleep(0.5)


def _left(folder: Path) -> Left:
    import ray
    from ray._private.state import actors

    alive = [each for each in actors().values() if each["State"] not in ("DEAD",)]
    groups = [each for each in ray.util.placement_group_table().values() if each["state"] != "REMOVED"]
    total, free = ray.cluster_resources(), ray.available_resources()
    used = total.get("object_store_memory", 0) - free.get("object_store_memory", 0)
    drafts = [file for file in folder.rglob("*") if file.name.endswith((".tmp", ".partial")) or ".train" in file.parts]
    return Left(len(alive), len(groups), used / 2**20, len(drafts))


def maps(count: int, at: Place) -> list[str]:
    """Make a map so many times; returns what is wrong."""
    wrong: list[str] = []
    for number in range(count):
        begun = time.monotonic()
        output = at.folder / "soak" / f"{number}" / "map.zarr"
        at.finish("map", output=output)
        found = left(at.folder / "soak")
        apart = differences(UPath(at.folder / "soak" / "0" / "map.zarr"), UPath(output))
        print(f"map {number}: {time.monotonic() - begun:.1f} s; {found}; {apart[:1] or 'equal'}", flush=True)
        wrong += [f"map {number}: {found}"] if not found.nothing else []
        wrong += [f"map {number}: {line}" for line in apart]
    return wrong


def resumes(count: int, at: Place) -> list[str]:
    """Continue a training so many times; returns what is wrong."""
    changes = {"output": at.folder / "resumed", "optim.epochs": 400, "workers.checkpoint_s": 1}
    wrong: list[str] = []
    for number in range(count):
        job = at.start("finetune", **changes)
        time.sleep(_KILL_AFTER_S)
        early = job.poll() is not None
        job.send_signal(signal.SIGKILL)
        job.wait()
        found = left(at.folder / "soak")
        print(f"resume {number}: ended by {'itself' if early else 'SIGKILL'}; {found}", flush=True)
        wrong += [f"resume {number}: {found}"] if not found.nothing else []
        wrong += [f"resume {number}: {at.last_line()}"] if early else []
    return wrong


def main() -> int:
    """0 where nothing is left behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=100)
    parser.add_argument("--resumes", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="of kill_jobs.py, whose inputs the training uses")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    count, again = (3, 0) if given.quick else (given.maps, given.resumes)
    with ExitStack() as stack:
        at = Place(given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory())))
        address = stack.enter_context(tracked(at.folder, "http" if again else "sqlite"))
        made = stack.enter_context(many_nodes.cluster())
        many_nodes.join(made, 2)
        os.environ |= {"RAY_ADDRESS": made.address, "MLFLOW_TRACKING_URI": address}
        if again:
            small_chain.write(at.folder)
        wrong = resumes(again, at)
        if count:
            apart = Place(at.folder / "maps")
            apart.folder.mkdir(exist_ok=True)
            small_chain.write_quick(apart.folder)
            wrong += maps(count, apart)
    for line in wrong:
        print(line)
    figure = {"figure": "jobs that left something behind", "value": len(wrong), "unit": "jobs", "goal": 0}
    print(json.dumps({**figure, "holds": not wrong}))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
