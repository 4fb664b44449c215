"""What the chunk shape of a map costs: writing tiles, reading one species, reading all species of one cell."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, tiles
from sdm_ray.stores import maps, raster, zarr_io
from sdm_ray.stores.maps import Map, MapSpec

SHAPES = [(16, 128), (4, 128), (1, 128), (16, 64), (8, 64), (4, 64), (2, 64), (1, 64), (16, 32), (8, 32)]
"""Species and cells along each side of a chunk."""
RUNS = 3


@dataclass(frozen=True)
class Layout:
    """What was measured of one chunk shape.

    Attributes:
        species: species of a chunk.
        cells: along the side of a chunk.
        megabytes: stored.
        write_s: all tiles written.
        species_ms: one species of one tile read.
        species_kb: stored bytes of the chunks that this needs.
        click_ms: all species of a cell read.
        click_kb: stored bytes of the chunks that this needs.
        click_chunks: their number.
    """

    species: int
    cells: int
    megabytes: float
    write_s: float
    species_ms: float
    species_kb: float
    click_ms: float
    click_kb: float
    click_chunks: int


def sample(path: UPath, count: int, side: int = 256) -> np.ndarray:
    """Stored integers of the fullest tiles of a map, tile next to tile, (species, side, count * side)."""
    source = Map(path)
    whole_tiles = [each.window for each in tiles(source.grid, side) if each.window.size == side**2]
    fullest = sorted(whole_tiles, key=lambda window: -int((source.layer("inputs", window) > 0).sum()))
    return np.concatenate([source.stored(window) for window in fullest[: count * 3 : 3]], axis=2)


def many_species(values: np.ndarray, species: int, height: int, width: int) -> np.ndarray:
    """A map of thousands of species cut out of a sample, each from a place of its own."""
    rng = np.random.default_rng(0)
    out = np.empty((species, height, width), values.dtype)
    for each in out:
        row, col = rng.integers(values.shape[1] - height + 1), rng.integers(values.shape[2] - width + 1)
        each[:] = values[rng.integers(len(values)), row : row + height, col : col + width] >> rng.integers(0, 4)
    return out


def measure(values: np.ndarray, folder: Path, shape: tuple[int, int], side: int = 256) -> Layout:
    """Write values as a map with one chunk shape, and read them as the page does."""
    grid = Grid(4_000_000.0, 3_000_000.0, 1000.0, values.shape[2], values.shape[1])
    names = pd.DataFrame({"species_id": range(len(values)), "name": [f"Species {i}" for i in range(len(values))]})
    before = maps.SPECIES_CHUNK, maps.CELL_CHUNK
    maps.SPECIES_CHUNK, maps.CELL_CHUNK = shape
    path = UPath(folder / f"{shape[0]}-{shape[1]}.zarr")
    try:
        maps.create_map(path, grid, MapSpec(names, "recorded", side, {}, 16))
    finally:
        maps.SPECIES_CHUNK, maps.CELL_CHUNK = before
    target, windows = Map(path, writable=True), [each.window for each in tiles(grid, side)]

    def write() -> None:
        for window in windows:
            for block in target.species_blocks():
                target.write_species(window, block, values[(block, *window.slices)])

    write_s = timed(write)
    array = raster.open_group(path / "0")["probability"]
    engine = zarr_io.engine_of(array)
    tile = windows[0]
    species_ms = timed(lambda: zarr_io.read(engine, (len(values) // 2, *tile.slices)), 4 * RUNS) * 1000
    cell = Window(grid.height // 2 + 5, grid.width // 2 + 5, 1, 1)
    click_ms = timed(lambda: zarr_io.read(engine, (slice(None), *cell.slices)), 4 * RUNS) * 1000
    sizes = chunk_sizes(path, array)
    chunk = array.chunks
    rows, cols = -(-tile.height // chunk[1]), -(-tile.width // chunk[2])
    one = sizes[len(values) // 2 // chunk[0], :rows, :cols]
    click = sizes[:, cell.row // chunk[1], cell.col // chunk[2]]
    return Layout(
        *chunk[:2],
        megabytes=sum(file.stat().st_size for file in (path / "0" / "probability").rglob("*") if file.is_file()) / 1e6,
        write_s=write_s,
        species_ms=species_ms,
        species_kb=one.sum() / 1e3,
        click_ms=click_ms,
        click_kb=click.sum() / 1e3,
        click_chunks=int((click > 0).sum()),
    )


def timed(work: Callable[[], object], runs: int = RUNS) -> float:
    """Median CPU seconds of several runs, of all threads: other work on the machine does not count."""
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def chunk_sizes(path: UPath, array: raster.Group) -> np.ndarray:
    """Stored bytes of each chunk, from the indices at the end of the Zarr shards."""
    per_shard = tuple(shard // chunk for shard, chunk in zip(array.shards, array.chunks, strict=True))
    counts = tuple(
        -(-size // shard) * each for size, shard, each in zip(array.shape, array.shards, per_shard, strict=True)
    )
    sizes = np.zeros(counts, np.int64)
    for file in (path / "0" / "probability" / "c").rglob("*"):
        if file.is_file():
            place = [int(each) for each in file.relative_to(path / "0" / "probability" / "c").parts]
            index = np.frombuffer(file.read_bytes()[-4 - 16 * int(np.prod(per_shard)) : -4], "<u8").reshape(
                *per_shard, 2
            )
            lengths = np.where(index[..., 1] == np.iinfo(np.uint64).max, 0, index[..., 1]).astype(np.int64)
            sizes[tuple(slice(p * n, (p + 1) * n) for p, n in zip(place, per_shard, strict=True))] = lengths
    return sizes
