"""Coarser levels of a map: `1/`, `2/`, ... hold means over the 2 x 2, 4 x 4, ... cells of level 0 that have data.

A level is computed from the one below it. At a coast the cells of that level stand for different numbers of cells of
level 0, so each level keeps these numbers in `cell_count(y, x)`, and a mean is weighted by them. Quality layers have
the same levels, weighted by the same numbers also where a layer has gaps of its own; of flags and other integers a
coarser cell has the commonest value of the four below it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.geo.block_means import block_means, block_modes, block_sums
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, whole
from sdm_ray.stores import raster
from sdm_ray.stores.encoding import encode
from sdm_ray.stores.maps import Layer, Map, MapSpec, baseline, create_level

COUNT = "cell_count"
_ABOUT = {"long_name": "number of cells of level 0 with data that a mean is over", "units": "1"}
_COUNT = Layer("uint32", 0, _ABOUT, static=True)


def levels_of(grid: Grid, smallest: int = 512) -> int:
    """How many coarser levels bring the longer side of a map below `smallest` cells."""
    levels = 0
    while max(grid.width, grid.height) >> levels >= smallest:
        levels += 1
    return levels


def level_grid(grid: Grid, level: int) -> Grid:
    """The grid of a coarser level: cells of 2^level times the side from the same north-western corner."""
    step = 1 << level
    return Grid(grid.x0, grid.y1, grid.resolution * step, -(-grid.width // step), -(-grid.height // step))


def create_levels(path: UPath, levels: int) -> None:
    """Make the empty coarser levels of a map and describe them all in `multiscales`; by the driver."""
    base = baseline(path)
    layers = {COUNT: _COUNT} | {name: base.layer_spec(name) for name in base.layers()}
    spec = MapSpec(base.species, base.probability_kind, base.tile, layers, base.bits, scenarios=tuple(base.scenarios))
    for level in range(1, levels + 1):
        create_level(path, level, level_grid(base.grid, level), spec)
    describe_levels(path, base.grid, levels)


def describe_levels(path: UPath, grid: Grid, levels: int) -> None:
    """Say in a root group which levels it has: `multiscales`, and the place of level 0."""
    layout: list[dict[str, Any]] = []
    for level in range(levels + 1):
        step = 2.0 if level else 1.0
        finer = {"derived_from": str(level - 1)} if level else {}
        where = raster.place(level_grid(grid, level))
        layout.append({
            "asset": str(level),
            **finer,
            "transform": {"scale": [step, step], "translation": [0.0, 0.0]},
            "spatial:shape": where["spatial:shape"],
            "spatial:transform": where["spatial:transform"],
        })  # fmt: skip
    root: Any = raster.open_group(path, "r+")
    root.attrs.update({
        "multiscales": {"layout": layout, "resampling_method": "average"},
        **raster.place(grid),
        **raster.conventions("multiscales", "proj", "spatial"),
    })  # fmt: skip


def level_count(path: UPath) -> int:
    """How many coarser levels a store has."""
    return max(0, len(raster.open_group(path).attrs.get("multiscales", {}).get("layout", [])) - 1)


def fill_level(path: UPath, level: int, window: Window) -> None:
    """Write a tile of a coarser level from the one below it, of a map of scenarios one by one."""
    labels: list[str | None] = [*baseline(path).scenarios]
    for scenario in labels or [None]:
        _fill(Map(path, level - 1, scenario=scenario), Map(path, level, writable=True, scenario=scenario), window)


def _fill(finer: Map, coarser: Map, window: Window) -> None:
    """Write a tile of a level.

    All species of a cell have data or none has, so that one count serves them all.
    """
    area = Window(2 * window.row, 2 * window.col, 2 * window.height, 2 * window.width).intersect(whole(finer.grid))
    weights = finer.layer(COUNT, area) if COUNT in finer.layers() else np.asarray(~np.isnan(finer.read(area, 0)))
    for block in coarser.species_blocks():
        means = [block_means(each, 2, weights) for each in finer.read(area, block)]
        coarser.write_species(window, block, np.stack([encode(each, coarser.bits) for each in means]))
    layers: dict[str, NDArray[Any]] = {COUNT: block_sums(weights, 2).astype(_COUNT.dtype)}
    for name, fill in finer.layers().items():
        if name != COUNT:
            values = finer.layer(name, area)
            has_mean = np.issubdtype(values.dtype, np.floating)
            layers[name] = block_means(values, 2, weights) if has_mean else block_modes(values, 2, fill)
    coarser.write_layers(window, layers)
