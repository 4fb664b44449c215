"""Land mask and countries of grid cells, from polygons in longitude and latitude."""

from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import Affine
from scipy import ndimage

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid, grid_of, to_lonlat, to_xy
from sdm_ray.sources.base import LandTable
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.layers.config import NaturalEarth

_DENSE_DEGREES = 0.1  # largest distance of points along an edge: a straight line in degrees is a curve on the grid
_MARGIN_DEGREES = 1.0
_EDGE_POINTS = 200
_SAME = 0.5  # share of their joint area above which two polygons are one country

Geometries = NDArray[Any]


def land(source: NaturalEarth, config: PrepareConfig) -> LandTable:
    """Land where a cell's centre lies in a land polygon; its country, or the nearest one within `reach_m`.

    Raises:
        InputError: a file holds no polygons or lacks the attribute of names.
    """
    grid = grid_of(source.bounds, source.resolution_m)
    box = _lonlat_box(grid)
    outlines, _ = _read(source.land, None)
    mask = _burn(_projected(outlines, box), None, grid, "uint8").astype(bool)
    if not mask.any():
        raise InputError(f"{source.land}: no land in west, south, east, north {grid.bounds} of the grid")
    outlines, labels = _read(source.countries, source.name_field)
    names, number = np.unique(labels.astype(str), return_inverse=True)
    country = _burn(_projected(outlines, box), number + 1, grid, "int16")
    if source.borders is not None:
        outlines, labels = _read(source.borders, source.borders_field, source.borders_where)
        finer, number = np.unique(labels.astype(str), return_inverse=True)
        country, names = _refined(country, names, _burn(_projected(outlines, box), number + 1, grid, "int16"), finer)
    country = _extend(country, mask, source.reach_m / grid.resolution)
    found = np.unique(country[country > 0])  # countries elsewhere need no number
    renumber = np.zeros(len(names) + 1, np.int16)
    renumber[found] = np.arange(1, len(found) + 1)
    return LandTable(grid, mask, renumber[country], names[found - 1].tolist())


def _refined(
    coarse: NDArray[np.int16], names: NDArray[np.str_], fine: NDArray[np.int16], finer: NDArray[np.str_]
) -> tuple[NDArray[np.int16], NDArray[np.str_]]:
    """Countries of finer polygons, and of coarse ones those that the finer ones lack, with the names of them all.

    A finer country has the name of the coarse one that it shares most of their joint area with. A coarse one that the
    finer ones cover mostly is theirs: what sticks out of them is an error of its outline.
    """
    pairs = np.zeros((len(finer) + 1, len(names) + 1), np.int64)
    np.add.at(pairs, (fine.ravel(), coarse.ravel()), 1)
    both = pairs[1:, 1:]
    joint = pairs[1:].sum(1)[:, None] + pairs[:, 1:].sum(0)[None] - both
    best = (both / np.maximum(joint, 1)).argmax(1)
    agree = (both / np.maximum(joint, 1)).max(1) > _SAME
    known = [str(names[each] if same else name).strip() for each, same, name in zip(best, agree, finer, strict=True)]
    lacking = np.flatnonzero(both.sum(0) < 0.5 * pairs[:, 1:].sum(0))
    renumber = np.zeros(len(names) + 1, np.int16)
    renumber[lacking + 1] = len(finer) + 1 + np.arange(len(lacking))
    country = np.where(fine > 0, fine, renumber[coarse]).astype(np.int16)
    return country, np.array(known + [str(name) for name in names[lacking]])


def _read(file: str, field: str | None, where: str | None = None) -> tuple[Geometries, NDArray[Any]]:
    """Polygons in degrees and the values of an attribute, of all or those that a condition in SQL chooses."""
    if "://" not in file and not Path(file).exists():
        raise InputError(f"{file}: no such file")
    try:
        meta, _, wkb, columns = pyogrio.raw.read(file, columns=[field] if field else [], where=where)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError) as error:
        chosen = "" if where is None else f" where {where}"
        raise InputError(f"{file}: cannot be read as polygons{chosen} ({str(error).splitlines()[0]})") from None
    if field and field not in meta["fields"]:
        found = ", ".join(pyogrio.read_info(file)["fields"][:12])
        raise InputError(f"{file}: has no attribute {field}; found {found}, ...")
    geometries = shapely.from_wkb(wkb)
    if len(geometries) == 0 or not (shapely.get_dimensions(geometries) == 2).any():
        raise InputError(f"{file}: holds no polygons")
    west, south, east, north = shapely.total_bounds(geometries)
    if min(west, south) < -180.1 or max(east, north) > 180.1:
        raise InputError(f"{file}: is not in longitude and latitude (it spans {west:g} to {east:g})")
    return geometries, columns[0] if columns else np.empty(0)


def _lonlat_box(grid: Grid) -> tuple[float, float, float, float]:
    """Degrees around the grid.

    Polygons are cut to it first: far ones, about the pole and the antimeridian, would be torn by the projection.
    """
    west, south, east, north = grid.bounds
    x, y = np.meshgrid(np.linspace(west, east, _EDGE_POINTS), np.linspace(south, north, _EDGE_POINTS))
    lon, lat = to_lonlat(x.ravel(), y.ravel())
    low, high = max(lat.min() - _MARGIN_DEGREES, -90), min(lat.max() + _MARGIN_DEGREES, 90)
    return max(lon.min() - _MARGIN_DEGREES, -180), low, min(lon.max() + _MARGIN_DEGREES, 180), high


def _projected(geometries: Geometries, box: tuple[float, float, float, float]) -> Geometries:
    """Cut to a box of degrees, with points along straight edges, in EPSG:3035 metres; empty outside the box."""
    cut = shapely.clip_by_rect(shapely.make_valid(geometries), *box)
    dense = shapely.segmentize(cut, _DENSE_DEGREES)
    return np.asarray(shapely.transform(dense, lambda points: np.stack(to_xy(points[:, 0], points[:, 1]), axis=1)))


def _burn(shapes: Geometries, values: NDArray[Any] | None, grid: Grid, dtype: str) -> NDArray[Any]:
    """Values of the polygons that the cells' centres lie in, 0 elsewhere."""
    marks = np.ones(len(shapes), int) if values is None else values
    pairs = [(shape, int(mark)) for shape, mark in zip(shapes, marks, strict=True) if not shape.is_empty]
    if not pairs:
        return np.zeros(grid.shape, dtype)
    return np.asarray(rasterize(pairs, out_shape=grid.shape, transform=Affine(*grid.transform), dtype=dtype))


def _extend(country: NDArray[np.int16], land: NDArray[np.bool_], reach: float) -> NDArray[np.int16]:
    """Give land without a country that of the nearest cell that has one, within `reach` cells; none at sea."""
    out = np.where(land, country, 0).astype(np.int16)
    lacking = land & (country == 0)
    if not lacking.any() or not country.any() or reach <= 0:
        return out
    distance, nearest = ndimage.distance_transform_edt(country == 0, return_indices=True)
    rows, cols = np.nonzero(lacking & (distance <= reach))
    out[rows, cols] = country[nearest[0][rows, cols], nearest[1][rows, cols]]
    return out
