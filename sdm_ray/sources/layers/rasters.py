"""Covariate rasters of any format and projection that GDAL reads, brought onto one grid in EPSG:3035."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.warp import Resampling, calculate_default_transform, reproject, transform_bounds

from sdm_ray.errors import InputError
from sdm_ray.geo import grid as geo_grid
from sdm_ray.geo.grid import Grid, grid_of
from sdm_ray.sources.base import LayerTable
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.layers.config import Rasters

_TARGET = CRS.from_string(geo_grid.CRS)


def covariates(source: Rasters, config: PrepareConfig) -> LayerTable:
    """All bands wanted, on one grid.

    Raises:
        InputError: a file is no raster or has no projection, bands have no or wrong names.
    """
    names = _names(source)
    wanted = _wanted(source, names)
    grid, pixel = _grid(source)
    values = np.empty((len(wanted), *grid.shape), np.float32)
    place = {name: number for number, name in enumerate(wanted)}
    for file, bands in zip(source.rasters, names, strict=True):
        with _opened(file) as raster:
            for number, name in enumerate(bands, 1):
                if name in place:
                    values[place[name]] = _band(raster, number, grid, Resampling[source.resampling])
    return LayerTable(grid, wanted, values, source.effective_resolution_m or pixel)


def _names(source: Rasters) -> list[list[str]]:
    """Names of the bands of each file."""
    counts, described = [], []
    for file in source.rasters:
        with _opened(file) as raster:
            counts.append(raster.count)
            described.append(list(raster.descriptions))
    if source.names is not None:
        if len(source.names) != sum(counts):
            raise InputError(f"covariates.names: {len(source.names)} names for {sum(counts)} bands")
        ends = np.cumsum(counts)
        return [source.names[end - count : end] for end, count in zip(ends, counts, strict=True)]
    for file, bands in zip(source.rasters, described, strict=True):
        if any(not name for name in bands):
            number = next(i for i, name in enumerate(bands, 1) if not name)
            raise InputError(f"{file}: band {number} has no description; give the bands' names under covariates.names")
    return described


def _wanted(source: Rasters, names: list[list[str]]) -> list[str]:
    every = [name for bands in names for name in bands]
    twice = [name for name in dict.fromkeys(every) if every.count(name) > 1]
    if twice:
        raise InputError(f"covariates: two bands are named {twice[0]}; give other names under covariates.names")
    if source.keep is None:
        return every
    for name in source.keep:
        if name not in every:
            raise InputError(f"covariates.keep: no band is named {name}; found {', '.join(every[:12])}")
    return list(source.keep)


def _grid(source: Rasters) -> tuple[Grid, float]:
    """The grid that holds all rasters, and the pixel of the coarsest, metres."""
    sides, boxes = [], []
    for file in source.rasters:
        with _opened(file) as raster:
            if raster.crs == _TARGET:
                sides.append(max(raster.res))
                boxes.append(tuple(raster.bounds))
                continue
            transform, _, _ = calculate_default_transform(
                raster.crs, _TARGET, raster.width, raster.height, *raster.bounds
            )
            sides.append(float(np.round(transform.a)))
            boxes.append(transform_bounds(raster.crs, _TARGET, *raster.bounds, densify_pts=41))
    west, south, east, north = np.array(boxes).T
    bounds = source.bounds or (west.min(), south.min(), east.max(), north.max())
    return grid_of(bounds, source.resolution_m or min(sides)), max(sides)


def _band(raster: DatasetReader, number: int, grid: Grid, resampling: Resampling) -> NDArray[np.float32]:
    """One band on the grid, NaN where it has no data; copied where its pixels are the grid's cells."""
    values = raster.read(number, masked=True).astype(np.float32).filled(np.nan)
    out = np.full(grid.shape, np.nan, np.float32)
    reproject(
        values,
        out,
        src_transform=raster.transform,
        src_crs=raster.crs,
        src_nodata=np.nan,
        dst_transform=Affine(*grid.transform),
        dst_crs=_TARGET,
        dst_nodata=np.nan,
        resampling=Resampling.nearest if _aligned(raster, grid) else resampling,
    )
    return out


def _aligned(raster: DatasetReader, grid: Grid) -> bool:
    step = grid.resolution
    if raster.crs != _TARGET or raster.res != (step, step):
        return False
    return (raster.transform.c - grid.x0) % step == 0 and (raster.transform.f - grid.y1) % step == 0


@contextmanager
def _opened(file: str) -> Iterator[DatasetReader]:
    try:
        raster = rasterio.open(file)
    except RasterioIOError:
        state = "is no raster that GDAL reads" if "://" in file or Path(file).exists() else "no such file"
        raise InputError(f"{file}: {state}") from None
    with raster:
        if raster.crs is None:
            raise InputError(f"{file}: has no projection (CRS), so its place is not known")
        yield raster
