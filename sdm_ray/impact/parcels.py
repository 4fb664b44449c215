"""Parcels: polygons with their attributes, and the share of each map cell that lies in each of them."""

import json
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pyogrio
import shapely
from numpy.typing import NDArray
from scipy import sparse
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.indicators.fractions import cell_fractions
from sdm_ray.readers import vectors
from sdm_ray.readers.zone_polygons import Zones, read_zones

_OVERLAP = 0.01  # of the smaller parcel's area, from which two parcels count as overlapping


def holds_polygons(path: str) -> bool:
    """Whether the features of a file are polygons: of GDAL's vector formats, or of GeoParquet.

    Raises:
        InputError: it cannot be read.
    """
    suffix = UPath(path).suffix.lower()
    if suffix not in (*vectors.SUFFIXES, ".parquet"):
        return False
    if not UPath(path).exists():
        raise InputError(f"{path}: no such file")
    with vectors.usable(path):
        return _parquet_of_polygons(path) if suffix == ".parquet" else _features_are_polygons(path)


def _parquet_of_polygons(path: str) -> bool:
    with UPath(path).open("rb") as file:
        about = json.loads((pq.read_schema(file).metadata or {}).get(b"geo", b"{}"))
    kinds = about["columns"][about["primary_column"]].get("geometry_types", []) if about else []
    return bool(kinds) and all("Polygon" in kind for kind in kinds)


def _features_are_polygons(path: str) -> bool:
    kind = pyogrio.read_info(path)["geometry_type"] or ""
    if kind in ("", "Unknown"):
        shapes = pyogrio.raw.read(path, columns=[], max_features=1)[2]
        return bool(len(shapes)) and bool((shapely.get_dimensions(shapely.from_wkb(shapes)) == 2).all())
    return "Polygon" in kind


def read_parcels(path: str, layer: str | None = None) -> Zones:
    """Read polygons in any projection.

    Args:
        path: GeoPackage, GeoJSON, FlatGeobuf, shapefile or GeoParquet.
        layer: of a file of several layers.

    Raises:
        InputError: the file has no reference system, or a row is no polygon.
    """
    found = read_zones(path, layer)
    empty = np.flatnonzero(shapely.is_empty(found.shapes))
    if len(empty):
        raise InputError(f"{path}: row {empty[0] + 1} is no polygon that EPSG:3035 reaches ({len(empty)} such rows)")
    return found


def overlapping(shapes: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each parcel shares more than 1 % of the smaller parcel's area with another, (N,)."""
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    one, other = one[one < other], other[one < other]
    area = shapely.area(shapes)
    shared = shapely.area(shapely.intersection(shapes[one], shapes[other]))
    found = shared > _OVERLAP * np.minimum(area[one], area[other])
    return np.isin(np.arange(len(shapes)), np.concatenate([one[found], other[found]]))


def points_in(shapes: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A point inside each parcel, EPSG:3035 metres, (N,) each."""
    points = shapely.point_on_surface(shapes)
    return np.asarray(shapely.get_x(points)), np.asarray(shapely.get_y(points))


def cell_shares(shapes: NDArray[Any], grid: Grid) -> sparse.csr_matrix:
    """Share of each cell's area that lies in each parcel, exact, sparse (N, height * width)."""
    size = len(shapes), grid.height * grid.width
    west, south, east, north = shapely.total_bounds(shapes)
    (bottom, top), (left, right) = grid.cell(np.array([west, east]), np.array([south, north]))
    top, bottom = max(int(top), 0), min(int(bottom), grid.height - 1)
    left, right = max(int(left), 0), min(int(right), grid.width - 1)
    if top > bottom or left > right:
        return sparse.csr_matrix(size)
    window = Window(top, left, bottom - top + 1, right - left + 1)
    found = cell_fractions(shapely.to_wkb(shapes).tolist(), grid, window).tocoo()
    row, col = np.divmod(found.col.astype(np.int64), window.width)
    cells = (row + window.row) * grid.width + col + window.col
    return sparse.csr_matrix((found.data, (found.row.astype(np.int64), cells)), shape=size)


def point_shares(x: NDArray[np.float64], y: NDArray[np.float64], grid: Grid) -> sparse.csr_matrix:
    """The cell of each point as its only one, sparse (N, height * width); empty rows outside the grid."""
    index = grid.index(x, y)
    rows = np.flatnonzero(index >= 0)
    return sparse.csr_matrix((np.ones(len(rows)), (rows, index[rows])), shape=(len(x), grid.height * grid.width))
