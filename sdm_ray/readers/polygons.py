"""Areas that are given as polygons."""

from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError
from shapely.errors import GEOSException
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo import grid as geo_grid

_DENSITY = 100  # points along the longer side of an area: a straight line in its projection is a curve on the grid


def outline(file: str) -> shapely.Geometry:
    """The polygons of a file in EPSG:3035.

    Args:
        file: GeoPackage, GeoJSON, shapefile or another format that GDAL reads, in any projection; or `.wkt` in degrees.

    Raises:
        InputError: it cannot be read, has no projection or no polygon.
    """
    if "://" not in file and not Path(file).exists():
        raise InputError(f"{file}: no such file")
    try:
        return _outline(file)
    except (GEOSException, ProjError, ValueError, ArithmeticError) as error:
        raise InputError(f"{file}: its polygons cannot be used ({str(error).splitlines()[0]})") from None


def _outline(file: str) -> shapely.Geometry:
    if file.endswith(".wkt"):
        return _on_grid(_polygons(_from_wkt(file), file), "EPSG:4326")
    try:
        meta, _, wkb, _ = pyogrio.raw.read(file, columns=[])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(f"{file}: cannot be read as polygons ({str(error).splitlines()[0]})") from None
    if not meta["crs"]:
        raise InputError(f"{file}: has no projection (CRS), so its place is not known")
    return _on_grid(_polygons(shapely.from_wkb(wkb), file), meta["crs"])


def inside(area: shapely.Geometry, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points, WGS84 degrees, lie in an area in EPSG:3035; false where a coordinate is missing, (N,)."""
    shapely.prepare(area)
    x, y = geo_grid.to_xy(lon, lat)
    return np.asarray(shapely.contains_xy(area, x, y), bool)


def _from_wkt(file: str) -> NDArray[Any]:
    try:
        return np.array([shapely.from_wkt(UPath(file).read_text())])
    except (GEOSException, UnicodeDecodeError) as error:
        raise InputError(f"{file}: is not well-known text (WKT; {str(error).splitlines()[0]})") from None


def _polygons(shapes: NDArray[Any], file: str) -> NDArray[Any]:
    shapes = shapes[shapely.get_dimensions(shapes) == 2]
    if len(shapes) == 0 or shapely.is_empty(shapes).all():
        raise InputError(f"{file}: holds no polygons")
    return np.asarray(shapely.make_valid(shapes))


def _on_grid(shapes: NDArray[Any], crs: str) -> shapely.Geometry:
    west, south, east, north = shapely.total_bounds(shapes)
    dense = shapely.segmentize(shapely.union_all(shapes), max(east - west, north - south) / _DENSITY)
    to_grid = Transformer.from_crs(crs, geo_grid.CRS, always_xy=True)
    return shapely.transform(dense, lambda points: np.column_stack(to_grid.transform(*points.T)))
