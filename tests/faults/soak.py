"""Many small jobs in one cluster, one after the other: nothing may be left behind by any of them.

    PYTHONPATH=.:tests python tests/faults/soak.py [--maps 100] [--resumes 10] [--epochs 200]
    PYTHONPATH=.:tests python tests/faults/soak.py --quick

Maps are made anew in folders of their own; at the end every map must be equal to the first. A training is ended by
SIGKILL some time after it has saved a new checkpoint, and started again, as often as asked. Each start must continue at
a step that is later than that of the start before. Then it runs to its end, and must be equal to one that was never
interrupted. Counted after each job: actors and placement groups alive, bytes in the object store, drafts and temporary
files; of a training that is to be continued also its checkpoints, which must not grow in number.
"""

import argparse
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from faults import small_chain
from faults.harm import RAY_KEEPS
from faults.running import Place, Running, tracked
from faults.same_content import differences
from helpers import many_nodes
from upath import UPath

_SETTLE_S = 20.0  # in which Ray ends what belonged to a driver
_LATER_S = 4.0  # at most, from a new checkpoint to SIGKILL
_CHECKPOINTS = 2  # of a training at once: the last one, and one that was being written or was about to be removed
_CONTINUES = r": continues at step (\d+) of (\d+)"


@dataclass(frozen=True)
class Left:
    """What is there between two jobs.

    Attributes:
        actors: alive, but for those that Ray keeps, one of each kind, as long as a cluster lives.
        groups: placement groups alive.
        store_mb: of the object stores of all nodes, in use.
        files: drafts, temporary files, and what belongs to trainings that have not ended.
    """

    actors: int
    groups: int
    store_mb: float
    files: int

    @property
    def nothing(self) -> bool:
        """Whether it is nothing."""
        return self.actors == self.groups == self.files == 0 and self.store_mb < 1


def left(folder: Path, *, training: bool = False) -> Left:
    """What is there now, once Ray has had time to end what it ends.

    Args:
        folder: of the jobs' outputs.
        training: whether a training is to be continued, whose checkpoints are not counted.
    """
    end = time.monotonic() + _SETTLE_S
    while True:
        found = _left(folder, training)
        if found.nothing or time.monotonic() > end:
            return found
        time.sleep(0.5)


def _left(folder: Path, training: bool) -> Left:
    import ray
    from ray._private.state import actors

    alive = [each["ActorClassName"] for each in actors().values() if each["State"] != "DEAD"]
    alive = [each for each in alive if each not in RAY_KEEPS or alive.count(each) > 1]
    groups = [each for each in ray.util.placement_group_table().values() if each["state"] != "REMOVED"]
    total, free = ray.cluster_resources(), ray.available_resources()
    used = total.get("object_store_memory", 0) - free.get("object_store_memory", 0)
    return Left(len(alive), len(groups), used / 2**20, len(orphans(folder, training=training)))


def orphans(folder: Path, *, training: bool = False) -> list[Path]:
    """Drafts and temporary files, and files of trainings that have not ended; without the latter if `training`."""
    return [
        file
        for file in folder.rglob("*")
        if file.is_file() and (file.name.endswith((".tmp", ".partial")) or (".train" in file.parts and not training))
    ]


def checkpoints(folder: Path) -> list[str]:
    """Names of the checkpoints of trainings that have not ended; the last one is the newest."""
    return sorted(each.name for each in folder.glob(".train/*/checkpoint_2*"))


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


def resumes(count: int, epochs: int, at: Place) -> list[str]:
    """Interrupt and continue a training so many times, then let it end; returns what is wrong."""
    rng, wrong, reached = random.Random(0), list[str](), 0
    folder = at.folder / "resumes"
    changes = {"encoder": "null", "patience": "null", "optim.epochs": epochs, "workers.checkpoint_s": 1}
    for number in range(count + 1):
        job = at.start("finetune", output=folder / "interrupted" / "model", **changes)
        if number < count:
            kill_later(job, folder / "interrupted", rng)
        status = job.process.wait()
        step = continued_at(job.output())
        found = left(folder, training=number < count)
        kept = len(checkpoints(folder / "interrupted"))
        print(f"start {number}: from step {step}; exit status {status}; {found}, {kept} checkpoints", flush=True)
        problems = [str(found)] if not found.nothing else []
        problems += [f"{kept} checkpoints"] if kept > _CHECKPOINTS else []
        problems += [f"began at step {step}, not later than {reached}"] if number and step <= reached else []
        if (status == 0) != (number == count):
            problems.append(f"ended with status {status}: {job.last_line()}")
        wrong += [f"start {number}: {each}" for each in problems]
        reached = max(step, reached)
    at.finish("finetune", output=folder / "untouched" / "model", **changes)
    apart = differences(UPath(folder / "untouched" / "model"), UPath(folder / "interrupted" / "model"))
    print(f"the continued training and one that was never interrupted: {apart[:3] or 'equal'}", flush=True)
    return wrong + [f"continued training: {line}" for line in apart]


def kill_later(job: Running, folder: Path, rng: random.Random) -> None:
    """End a training by SIGKILL at a random moment after it has saved a new checkpoint."""
    before = checkpoints(folder)[-1:]
    while not job.ended and checkpoints(folder)[-1:] == before:
        time.sleep(0.1)
    time.sleep(rng.uniform(0, _LATER_S))
    job.process.send_signal(signal.SIGKILL)


def continued_at(output: str) -> int:
    """Step at which a training says that it continues; 0 where it says nothing of that."""
    found = re.search(_CONTINUES, output)
    return int(found[1]) if found else 0


def main() -> int:
    """0 where nothing is left behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=100)
    parser.add_argument("--resumes", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=200, help="of the training, long enough for all resumes")
    parser.add_argument("--folder", type=Path, help="of kill_jobs.py, whose inputs the training uses")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    count, again = (3, 0) if given.quick else (given.maps, given.resumes)
    with ExitStack() as stack:
        at = Place(given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory())))
        address = stack.enter_context(tracked(at.folder, "http" if again else "sqlite"))
        made = stack.enter_context(many_nodes.cluster(dashboard=True))
        many_nodes.join(made, 2)
        os.environ |= {"RAY_ADDRESS": made.address, "MLFLOW_TRACKING_URI": address}
        wrong: list[str] = []
        if again:
            small_chain.write(at.folder)
            at.finish("prepare")  # kept where the folder has it
            wrong += resumes(again, given.epochs, at)
        if count:
            apart = Place(at.folder / "maps")
            small_chain.write_quick(apart.folder)
            wrong += maps(count, apart)
    for line in wrong:
        print(line)
    figure = {"figure": "faults of jobs one after the other", "value": len(wrong), "unit": "faults", "goal": 0}
    print(json.dumps({**figure, "holds": not wrong}))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
