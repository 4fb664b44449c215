"""Rectangles of a grid: windows that are read, tiles that are written.

In one dimension: a grid of 10 cells whose first cell is number 3 of the EU grid, cut into tiles of 4. Tiles are
anchored to the EU grid, so its edges are at EU cells 0, 4, 8, 12: the first tile holds the cells 3..3, the next
4..7, then 8..11 and 12..12. Any larger grid cuts the same cells the same way.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdm_ray.geo.codes import eea_code
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

    def intersect(self, other: "Window") -> "Window":
        """What two windows share; of height or width 0 where they share nothing."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        bottom = min(self.row + self.height, other.row + other.height)
        right = min(self.col + self.width, other.col + other.width)
        return Window(row, col, max(bottom - row, 0), max(right - col, 0))


@dataclass(frozen=True)
class Tile:
    """The unit of a map's work: an id that does not depend on the map's extent, and its window in the map."""

    id: str
    window: Window


def whole(grid: Grid) -> Window:
    """The window of all cells of a grid."""
    return Window(0, 0, grid.height, grid.width)


def tiles(grid: Grid, size: int) -> list[Tile]:
    """Cut a grid into tiles of `size` x `size` cells anchored to the EU grid, from north to south.

    Tiles at the grid's edge are smaller. The id is the EEA code of the whole tile's lower-left corner.
    """
    first_col = round(grid.x0 / grid.resolution)
    north = round(grid.y1 / grid.resolution)  # number of cells between the EU grid's origin and the northern edge
    rows = _cuts(-north, grid.height, size)
    cols = _cuts(first_col, grid.width, size)
    side = size * grid.resolution
    cut = []
    for top, bottom in rows:
        corner_y = (north - bottom) // size * side
        for left, right in cols:
            corner_x = (first_col + left) // size * side
            cut.append(Tile(eea_code(corner_x, corner_y, side), Window(top, left, bottom - top, right - left)))
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


def _cuts(first: int, count: int, size: int) -> list[tuple[int, int]]:
    """Half-open ranges of 0..count that break where (first + i) is a multiple of size."""
    starts = [0, *[i for i in range(1, count) if (first + i) % size == 0]]
    return list(zip(starts, [*starts[1:], count], strict=True))
