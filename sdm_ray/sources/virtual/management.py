"""A planted change of the virtual landscape: some parcels lose their forest, and what follows for species is known."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from sdm_ray.errors import InputError
from sdm_ray.sources.virtual import world as plain
from sdm_ray.sources.virtual.config import ManagementConfig, VirtualConfig
from sdm_ray.sources.virtual.world import FOREST, GRASS, World

_BY_MOISTURE = 1.0
"""Logit of a parcel's chance to be treated, for each standard deviation of moisture: treated parcels differ."""


@lru_cache(maxsize=1)
def build(config: VirtualConfig, seed: int) -> World:
    """The landscape, after its management where there is any."""
    before = plain.build(config.model_copy(update={"management": None}), seed)
    if config.management is None:
        return before
    table, _ = parcels(before, config.management)
    side = config.management.side_cells
    cleared = np.zeros(before.land.shape, bool)
    for top, left in table.loc[table["cleared"] == 1, ["row", "col"]].to_numpy():
        cleared[top : top + side, left : left + side] = True
    pixels = np.kron(cleared, np.ones((before.side, before.side), bool))
    cover = np.where(pixels & (before.cover == FOREST), np.uint8(GRASS), before.cover)
    fractions = plain.fractions_of(cover, before.side)
    climate = before.climate[:, : before.grid.height, : before.grid.width]
    logits = plain.responses(config, seed, climate, (before.fractions, fractions), before.land)
    return replace(before, config=config, cover=cover, fractions=fractions, logits=logits)


def parcels(world: World, management: ManagementConfig) -> tuple[pd.DataFrame, NDArray[np.object_]]:
    """Squares with enough forest, and which of them lose it.

    Args:
        world: the landscape before the management.
        management: what is done.

    Returns:
        A table with `parcel`, `cleared` (1 or 0), `forest` (share before), `moisture`, `temperature_c`, `elevation_m`,
        and `row` and `col` of the upper left cell; and squares in EPSG:3035.

    Raises:
        InputError: fewer than twice as many squares as are to be treated have so much forest.
    """
    side, step = management.side_cells, world.grid.resolution
    rows, cols = (np.arange(0, size - side + 1, side) for size in world.land.shape)
    row, col = (each.ravel() for each in np.meshgrid(rows, cols, indexing="ij"))

    def means(values: plain.Floats) -> plain.Floats:
        return np.array([values[r : r + side, c : c + side].mean() for r, c in zip(row, col, strict=True)], np.float32)

    table = pd.DataFrame({"parcel": 0, "cleared": 0, "forest": means(world.fractions[FOREST])})
    for name, layer in zip(("temperature_c", "moisture", "elevation_m"), world.climate, strict=True):
        table[name] = means(layer)
    table["row"], table["col"] = row, col
    dry = means(world.land.astype(np.float32)) == 1
    table = table[dry & (table["forest"] >= management.least_forest)].reset_index(drop=True)
    if len(table) < 2 * management.parcels:
        raise InputError(
            f"virtual.management: {len(table)} parcels have {management.least_forest:g} of forest; expected at least"
            f" {2 * management.parcels}, twice management.parcels"
        )
    moisture = (table["moisture"] - table["moisture"].mean()) / table["moisture"].std()
    odds = np.exp(_BY_MOISTURE * moisture.to_numpy(float))
    rng = np.random.default_rng([world.seed, 50])
    table.loc[rng.choice(len(table), management.parcels, replace=False, p=odds / odds.sum()), "cleared"] = 1
    table["parcel"] = np.arange(len(table))
    west = world.grid.x0 + table["col"].to_numpy() * step
    north = world.grid.y1 - table["row"].to_numpy() * step
    return table, np.asarray(shapely.box(west, north - side * step, west + side * step, north))
