"""Coastlines and borders of a land store as simplified polygons, so that the page needs no map service."""

import json
import math
from itertools import chain
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from rasterio.transform import Affine
from upath import UPath

from sdm_ray.geo.grid import CRS, Extent
from sdm_ray.geo.windows import Window, whole
from sdm_ray.stores.land import Land

_MARGIN = 0.25  # of the map's longer side, shown around it
_TOLERANCE = 1.0  # cells, of simplification: takes the steps of cells off an outline
_SEA = -1


def borders(path: UPath, extent: Extent) -> str:
    """Countries of a land store around a map, as GeoJSON in EPSG:3035 metres.

    Neighbours are simplified together and keep one common border (Visvalingam & Whyatt 1993, as in
    `shapely.coverage_simplify`).

    Args:
        path: of the land store.
        extent: west, south, east, north of the map, metres.

    Returns:
        A feature collection, one feature a polygon, whose `name` is that of the country; empty for land without one.
    """
    land = Land(path)
    window = _around(land, extent)
    country = np.where(land.land(window), land.country(window), _SEA).astype(np.int16)
    west, north = land.grid.x0 + window.col * land.grid.resolution, land.grid.y1 - window.row * land.grid.resolution
    transform = Affine(land.grid.resolution, 0, west, 0, -land.grid.resolution, north)
    found = [(shapely.geometry.shape(shape), int(number)) for shape, number in _polygons(country, transform)]
    outlines = np.array([each for each, _ in found], object)
    simple = shapely.coverage_simplify(outlines, _TOLERANCE * land.grid.resolution) if len(found) else outlines
    features = [
        {"type": "Feature", "properties": {"name": land.countries[number]}, "geometry": _rounded(outline)}
        for outline, (_, number) in zip(simple, found, strict=True)
        if not outline.is_empty
    ]
    crs = {"type": "name", "properties": {"name": CRS}}
    return json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}, separators=(",", ":"))


def _around(land: Land, extent: Extent) -> Window:
    """The part of a land store that lies in or near an extent."""
    west, south, east, north = extent
    grid, margin = land.grid, _MARGIN * max(east - west, north - south)
    left, top = (math.floor(each / grid.resolution) for each in (west - margin - grid.x0, grid.y1 - north - margin))
    right, bottom = (math.ceil(each / grid.resolution) for each in (east + margin - grid.x0, grid.y1 - south + margin))
    return Window(top, left, bottom - top, right - left).intersect(whole(grid))


def _polygons(country: NDArray[np.int16], transform: Affine) -> Any:  # noqa: ANN401 - an iterator of rasterio's
    return shapes(country, mask=country != _SEA, connectivity=4, transform=transform)


def _rounded(outline: Any) -> dict[str, Any]:  # noqa: ANN401 - a geometry of shapely
    """GeoJSON geometry in whole metres."""
    geometry: dict[str, Any] = json.loads(shapely.to_geojson(shapely.transform(outline, np.rint)))
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    for ring in chain.from_iterable(polygons):
        ring[:] = [[int(x), int(y)] for x, y in ring]
    return geometry
