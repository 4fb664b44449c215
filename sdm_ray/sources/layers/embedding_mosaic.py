"""Tiles of an embedding on one grid: the mean of the pixels whose centres lie in a cell, or the pixel at its centre."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.warp import calculate_default_transform, transform_bounds

from sdm_ray.geo import grid as geo_grid
from sdm_ray.geo.grid import Extent, Grid
from sdm_ray.geo.windows import Window
from sdm_ray.stores.embedding_sources import EmbeddingSource

_EDGE_POINTS = 41  # a straight edge is a curve in another projection
_MARGIN = 2  # pixels around what is read
_BLOCK = 512  # pixels along the side of what is read at once: 128 components of it are 134 MB
_FINEST = 2.0  # pixels along a cell from which on its value is a mean


@dataclass(frozen=True)
class Pixels:
    """Where the pixels of a tile lie, rows from north to south.

    Attributes:
        crs: the tile's projection.
        left: western edge, in its unit.
        top: northern edge.
        step: side of a pixel.
        width: columns.
        height: rows.
    """

    crs: CRS
    left: float
    top: float
    step: float
    width: int
    height: int

    @property
    def bounds(self) -> Extent:
        """West, south, east, north in its own projection."""
        return self.left, self.top - self.height * self.step, self.left + self.width * self.step, self.top

    def extent(self) -> Extent:
        """West, south, east, north, EPSG:3035 metres."""
        found: Extent = transform_bounds(self.crs, geo_grid.CRS, *self.bounds, densify_pts=_EDGE_POINTS)
        return found

    def side_m(self) -> float:
        """Side of a pixel, EPSG:3035 metres."""
        shift, _, _ = calculate_default_transform(self.crs, geo_grid.CRS, self.width, self.height, *self.bounds)
        return float(np.round(shift.a)) or float(shift.a)

    def part(self, window: Window) -> "Pixels":
        """Where the pixels of a window of it lie."""
        left, top = self.left + window.col * self.step, self.top - window.row * self.step
        return Pixels(self.crs, left, top, self.step, window.width, window.height)

    def blocks(self, grid: Grid) -> Iterator[Window]:
        """Windows of the pixels around a grid."""
        west, south, east, north = transform_bounds(geo_grid.CRS, self.crs, *grid.bounds, densify_pts=_EDGE_POINTS)
        first = max(int(np.floor((west - self.left) / self.step)) - _MARGIN, 0)
        last = min(int(np.ceil((east - self.left) / self.step)) + _MARGIN, self.width)
        upper = max(int(np.floor((self.top - north) / self.step)) - _MARGIN, 0)
        lower = min(int(np.ceil((self.top - south) / self.step)) + _MARGIN, self.height)
        yield from Window(upper, first, lower - upper, last - first).parts(_BLOCK, _BLOCK)

    def cells_of(self, grid: Grid) -> NDArray[np.int64]:
        """Flat index of the grid's cell that the centre of each pixel lies in, -1 outside, (N,)."""
        rows, cols = np.mgrid[: self.height, : self.width]
        x, y = self.left + (cols.ravel() + 0.5) * self.step, self.top - (rows.ravel() + 0.5) * self.step
        to_grid = Transformer.from_crs(self.crs, geo_grid.CRS, always_xy=True)
        return grid.index(*map(np.asarray, to_grid.transform(x, y)))

    def at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
        """Flat index of the pixel that points (EPSG:3035 metres) lie in, -1 outside, (N,)."""
        to_tile = Transformer.from_crs(geo_grid.CRS, self.crs, always_xy=True)
        east, north = map(np.asarray, to_tile.transform(x, y))
        col = np.floor((east - self.left) / self.step).astype(np.int64)
        row = np.floor((self.top - north) / self.step).astype(np.int64)
        inside = (row >= 0) & (row < self.height) & (col >= 0) & (col < self.width)
        return np.where(inside, row * self.width + col, -1)


class Tile(Protocol):
    """One tile of an embedding."""

    @property
    def pixels(self) -> Pixels:
        """Where its pixels lie."""
        ...

    def read(self, window: Window) -> NDArray[np.float32]:
        """Dequantised embeddings of a window, rows from north to south, (C, height, width), NaN where there is none."""
        ...


@dataclass(frozen=True)
class Tiles:
    """The tiles of one embedding.

    Attributes:
        source: what they are.
        tiles: at the detail that the grid needs.
        side_m: side of a pixel of the published tiles, metres.
        unit: whether embeddings have the length 1.
    """

    source: EmbeddingSource
    tiles: Sequence[Tile]
    side_m: float
    unit: bool = False

    def extent(self) -> Extent:
        """What all tiles cover, EPSG:3035 metres."""
        west, south, east, north = np.array([each.pixels.extent() for each in self.tiles]).T
        return float(west.min()), float(south.min()), float(east.max()), float(north.max())


def mosaic(found: Tiles, grid: Grid) -> NDArray[np.float32]:
    """The components on a grid, (C, height, width), NaN where no tile has a value.

    Args:
        found: the tiles.
        grid: cells of EPSG:3035.
    """
    made = _Cells(len(found.source.covariates), grid)
    for tile in found.tiles:
        mean = grid.resolution >= _FINEST * tile.pixels.side_m()
        for window in tile.pixels.blocks(grid):
            values = tile.read(window).reshape(len(made.sums), -1)
            (made.add_means if mean else made.add_nearest)(values, tile.pixels.part(window))
    means = np.where(made.pixels > 0, made.sums / np.maximum(made.pixels, 1), np.float32(np.nan))
    if found.unit:
        several = made.pixels > 1
        means[:, several] /= np.linalg.norm(means[:, several], axis=0)
    return np.asarray(means, np.float32).reshape(-1, *grid.shape)


class _Cells:
    """Sums of the pixels of each cell, (C, cells), and how many there are, (cells,)."""

    def __init__(self, components: int, grid: Grid) -> None:
        self._grid = grid
        self.sums = np.zeros((components, grid.height * grid.width), np.float32)
        self.pixels = np.zeros(grid.height * grid.width, np.int64)

    def add_means(self, values: NDArray[np.float32], place: Pixels) -> None:
        """Add pixels (C, N) to the cells that their centres lie in."""
        cell = place.cells_of(self._grid)
        known = (cell >= 0) & np.isfinite(values).all(axis=0)
        cells, which = np.unique(cell[known], return_inverse=True)
        self.pixels[cells] += np.bincount(which, minlength=len(cells))
        for sums, component in zip(self.sums, values[:, known], strict=True):
            sums[cells] += np.bincount(which, component, minlength=len(cells)).astype(np.float32)

    def add_nearest(self, values: NDArray[np.float32], place: Pixels) -> None:
        """Give cells the pixel at their centre, unless they have one of a tile before."""
        west, south, east, north = place.extent()
        rows, cols = self._grid.cell(np.array([west, east]), np.array([north, south]))
        height, width = self._grid.shape
        around = np.mgrid[max(rows[0] - 1, 0) : min(rows[1] + 2, height), max(cols[0] - 1, 0) : min(cols[1] + 2, width)]
        row, col = around.reshape(2, -1)
        cell, pixel = row * width + col, place.at(*self._grid.centre(row, col))
        free = (pixel >= 0) & (self.pixels[cell] == 0)
        cell, found = cell[free], values[:, pixel[free]]
        known = np.isfinite(found).all(axis=0)
        self.sums[:, cell[known]] = found[:, known]
        self.pixels[cell[known]] = 1
