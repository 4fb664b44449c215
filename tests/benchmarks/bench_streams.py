"""How fast streams deliver, beside others and beside the limit that decoding sets.

    SDM_RAY_DATA=... python tests/benchmarks/bench_streams.py [--quick] [--folder FOLDER]

Windows: patches of 128 pixels and 4 bands as torch batches out of a sharded cube (uint16, chunks of 256, shards of
2048, zstd, real pixels), at three densities of wanted places. The limit is the bytes of the distinct chunks that hold
a wanted pixel, over the decode rate of the fastest engine that others make, and over that of our own threads where
they do nothing else. The sparse cube is eight times as wide and high and made of hard links to the shards of the other.
Baselines read patch by patch, so that their rate does not depend on the density; it is measured once on some hundred
patches. Every measurement is a process of its own, after start-up (what is imported, opened, started; a first pass of
our windows), with files in the page cache; memory is the largest sum of the PSS of all processes, less that of an idle
Ray cluster. What is not installed is said to be so (`zarrs`, `torchgeo`, `xbatcher`).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import stream_data
from stream_runs import chunks_needed, places

RUNS = Path(__file__).with_name("stream_runs.py")
CHUNK_BYTES = len(stream_data.BANDS) * stream_data.CHUNK**2 * 2
MEMORY_GOAL_GB = 1.5
OUR_THREADS = "our threads"
Figure = dict[str, object]


class Memory:
    """The largest sum of PSS of this process's descendants while the block runs, bytes."""

    def __enter__(self) -> "Memory":
        self.most = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.3):
            self.most = max(self.most, sum(map(_pss, psutil.Process().children(recursive=True))))


def _pss(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0


def run(name: str, **arguments: object) -> dict[str, Any]:
    """One measurement in a process of its own."""
    made = subprocess.run([sys.executable, RUNS, name, json.dumps(arguments)], capture_output=True, text=True)
    if made.returncode:
        raise SystemExit(f"{name} {arguments}: {made.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    return found


def gigabytes(name: str, **arguments: object) -> float:
    """Peak of memory of one more run, which is not timed: adding up pages takes a tenth of a core."""
    with Memory() as memory:
        run(name, **arguments)
    return memory.most / 1e9


def median(repeats: int, name: str, **arguments: object) -> dict[str, Any]:
    """Of several runs, by rate."""
    return sorted((run(name, **arguments) for _ in range(repeats)), key=lambda each: each["rate"])[repeats // 2]


def windows(folder: Path, quick: bool) -> list[Figure]:
    """The table of windows and its figures."""
    side, repeats = (4096 if quick else 16384), (1 if quick else 3)
    dense = stream_data.cube(folder, side)
    sparse = stream_data.wide_cube(folder, dense, 8)
    count = 120 if quick else 600
    engines = {name: median(repeats, "decode", cube=str(dense), engine=name)["rate"] for name in _installed_engines()}
    print(f"decoding the cube, MB/s: {', '.join(f'{name} {rate / 1e6:.0f}' for name, rate in engines.items())}")
    ours = engines.pop(OUR_THREADS)
    others = max(engines, key=lambda name: engines[name])
    limits = {others: engines[others], OUR_THREADS: ours}
    baselines = {"zarr-python": median(repeats, "one_by_one", cube=str(dense), count=count)}
    if find_spec("torchgeo"):
        tif = str(stream_data.geotiff(folder, dense))
        baselines["torchgeo"] = median(repeats, "torchgeo", tif=tif, count=count)
    if find_spec("xbatcher"):
        baselines["xbatcher"] = median(repeats, "xbatcher", cube=str(dense), count=count)
    rates = {name: each["rate"] for name, each in baselines.items()}
    print(f"baselines, patches/s: {', '.join(f'{name} {rate:.0f}' for name, rate in rates.items())}")
    for name in ("zarrs", "torchgeo", "xbatcher"):
        if not find_spec(name):
            print(f"{name}: not installed")
    chunks = (side // stream_data.CHUNK) ** 2
    plans = {"5": (dense, 5 * chunks, 10), "0.5": (dense, chunks // 2, 12), "0.01": (sparse, chunks * 64 // 100, 3)}
    head = f"{'wanted a chunk':<16}{'read by':<12}{'patches/s':>10}{'GB':>6}{'mixing':>8}"
    print(
        head + "".join(f"{'of ' + name:>15}" for name in limits) + "".join(f"{'x ' + name:>14}" for name in baselines)
    )
    idle = gigabytes("idle")
    figures: list[Figure] = []
    for density, (cube, wanted, epochs) in plans.items():
        width = side if cube == dense else side * 8
        needed = chunks_needed(places(width, wanted), stream_data.CHUNK) * CHUNK_BYTES
        for readers, reader in ((0, "the rank"), (1, "Ray Data")):  # one task decodes on every core
            given = {"cube": str(cube), "count": wanted, "epochs": epochs, "readers": readers}
            found = median(repeats, "ours", **given)
            peak = gigabytes("ours", **given) - (idle if readers else 0)
            shares = {name: found["rate"] / (wanted * rate / needed) for name, rate in limits.items()}
            times = {name: found["rate"] / rate for name, rate in rates.items()}
            print(
                f"{density:<16}{reader:<12}{found['rate']:>10.0f}{peak:>6.2f}{found['mixing']:>8.2f}"
                + "".join(f"{each:>15.2f}" for each in shares.values())
                + "".join(f"{each:>14.1f}" for each in times.values())
            )
            label = f"windows at {density} a chunk, read by {reader}"
            figures += [figure(f"{label}: of decoding by {name}", each, "ratio", 0.7) for name, each in shares.items()]
            figures.append(figure(f"{label}: memory", peak, "GB", MEMORY_GOAL_GB, most=True))
            figures += [figure(f"{label}: times {name}", each, "ratio", 1.0) for name, each in times.items()]
            if density == "5":
                figures.append(figure(f"{label}: times zarr-python, dense", times["zarr-python"], "ratio", 8.0))
    return figures


def photos(folder: Path, quick: bool) -> list[Figure]:
    """The table of photos and its figures: beside bare decoding by Pillow, as data loaders do, and by simplejpeg."""
    repeats = 1 if quick else 3
    large = str(stream_data.photos(folder, 512 if quick else 2048, (640, 512)))
    small = str(stream_data.patches(folder, 4096 if quick else 20480))
    bare = {"shards": large, "epochs": 1 if quick else 3}
    pools = {pool: median(repeats, "bare", **bare, pool=pool)["rate"] for pool in ("processes", "threads")}
    pillow = max(pools.values())
    simplejpeg = median(repeats, "bare", **bare, pool="threads", decoder="simplejpeg")["rate"]
    shown = ", ".join(f"Pillow in 2 {pool} {rate:.0f}" for pool, rate in pools.items())
    print(f"bare decoding, 640 x 512, photos/s: {shown}, simplejpeg in 2 threads {simplejpeg:.0f}")
    figures = []
    for size in (224, 512):
        shrunk = median(repeats, "bare", **bare, pool="threads", size=size)["rate"]
        limits = {"bare decoding by Pillow": pillow, "the same and shrinking": shrunk}
        if size == 512:  # of which nothing is shrunk
            limits["bare decoding by simplejpeg"] = simplejpeg
        for readers, reader in ((0, "the rank"), (2, "Ray Data")):
            given = {"shards": large, "size": size, "epochs": 4 if quick else 8, "readers": readers}
            ours = median(repeats, "photo_stream", **given)["rate"]
            shares = {name: ours / rate for name, rate in limits.items()}
            shown = ", ".join(f"{share:.2f} of {name}" for name, share in shares.items())
            print(f"to {size} pixels, read by {reader}: {ours:.0f}/s, {shown}")
            label = f"photos of 512 px, to {size}, read by {reader}"
            figures += [figure(f"{label}: of {name}", share, "ratio", 0.9) for name, share in shares.items()]
    given = {"shards": small, "size": 64, "epochs": 4 if quick else 8, "readers": 0}
    row = 1000 / median(repeats, "photo_stream", **given)["rate"]
    print(f"patches of 64 pixels: {row:.3f} ms a row")
    return [*figures, figure("patches of 64 px: a row", row, "ms", 0.3, most=True)]


def figure(name: str, value: float, unit: str, goal: float, *, most: bool = False) -> Figure:
    """One figure, which holds where it is at least (or at most) its goal."""
    holds = value <= goal if most else value >= goal
    return {"figure": name, "value": float(f"{value:.3g}"), "unit": unit, "goal": goal, "holds": holds}


def _installed_engines() -> list[str]:
    return ["zarr-python", *(["zarrs"] if find_spec("zarrs") else []), "tensorstore", OUR_THREADS]


def main() -> int:
    """0 where all goals hold."""
    parser = argparse.ArgumentParser(description="Streams beside others and beside the limit of decoding.")
    parser.add_argument("--quick", action="store_true", help="a small cube, one run each: for trying it out")
    parser.add_argument("--folder", type=Path, help="where cube and photos are made and kept; 3.5 GB")
    given = parser.parse_args()
    print(f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB; {time.strftime('%Y-%m-%d')}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        figures = windows(folder, given.quick) + photos(folder, given.quick)
    for each in figures:
        print(json.dumps(each))
    return 0 if all(each["holds"] for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
