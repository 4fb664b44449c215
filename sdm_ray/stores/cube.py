"""The tile cube: surface reflectance on the EU grid.

`reflectance(time, band, y, x)` is uint16, reflectance x 10,000, 0 = nodata; `valid_count(time, y, x)` says from how
many clear scenes a value was made. A static cube has one time.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, whole
from sdm_ray.stores import raster
from sdm_ray.stores.raster import ArraySpec

_NEIGHBOURHOOD = 8  # chunks along a side that are read at once: with 4 bands and chunks of 256 pixels, 34 MB


def create_cube(
    path: UPath, grid: Grid, times: Sequence[str], bands: Sequence[str], chunk: int = 256, shard: int = 2048
) -> None:
    """Make an empty cube.

    Args:
        path: folder or URL.
        grid: its pixels.
        times: names of the composites (`2021-summer`).
        bands: names of the bands (`red`, `nir`).
        chunk: side of a chunk, pixels; a chunk holds all bands.
        shard: side of a shard, pixels; one task writes one shard.
    """
    attrs = {"title": "Surface reflectance", "Conventions": "CF-1.11"}
    group = raster.create(path, grid, {"time": list(times), "band": list(bands)}, attrs)
    reflectance = ArraySpec(
        dtype="uint16",
        chunks=(1, len(bands), chunk, chunk),
        shards=(1, len(bands), shard, shard),
        leading=("time", "band"),
        fill=0,
        attrs={"long_name": "surface reflectance", "scale_factor": 1e-4, "units": "1"},
    )
    count = ArraySpec(
        dtype="uint8",
        chunks=(1, chunk, chunk),
        shards=(1, shard, shard),
        leading=("time",),
        attrs={"long_name": "number of valid scenes"},
    )
    raster.add_array(group, "reflectance", reflectance)
    raster.add_array(group, "valid_count", count)


class Cube:
    """A tile cube for reading and for writing whole shards.

    Attributes:
        grid: its pixels.
        bands: names of the bands.
        times: names of the composites.
    """

    def __init__(self, path: UPath, *, writable: bool = False) -> None:
        group: Any = raster.open_group(path, "r+" if writable else "r")
        self.path = path
        self.grid: Grid = raster.read_grid(group)
        self.bands = [str(name) for name in group["band"][:]]
        self.times = [str(name) for name in group["time"][:]]
        self._reflectance = group["reflectance"]
        self._valid_count = group["valid_count"]

    @cached_property
    def _chunk(self) -> int:
        return max(self._reflectance.chunks[-2:])

    @cached_property
    def shard(self) -> int:
        """Side of the unit of writing, pixels; along an axis that is shorter, the unit is the whole axis."""
        return max((self._reflectance.shards or self._reflectance.chunks)[-2:])

    def read(self, window: Window, time: int = 0) -> NDArray[np.uint16]:
        """Reflectance of a window, (band, height, width); 0 outside the cube."""
        out = np.zeros((len(self.bands), window.height, window.width), np.uint16)
        inner = window.intersect(whole(self.grid))
        if inner.size:
            rows, cols = inner.slices
            row, col = inner.row - window.row, inner.col - window.col
            out[:, row : row + inner.height, col : col + inner.width] = self._reflectance[time, :, rows, cols]
        return out

    def valid_count(self, window: Window, time: int = 0) -> NDArray[np.uint8]:
        """Number of valid scenes of a window inside the cube, (height, width)."""
        return self._valid_count[(time, *window.slices)]

    def patches(self, rows: NDArray[np.int64], cols: NDArray[np.int64], size: int, time: int = 0) -> NDArray[np.uint16]:
        """Many square patches.

        The wanted patches are gathered by the chunks of their upper-left pixels, and what the patches of one
        neighbourhood need is read at once, so that few chunks are decoded twice and memory stays bounded.

        Args:
            rows: upper pixel row of each patch, (N,).
            cols: left pixel column of each patch, (N,).
            size: side, pixels.
            time: number of the composite.

        Returns:
            (N, band, size, size) in the order asked for, 0 outside the cube.
        """
        out = np.empty((len(rows), len(self.bands), size, size), np.uint16)
        rows, cols = np.asarray(rows), np.asarray(cols)
        for wanted in _neighbourhoods(rows, cols, size, self._chunk, _NEIGHBOURHOOD * self._chunk):
            row, col = int(rows[wanted].min()), int(cols[wanted].min())
            height = int(rows[wanted].max()) + size - row
            width = int(cols[wanted].max()) + size - col
            area = self.read(Window(row, col, height, width), time)
            for i in wanted:
                top, left = rows[i] - row, cols[i] - col
                out[i] = area[:, top : top + size, left : left + size]
        return out

    def write(self, window: Window, time: int, reflectance: NDArray[np.uint16], valid_count: NDArray[np.uint8]) -> None:
        """Write whole shards; two tasks never share one.

        Args:
            window: aligned to shards, or ending at the cube's edge.
            time: number of the composite.
            reflectance: (band, height, width).
            valid_count: (height, width).

        Raises:
            ValueError: the window cuts a shard, so that two writers could lose each other's pixels.
        """
        raster.require_aligned(window, self.shard, self.grid)
        self._reflectance[(time, slice(None), *window.slices)] = reflectance
        self._valid_count[(time, *window.slices)] = valid_count


def _neighbourhoods(
    rows: NDArray[np.int64], cols: NDArray[np.int64], size: int, chunk: int, side: int
) -> Iterator[NDArray[np.int64]]:
    """Positions of patches that are read together.

    They are those of squares of `side` pixels; a square is quartered while the chunks that reading it would decode
    are more than twice the chunks that its patches begin in.
    """
    for group in raster.by_chunk(rows, cols, side):
        top, left = rows[group], cols[group]
        spanned = [int((axis.max() + size - 1) // chunk - axis.min() // chunk + 1) for axis in (top, left)]
        if side > chunk and spanned[0] * spanned[1] > 2 * len(raster.by_chunk(top, left, chunk)):
            for part in _neighbourhoods(top, left, size, chunk, side // 2):
                yield group[part]
        else:
            yield group
