"""The EU grid: square cells of EPSG:3035 as a value object, and the way from longitude and latitude to it."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

CRS = "EPSG:3035"
Extent = tuple[float, float, float, float]
"""West, south, east, north, EPSG:3035 metres."""
EU_EXTENT: Extent = (900_000.0, 900_000.0, 7_400_000.0, 5_500_000.0)
"""Of the grid of Regulation (EU) 2018/1799."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """Square cells in rows from north to south and columns from west to east.

    Attributes:
        x0: western edge, EPSG:3035 metres.
        y1: northern edge, EPSG:3035 metres.
        resolution: side of a cell, metres.
        width: number of columns.
        height: number of rows.
    """

    x0: float
    y1: float
    resolution: float
    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north, metres."""
        south = self.y1 - self.height * self.resolution
        return self.x0, south, self.x0 + self.width * self.resolution, self.y1

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Coefficients of the affine transform from (column, row) to (x, y), in rasterio's order."""
        return self.resolution, 0.0, self.x0, 0.0, -self.resolution, self.y1

    @property
    def x(self) -> Floats:
        """Eastings of the centres of the columns, (width,)."""
        return self.x0 + (np.arange(self.width, dtype=np.float64) + 0.5) * self.resolution

    @property
    def y(self) -> Floats:
        """Northings of the centres of the rows, (height,), descending."""
        return self.y1 - (np.arange(self.height, dtype=np.float64) + 0.5) * self.resolution

    def cell(self, x: Floats, y: Floats) -> tuple[Integers, Integers]:
        """Row and column of points; they may lie outside the grid.

        A point on an edge belongs to the cell east or north of it, as the EEA's cell codes name cells by their
        lower-left corner.
        """
        col = np.floor((np.asarray(x) - self.x0) / self.resolution).astype(np.int64)
        south = self.y1 - self.height * self.resolution
        row = self.height - 1 - np.floor((np.asarray(y) - south) / self.resolution).astype(np.int64)
        return row, col

    def centre(self, row: Integers, col: Integers) -> tuple[Floats, Floats]:
        """Eastings and northings of the centres of cells."""
        x = self.x0 + (np.asarray(col, np.float64) + 0.5) * self.resolution
        y = self.y1 - (np.asarray(row, np.float64) + 0.5) * self.resolution
        return x, y

    def contains(self, row: Integers, col: Integers) -> NDArray[np.bool_]:
        """Whether cells lie inside the grid."""
        row, col = np.asarray(row), np.asarray(col)
        return (row >= 0) & (row < self.height) & (col >= 0) & (col < self.width)

    def index(self, x: Floats, y: Floats) -> Integers:
        """Flat index (row * width + column) of the cell of each point, -1 outside the grid."""
        row, col = self.cell(x, y)
        return np.where(self.contains(row, col), row * self.width + col, -1)


def eu_grid(resolution: float) -> Grid:
    """The whole EU grid at a resolution in metres."""
    return grid_of(EU_EXTENT, resolution)


def grid_of(bounds: tuple[float, float, float, float], resolution: float) -> Grid:
    """The cells of the EU grid that touch a box.

    Args:
        bounds: west, south, east, north, EPSG:3035 metres.
        resolution: side of a cell, metres; edges lie on its multiples.

    Raises:
        ValueError: the box is empty or the resolution is not positive.
    """
    west, south, east, north = bounds
    if not (resolution > 0 and east > west and north > south):
        raise ValueError(f"no cells of {resolution} m in west {west}, south {south}, east {east}, north {north}")
    left, bottom = np.floor(west / resolution), np.floor(south / resolution)
    right, top = np.ceil(east / resolution), np.ceil(north / resolution)
    return Grid(
        float(left * resolution), float(top * resolution), float(resolution), int(right - left), int(top - bottom)
    )


def extent_of(x: Floats, y: Floats) -> Extent:
    """West, south, east and north of points, whole kilometres around them, EPSG:3035 metres."""
    low = (np.floor(np.min(each) / 1000) * 1000 for each in (x, y))
    high = (np.ceil(np.max(each) / 1000) * 1000 for each in (x, y))
    west, south, east, north = map(float, (*low, *high))
    return west, south, east, north


@cache
def _transformer(inverse: bool) -> Transformer:
    ends = (CRS, "EPSG:4326") if inverse else ("EPSG:4326", CRS)
    return Transformer.from_crs(*ends, always_xy=True)


def to_xy(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """WGS84 degrees to EPSG:3035 metres (x east, y north)."""
    x, y = _transformer(False).transform(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
    return np.asarray(x), np.asarray(y)


def to_lonlat(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """EPSG:3035 metres to WGS84 degrees (longitude, latitude)."""
    lon, lat = _transformer(True).transform(np.asarray(x, np.float64), np.asarray(y, np.float64))
    return np.asarray(lon), np.asarray(lat)
