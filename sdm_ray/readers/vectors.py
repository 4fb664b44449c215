"""Tables of points: what GDAL's vector drivers read (GeoPackage, GeoJSON, FlatGeobuf, shapefile), and GeoParquet."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from shapely.errors import GEOSException
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.readers.config import TableFormat
from sdm_ray.stores.files import first_line

SUFFIXES = (".gpkg", ".geojson", ".json", ".fgb", ".shp")
_GEOMETRY = "wkb_geometry"
_UNUSABLE = (
    RuntimeError, OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError,
    GEOSException, pa.ArrowException,
)  # fmt: skip
"""What readers of files and geometries raise for content that is damaged; errors of GDAL and PROJ are RuntimeErrors."""
_GEO = b"geo"  # GeoParquet's key in the metadata of a schema


@contextmanager
def usable(path: str, what: str = "polygons") -> Iterator[None]:
    """Report in one line a file whose geometries cannot be used.

    Raises:
        InputError: it is damaged, or holds something else.
    """
    try:
        yield
    except _UNUSABLE as error:
        raise InputError(f"{path}: cannot be read as {what} ({first_line(error)})") from None


def read_points(path: str, form: TableFormat) -> pd.DataFrame:
    """Read all columns; `lon` and `lat`, WGS84 degrees, come from the points unless columns are called so.

    Raises:
        InputError: the file is missing, cannot be read, has several layers of which none is named, has no coordinate
            reference system or holds other geometry than points.
    """
    if "://" not in path and not UPath(path).exists():
        raise InputError(f"{path}: no such file")
    try:
        meta, table = pyogrio.read_arrow(path, layer=find_layer(path, form.layer))
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(f"{path}: cannot be read as a table ({str(error).splitlines()[0]})") from None
    rows = to_frame(table)
    shapes = rows.pop(meta["geometry_name"] or _GEOMETRY)
    return _with_degrees(path, rows, shapes, form.crs or meta["crs"])


def geometry_of(schema: pa.Schema) -> tuple[str, str | None] | None:
    """Name of the geometry of a GeoParquet file and its coordinate reference system; None where there is none."""
    if _GEO not in (schema.metadata or {}):
        return None
    about = json.loads(schema.metadata[_GEO])
    name = about["primary_column"]
    crs = about["columns"][name].get("crs", "OGC:CRS84")  # by the format's definition
    return name, json.dumps(crs) if isinstance(crs, dict) else crs


def read_geoparquet(path: str, table: pa.Table, form: TableFormat) -> pd.DataFrame:
    """The columns of a GeoParquet table with `lon` and `lat`, as `read_points` gives them.

    Raises:
        InputError: the table has no coordinate reference system, or holds other geometry than points.
    """
    found = geometry_of(table.schema)
    assert found is not None
    name, crs = found
    if not pa.types.is_binary(table.schema.field(name).type) and not pa.types.is_large_binary(
        table.schema.field(name).type
    ):
        raise InputError(f"{path}: geometry {name} is not written as well-known binary; expected WKB points")
    rows = to_frame(table)
    return _with_degrees(path, rows, rows.pop(name), form.crs or crs)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """An Arrow table as columns, without an index; whole numbers keep all their digits in a column with blanks."""
    rows: pd.DataFrame = table.to_pandas(ignore_metadata=True, integer_object_nulls=True)
    return rows


def to_degrees(
    path: str, x: NDArray[np.float64], y: NDArray[np.float64], crs: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude, WGS84 degrees, of coordinates in any reference system; what is outside it is infinite.

    Raises:
        InputError: the reference system is not known.
    """
    try:
        known = CRS.from_user_input(crs)
    except CRSError:
        raise InputError(f"{path}: crs {crs!r} is not known; expected such as EPSG:25832") from None
    return Transformer.from_crs(known, "EPSG:4326", always_xy=True).transform(x, y)


def find_layer(path: str, named: str | None) -> str | None:
    """The layer of a file to read, None where it has one alone without a name.

    Raises:
        InputError: there are several with geometry and none is named, or none is called so.
    """
    layers = pyogrio.list_layers(path)
    spatial = [str(name) for name, kind in layers if kind is not None]
    if named is not None and named not in layers[:, 0]:
        raise InputError(f"{path}: has no layer {named}; found {', '.join(map(str, layers[:, 0]))}")
    if named is None and len(spatial) > 1:
        raise InputError(f"{path}: has {len(spatial)} layers, {', '.join(spatial)}; name one as `layer`")
    return named or (spatial[0] if spatial else None)


def _with_degrees(path: str, rows: pd.DataFrame, shapes: pd.Series, crs: str | None) -> pd.DataFrame:
    if {"lon", "lat"} <= set(rows.columns):
        return rows
    if not crs:
        raise InputError(f"{path}: has no projection (CRS); state it as `crs`, such as EPSG:25832")
    points = _single_points(shapely.from_wkb(shapes.to_numpy()))
    empty = shapely.is_missing(points) | shapely.is_empty(points)
    wrong = ~empty & (shapely.get_type_id(points) != shapely.GeometryType.POINT)
    if wrong.any():
        first = int(wrong.argmax())
        raise InputError(f"{path}: row {first + 1} is a {points[first].geom_type}, expected points")
    points = np.where(empty, shapely.Point(np.nan, np.nan), points)  # GEOS reads no x of an empty point
    lon, lat = to_degrees(path, shapely.get_x(points), shapely.get_y(points), crs)
    return rows.assign(lon=np.where(empty, np.nan, lon), lat=np.where(empty, np.nan, lat))


def _single_points(shapes: NDArray[Any]) -> NDArray[Any]:
    """Multipoints of one point as points."""
    single = (shapely.get_type_id(shapes) == shapely.GeometryType.MULTIPOINT) & (
        shapely.get_num_geometries(shapes) == 1
    )
    return np.where(single, shapely.get_geometry(shapes, 0), shapes)
