"""What a map costs its driver for each tile: planning, records and coarser levels, without the tiles themselves.

    python tests/benchmarks/bench_driver.py [--tiles 100000] [--species 65]

Makes a land store and an empty map of so many tiles on a local disk, with a record of each tile, and times what the
driver alone does. Sending tiles to workers is measured by `bench_scale.py`.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.geo.grid import grid_of
from sdm_ray.mapping import map as map_job
from sdm_ray.mapping import plan
from sdm_ray.mapping.region_mask import Area
from sdm_ray.stores import maps, pyramid
from sdm_ray.stores.land import write_land
from sdm_ray.stores.ledger import Ledger

TILE, GOAL_MS = 64, 3.0


def made(folder: UPath, tiles: int, species: int) -> tuple[Area, UPath]:
    """A land store of some islands, and an empty map with a record of each tile."""
    side = math.isqrt(tiles) * TILE
    grid = grid_of((900_000.0, 900_000.0, 900_000.0 + side * 1000, 900_000.0 + side * 1000), 1000)
    land = np.ones(grid.shape, bool)
    land[::3] = False
    write_land(folder / "land.zarr", grid, land, land.astype(np.int16), ["Land"])
    table = pd.DataFrame({"species_id": range(species), "name": map(str, range(species))})
    layer = maps.Layer("uint8", 0, {"long_name": "a layer"})
    path = folder / "map.zarr"
    maps.create_map(path, grid, maps.MapSpec(table, "recorded", TILE, {"inputs": layer, "richness": layer}))
    none = np.zeros((0, 2))
    return Area(str(folder / "land.zarr"), grid, none, np.zeros(0, int), surveyed_only=False), path


def recorded(path: UPath, work: plan.Plan, species: int) -> Ledger:
    """A ledger with a record of each tile, as workers write them."""
    ledger = Ledger(path, "f")
    sums = np.random.default_rng(0).uniform(0, 1000, species).tolist()
    figures = {"cells": 100, "with_covariates": 0, "with_satellite": 0, "without_survey_in_country": 0}
    for tile in work.tiles:
        ledger.add(tile.id, {**figures, "species_sums": sums})
    return ledger


def timed(name: str, tiles: int, call: Callable[[], object]) -> float:
    """Milliseconds a tile."""
    begun = time.monotonic()
    call()
    each = 1000 * (time.monotonic() - begun) / tiles
    print(f"{name:<32}{each:8.3f} ms a tile", flush=True)
    return each


def main() -> int:
    """0 where the goal holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=100_000)
    parser.add_argument("--species", type=int, default=65)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        area, path = made(UPath(Path(place)), given.tiles, given.species)
        work = plan.make(area.grid, TILE, area.wanted)
        tiles = len(work.tiles)
        ledger = recorded(path, work, given.species)
        print(f"{tiles} tiles of {TILE} x {TILE} cells, {given.species} species; {time.strftime('%Y-%m-%d')}")
        levels = pyramid.levels_of(area.grid)
        total = timed("planning", tiles, lambda: plan.make(area.grid, TILE, area.wanted))
        total += timed("which tiles are done", tiles, ledger.finished)
        total += timed("figures of all tiles", tiles, lambda: map_job.figures(ledger, work, "recorded"))
        total += timed(f"plans of {levels} coarser levels", tiles, lambda: _levels(work, levels))
    figure = {"figure": "driver's work for a tile, without sending it", "value": round(total, 3), "unit": "ms"}
    print(json.dumps({**figure, "goal": GOAL_MS, "holds": total <= GOAL_MS}))
    return int(total > GOAL_MS)


def _levels(work: plan.Plan, levels: int) -> int:
    grids = (pyramid.level_grid(work.grid, level) for level in range(1, levels + 1))
    return sum(len(plan.coarser(work, grid, TILE, level)) for level, grid in enumerate(grids, 1))


if __name__ == "__main__":
    sys.exit(main())
