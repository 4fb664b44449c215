"""Polygons with their attributes, one row a zone, on the EU grid's projection."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from sdm_ray.errors import InputError
from sdm_ray.geo import grid as geo_grid
from sdm_ray.readers import vectors

_LONGEST_EDGE_M = 5000  # a straight line in another projection is a curve on the grid
_METRES_PER_DEGREE = 111_000
_FARTHEST_DEGREES, _FARTHEST_M = 360.0, 1e8  # what lies beyond is on no map, and would be cut into edges without end


@dataclass(frozen=True)
class Zones:
    """Polygons in EPSG:3035.

    Attributes:
        table: attributes, one row a zone.
        shapes: polygons and multipolygons, empty where a row has none, (Z,).
        repaired: whether a geometry was invalid and has been made valid, (Z,).
    """

    table: pd.DataFrame
    shapes: NDArray[Any]
    repaired: NDArray[np.bool_]


def read_zones(file: str, layer: str | None = None) -> Zones:
    """Read polygons of any projection; rows without a polygon stay, with an empty one.

    Raises:
        InputError: the file is missing, cannot be read, has several layers of which none is named, has no projection,
            or holds no polygon.
    """
    if "://" not in file and not Path(file).exists():
        raise InputError(f"{file}: no such file")
    with vectors.usable(file):
        return _zones(file, layer)


def _zones(file: str, layer: str | None) -> Zones:
    table, shapes, crs = _parquet(file) if file.endswith(".parquet") else _vectors(file, layer)
    if not crs:
        raise InputError(f"{file}: has no projection (CRS), so its place is not known")
    shapes = np.where(shapely.is_missing(shapes), shapely.Polygon(), shapes)
    invalid = ~shapely.is_valid(shapes)
    shapes[invalid] = shapely.make_valid(shapes[invalid])
    shapes = _polygons(_on_grid(shapes, crs))
    if shapely.is_empty(shapes).all():
        raise InputError(f"{file}: holds no polygons")
    return Zones(table, shapes, invalid & ~shapely.is_empty(shapes))


def _vectors(file: str, layer: str | None) -> tuple[pd.DataFrame, NDArray[Any], str | None]:
    meta, table = pyogrio.read_arrow(file, layer=vectors.find_layer(file, layer))
    rows = vectors.to_frame(table)
    wkb = rows.pop(meta["geometry_name"] or "wkb_geometry")
    return rows, np.asarray(shapely.from_wkb(wkb.to_numpy())), meta["crs"]


def _parquet(file: str) -> tuple[pd.DataFrame, NDArray[Any], str | None]:
    table = pq.read_table(file)
    geometry = vectors.geometry_of(table.schema)
    if geometry is None:
        raise InputError(f"{file}: has no geometry; expected GeoParquet with polygons")
    rows = vectors.to_frame(table)
    return rows, np.asarray(shapely.from_wkb(rows.pop(geometry[0]).to_numpy())), geometry[1]


def _on_grid(shapes: NDArray[Any], crs: str) -> NDArray[Any]:
    """Shapes in EPSG:3035; those that it does not reach become empty."""
    known = CRS.from_user_input(crs)
    if known == CRS.from_user_input(geo_grid.CRS):
        return shapes
    longest = _LONGEST_EDGE_M / _METRES_PER_DEGREE if known.is_geographic else _LONGEST_EDGE_M
    farthest = _FARTHEST_DEGREES if known.is_geographic else _FARTHEST_M
    near = (np.abs(shapely.bounds(shapes)) <= farthest).all(axis=1)
    dense = shapely.segmentize(np.where(near, shapes, shapely.Polygon()), longest)
    to_grid = Transformer.from_crs(known, geo_grid.CRS, always_xy=True)
    moved = shapely.transform(dense, lambda points: np.column_stack(to_grid.transform(*points.T)))
    reached = np.isfinite(shapely.bounds(moved)).all(axis=1)
    return np.asarray(np.where(reached, moved, shapely.Polygon()))


def _polygons(shapes: NDArray[Any]) -> NDArray[Any]:
    """The polygons of each shape: what else lies in a collection is left out."""
    invalid = ~shapely.is_valid(shapes)
    shapes = shapes.copy()
    shapes[invalid] = shapely.make_valid(shapes[invalid])
    kinds = shapely.get_type_id(shapes)
    for place in np.flatnonzero((kinds != shapely.GeometryType.POLYGON) & (kinds != shapely.GeometryType.MULTIPOLYGON)):
        parts = shapely.get_parts(shapes[place])
        shapes[place] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    return shapes
