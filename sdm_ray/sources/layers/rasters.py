"""Covariate rasters of any format and projection that GDAL reads, brought onto one grid in EPSG:3035."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject

from sdm_ray.errors import InputError, few
from sdm_ray.geo.grid import Extent, Grid, grid_of
from sdm_ray.progress import say
from sdm_ray.sources.base import LayerTable
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.layers import config as layers_config
from sdm_ray.sources.layers.config import RasterFile, Rasters
from sdm_ray.sources.layers.embedding_mosaic import Tiles, mosaic
from sdm_ray.sources.layers.embedding_tiles import alphaearth_tiles, tessera_tiles
from sdm_ray.sources.layers.embeddings_config import EmbeddingTiles
from sdm_ray.sources.layers.gdal_names import stem
from sdm_ray.sources.layers.geoemb import geoemb_tiles
from sdm_ray.sources.layers.raster_file import TARGET, RasterReader, opened

_MOST_CLASSES = 256


@dataclass(frozen=True)
class _Described:
    """A raster file: how to read it, names of its bands, what it covers (EPSG:3035 metres) and its pixel, metres."""

    entry: RasterFile
    bands: list[str]
    extent: Extent | None
    pixel: float


def covariates(source: Rasters, config: PrepareConfig) -> LayerTable:
    """All bands and embeddings wanted, on one grid; a band of classes becomes one covariate for each class.

    Raises:
        InputError: a file is no raster or has no projection, bands have no or wrong names, classes are too many.
    """
    described = _named(source, [_described(each, with_extent=source.bounds is None) for each in source.expanded()])
    tiles = [_tiles(each, source.resolution_m) for each in source.embeddings]
    components = [name for each in tiles for name in each.source.covariates]
    wanted = _wanted(source, [name for each in described for name in each.bands] + components)
    grid = _grid(source, described, tiles)
    found: dict[str, dict[str, NDArray[np.float32]]] = {}
    for each in described:
        with opened(each.entry) as reader:
            for number, name in enumerate(each.bands, 1):
                if name in wanted:
                    found[name] = _layers(reader, number, name, grid, source.resampling)
    for embedding in tiles:
        names = embedding.source.covariates
        if kept := set(names) & set(wanted):
            say(f"  {embedding.source}: {len(embedding.tiles)} tiles")
            values = mosaic(embedding, grid)
            found |= {name: {name: values[names.index(name)]} for name in kept}
    layers = {layer: values for name in wanted for layer, values in found.pop(name).items()}
    pixel = source.effective_resolution_m or max([each.pixel for each in described] + [each.side_m for each in tiles])
    embeddings = tuple(each.source for each in tiles if each.source.among(layers))
    return LayerTable(grid, list(layers), np.stack(list(layers.values())), pixel, embeddings)


def _tiles(entry: EmbeddingTiles, resolution_m: float | None) -> Tiles:
    if entry.format == "cog":
        return alphaearth_tiles(entry, resolution_m)
    return tessera_tiles(entry) if entry.format == "geotessera" else geoemb_tiles(entry)


def _described(entry: RasterFile, *, with_extent: bool) -> _Described:
    with opened(entry) as reader:
        bands = _band_names(reader)
        return _Described(entry, bands, reader.extent() if with_extent else None, reader.pixel())


def _band_names(reader: RasterReader) -> list[str]:
    """Names of the bands of a file, "" where there is none."""
    raster, entry = reader.raster, reader.entry
    file = stem(entry.file)
    described = [name or "" for name in raster.descriptions]
    variables = [raster.tags(number).get("NETCDF_VARNAME", "") for number in raster.indexes]
    if isinstance(entry.names, str):
        try:
            return [
                entry.names.format(file=file, band=number, variable=variables[number - 1] or described[number - 1])
                for number in raster.indexes
            ]
        except (KeyError, IndexError, ValueError):
            raise InputError(f"names: {entry.names!r} is no pattern of {{file}}, {{band}} and {{variable}}") from None
    if entry.names is not None:
        if len(entry.names) != raster.count:
            raise InputError(f"{entry.file}: {len(entry.names)} names for {raster.count} bands")
        return list(entry.names)
    if raster.count == 1:
        return [described[0] or variables[0] or file]
    return described


def _named(source: Rasters, described: list[_Described]) -> list[_Described]:
    """The files with the names that `covariates.names` gives their bands, where it does."""
    if source.names is not None:
        counts = [len(each.bands) for each in described]
        if len(source.names) != sum(counts):
            raise InputError(f"covariates.names: {len(source.names)} names for {sum(counts)} bands")
        ends = np.cumsum(counts)
        given = [source.names[end - count : end] for end, count in zip(ends, counts, strict=True)]
        return [_Described(d.entry, new, d.extent, d.pixel) for d, new in zip(described, given, strict=True)]
    for each in described:
        if "" in each.bands:
            raise InputError(
                f"{each.entry.file}: band {each.bands.index('') + 1} has no description; give the bands' names, or a"
                " pattern such as '{file}_{band}', under `names` of the file"
            )
    return described


def _wanted(source: Rasters, every: Sequence[str]) -> list[str]:
    twice = [name for name in dict.fromkeys(every) if every.count(name) > 1]
    if twice:
        raise InputError(f"covariates: two bands are named {twice[0]}; give other names under `names`")
    if source.keep is None:
        return list(every)
    for name in source.keep:
        if name not in every:
            raise InputError(f"covariates.keep: no band is named {name}; found {few(every, 12)}")
    return list(source.keep)


def _grid(source: Rasters, described: list[_Described], tiles: list[Tiles]) -> Grid:
    """The grid that holds what all rasters and tiles cover, or the bounds asked for."""
    side = source.resolution_m or min([each.pixel for each in described] + [each.side_m for each in tiles])
    if source.bounds is not None:
        return grid_of(source.bounds, side)
    west, south, east, north = np.array([each.extent for each in described] + [each.extent() for each in tiles]).T
    return grid_of((west.min(), south.min(), east.max(), north.max()), side)


def _layers(
    reader: RasterReader, number: int, name: str, grid: Grid, default: layers_config.Resampling
) -> dict[str, NDArray[np.float32]]:
    """The covariates that a band becomes, (height, width) each: itself, or the share of each of its classes."""
    values, place = reader.read(number, grid)
    classes = reader.entry.categorical
    if classes is None and reader.raster.colorinterp[number - 1] is ColorInterp.palette:
        say(f"  {reader.entry.file}: {name} has a colour table and is taken as classes (`categorical`)")
        classes = True
    if not classes:
        way = Resampling[reader.entry.resampling or default]
        return {name: _on_grid(values, place, reader, grid, way)}
    way = Resampling[reader.entry.resampling or "average"]
    if way != Resampling.average:
        values, place = _on_grid(values, place, reader, grid, way), Affine(*grid.transform)
    codes = np.unique(values[np.isfinite(values)])
    if len(codes) > _MOST_CLASSES:
        raise InputError(f"{reader.entry.file}: {name} has {len(codes)} values, classes are at most {_MOST_CLASSES}")
    found = {}
    for code in codes:
        share = np.where(np.isfinite(values), (values == code).astype(np.float32), np.float32(np.nan))
        if way == Resampling.average:
            share = _on_grid(share, place, reader, grid, way)
        if np.nanmax(share, initial=0) > 0:  # classes around the grid need no covariate
            found[f"{name}={code:g}"] = share
    return found


def _on_grid(
    values: NDArray[np.float32], place: Affine, reader: RasterReader, grid: Grid, way: Resampling
) -> NDArray[np.float32]:
    """Values of a part of a raster on the grid, NaN where unknown; copied where its pixels are the grid's cells."""
    out = np.full(grid.shape, np.nan, np.float32)
    if not values.size:
        return out
    reproject(
        values,
        out,
        src_transform=place,
        src_crs=reader.crs,
        src_nodata=np.nan,
        dst_transform=Affine(*grid.transform),
        dst_crs=TARGET,
        dst_nodata=np.nan,
        resampling=Resampling.nearest if reader.aligned(grid) else way,
    )
    return out
