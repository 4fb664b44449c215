"""One raster of any format, projection and orientation that GDAL reads: where it lies, and the values of a part."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform, transform_bounds
from rasterio.windows import Window

from sdm_ray.errors import InputError, few
from sdm_ray.geo import grid as geo_grid
from sdm_ray.geo.grid import EU_EXTENT, Extent, Grid
from sdm_ray.progress import say
from sdm_ray.sources.layers import no_data
from sdm_ray.sources.layers.config import RasterFile
from sdm_ray.sources.layers.gdal_names import file_of

TARGET = CRS.from_string(geo_grid.CRS)
_EDGE_POINTS = 41  # a straight edge is a curve in another projection
_MARGIN = 2  # pixels around a part, for interpolation


class RasterReader:
    """An open raster, as if its rows ran from north to south.

    Attributes:
        raster: the open file.
        entry: how to read it.
        crs: its projection.
    """

    def __init__(self, raster: DatasetReader, entry: RasterFile, crs: CRS) -> None:
        self.raster, self.entry, self.crs = raster, entry, crs
        shift = raster.transform
        self._south_up = shift.e > 0
        self._left, self._step_x, self._step_y = shift.c, shift.a, abs(shift.e)
        self._top = shift.f + (shift.e * raster.height if self._south_up else 0.0)

    @property
    def bounds(self) -> Extent:
        """West, south, east, north in its own projection."""
        raster = self.raster
        return (
            self._left,
            self._top - raster.height * self._step_y,
            self._left + raster.width * self._step_x,
            self._top,
        )

    def extent(self) -> Extent:
        """What it covers of the EU grid's extent, EPSG:3035 metres; a raster in that projection is taken whole.

        A world raster has no bounds in EPSG:3035, so it is cut in its own projection first.

        Raises:
            InputError: it covers nothing of it.
        """
        if self.crs == TARGET:
            return self.bounds
        west, south, east, north = transform_bounds(self.crs, TARGET, *self._cut(), densify_pts=_EDGE_POINTS)
        box = max(west, EU_EXTENT[0]), max(south, EU_EXTENT[1]), min(east, EU_EXTENT[2]), min(north, EU_EXTENT[3])
        if not (box[0] < box[2] and box[1] < box[3]):
            raise self._elsewhere()
        return box

    def pixel(self) -> float:
        """Side of a pixel, EPSG:3035 metres."""
        if self.crs == TARGET:
            return float(max(self._step_x, self._step_y))
        west, south, east, north = self._cut()
        width, height = (east - west) / self._step_x, (north - south) / self._step_y
        size = max(1, round(width)), max(1, round(height))
        shift, _, _ = calculate_default_transform(self.crs, TARGET, *size, west, south, east, north)
        return float(np.round(shift.a)) or float(shift.a)

    def aligned(self, grid: Grid) -> bool:
        """Whether its pixels are cells of a grid."""
        step = grid.resolution
        if self.crs != TARGET or (self._step_x, self._step_y) != (step, step):
            return False
        return bool((self._left - grid.x0) % step == 0 and (self._top - grid.y1) % step == 0)

    def read(self, number: int, grid: Grid) -> tuple[NDArray[np.float32], Affine]:
        """Values of a band around a grid, NaN where there is no data, and their transform.

        Columns continue around the globe, so that a raster of longitudes 0 to 360 has what lies west of Greenwich.
        """
        rows, columns = self._part(grid)
        period = round(360 / self._step_x) if self.crs.is_geographic else 0
        source = columns % period if period else columns
        inside = np.flatnonzero((source >= 0) & (source < self.raster.width))
        values = np.full((len(rows), len(columns)), np.nan, np.float32)
        if len(rows) and len(inside):
            for run in np.split(inside, np.flatnonzero(np.diff(source[inside]) != 1) + 1):
                values[:, run] = self._pixels(number, rows, int(source[run[0]]), len(run))
        if self.entry.nodata is None:
            self._drop_marks(number, values)
        scale, offset = self._scaling(number)
        if (scale, offset) != (1.0, 0.0):
            values *= np.float32(scale)
            values += np.float32(offset)
        left = self._left + (columns[0] if len(columns) else 0) * self._step_x
        top = self._top - (rows[0] if len(rows) else 0) * self._step_y
        return values, Affine(self._step_x, 0.0, left, 0.0, -self._step_y, top)

    def _cut(self) -> Extent:
        """The part of it within the EU grid's extent, as a box in its own projection."""
        limits = _bounds(TARGET, self.crs, EU_EXTENT)
        west, south, east, north = self.bounds
        if limits is None:
            return self.bounds
        south, north = max(south, limits[1]), min(north, limits[3])
        turns = (-360, 0, 360) if self.crs.is_geographic else (0,)
        spans = [(max(west + turn, limits[0]), min(east + turn, limits[2])) for turn in turns]
        spans = [span for span in spans if span[0] < span[1]]
        if not spans or south >= north:
            raise self._elsewhere()
        return min(span[0] for span in spans), south, max(span[1] for span in spans), north

    def _part(self, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows that there are, and columns, which may go on beyond its edges, around a grid."""
        limits = _bounds(TARGET, self.crs, grid.bounds)
        if limits is None:
            return np.arange(self.raster.height), np.arange(self.raster.width)
        west, south, east, north = limits
        if self.crs.is_geographic and east < west:
            east += 360
        margin = _MARGIN + int(np.ceil(grid.resolution / max(self.pixel(), 1e-9)))
        first = int(np.floor((west - self._left) / self._step_x)) - margin
        last = int(np.ceil((east - self._left) / self._step_x)) + margin
        if not self.crs.is_geographic:
            first, last = max(first, 0), min(last, self.raster.width)
        upper = max(int(np.floor((self._top - north) / self._step_y)) - margin, 0)
        lower = min(int(np.ceil((self._top - south) / self._step_y)) + margin, self.raster.height)
        return np.arange(upper, lower), np.arange(first, last)

    def _pixels(self, number: int, rows: NDArray[np.int64], column: int, width: int) -> NDArray[np.float32]:
        """Stored values of some rows and columns that there are, NaN where the file declares no data."""
        start = self.raster.height - int(rows[-1]) - 1 if self._south_up else int(rows[0])
        found = self.raster.read(number, window=Window(column, start, width, len(rows)), masked=True)
        unknown = np.ma.getmaskarray(found)
        if self.entry.nodata is not None:
            unknown = unknown | (found.data == self.entry.nodata)
        values = found.data.astype(np.float32)
        values[unknown | ~np.isfinite(values)] = np.nan
        return np.asarray(values[::-1] if self._south_up else values)

    def _scaling(self, number: int) -> tuple[float, float]:
        entry, raster = self.entry, self.raster
        scale = raster.scales[number - 1] if entry.scale is None else entry.scale
        return float(scale), float(raster.offsets[number - 1] if entry.offset is None else entry.offset)

    def _drop_marks(self, number: int, values: NDArray[np.float32]) -> None:
        """Take values that only mark missing data as unknown, and say so."""
        for mark in no_data.marks(values):
            where = f"  {self.entry.file}: band {number}: {mark.pixels} pixels hold {mark.value:g}, "
            if mark.alone:
                values[values == np.float32(mark.value)] = np.nan
                say(where + "taken as no data; set the file's `nodata` if it is a value")
            else:
                say(where + "which often means no data; they are kept as values, unless the file's `nodata` is set")

    def _elsewhere(self) -> InputError:
        shown = ", ".join(f"{edge:g}" for edge in self.bounds)
        return InputError(
            f"{self.entry.file}: covers nothing of the EU grid's extent {list(EU_EXTENT)} (EPSG:3035); its west, south,"
            f" east, north are {shown} in {self.crs.to_string()}; set `bounds`"
        )


@contextmanager
def opened(entry: RasterFile) -> Iterator[RasterReader]:
    """Open a raster.

    Raises:
        InputError: it is missing, no raster, damaged, holds several variables, or does not say where it lies.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            raster = rasterio.open(entry.file)
        except RasterioIOError as error:
            raise _no_raster(entry.file, error) from None
        with raster:
            if not raster.count and len(raster.subdatasets) == 1:
                with opened(entry.model_copy(update={"file": raster.subdatasets[0]})) as only:
                    yield only
                return
            if not raster.count:
                found = few(raster.subdatasets) or "nothing that is a raster"
                raise InputError(f"{entry.file}: holds no band of its own; expected one of {found}")
            with _readable(entry.file), _placed(raster, entry) as reader:
                yield reader


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Report in one line pixels that cannot be read, such as those of a copy that was interrupted."""
    try:
        yield
    except RasterioIOError as error:
        cause = error.__cause__ or error
        raise InputError(f"{name}: its pixels cannot be read ({str(cause).splitlines()[0]}); copy it again") from None


@contextmanager
def _placed(raster: DatasetReader, entry: RasterFile) -> Iterator[RasterReader]:
    points, points_crs = raster.gcps
    try:
        crs = CRS.from_user_input(entry.crs) if entry.crs is not None else raster.crs or points_crs
    except CRSError as error:
        raise InputError(f"{entry.file}: crs {entry.crs} is no projection ({str(error).splitlines()[0]})") from None
    if crs is None:
        raise InputError(f"{entry.file}: has no projection (CRS), so its place is not known; set `crs` for this file")
    shift = raster.transform
    if shift.is_identity and not points:
        raise InputError(f"{entry.file}: does not say where its pixels lie (it has no geotransform)")
    if points or shift.b or shift.d or shift.a < 0:
        with WarpedVRT(raster, src_crs=crs, crs=crs) as straight:  # rotated, or tied to the ground by points
            yield RasterReader(straight, entry, crs)
        return
    yield RasterReader(raster, entry, crs)


def _no_raster(name: str, error: RasterioIOError) -> InputError:
    file = file_of(name)
    if "://" not in file and not Path(file).exists():
        return InputError(f"{file}: no such file")
    return InputError(f"{name}: is no raster that GDAL reads ({str(error).splitlines()[0]})")


def _bounds(source: CRS, target: CRS, box: Extent) -> Extent | None:
    """A box in another projection; None where that does not reach so far."""
    try:
        found = transform_bounds(source, target, *box, densify_pts=_EDGE_POINTS)
    except (CRSError, rasterio.errors.RasterioError):
        return None
    return found if np.isfinite(found).all() else None
