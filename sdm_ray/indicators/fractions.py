"""Exact fractions of cells inside polygons, by exactextract."""

from collections.abc import Iterator, Sequence

import numpy as np
from exactextract import exact_extract
from exactextract.feature import Feature, FeatureSource
from exactextract.raster import NumPyRasterSource
from exactextract.writer import Writer
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window


def cell_fractions(polygons: Sequence[bytes], grid: Grid, window: Window) -> csr_matrix:
    """The fraction of every cell of a window that lies in each polygon.

    Args:
        polygons: well-known binary, EPSG:3035 metres, none of them empty, (Z,).
        grid: of the cells.
        window: of the grid.

    Returns:
        Fractions, (Z, cells of the window row by row).
    """
    west, north = grid.x0 + window.col * grid.resolution, grid.y1 - window.row * grid.resolution
    east, south = west + window.width * grid.resolution, north - window.height * grid.resolution
    empty = np.broadcast_to(np.uint8(0), (window.height, window.width))
    raster = NumPyRasterSource(empty, west, south, east, north)
    found = _Collected()
    if polygons:
        exact_extract(raster, _Polygons(polygons), ["cell_id", "coverage"], output=found)
    ends = np.cumsum([0, *(len(each) for each in found.cells)])
    columns = np.concatenate([np.zeros(0, np.int32), *found.cells]).astype(np.int32)
    values = np.concatenate([np.zeros(0), *found.fractions])
    return csr_matrix((values, columns, ends), shape=(len(polygons), window.size))


class _Polygons(FeatureSource):
    def __init__(self, polygons: Sequence[bytes]) -> None:
        super().__init__()
        self._polygons = polygons

    def __iter__(self) -> Iterator[Feature]:
        return (_Polygon(each) for each in self._polygons)

    def count(self) -> int:
        return len(self._polygons)

    def srs_wkt(self) -> None:
        return None


class _Polygon(Feature):
    def __init__(self, wkb: bytes | None = None) -> None:
        super().__init__()
        self._wkb = wkb
        self.values: dict[str, NDArray[np.float64]] = {}

    def geometry(self) -> bytes | None:
        return self._wkb

    def set_geometry(self, wkb: bytes | None) -> None:
        pass  # of a copy only the values are wanted

    def set_geometry_format(self) -> str:
        return "wkb"

    def fields(self) -> list[str]:
        return []

    def set(self, name: str, value: NDArray[np.float64]) -> None:
        self.values[name] = value


class _Collected(Writer):
    """The cells of each polygon, in the order of the polygons."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[NDArray[np.int64]] = []
        self.fractions: list[NDArray[np.float64]] = []

    def add_operation(self, operation: object) -> None:
        pass

    def features(self) -> None:
        pass

    def write(self, feature: Feature) -> None:
        found = _Polygon()
        feature.copy_to(found)
        self.cells.append(np.asarray(found.values["cell_id"], np.int64))
        self.fractions.append(np.asarray(found.values["coverage"], np.float64))
