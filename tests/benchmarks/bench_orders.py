"""What the order of training costs a rank: bytes a row, seconds to start, seconds of another epoch.

    python tests/benchmarks/bench_orders.py [--rows 100000000] [--listed 4000000] [--windows 1000000000]

Rows are ids alone. Windows lie on a regular grid, 400 to a chunk, of which a tenth is left out, as pretraining
places them; listed windows are anywhere, as those of surveys.
"""

import argparse
import json
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from sdm_ray.geo.blocks import Blocks, Role, role_on_grid
from sdm_ray.geo.grid import Grid
from sdm_ray.streams.chunk_shuffle_sampler import ChunkShuffleSampler
from sdm_ray.streams.place_grid import PlaceGrid
from sdm_ray.streams.places import Places
from sdm_ray.streams.places_in_chunks import in_chunks
from sdm_ray.streams.sampler import Sampler

BATCH, CHUNK = 4096, 256
STRIDE_M = 128.0  # between windows, of pixels of 10 m


def grid_of_windows(count: int) -> tuple[Grid, PlaceGrid]:
    """A square of places, and the raster below them."""
    side = int(np.sqrt(count / 0.9))
    grid = Grid(0.0, side * STRIDE_M, 10.0, int(side * STRIDE_M / 10), int(side * STRIDE_M / 10))
    rng = np.random.default_rng(0)

    def nine_of_ten(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return rng.integers(0, 10, (len(y), len(x)), np.uint8) > 0

    return grid, PlaceGrid.over(grid, STRIDE_M).only(nine_of_ten)


def order_of(grid: Grid, places: Places) -> ChunkShuffleSampler:
    """The order of windows of 128 pixels."""
    return ChunkShuffleSampler(in_chunks(places, grid, 128, CHUNK), 0, BATCH, 1 << 14, 16)


def figures(make: Callable[[], Sampler | ChunkShuffleSampler], name: str) -> list[tuple[str, float, str]]:
    """Figures of one order."""
    tracemalloc.start()
    begun = time.monotonic()
    sampler = make()
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
        (f"{name}: held", now / sampler.n, "bytes a row"),
        (f"{name}: most while it starts", most / sampler.n, "bytes a row"),
        (f"{name}: rows of another epoch", 1e6 * each, "us a row"),
    ]


def main() -> None:
    """Print one JSON line per figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--listed", type=int, default=4_000_000)
    parser.add_argument("--windows", type=int, default=1_000_000_000)
    given = parser.parse_args()
    found = figures(lambda: Sampler(given.rows, 0), f"{given.rows:.0e} rows")
    grid, places = grid_of_windows(given.listed)
    some = places.subset(np.arange(len(places)))
    found += figures(lambda: order_of(grid, some), f"{given.listed:.0e} listed windows")
    begun = time.monotonic()
    grid, places = grid_of_windows(given.windows)
    size = f"{given.windows:.0e} windows of a grid"
    found.append((f"{size}: which of them are used", time.monotonic() - begun, "s"))
    found.append((f"{size}: held by the places", places.used.nbytes / len(places), "bytes a row"))
    begun = time.monotonic()
    trained = places.only(lambda x, y: role_on_grid(x, y, Blocks(), 0) == Role.TRAIN)
    found.append((f"{size}: those of a fold", time.monotonic() - begun, "s"))
    found += figures(lambda: order_of(grid, trained), f"{size}, those of a fold")
    for name, value, unit in found:
        print(json.dumps({"figure": name, "value": float(f"{value:.3g}"), "unit": unit}), flush=True)


if __name__ == "__main__":
    main()
