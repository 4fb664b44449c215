"""Tables of points that GDAL's vector drivers read: GeoPackage, GeoJSON, FlatGeobuf, shapefile."""

from collections.abc import Sequence

import pandas as pd
import pyogrio
import shapely
from pyproj import Transformer
from upath import UPath

from sdm_ray.errors import InputError

SUFFIXES = (".gpkg", ".geojson", ".json", ".fgb", ".shp")
_GEOMETRY = "wkb_geometry"


def read_points(path: str, needed: Sequence[str], optional: Sequence[str]) -> pd.DataFrame:
    """Read the named columns; `lon` and `lat`, WGS84 degrees, come from the points unless columns are called so.

    Raises:
        InputError: the file is missing, cannot be read, has no projection, lacks a column or holds other geometry
            than points.
    """
    if "://" not in path and not UPath(path).exists():
        raise InputError(f"{path}: no such file")
    try:
        meta, table = pyogrio.read_arrow(path)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(f"{path}: cannot be read as a table ({str(error).splitlines()[0]})") from None
    rows = table.to_pandas()
    shapes = rows.pop(meta["geometry_name"] or _GEOMETRY)
    if not {"lon", "lat"} <= set(rows.columns):
        rows["lon"], rows["lat"] = _degrees(path, shapes, meta["crs"])
    missing = [name for name in needed if name not in rows]
    if missing:
        raise InputError(f"{path}: has no column {missing[0]}; found {', '.join(map(str, rows.columns[:12]))}")
    return rows[list(dict.fromkeys([*needed, *(name for name in optional if name in rows)]))]


def _degrees(path: str, shapes: pd.Series, crs: str | None) -> tuple[object, object]:
    if not crs:
        raise InputError(f"{path}: has no projection (CRS), so its place is not known")
    points = shapely.from_wkb(shapes.to_numpy())
    wrong = ~shapely.is_missing(points) & (shapely.get_type_id(points) != shapely.GeometryType.POINT)
    if wrong.any():
        raise InputError(
            f"{path}: row {int(wrong.argmax()) + 1} is a {points[wrong.argmax()].geom_type}, expected points"
        )
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return to_degrees.transform(shapely.get_x(points), shapely.get_y(points))
