"""Differences of indicator layers, each from that of the first map."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, tiles
from sdm_ray.impact.change.config import ChangeConfig
from sdm_ray.progress import say
from sdm_ray.stores import raster
from sdm_ray.stores.raster import ArraySpec


@dataclass(frozen=True)
class Differences:
    """What is subtracted.

    Attributes:
        grid: of the maps.
        labels: of the maps beside the first that have indicators.
        places: their indicators, the first map's first.
        layers: names of the layers that all have, of rows and columns and of numbers, not categories.
    """

    grid: Grid
    labels: tuple[str, ...]
    places: tuple[UPath, ...]
    layers: tuple[str, ...]


def plan(config: ChangeConfig, maps: Sequence[str], grid: Grid) -> Differences | None:
    """See which layers there are; None where no indicators are given.

    Args:
        config: of the job.
        maps: labels of the maps, the first being the one that others are compared with.
        grid: of the maps.

    Raises:
        InputError: indicators have a label that no map has, none of the first map are given, they lie on another grid
            or share no layer.
    """
    if not config.indicators:
        return None
    first = maps[0]
    if unknown := [label for label in config.indicators if label not in maps]:
        raise InputError(f"indicators: {unknown[0]!r} is the label of no map; expected of {', '.join(maps)}")
    if first not in config.indicators:
        raise InputError(f"indicators: those of {first!r}, the first map, are missing")
    labels = tuple(label for label in config.indicators if label != first)
    places = tuple(config.path(config.indicators[label]) for label in (first, *labels))
    names = [_layers(place, grid) for place in places]
    layers = tuple(sorted(set.intersection(*names)))
    if not layers:
        raise InputError(f"{places[1]}: has no layer of numbers that {places[0]} has as well")
    if left_out := sorted(set.union(*names) - set(layers)):
        say(f"change: {len(left_out)} layers that not all indicators have are left out, such as {left_out[0]}")
    return Differences(grid, labels, places, layers)


def _layers(place: UPath, grid: Grid) -> set[str]:
    """Names of the layers of indicators that are of numbers."""
    group = raster.open_group(place / "0")
    with raster.readable(place, "indicators"):
        if raster.read_grid(group) != grid:
            raise InputError(f"{place}: lies on another grid than the maps; expected the same")
        return {name for name, each in group.arrays() if _is_number(each)}


def create(output: UPath, differences: Differences | None, tile: int) -> None:
    """Make the empty layers in `indicators/`, one entry along `comparison` for each label."""
    if differences is None:
        return
    about = {"title": "Changes of indicators"}
    group = raster.create(output / "indicators", differences.grid, {"comparison": list(differences.labels)}, about)
    side = min(128, tile)
    for name in differences.layers:
        attrs = {"long_name": f"{name} minus that of the first map"}
        spec = ArraySpec("float32", (1, side, side), (1, tile, tile), ("comparison",), float("nan"), attrs)
        raster.add_array(group, name, spec)


def write(output: UPath, differences: Differences | None, tile: int) -> None:
    """Write the differences tile by tile."""
    if differences is None:
        return
    group = raster.open_group(output / "indicators", "r+")
    first, *others = [(place, raster.open_group(place / "0")) for place in differences.places]
    for each in tiles(differences.grid, tile):
        for name in differences.layers:
            before = _read(*first, name, each.window)
            for number, other in enumerate(others):
                group[name][(number, *each.window.slices)] = _read(*other, name, each.window) - before


def _read(place: UPath, group: raster.Group, name: str, window: Window) -> NDArray[np.float32]:
    with raster.readable(place, "indicators"):
        values = np.asarray(group[name][window.slices], np.float32)
        if values.shape != (window.height, window.width):
            raise ValueError(f"{name} is smaller than its grid")
        return values


def _is_number(array: raster.Group) -> bool:
    return bool(array.ndim == 2 and array.dtype.kind == "f")
