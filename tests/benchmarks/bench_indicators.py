"""How fast indicators are derived beside reading their map, in what memory, and how fast zones are beside exactextract.

    python tests/benchmarks/bench_indicators.py [--map FOLDER] [--quick]

- All indicators with their standard deviations, tile by tile in one process, beside reading and decoding the same tiles
  by `Map.read` and by xarray, in seconds of processor time, median of three alternating rounds; over a generated map of
  65 species (or a map that is given), and over one of 5,681. The first pass over the map that LCBD needs is a figure of
  its own.
- Peak memory of a process that does one tile of each map, above one that has only imported the package.
- Zones: 50,000 parcels, all layers of a tile, seconds per layer beside plain exactextract with the mean of one layer.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import exactextract
import numpy as np
import pandas as pd
import shapely
import xarray
from exactextract.raster import NumPyRasterSource
from upath import UPath

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Tile, tiles, whole
from sdm_ray.indicators import job
from sdm_ray.indicators.cells import Dominant, Endemism, Indicator, MeanTrait, WeightedSum
from sdm_ray.indicators.composition import composition_of
from sdm_ray.indicators.diversity import Diversity, Lcbd
from sdm_ray.indicators.tile import Work, tile_side, tile_sums
from sdm_ray.indicators.zone_sums import Shapes, ZoneSums
from sdm_ray.stores.land import write_land
from sdm_ray.stores.maps import Map, MapSpec, create_map

GOAL, ZONES_GOAL, MEMORY_GOAL = 0.7, 1.5, 1.3
ROUNDS = 3
Figures = list[dict[str, object]]


def make_map(folder: UPath, species: int, cells: int) -> UPath:
    """A map of species that are common in places and rare in most, and its land store."""
    grid = Grid(4_000_000, 3_000_000 + cells * 1000, 1000, cells, cells)
    table = pd.DataFrame({"species_id": range(species), "name": [f"species {number}" for number in range(species)]})
    path = folder / f"map-{species}.zarr"
    create_map(path, grid, MapSpec(table, "occurrence", 256, {}, 16))
    target = Map(path, writable=True)
    y, x = np.mgrid[0:cells, 0:cells].astype(np.float32) / cells
    rng = np.random.default_rng(species)
    for block in target.species_blocks():
        for tile in tiles(grid, 256):
            count, (rows, cols) = block.stop - block.start, tile.window.slices
            place = np.random.default_rng(block.start)
            bend, shift = place.uniform(2, 9, (2, count, 1, 1)), place.uniform(0, 6, (2, count, 1, 1))
            waves = np.sin(bend[0] * x[rows, cols] + shift[0]) + np.cos(bend[1] * y[rows, cols] + shift[1])
            noise = rng.normal(0, 0.3, waves.shape)
            stored = np.rint(65534 / (1 + np.exp(5 - 2.5 * waves - noise))).astype(np.uint16)
            target.write_species(tile.window, block, stored)
    land = np.ones(grid.shape, bool)
    write_land(folder / f"land-{species}.zarr", grid, land, land.astype(np.int16), ["Land"])
    return path


def all_indicators(species: int) -> list[Indicator]:
    """Every indicator, with one list and one trait."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(1e-6, 1e-3, species)
    return [
        WeightedSum("richness", "", np.ones(species)),
        Diversity(frozenset({"shannon", "simpson", "hill"})),
        WeightedSum("rarity_weighted_richness", "", weights),
        Endemism(weights, ""),
        WeightedSum("richness_list", "", (rng.random(species) < 0.3) * 1.0),
        MeanTrait("height", rng.uniform(1, 40, species)),
        Lcbd(np.full(species, 0.5 / np.sqrt(species)), 1_000_000),
        Dominant(np.zeros(species, bool), [str(number) for number in range(species)]),
    ]


def work_on(path: UPath, land: UPath, output: UPath) -> tuple[Work, list[Tile]]:
    """What the tiles of a job need, with its empty output, and its tiles that have data."""
    found = Map(path)
    indicators = all_indicators(len(found.species))
    job._create(output, found, indicators, [0.5], [])
    work = Work(str(path), str(output), str(land), "bench", indicators, 0.01, [0.5], None)
    layers = found.layers()
    todo = [
        tile for tile in tiles(found.grid, tile_side(found))
        if "richness" not in layers or np.isfinite(found.layer("richness", tile.window)).mean() > 0.5
    ]  # fmt: skip
    return work, todo


def rates(path: UPath, land: UPath, most: int) -> Figures:
    """All indicators beside reading their map."""
    with tempfile.TemporaryDirectory() as place:
        work, todo = work_on(path, land, UPath(place) / "indicators.zarr")
        found, todo = Map(path), todo[:most]
        count = len(found.species)
        blocks = [slice(start, min(start + 128, count)) for start in range(0, count, 128)]
        data = xarray.open_zarr(str(path), group="0", chunks=None, consolidated=False)["probability"]
        ways: dict[str, Callable[[Tile], object]] = {
            "read": lambda tile: [found.read(tile.window, block).shape for block in blocks],
            "indicators": lambda tile: tile_sums(work, tile),
            "first pass": lambda tile: composition_of(found, tile),
            "xarray": lambda tile: [data[block, *tile.window.slices].values.shape for block in blocks],
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for each in ways.values():
            each(todo[0])
        for _ in range(ROUNDS):
            for name, do in ways.items():
                start = time.process_time()
                for tile in todo:
                    do(tile)
                seconds[name].append(time.process_time() - start)
    median = {name: float(np.median(each)) for name, each in seconds.items()}
    cells = sum(tile.window.size for tile in todo)
    print(
        f"{count} species, {cells} cells, processor seconds:", {name: round(each, 2) for name, each in median.items()}
    )
    share = median["read"] / median["indicators"]
    both = median["read"] / (median["indicators"] + median["first pass"])
    beside = median["xarray"] / median["indicators"]
    return [
        figure(
            f"indicators, {count} species: share of the rate of reading and decoding", share, "", GOAL, share >= GOAL
        ),
        figure(f"indicators, {count} species: the same with the first pass of LCBD", both, "", None, True),
        figure(
            f"indicators, {count} species: share of the rate of xarray's reading and decoding", beside, "", None, True
        ),
    ]


def memory(folder: UPath, counts: list[int]) -> Figures:
    """Peak memory of one tile, of few species and of many."""
    peaks = [int(subprocess.check_output([sys.executable, __file__, "--tile", str(folder), str(n)])) for n in counts]
    idle = int(subprocess.check_output([sys.executable, __file__, "--tile", str(folder), "0"]))
    above = [(peak - idle) / 1024 for peak in peaks]
    for count, peak in zip(counts, above, strict=True):
        print(f"{count} species: peak {peak:.0f} MB above an idle process, for a tile of 512 x 512 cells")
    ratio = above[-1] / above[0]
    name = f"memory of a tile: {counts[-1]} species beside {counts[0]}"
    return [figure(name, ratio, "", MEMORY_GOAL, ratio <= MEMORY_GOAL), figure("memory", max(above), "MB", None, True)]


def one_tile(folder: UPath, species: int) -> None:
    """Prints the peak memory of a process that does one tile, kB."""
    import resource

    if species:
        with tempfile.TemporaryDirectory() as place:
            path, land = folder / f"map-{species}.zarr", folder / f"land-{species}.zarr"
            work, todo = work_on(path, land, UPath(place) / "indicators.zarr")
            tile_sums(work, todo[0])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def zones(parcels: int, layers: int = 16, side: int = 512) -> Figures:
    """All layers over parcels, beside plain exactextract."""
    rng = np.random.default_rng(0)
    grid = Grid(4_000_000, 3_000_000, 100, side, side)
    west, south, east, north = grid.bounds
    x, y = rng.uniform(west, east - 900, parcels), rng.uniform(south, north - 900, parcels)
    shapes = shapely.buffer(shapely.points(x, y), rng.uniform(80, 400, parcels), quad_segs=3)
    values = rng.random((layers, side * side)).astype(np.float32)
    known = np.arange(side * side)
    start = time.process_time()
    found = ZoneSums(Shapes.of(shapes), grid, whole(grid), known)
    ours = [found.layer(each, each) for each in values]
    all_of_ours = time.process_time() - start
    raster = NumPyRasterSource(values[0].reshape(side, side), west, south, east, north)
    features = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(each)} for each in shapes]
    start = time.process_time()
    plain = exactextract.exact_extract(raster, features, ["mean"], output="pandas")
    one = time.process_time() - start
    mean = np.full(parcels, np.nan)
    mean[found.zones] = ours[0][1] / ours[0][0]
    assert np.allclose(mean, plain["mean"].to_numpy(float), rtol=1e-4, equal_nan=True)
    print(f"{parcels} parcels: {layers} layers {all_of_ours:.2f} s, plain exactextract over one layer {one:.2f} s")
    share = all_of_ours / layers / one
    single = all_of_ours / one
    return [
        figure(
            f"zones, {parcels} parcels: time per layer beside exactextract", share, "", ZONES_GOAL, share <= ZONES_GOAL
        ),
        figure(f"zones, {parcels} parcels: all {layers} layers beside one of exactextract", single, "", None, True),
    ]


def figure(name: str, value: float, unit: str, goal: float | None, holds: bool) -> dict[str, object]:
    """A figure as JSON."""
    return {"figure": name, "value": round(value, 3), "unit": unit, "goal": goal, "holds": bool(holds)}


def main() -> None:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--map", help="run folder with map.zarr and land.zarr, instead of a generated map of 65 species"
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tile", nargs=2, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.tile:
        one_tile(UPath(wanted.tile[0]), int(wanted.tile[1]))
        return
    few, many = 65, 1000 if wanted.quick else 5681
    with tempfile.TemporaryDirectory() as place:
        folder = UPath(place)
        for species in (few, many):
            make_map(folder, species, 512 if wanted.quick or species == many else 1024)
        found: Figures = []
        if wanted.map:
            found += rates(UPath(wanted.map) / "map.zarr", UPath(wanted.map) / "land.zarr", 4 if wanted.quick else 12)
        else:
            found += rates(folder / f"map-{few}.zarr", folder / f"land-{few}.zarr", 4)
        found += rates(folder / f"map-{many}.zarr", folder / f"land-{many}.zarr", 1)
        found += memory(folder, [few, many])
    found += zones(10_000 if wanted.quick else 50_000)
    for each in found:
        print(json.dumps(each))
    sys.exit(not all(each["holds"] for each in found))


if __name__ == "__main__":
    main()
