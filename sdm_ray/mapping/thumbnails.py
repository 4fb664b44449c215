"""Small pictures of large layers."""

from typing import Any

import numpy as np
from upath import UPath

from sdm_ray.geo.block_means import block_means, block_modes
from sdm_ray.geo.grid import Grid
from sdm_ray.plots.maps import map_picture
from sdm_ray.stores.layer_classes import is_categorical

SIDE = 1000
"""Most cells along the longer side of a picture."""


def overview(
    layer: Any,  # noqa: ANN401 - a Zarr array
    fill: float,
    strip: int,
    lead: tuple[int, ...] = (),
) -> np.ndarray:
    """A layer in at most about a thousand cells a side, read strip by strip.

    Args:
        layer: array (y, x), or with axes before these.
        fill: its value where there is none, beside NaN.
        strip: rows that are stored together.
        lead: position along the axes before (y, x).

    Returns:
        Means of square blocks, of a layer of categories their commonest value; float32, NaN where a block has none.
    """
    height, width = layer.shape[-2:]
    step = max(1, -(-max(height, width) // SIDE))
    rows = max(1, strip // step) * step
    coarser = _modes if is_categorical(layer.attrs) else _means
    return np.concatenate([
        coarser(np.asarray(layer[(*lead, slice(row, row + rows))]), fill, step) for row in range(0, height, rows)
    ])  # fmt: skip


def picture(place: UPath, values: np.ndarray, grid: Grid, title: str, unit: str) -> UPath:
    """Draw an overview on the grid that it was made from and write it as PNG; returns the place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    west, south, east, north = grid.bounds
    place.write_bytes(map_picture(values, title, unit, extent=(west, south, east, north)))
    return place


def _means(values: np.ndarray, fill: float, step: int) -> np.ndarray:
    return block_means(np.where(values == fill, np.float32(np.nan), values.astype(np.float32)), step)


def _modes(values: np.ndarray, fill: float, step: int) -> np.ndarray:
    found = block_modes(values, step, fill).astype(np.float32)
    return np.where(found == fill, np.float32(np.nan), found)
