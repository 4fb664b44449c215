"""Kill a map job with SIGKILL at random moments, run it again, and hold the map against an uninterrupted one.

    python tests/benchmarks/kill_map.py [--rounds 10] [--disk-full]

Each round kills a worker, the driver, or the driver with its whole Ray cluster, in turn. With --disk-full (as root,
who may mount) the map is also written to a disk that is too small, then made larger.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import map_runs
import psutil
from upath import UPath

from sdm_ray.mapping.config import ComputeConfig, MapConfig

EXTENT = (4_000_000.0, 2_400_000.0, 4_640_000.0, 3_040_000.0)


def make(folder: str, output: str) -> None:
    """The job, in a process of its own."""
    config = MapConfig(
        run_dir=folder,
        output=output,
        extent=EXTENT,
        tile=64,
        levels=2,
        compute=ComputeConfig(workers=2, cpus=0.5),
        tracking={"uri": f"sqlite:///{folder}/mlflow.db"},
    )
    map_runs.run(config)


def start(folder: Path, output: str) -> subprocess.Popen[str]:
    """Begin the job."""
    words = [sys.executable, __file__, "--make", str(folder), output]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill(driver: subprocess.Popen[str], what: str) -> str:
    """Kill one worker, the driver, or everything; returns what was killed."""
    children = psutil.Process(driver.pid).children(recursive=True)
    workers = [each for each in children if "ray::" in " ".join(_words(each))]
    victims = {"worker": workers[:1], "driver": [psutil.Process(driver.pid)]}.get(
        what, [*children, psutil.Process(driver.pid)]
    )
    for victim in victims:
        if victim.is_running():
            victim.send_signal(signal.SIGKILL)
    if what == "driver":
        psutil.wait_procs(children, timeout=30)  # the cluster ends with its driver
    return f"{what} ({len(victims)} processes)"


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def finished(folder: Path, output: str) -> int:
    """Run the job until it ends well; returns how often it had to be started."""
    for attempt in range(1, 6):
        job = start(folder, output)
        said, _ = job.communicate()
        if job.returncode == 0:
            return attempt
        print(said[-500:])
    raise SystemExit(f"{output}: did not finish")


def disk_full(folder: Path, good: Path) -> bool:
    """A disk of 4 MB fails tiles in one line each; with a larger one a rerun does the rest."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)], check=True)
    try:
        job = start(folder, str(disk / "map.zarr"))
        said, _ = job.communicate()
        print(f"  exit status {job.returncode}: {said.strip().splitlines()[-1]}")
        failed = job.returncode != 0 and "No space left" in said and "Traceback" not in said.splitlines()[-1]
        subprocess.run(["mount", "-o", "remount,size=400m", str(disk)], check=True)
        finished(folder, str(disk / "map.zarr"))
        return failed and map_runs.equal(UPath(good), UPath(disk / "map.zarr"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def main() -> int:
    """0 where every map is equal to the uninterrupted one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--disk-full", action="store_true")
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        make(*given.make)
        return 0
    moments = random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        map_runs.plant(UPath(folder), EXTENT, satellite=False)
        begun = time.monotonic()
        finished(folder, "whole.zarr")
        seconds = time.monotonic() - begun
        same = 0
        for number in range(given.rounds):
            output = f"killed-{number}.zarr"
            job = start(folder, output)
            moment = moments.uniform(0.3, 0.95) * seconds
            time.sleep(moment)
            what = kill(job, ("worker", "driver", "all")[number % 3]) if job.poll() is None else "too late"
            job.communicate()
            tiles = len(list((folder / output / "ledger").glob("*.json")))
            again = 0 if job.returncode == 0 else finished(folder, output)
            is_equal = map_runs.equal(UPath(folder / "whole.zarr"), UPath(folder / output))
            same += is_equal
            print(f"{moment:5.1f} s: {what}; {tiles} tiles recorded; {again} more starts; equal {is_equal}", flush=True)
        figures = [("maps equal after SIGKILL", same, given.rounds)]
        if given.disk_full and os.geteuid() == 0:
            figures.append(("maps equal after a full disk", int(disk_full(folder, folder / "whole.zarr")), 1))
    for name, value, goal in figures:
        print(json.dumps({"figure": name, "value": value, "unit": "maps", "goal": goal, "holds": value == goal}))
    return 0 if all(value == goal for _, value, goal in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
