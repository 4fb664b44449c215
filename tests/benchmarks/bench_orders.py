"""What the order of training costs a rank: bytes a row, seconds to start, seconds of another epoch.

    python tests/benchmarks/bench_orders.py [--rows 100000000] [--windows 20000000]

Rows are ids alone; windows lie on a regular grid, as pretraining places them, five to a chunk.
"""

import argparse
import json
import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from sdm_ray.streams.chunk_shuffle_sampler import ChunkShuffleSampler
from sdm_ray.streams.sampler import Sampler

BATCH, CHUNK, STEP = 4096, 256, 115  # pixels between windows


def windows(count: int) -> ChunkShuffleSampler:
    """The order of windows on a square grid."""
    side = int(np.sqrt(count))
    rows, cols = (axis.ravel().astype(np.int32) for axis in np.mgrid[0:side, 0:side] * STEP)
    return ChunkShuffleSampler(rows, cols, CHUNK, 0, BATCH, 1 << 14, 16)


def held(make: Callable[[], Sampler | ChunkShuffleSampler], name: str) -> list[tuple[str, float, str]]:
    """Figures of one order."""
    tracemalloc.start()
    sampler = make()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    begun = time.monotonic()
    sampler.at(np.arange(BATCH))
    start = time.monotonic() - begun
    now, most = tracemalloc.get_traced_memory()
    begun = time.monotonic()
    steps = 20
    for step in range(steps):
        sampler.at(sampler.n + np.arange(step * BATCH, (step + 1) * BATCH))
    each = (time.monotonic() - begun) / steps / BATCH
    tracemalloc.stop()
    return [
        (f"{name}: start", start, "s"),
        (f"{name}: held by the order", (now - before) / sampler.n, "bytes a row"),
        (f"{name}: most while it starts", (most - before) / sampler.n, "bytes a row"),
        (f"{name}: rows of another epoch", 1e6 * each, "us a row"),
    ]


def main() -> None:
    """Print one JSON line per figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--windows", type=int, default=20_000_000)
    given = parser.parse_args()
    found = held(lambda: Sampler(given.rows, 0), f"{given.rows:.0e} rows")
    found += held(lambda: windows(given.windows), f"{given.windows:.0e} windows")
    for name, value, unit in found:
        print(json.dumps({"figure": name, "value": float(f"{value:.3g}"), "unit": unit}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
