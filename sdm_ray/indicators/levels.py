"""Coarser levels of the indicators' layers, as many as their map has, so that a view from afar reads few cells."""

from upath import UPath

from sdm_ray.config import TaskConfig
from sdm_ray.geo.windows import Tile, tiles
from sdm_ray.mapping.all_tiles import do_all
from sdm_ray.stores.layer_pyramid import create_layer_levels, fill_layer_level
from sdm_ray.stores.maps import Map
from sdm_ray.stores.pyramid import level_count, level_grid


def build_levels(output: UPath, found: Map, side: int, compute: TaskConfig) -> None:
    """Write the levels, each from the one below it, by tasks that write whole Zarr shards.

    Args:
        output: with the finished level 0 in `0/`.
        found: the map.
        side: cells along the side of a Zarr shard of the layers.
        compute: what one task takes.

    Raises:
        InputError: a tile failed.
    """
    levels = level_count(found.path)
    if not levels:
        return
    create_layer_levels(output, levels)
    for level in range(1, levels + 1):
        todo = tiles(level_grid(found.grid, level), side)
        do_all(_do_level, (str(output), level), todo, compute, name=f"indicators: level {level}", place=output)


def _do_level(shared: tuple[str, int], tile: Tile) -> None:
    output, level = shared
    fill_layer_level(UPath(output), level, tile.window)
