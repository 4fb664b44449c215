"""Rectangles of a grid: windows that are read, tiles that are written."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdm_ray.geo.grid import Grid


@dataclass(frozen=True)
class Window:
    """A rectangle of cells: first row and column, height and width."""

    row: int
    col: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """For indexing an array whose last axes are (y, x)."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    @property
    def size(self) -> int:
        """Number of cells."""
        return self.height * self.width

    def padded(self, halo: int) -> "Window":
        """The window with `halo` more cells on every side; it may reach outside the grid."""
        return Window(self.row - halo, self.col - halo, self.height + 2 * halo, self.width + 2 * halo)

    def shifted(self, rows: int, cols: int) -> "Window":
        """The window so many rows further down and columns further right: the same cells on another grid."""
        return Window(self.row + rows, self.col + cols, self.height, self.width)

    def parts(self, height: int, width: int) -> Iterator["Window"]:
        """The window cut into parts from its upper left corner, row by row; the last of each may be smaller."""
        for row in range(0, self.height, height):
            for col in range(0, self.width, width):
                part = Window(row, col, min(height, self.height - row), min(width, self.width - col))
                yield part.shifted(self.row, self.col)

    def intersect(self, other: "Window") -> "Window":
        """What two windows share; of height or width 0 where they share nothing."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        bottom = min(self.row + self.height, other.row + other.height)
        right = min(self.col + self.width, other.col + other.width)
        return Window(row, col, max(bottom - row, 0), max(right - col, 0))


@dataclass(frozen=True)
class Tile:
    """The unit of a map's work: an id and its window in the map."""

    id: str
    window: Window


def whole(grid: Grid) -> Window:
    """The window of all cells of a grid."""
    return Window(0, 0, grid.height, grid.width)


def tiles(grid: Grid, size: int) -> list[Tile]:
    """Cut a grid into tiles of `size` x `size` cells from its north-western corner, row by row.

    The cuts are those of the Zarr shards of an array on the same grid, so that a tile owns whole shards. Tiles at the
    southern and eastern edge may be smaller. The id names the south-western corner in metres, `E4096000N3072000`.
    """
    cut = []
    for window in whole(grid).parts(size, size):
        west = grid.x0 + window.col * grid.resolution
        south = grid.y1 - (window.row + window.height) * grid.resolution
        cut.append(Tile(f"E{west:.0f}N{south:.0f}", window))
    return cut


def centred(
    grid: Grid, x: NDArray[np.float64], y: NDArray[np.float64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the upper-left pixel of patches of `size` x `size` pixels centred on points.

    A patch is placed on whole pixels; its centre is at most half a pixel from the point on each axis.
    """
    col = np.floor((np.asarray(x) - grid.x0) / grid.resolution - size / 2 + 0.5).astype(np.int64)
    row = np.floor((grid.y1 - np.asarray(y)) / grid.resolution - size / 2 + 0.5).astype(np.int64)
    return row, col
