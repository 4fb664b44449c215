"""Tiles of AlphaEarth (GeoTIFF) and TESSERA (NumPy arrays with a GeoTIFF of their place), as they are published."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.windows import Window as RasterWindow
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.windows import Window
from sdm_ray.readers import alphaearth
from sdm_ray.sources.layers.embedding_mosaic import Pixels, Tiles
from sdm_ray.sources.layers.embeddings_config import EmbeddingTiles
from sdm_ray.stores.embedding_sources import EmbeddingSource, component_names

EMBEDDINGS, LANDMASKS = "global_0.1_degree_representation", "global_0.1_degree_tiff_all"
"""Folders of the tiles and of their places, as the package `geotessera` writes them."""
_VERSION = "v1"
_PIXELS_OF_CELL = 4  # at least so many along a cell, of the overview that is read
_TESSERA_COMPONENTS = 128


@dataclass(frozen=True)
class AlphaEarthTile:
    """A GeoTIFF of AlphaEarth, whose rows run from south to north in the files as they are published.

    Attributes:
        path: of the file.
        overview: number of the overview that is read; None for the full detail.
    """

    path: str
    overview: int | None = None

    @cached_property
    def pixels(self) -> Pixels:
        """Where its pixels lie."""
        with self._opened() as raster:
            return _pixels(raster, self.path)

    def read(self, window: Window) -> NDArray[np.float32]:
        """Dequantised embeddings of a window, rows from north to south, (C, height, width), NaN where there is none."""
        with self._opened() as raster:
            south_up = raster.transform.e > 0
            first = raster.height - window.row - window.height if south_up else window.row
            stored = raster.read(window=RasterWindow(window.col, first, window.width, window.height))
        found = alphaearth.dequantised(stored[:, ::-1] if south_up else stored)
        found[:, np.isnan(found).any(axis=0)] = np.nan
        return found

    def _opened(self) -> Any:  # noqa: ANN401 - rasterio has no types
        level = {} if self.overview is None else {"overview_level": self.overview}
        return rasterio.open(self.path, **level)


@dataclass(frozen=True)
class TesseraTile:
    """A tile of TESSERA: `grid_{lon}_{lat}.npy` with a scale for each pixel, and the land mask that says its place.

    Attributes:
        path: of the array.
        scales: of its scales.
        landmask: of the GeoTIFF of its place, 0 at sea.
    """

    path: UPath
    scales: UPath
    landmask: UPath

    @cached_property
    def pixels(self) -> Pixels:
        """Where its pixels lie."""
        with rasterio.open(str(self.landmask)) as raster:
            return _pixels(raster, str(self.landmask))

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        stored, scales = _array(self.path), _array(self.scales)
        size = (self.pixels.height, self.pixels.width)
        if stored.shape != (*size, _TESSERA_COMPONENTS) or scales.shape[:2] != size:
            raise InputError(
                f"{self.path}: has the shape {stored.shape} and its scales {scales.shape}, expected {size} pixels of"
                f" {_TESSERA_COMPONENTS} components, as {self.landmask} has pixels"
            )
        return stored, scales

    def read(self, window: Window) -> NDArray[np.float32]:
        """Dequantised embeddings of a window, rows from north to south, (C, height, width), NaN where there is none."""
        stored, scales = (each[window.slices].astype(np.float32) for each in self._arrays)
        scales = scales[..., None] if scales.ndim == 2 else scales
        with rasterio.open(str(self.landmask)) as raster:
            part = RasterWindow(window.col, window.row, window.width, window.height)
            land = raster.read(1, window=part) != 0
        known = land[..., None] & np.isfinite(scales)  # a scale is NaN at sea and infinite where there is no embedding
        found = np.where(known, stored * np.where(known, scales, 0), np.float32(np.nan))
        return np.ascontiguousarray(np.moveaxis(found, -1, 0))


def alphaearth_tiles(entry: EmbeddingTiles, resolution_m: float | None) -> Tiles:
    """The GeoTIFFs of an entry, at the coarsest overview that still has four pixels along a cell.

    Raises:
        InputError: a file is none of AlphaEarth, or the year is not known.
    """
    paths = entry.places()
    sides = []
    tiles = []
    for path in paths:
        overviews = _checked(path)
        side = AlphaEarthTile(path).pixels.side_m()
        fits = [i for i, factor in enumerate(overviews) if factor * side * _PIXELS_OF_CELL <= (resolution_m or 0)]
        sides.append(side)
        tiles.append(AlphaEarthTile(path, fits[-1] if fits else None))
    source = EmbeddingSource(
        name=entry.name,
        version=entry.version or _VERSION,
        year=_year(entry, entry.years(), "annual/2021/32N"),
        covariates=component_names("alphaearth", alphaearth.COMPONENTS),
    )
    return Tiles(source, tiles, max(sides), unit=True)


def tessera_tiles(entry: EmbeddingTiles) -> Tiles:
    """The tiles of one year in a folder as the package `geotessera` fills it.

    Raises:
        InputError: there is none, it holds several years and none is named, or a tile lacks its scales or its place.
    """
    folder = UPath(entry.places()[0])
    found = sorted(each for each in (folder / EMBEDDINGS).glob("*/**/grid_*.npy") if "_scales" not in each.name)
    years = {_year_of(each, folder) for each in found}
    if not found:
        raise InputError(f"{folder}: has no tile {EMBEDDINGS}/YEAR/grid_LON_LAT/grid_LON_LAT.npy")
    year = _year(entry, years, f"{EMBEDDINGS}/2024", several=entry.year is not None)
    tiles = []
    for path in found:
        if _year_of(path, folder) == year:
            scales, landmask = path.with_name(f"{path.stem}_scales.npy"), folder / LANDMASKS / f"{path.stem}.tiff"
            for needed in (scales, landmask):
                if not needed.exists():
                    raise InputError(f"{needed}: no such file; a tile of TESSERA needs it")
            tiles.append(TesseraTile(path, scales, landmask))
    if not tiles:
        raise InputError(f"{folder}: has no tile of {year}; found {', '.join(sorted(map(str, years)))}")
    source = EmbeddingSource(
        name=entry.name,
        version=entry.version or _VERSION,
        year=year,
        covariates=component_names(entry.name, _TESSERA_COMPONENTS),
    )
    return Tiles(source, tiles, max(each.pixels.side_m() for each in tiles))


def _checked(path: str) -> list[int]:
    """Factors of the overviews of an AlphaEarth file."""
    try:
        with rasterio.open(path) as raster:
            found = f"{raster.count} bands of {raster.dtypes[0]}, no data {raster.nodata}"
            if raster.count != alphaearth.COMPONENTS or raster.dtypes[0] != "int8":
                raise InputError(f"{path}: {found}; expected the {alphaearth.COMPONENTS} bands of int8 of AlphaEarth")
            return list(raster.overviews(1))
    except RasterioIOError as error:
        raise InputError(f"{path}: is no raster that GDAL reads ({str(error).splitlines()[0]})") from None


def _pixels(raster: Any, path: str) -> Pixels:  # noqa: ANN401 - rasterio has no types
    shift = raster.transform
    if raster.crs is None or shift.is_identity or shift.b or shift.d or abs(shift.e) != shift.a:
        raise InputError(f"{path}: expected square pixels with a place and a projection, found {tuple(shift)[:6]}")
    top = shift.f + (shift.e * raster.height if shift.e > 0 else 0.0)
    return Pixels(raster.crs, shift.c, top, shift.a, raster.width, raster.height)


def _array(path: UPath) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(str(path), mmap_mode="r", allow_pickle=False)
        return found
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is damaged, or no NumPy array ({str(error).splitlines()[0]})") from None


def _year_of(path: UPath, folder: UPath) -> int | None:
    first = path.relative_to(folder / EMBEDDINGS).parts[0]
    return int(first) if re.fullmatch(r"(19|20)\d\d", first) else None


def _year(entry: EmbeddingTiles, found: Iterable[int | None], where: str, *, several: bool = False) -> int:
    """The year of an entry: the one that it names, else the only one of its tiles."""
    years = sorted({each for each in found if each is not None} | ({entry.year} if entry.year is not None else set()))
    if several and entry.year is not None:
        return entry.year
    if len(years) != 1:
        said = " and ".join(map(str, years)) or f"no year in the paths of its tiles, such as {where}"
        raise InputError(f"embeddings: {entry.name}: found {said}; expected one `year`, they are never mixed")
    return years[0]
