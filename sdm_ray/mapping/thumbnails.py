"""Small pictures of large layers."""

from typing import Any

import numpy as np
from upath import UPath

from sdm_ray.geo.grid import Grid
from sdm_ray.plots.maps import map_picture

_SIDE = 1000  # most cells along the longer side of a picture


def overview(layer: Any, fill: float, strip: int) -> np.ndarray:  # noqa: ANN401 - a Zarr array
    """A layer in at most about a thousand cells a side: means of square blocks, read strip by strip.

    Args:
        layer: array (y, x).
        fill: its value where there is none, beside NaN.
        strip: rows that are stored together.

    Returns:
        float32, NaN where a block has no value.
    """
    height, width = layer.shape
    step = max(1, -(-max(height, width) // _SIDE))
    rows = max(1, strip // step) * step
    parts = [_means(np.asarray(layer[row : row + rows]), fill, step) for row in range(0, height, rows)]
    return np.concatenate(parts)


def picture(place: UPath, values: np.ndarray, grid: Grid, title: str, unit: str) -> UPath:
    """Draw an overview on the grid that it was made from and write it as PNG; returns the place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    west, south, east, north = grid.bounds
    place.write_bytes(map_picture(values, title, unit, extent=(west, south, east, north)))
    return place


def _means(values: np.ndarray, fill: float, step: int) -> np.ndarray:
    height, width = (-(-side // step) * step for side in values.shape)
    full = np.full((height, width), np.nan, np.float32)
    full[: values.shape[0], : values.shape[1]] = np.where(values == fill, np.nan, values)
    blocks = full.reshape(height // step, step, width // step, step)
    known = ~np.isnan(blocks)
    count = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0).sum(axis=(1, 3), dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
