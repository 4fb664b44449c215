"""An area that polygons outline."""

from pathlib import Path

import numpy as np
import pyogrio
import shapely
from pyproj import Transformer

from sdm_ray.errors import InputError
from sdm_ray.geo import grid as geo_grid

_DENSITY = 100  # points along the longer side of what is outlined: a straight line there is a curve on the grid


def outline(file: str) -> shapely.Geometry:
    """The polygons of a file in EPSG:3035.

    Args:
        file: GeoPackage, GeoJSON, shapefile or whatever else GDAL reads, of any projection.

    Raises:
        InputError: it cannot be read, has no projection or no polygon.
    """
    if "://" not in file and not Path(file).exists():
        raise InputError(f"{file}: no such file")
    try:
        meta, _, wkb, _ = pyogrio.raw.read(file, columns=[])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(f"{file}: cannot be read as polygons ({str(error).splitlines()[0]})") from None
    if not meta["crs"]:
        raise InputError(f"{file}: has no projection (CRS), so its place is not known")
    shapes = shapely.from_wkb(wkb)
    shapes = shapes[shapely.get_dimensions(shapes) == 2]
    if len(shapes) == 0:
        raise InputError(f"{file}: holds no polygons")
    west, south, east, north = shapely.total_bounds(shapes)
    dense = shapely.segmentize(shapely.union_all(shapes), max(east - west, north - south) / _DENSITY)
    to_grid = Transformer.from_crs(meta["crs"], geo_grid.CRS, always_xy=True)
    return shapely.transform(dense, lambda points: np.column_stack(to_grid.transform(*points.T)))
