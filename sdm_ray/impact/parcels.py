"""Parcels: polygons with their attributes, and the share of each map cell that lies in each of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from scipy import sparse
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo import grid as geo_grid
from sdm_ray.geo.grid import Grid
from sdm_ray.readers import vectors

_OVERLAP = 0.01  # of the smaller parcel's area, from which two parcels count as overlapping


@dataclass(frozen=True)
class Parcels:
    """Polygons of a file.

    Attributes:
        table: their attributes, one row each.
        shapes: valid polygons in EPSG:3035, (N,).
        repaired: number of invalid geometries that were made valid.
    """

    table: pd.DataFrame
    shapes: NDArray[Any]
    repaired: int


def holds_polygons(path: str) -> bool:
    """Whether a file is one of GDAL's vector formats whose features are polygons.

    Raises:
        InputError: it cannot be read.
    """
    if UPath(path).suffix.lower() not in vectors.SUFFIXES:
        return False
    try:
        kind = pyogrio.read_info(path)["geometry_type"] or ""
        if kind in ("", "Unknown"):
            shapes = pyogrio.raw.read(path, columns=[], max_features=1)[2]
            return bool(len(shapes)) and bool((shapely.get_dimensions(shapely.from_wkb(shapes)) == 2).all())
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        if not UPath(path).exists():
            raise InputError(f"{path}: no such file") from None
        raise InputError(f"{path}: cannot be read as polygons ({str(error).splitlines()[0]})") from None
    return "Polygon" in kind


def read_parcels(path: str, crs: str | None = None, layer: str | None = None) -> Parcels:
    """Read polygons in any projection.

    Args:
        path: GeoPackage, GeoJSON, FlatGeobuf or shapefile.
        crs: reference system, where the file states none.
        layer: of a file of several layers.

    Raises:
        InputError: the file has no reference system, or a feature is no polygon.
    """
    meta, table = pyogrio.read_arrow(path, layer=layer)
    rows = vectors.to_frame(table)
    shapes = shapely.from_wkb(rows.pop(meta["geometry_name"] or "wkb_geometry").to_numpy())
    crs = crs or meta["crs"]
    if not crs:
        raise InputError(f"{path}: has no projection (CRS); state it as `format.crs`, such as EPSG:25832")
    wrong = np.flatnonzero((shapely.get_dimensions(shapes) != 2) | shapely.is_empty(shapes))
    if len(wrong):
        found = "no geometry" if shapes[wrong[0]] is None else shapes[wrong[0]].geom_type
        raise InputError(f"{path}: row {wrong[0] + 1} is {found}, expected a polygon ({len(wrong)} such rows)")
    invalid = ~shapely.is_valid(shapes)
    shapes[invalid] = shapely.make_valid(shapes[invalid])
    to_grid = Transformer.from_crs(crs, geo_grid.CRS, always_xy=True)
    on_grid = shapely.transform(shapes, lambda points: np.column_stack(to_grid.transform(*points.T)))
    return Parcels(rows, np.asarray(on_grid), int(invalid.sum()))


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
    """Share of each cell's area that lies in each parcel, exact up to rounding, sparse (N, height * width)."""
    rows, cells, shares = [], [], []
    for number, shape in enumerate(shapes):
        cell, share = _covered(shape, grid)
        rows.append(np.full(len(cell), number))
        cells.append(cell)
        shares.append(share)
    values = np.concatenate(shares), (np.concatenate(rows), np.concatenate(cells))
    return sparse.csr_matrix(values, shape=(len(shapes), grid.height * grid.width))


def point_shares(x: NDArray[np.float64], y: NDArray[np.float64], grid: Grid) -> sparse.csr_matrix:
    """The cell of each point as its only one, sparse (N, height * width); empty rows outside the grid."""
    index = grid.index(x, y)
    rows = np.flatnonzero(index >= 0)
    return sparse.csr_matrix((np.ones(len(rows)), (rows, index[rows])), shape=(len(x), grid.height * grid.width))


def _covered(shape: shapely.Geometry, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cells that a parcel touches, and the share of each inside it."""
    west, south, east, north = shapely.bounds(shape)
    (bottom, top), (left, right) = grid.cell(np.array([west, east]), np.array([south, north]))
    row, col = (
        each.ravel()
        for each in np.meshgrid(
            np.arange(max(top, 0), min(bottom, grid.height - 1) + 1),
            np.arange(max(left, 0), min(right, grid.width - 1) + 1),
            indexing="ij",
        )
    )
    x, y = grid.centre(row, col)
    half = grid.resolution / 2
    boxes = shapely.box(x - half, y - half, x + half, y + half)
    shapely.prepare(shape)
    inside = shapely.contains_properly(shape, boxes)
    share = inside.astype(np.float64)
    edge = ~inside & shapely.intersects(shape, boxes)
    share[edge] = shapely.area(shapely.intersection(shape, boxes[edge])) / grid.resolution**2
    return (row * grid.width + col)[share > 0], share[share > 0]
