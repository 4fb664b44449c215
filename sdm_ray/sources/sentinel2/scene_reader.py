"""One scene on a window of the cube: read no more than is needed, mask clouds, subtract the offset, resample.

The value of a pixel depends on the scene and on where the pixel's centre lies in it, never on the window: coordinates
are transformed for each centre by itself, and clouds are masked before neighbours are weighted.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as Block

from sdm_ray.geo import grid as geo_grid
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.sources.sentinel2.config import Sentinel2
from sdm_ray.sources.sentinel2.retries import RetryPolicy
from sdm_ray.sources.sentinel2.scenes import OFFSET, SCL, UNITS, Raster, Scene

Pixels = NDArray[np.uint16]
Coordinates = NDArray[np.float64]
_MARGIN = 2  # pixels around what is read


class SceneFault(Exception):
    """A scene cannot be read, after all tries."""

    def __init__(self, scene: str, reason: str) -> None:
        super().__init__(scene, reason)  # both, so that it can be pickled
        self.scene, self.reason = scene, reason


@dataclass
class Target:
    """A window of the cube, and the coordinates of its pixels' centres in other projections."""

    grid: Grid
    window: Window
    _known: dict[str, tuple[Coordinates, Coordinates]] = field(default_factory=dict)

    def coordinates(self, raster: DatasetReader) -> tuple[Coordinates, Coordinates]:
        """Row and column of each centre in a raster, counted from the corner of its first pixel, (height, width)."""
        crs = raster.crs.to_wkt()
        if crs not in self._known:
            rows, cols = np.indices((self.window.height, self.window.width))
            centres = self.grid.centre(rows + self.window.row, cols + self.window.col)
            self._known[crs] = Transformer.from_crs(geo_grid.CRS, crs, always_xy=True).transform(*centres)
        x, y = self._known[crs]
        return (y - raster.transform.f) / raster.transform.e, (x - raster.transform.c) / raster.transform.a


@dataclass
class LowValues:
    """How many clear values lie at or below the offset of later baselines.

    Attributes:
        low: how many do.
        known: how many clear values there are.
    """

    low: int = 0
    known: int = 0


class Reader:
    """Reads scenes; keeps their files open.

    Attributes:
        bytes: how much was decoded.
        with_offset: scene -> low values in rasters that an offset is subtracted from.
        without_offset: scene -> low values in rasters that none is subtracted from.
    """

    def __init__(self, source: Sentinel2, sign: Callable[[str], str]) -> None:
        self.bytes = 0
        self.with_offset: dict[str, LowValues] = {}
        self.without_offset: dict[str, LowValues] = {}
        self._source = source
        self._sign = sign
        self._policy = RetryPolicy(source.retries, source.backoff_s)
        self._open: dict[str, DatasetReader] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "Reader":
        self._stack.enter_context(gdal_settings(self._source))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def observe(self, scene: Scene, target: Target) -> Pixels:
        """Clear reflectance of a scene, (band, height, width); 0 in all bands where one of them is not known.

        Raises:
            SceneFault: it cannot be read.
        """
        out = np.zeros((len(self._source.bands), target.window.height, target.window.width), np.uint16)
        try:
            for number, name in enumerate(self._source.bands):
                out[number] = self._band(scene, name, target)
        except (RasterioError, OSError, ValueError) as error:
            raise SceneFault(scene.name, str(error).splitlines()[0][:200] or type(error).__name__) from None
        out[:, (out == 0).any(axis=0)] = 0
        return out

    def _band(self, scene: Scene, name: str, target: Target) -> Pixels:
        place = scene.rasters[name]
        raster = self._opened(place)
        rows, cols = target.coordinates(raster)
        step = max(1, int(self._source.resolution_m // raster.transform.a))  # a coarser cube takes means
        block = _block(rows, cols, raster, step)
        if block is None:
            return np.zeros(rows.shape, np.uint16)
        values = self._read(place, block)
        if raster.nodata:
            values[values == raster.nodata] = 0
        if self._source.mask is not None:
            values[~self._clear(scene, raster, block)] = 0
        offset = (scene.offset or 0) if place.offset is None else place.offset
        self._count_low(scene.name, values, place.scale, offset)
        values = coarsen(as_reflectance(values, place.scale, offset, place.href), step)
        rows, cols = (rows - block.row_off) / step, (cols - block.col_off) / step
        return nearest(values, rows, cols) if self._source.resampling == "nearest" else bilinear(values, rows, cols)

    def _count_low(self, scene: str, values: NDArray[Any], scale: float, offset: float) -> None:
        """Count what shows whether values carry an offset: those that carry it are hardly ever below it."""
        counts = (self.with_offset if offset else self.without_offset).setdefault(scene, LowValues())
        known = values > 0
        counts.low += int((known & (values <= (offset or OFFSET) / scale)).sum())
        counts.known += int(known.sum())

    def _clear(self, scene: Scene, raster: DatasetReader, block: Block) -> NDArray[np.bool_]:
        """Which pixels of a block of a band the scene classification leaves unmasked."""
        place = scene.rasters[SCL]
        classes = self._opened(place)
        if classes.crs != raster.crs:
            raise ValueError(f"{place.href}: is in {classes.crs}, its bands in {raster.crs}")
        x = raster.transform.c + (block.col_off + np.arange(block.width) + 0.5) * raster.transform.a
        y = raster.transform.f + (block.row_off + np.arange(block.height) + 0.5) * raster.transform.e
        cols = np.floor((x - classes.transform.c) / classes.transform.a).astype(np.int64)
        rows = np.floor((y - classes.transform.f) / classes.transform.e).astype(np.int64)
        inside: NDArray[np.bool_] = ((rows >= 0) & (rows < classes.height))[:, None] & (
            (cols >= 0) & (cols < classes.width)
        )
        if not inside.any():
            return inside
        rows, cols = rows.clip(0, classes.height - 1), cols.clip(0, classes.width - 1)
        part = Block(cols[0], rows[0], cols[-1] - cols[0] + 1, rows[-1] - rows[0] + 1)
        found = self._read(place, part)[np.ix_(rows - rows[0], cols - cols[0])]
        inside &= ~np.isin(found, self._source.mask or [])
        return inside

    def _opened(self, place: Raster) -> DatasetReader:
        if place.href not in self._open:
            opened = self._policy.call(lambda: open_raster(self._sign(place.href)), is_transient)
            self._open[place.href] = self._stack.enter_context(opened)
        return self._open[place.href]

    def _read(self, place: Raster, block: Block) -> NDArray[Any]:
        def reading() -> NDArray[Any]:
            try:
                return np.asarray(self._opened(place).read(place.band, window=block))
            except (RasterioError, OSError):
                raster = self._open.pop(place.href, None)  # the next try opens it anew, with a new signature
                if raster is not None:
                    raster.close()
                raise

        found = self._policy.call(reading, is_transient)
        self.bytes += found.nbytes
        return found


def is_transient(error: BaseException) -> bool:
    """Whether what GDAL could not read may be readable at the next try."""
    return isinstance(error, RasterioError | OSError)


@contextmanager
def gdal_settings(source: Sentinel2) -> Iterator[None]:
    """What GDAL needs to read remote files with few requests, and what the configuration adds."""
    settings: dict[str, Any] = {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_TIMEOUT": "60",
        "GDAL_HTTP_MULTIRANGE": "YES",
        "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/",  # a failure is not remembered: the next try may succeed
        "GDAL_CACHEMAX": 256 << 20,
    }
    with rasterio.Env(**settings | source.gdal):
        yield


def open_raster(href: str) -> DatasetReader:
    """Open a raster that has a projection and whose rows run from west to east.

    Raises:
        RasterioError, OSError: it cannot be opened.
        ValueError: it has no projection, or is rotated.
    """
    raster = rasterio.open(href)
    if raster.crs is None:
        raise ValueError(f"{href}: has no projection (CRS)")
    if raster.transform.b or raster.transform.d:
        raise ValueError(f"{href}: its rows do not run from west to east")
    return raster


def as_reflectance(values: NDArray[Any], scale: float, offset: float, name: str) -> Pixels:
    """Reflectance x 10,000: `values * scale - offset`; what was above 0 stays at least 1, since 0 is no data.

    Raises:
        ValueError: they are no whole numbers, and no scale is stated.
    """
    if values.dtype.kind not in "ui" and scale == 1:
        raise ValueError(f"{name}: holds {values.dtype}, expected whole numbers (reflectance x {UNITS:,})")
    exact = scale == 1 and offset == int(offset)
    wide = values.astype(np.int32) - int(offset) if exact else np.rint(values * np.float64(scale) - offset)
    return np.where(values > 0, wide.clip(1, np.iinfo(np.uint16).max), 0).astype(np.uint16)


def coarsen(values: Pixels, step: int) -> Pixels:
    """Means of the known pixels of each `step` x `step` block."""
    if step == 1:
        return values
    height, width = (-(-side // step) for side in values.shape)
    padded = np.pad(values, ((0, height * step - values.shape[0]), (0, width * step - values.shape[1])))
    groups = padded.reshape(height, step, width, step)
    count = (groups > 0).sum(axis=(1, 3))
    means = groups.sum(axis=(1, 3), dtype=np.float64) / np.maximum(count, 1)
    return np.asarray(np.rint(means), np.uint16)


def nearest(values: Pixels, rows: Coordinates, cols: Coordinates) -> Pixels:
    """The pixel that each point lies in; 0 outside."""
    row, col = np.floor(rows).astype(np.int64), np.floor(cols).astype(np.int64)
    inside = (row >= 0) & (row < values.shape[0]) & (col >= 0) & (col < values.shape[1])
    return np.where(inside, values[row.clip(0, values.shape[0] - 1), col.clip(0, values.shape[1] - 1)], 0)


def bilinear(values: Pixels, rows: Coordinates, cols: Coordinates) -> Pixels:
    """Weighted means of the known ones of the four pixels around each point; 0 where its own pixel is not known."""
    own = nearest(values, rows, cols)
    padded = np.pad(values, 1)
    above, left = np.floor(rows - 0.5), np.floor(cols - 0.5)
    down, right = rows - 0.5 - above, cols - 0.5 - left
    row = (above.astype(np.int64) + 1).clip(0, values.shape[0])
    col = (left.astype(np.int64) + 1).clip(0, values.shape[1])
    total, weight = np.zeros(rows.shape), np.zeros(rows.shape)
    for south in (0, 1):
        for east in (0, 1):
            corner = padded[row + south, col + east]
            share = (down if south else 1 - down) * (right if east else 1 - right) * (corner > 0)
            total += share * corner
            weight += share
    return np.where(own > 0, np.rint(total / np.maximum(weight, 1e-9)), 0).astype(np.uint16)


def _block(rows: Coordinates, cols: Coordinates, raster: DatasetReader, step: int) -> Block | None:
    """What must be read for some points: whole groups of `step` pixels; None where they lie outside the raster."""
    margin = _MARGIN * step
    edges = []
    for points, size in ((rows, raster.height), (cols, raster.width)):
        first = max(int(np.floor(points.min())) - margin, 0) // step * step
        last = min(-(-(int(np.ceil(points.max())) + margin) // step) * step, size)
        if first >= last:
            return None
        edges.append((first, last - first))
    (top, height), (left, width) = edges
    return Block(left, top, width, height)
