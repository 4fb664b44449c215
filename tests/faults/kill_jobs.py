"""Kill jobs at random moments on several small nodes, run them again, and compare with jobs that nothing happened to.

    PYTHONPATH=.:tests python tests/faults/kill_jobs.py [--jobs map,embed] [--what worker,driver,node,store,disk]
        [--kills 3] [--seed 0] [--folder FOLDER]
    PYTHONPATH=.:tests python tests/faults/kill_jobs.py --quick

Moments are drawn over the whole of a job (`moments.py`). Where a job ends before its moment, another one is drawn; a
job that has ended before several is counted as not harmed, never as equal. Arrays, tables and archives must be equal,
weights, losses and other figures of trainings within 1e-5. `store` writes to an S3 server that is killed and started
again after some seconds, `disk` to a disk that is too small and then made larger (as root, who may mount). A FOLDER
keeps the inputs and the untouched artefacts for another call. With --quick: an untrained model and a map of which a
worker and then the driver are killed.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from faults import moments, small_chain
from faults.harm import Cluster, small_disk, strike, wait_for_work
from faults.moments import Untouched
from faults.running import Place, tracked
from faults.same_content import differences
from helpers import many_nodes, proxied_store
from upath import UPath

TRAINING = ("pretrain", "finetune", "tune")
IN_THE_DRIVER = ("prepare", "evaluate", "errors")  # which have no workers
_DRAWS = 3  # of a moment, until one comes before the job's end


def on_a_full_disk(name: str, place: Path, at: Place) -> tuple[str, list[str]]:
    """A job on a disk that is too small, run again on a larger one."""
    used = sum(
        file.stat().st_size for each in small_chain.OUTPUTS[name] for file in (at.folder / "run" / each).rglob("*")
    )
    output = place / "out" / small_chain.OUTPUTS[name][0]
    with small_disk(place, max(1, int(0.4 * used / 1e6))):
        job = at.start(name, output=output)
        ended, said = job.process.wait(), job.last_line()
        one_line = ended != 0 and not said.startswith(("Traceback", " "))
        subprocess.run(["mount", "-o", "remount,size=900m", str(place)], check=True)
        at.finish(name, output=output)
        found = compared(name, at, UPath(place / "out"))
    return f"disk full: {said}", found if one_line else [f"no line about the disk: {said}", *found]


def compared(name: str, at: Place, other: UPath) -> list[str]:
    """What differs between the untouched artefacts of a job and others."""
    outputs = small_chain.OUTPUTS[name]
    return [line for each in outputs for line in differences(UPath(at.folder / "run" / each), other / each)]


def one_kill(
    name: str, what: str, at: Place, cluster: Cluster, rng: random.Random, untouched: Untouched
) -> list[str] | None:
    """Do a job harm once, run it until it ends, and compare; returns what differs, or None where no harm was done."""
    for _ in range(_DRAWS):
        with ExitStack() as stack:
            other = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=at.folder)))
            if what == "disk":
                told, found = on_a_full_disk(name, other / "disk", at)
            else:
                root = UPath("s3://kills") / other.name if what == "store" else UPath(other)
                output = root / small_chain.OUTPUTS[name][0]
                # `prepare` writes a whole run folder
                changes = {"run_dir": root} if name == "prepare" else {"output": output}
                job = at.start(name, **changes)
                if name not in IN_THE_DRIVER:
                    wait_for_work(job)
                moment = moments.wait(name, job, output, untouched, rng)
                harm = strike(what, job, cluster, rng)
                if harm is None:
                    status = job.process.wait()
                    print(f"{name}: {moment}: not harmed by {what}, ended before with status {status}", flush=True)
                    if status:
                        return [f"ended badly without harm: {job.last_line()}"]
                    continue
                again = 0 if job.process.wait() == 0 else at.finish(name, **changes)[1]
                told = f"{moment}: {harm}; started {again} more times"
                found = compared(name, at, root)
        print(f"{name}: {told}; {'equal' if not found else found[:3]}", flush=True)
        return found
    return None


def ways(name: str, wanted: list[str]) -> list[str]:
    """What can be done to a job, of what is wanted."""
    able = {"worker", "driver", "node"}
    if name in IN_THE_DRIVER:
        able = {"driver"}
    if name in ("map", "embed", "indicators", "change"):
        able |= {"store", "disk"} if os.geteuid() == 0 else {"store"}
    return [each for each in wanted if each in able]


def figure(name: str, results: list[list[str] | None]) -> int:
    """Print one figure; the exit status, 0 where each job was harmed and none differs."""
    equal, total = results.count([]), len(results)
    told = {"figure": name, "value": equal, "unit": "jobs", "goal": total, "not harmed": results.count(None)}
    print(json.dumps({**told, "holds": equal == total}))
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
    results: list[list[str] | None] = []
    with ExitStack() as stack:
        at = Place(kept or Path(stack.enter_context(tempfile.TemporaryDirectory())))
        tracking = "http" if set(jobs) & set(TRAINING) else "sqlite"
        address = stack.enter_context(tracked(at.folder, tracking))
        store = stack.enter_context(proxied_store.store("kills", restarts=True)) if "store" in wanted else None
        made = stack.enter_context(many_nodes.cluster(connected=False))
        cluster = Cluster(made, [many_nodes.join(made, 2) for _ in range(1 if given.quick else 2)], store)
        os.environ |= {"RAY_ADDRESS": made.address, "MLFLOW_TRACKING_URI": address}
        (small_chain.write_quick if given.quick else small_chain.write)(at.folder)
        all_untouched = untouched(jobs, at)
        for name in jobs:
            for what in ways(name, wanted):
                for _ in range(given.kills):
                    results.append(one_kill(name, what, at, cluster, rng, all_untouched[name]))
    return figure("artefacts equal after a kill", results)


def untouched(jobs: list[str], at: Place) -> dict[str, Untouched]:
    """Make the artefacts of the jobs, and what they need before; returns what each job took."""
    noted = at.folder / "untouched.json"
    found = {name: Untouched(**each) for name, each in json.loads(noted.read_text()).items()} if noted.exists() else {}
    chain = small_chain.CHAIN
    for name in chain[: max(map(chain.index, jobs)) + 1]:
        if name in found or not (at.folder / "configs" / f"{name}.yaml").exists():
            continue
        begun = time.monotonic()
        job, _ = at.finish(name)
        output = UPath(at.folder / "run" / small_chain.OUTPUTS[name][0])
        found[name] = Untouched.of(name, time.monotonic() - begun, job, output)
        noted.write_text(json.dumps({name: asdict(each) for name, each in found.items()}))
        print(f"{name}: {found[name]}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
