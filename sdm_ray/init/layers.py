"""A person's own rasters: what is in them, and how large their pixels are."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rasterio.enums import Resampling

from sdm_ray.errors import InputError, few
from sdm_ray.geo.grid import Extent, Floats
from sdm_ray.init.stated import Stated
from sdm_ray.sources.layers.config import RasterFile
from sdm_ray.sources.layers.gdal_names import expanded, stem
from sdm_ray.sources.layers.raster_file import RasterReader, opened

_SAMPLE = 512  # pixels along a side that classes are recognised by
_MOST_CLASSES = 25  # more whole numbers than this are taken for quantities


@dataclass(frozen=True)
class OwnRaster:
    """A raster as `prepare` will read it.

    Attributes:
        entry: what is stated of the file.
        crs: its projection.
        pixel: side of a pixel, metres.
        bands: names of the covariates.
        extent: what it covers, EPSG:3035 metres.
        classes: how many classes a raster of classes has.
    """

    entry: RasterFile
    crs: str
    pixel: float
    bands: list[str]
    extent: Extent
    classes: int = field(default=0)

    @property
    def line(self) -> str:
        """One line about it."""
        kind = f", {self.classes} classes (whole numbers, at most {_MOST_CLASSES} of them)" if self.classes else ""
        return f"{self.entry.file}: {few(self.bands)}; {self.crs}, pixels of about {self.pixel:,.0f} m{kind}"

    def settings(self) -> dict[str, Any]:
        """Keys of the file in YAML, without its name."""
        return self.entry.model_dump(exclude_defaults=True, exclude={"file"})


def read_own_rasters(names: list[str], stated: Stated) -> list[OwnRaster]:
    """Open every raster and see what is in it.

    Raises:
        InputError: one cannot be used, or two covariates have one name.
    """
    if not names:
        raise InputError("--rasters: names no file; expected one covariate raster or more")
    found = [_described(name, stated) for pattern in names for name in expanded(pattern)]
    bands = [band for each in found for band in each.bands]
    twice = [name for name in dict.fromkeys(bands) if bands.count(name) > 1]
    if twice:
        raise InputError(f"--rasters: two covariates are called {twice[0]}; rename a file, or its bands")
    return found


def _described(name: str, stated: Stated) -> OwnRaster:
    entry = RasterFile(file=name)
    try:
        with opened(entry) as reader:
            return _of(reader, entry)
    except InputError as error:
        if stated.raster_crs is None or "has no projection" not in str(error):
            hint = "; state it with --raster-crs" if "has no projection" in str(error) else ""
            raise InputError(f"{str(error).removesuffix('; set `crs` for this file')}{hint}") from None
    entry = entry.model_copy(update={"crs": stated.raster_crs})
    with opened(entry) as reader:
        return _of(reader, entry)


def _of(reader: RasterReader, entry: RasterFile) -> OwnRaster:
    raster = reader.raster
    described = [text or "" for text in raster.descriptions]
    bands = [described[0] or stem(entry.file)] if raster.count == 1 else described
    if "" in bands:
        entry = entry.model_copy(update={"names": "{file}_{band}"})
        bands = [f"{stem(entry.file)}_{number}" for number in raster.indexes]
    classes = _classes(reader) if raster.count == 1 else 0
    if classes:
        entry = entry.model_copy(update={"categorical": True})
    return OwnRaster(entry, reader.crs.to_string(), reader.pixel(), bands, reader.extent(), classes)


def _classes(reader: RasterReader) -> int:
    """Number of classes of a raster of few whole numbers; 0 of one of quantities."""
    raster = reader.raster
    if not np.issubdtype(np.dtype(raster.dtypes[0]), np.integer) or raster.scales[0] != 1 or raster.offsets[0] != 0:
        return 0
    shape = min(_SAMPLE, raster.height), min(_SAMPLE, raster.width)
    values = raster.read(1, out_shape=shape, masked=True, resampling=Resampling.nearest).compressed()
    found = np.unique(values)
    return len(found) if 2 <= len(found) <= _MOST_CLASSES else 0


def outside(rasters: list[OwnRaster], x: Floats, y: Floats) -> list[str]:
    """A line for each raster whose extent leaves surveys out.

    Args:
        rasters: of the study.
        x: of the surveys, EPSG:3035 metres, (N,).
        y: likewise.

    Raises:
        InputError: a raster covers no survey.
    """
    lines = []
    for each in rasters:
        west, south, east, north = each.extent
        beyond = int((~((x >= west) & (x <= east) & (y >= south) & (y <= north))).sum())
        if beyond == len(x):
            raise InputError(
                f"{each.entry.file}: covers none of the {len(x)} surveys; its west, south, east, north are"
                f" {[round(edge) for edge in each.extent]}, the surveys' {_around(x, y)} (EPSG:3035 metres)"
            )
        if beyond:
            lines.append(f"{each.entry.file}: {beyond} of {len(x)} surveys lie outside")
    return lines


def _around(x: Floats, y: Floats) -> list[int]:
    return [round(float(edge)) for edge in (x.min(), y.min(), x.max(), y.max())]
