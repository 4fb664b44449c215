"""One scene on a window of the cube: read no more than is needed, drop clouds, take the offset off, resample.

The value of a pixel depends on the scene and on where the pixel's centre lies in it, never on the window: places are
worked out for each centre by itself, and clouds are left out before neighbours are weighed.
"""

import time
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
from rasterio.windows import Window as Piece

from sdm_ray.geo import grid as geo_grid
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.sources.sentinel2.config import Sentinel2
from sdm_ray.sources.sentinel2.scenes import SCL, Raster, Scene

Pixels = NDArray[np.uint16]
Places = NDArray[np.float64]
_MARGIN = 2  # pixels around what is read


class SceneFault(Exception):
    """A scene cannot be read, however often it is tried."""

    def __init__(self, scene: str, reason: str) -> None:
        super().__init__(scene, reason)  # both, so that it can be pickled
        self.scene, self.reason = scene, reason


@dataclass(frozen=True)
class Patience:
    """How often what cannot be read is tried again, and after how long."""

    retries: int
    backoff_s: float

    def tries(self, action: Callable[[], object]) -> None:
        """Do it, again and again if it must be.

        Raises:
            RasterioError, OSError: the last try failed as well.
        """
        for number in range(self.retries + 1):
            try:
                action()
                return
            except (RasterioError, OSError):
                if number == self.retries:
                    raise
                time.sleep(self.backoff_s * 2**number)


@dataclass
class Target:
    """A window of the cube, and where the centres of its pixels lie in other projections."""

    grid: Grid
    window: Window
    _known: dict[str, tuple[Places, Places]] = field(default_factory=dict)

    def places(self, raster: DatasetReader) -> tuple[Places, Places]:
        """Row and column of each centre in a raster, counted from the corner of its first pixel, (height, width)."""
        crs = raster.crs.to_wkt()
        if crs not in self._known:
            rows, cols = np.indices((self.window.height, self.window.width))
            centres = self.grid.centre(rows + self.window.row, cols + self.window.col)
            self._known[crs] = Transformer.from_crs(geo_grid.CRS, crs, always_xy=True).transform(*centres)
        x, y = self._known[crs]
        return (y - raster.transform.f) / raster.transform.e, (x - raster.transform.c) / raster.transform.a


class Reader:
    """Reads scenes; keeps their files open.

    Attributes:
        bytes: how much was decoded.
        below_offset: of each scene that carries the offset, how many values were not above it, and how many known.
    """

    def __init__(self, source: Sentinel2, sign: Callable[[str], str]) -> None:
        self.bytes = 0
        self.below_offset: dict[str, list[int]] = {}
        self._source = source
        self._sign = sign
        self._patience = Patience(source.retries, source.backoff_s)
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
        rows, cols = target.places(raster)
        step = max(1, int(self._source.resolution_m // raster.transform.a))  # a coarser cube takes means
        piece = _piece(rows, cols, raster, step)
        if piece is None:
            return np.zeros(rows.shape, np.uint16)
        values = self._read(place, piece)
        if raster.nodata:
            values[values == raster.nodata] = 0
        known = values > 0
        if scene.offset:
            seen = self.below_offset.setdefault(scene.name, [0, 0])
            seen[0] += int((known & (values <= scene.offset)).sum())
            seen[1] += int(known.sum())
        values = as_reflectance(values, scene.offset or 0, place.href)
        if self._source.mask is not None:
            values[~self._clear(scene, raster, piece)] = 0
        values = coarsen(values, step)
        rows, cols = (rows - piece.row_off) / step, (cols - piece.col_off) / step
        return nearest(values, rows, cols) if self._source.resampling == "nearest" else bilinear(values, rows, cols)

    def _clear(self, scene: Scene, raster: DatasetReader, piece: Piece) -> NDArray[np.bool_]:
        """Which pixels of a piece of a band the scene classification lets pass."""
        place = scene.rasters[SCL]
        classes = self._opened(place)
        if classes.crs != raster.crs:
            raise ValueError(f"{place.href}: is in {classes.crs}, its bands in {raster.crs}")
        x = raster.transform.c + (piece.col_off + np.arange(piece.width) + 0.5) * raster.transform.a
        y = raster.transform.f + (piece.row_off + np.arange(piece.height) + 0.5) * raster.transform.e
        cols = np.floor((x - classes.transform.c) / classes.transform.a).astype(np.int64)
        rows = np.floor((y - classes.transform.f) / classes.transform.e).astype(np.int64)
        inside = ((rows >= 0) & (rows < classes.height))[:, None] & ((cols >= 0) & (cols < classes.width))
        if not inside.any():
            return inside
        rows, cols = rows.clip(0, classes.height - 1), cols.clip(0, classes.width - 1)
        part = Piece(cols[0], rows[0], cols[-1] - cols[0] + 1, rows[-1] - rows[0] + 1)
        found = self._read(place, part)[np.ix_(rows - rows[0], cols - cols[0])]
        return inside & ~np.isin(found, self._source.mask or [])

    def _opened(self, place: Raster) -> DatasetReader:
        def opening() -> None:
            self._open[place.href] = self._stack.enter_context(open_raster(self._sign(place.href)))

        if place.href not in self._open:
            self._patience.tries(opening)
        return self._open[place.href]

    def _drop(self, place: Raster) -> None:
        raster = self._open.pop(place.href, None)
        if raster is not None:
            raster.close()

    def _read(self, place: Raster, piece: Piece) -> NDArray[Any]:
        found = []

        def reading() -> None:
            try:
                found.append(self._opened(place).read(place.band, window=piece))
            except (RasterioError, OSError):
                self._drop(place)  # the next try opens it anew, with a new signature
                raise

        self._patience.tries(reading)
        self.bytes += found[0].nbytes
        return found[0]


@contextmanager
def gdal_settings(source: Sentinel2) -> Iterator[None]:
    """What GDAL needs to read remote files with few requests, and what the configuration adds."""
    settings: dict[str, Any] = {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_TIMEOUT": "60",
        "GDAL_HTTP_MULTIRANGE": "YES",
        "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/",  # what failed once may be there at the next try
        "GDAL_CACHEMAX": 256 << 20,
    }
    with rasterio.Env(**settings | source.gdal):
        yield


def open_raster(href: str) -> DatasetReader:
    """Open a raster whose place is known.

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


def as_reflectance(values: NDArray[Any], offset: int, name: str) -> Pixels:
    """Whole numbers with the offset taken off; what was above 0 stays so, since 0 is no data.

    Raises:
        ValueError: they are no whole numbers.
    """
    if values.dtype.kind not in "ui":
        raise ValueError(f"{name}: holds {values.dtype}, expected whole numbers (reflectance x 10,000)")
    wide = values.astype(np.int32)
    return np.where(wide > 0, (wide - offset).clip(1, np.iinfo(np.uint16).max), 0).astype(np.uint16)


def coarsen(values: Pixels, step: int) -> Pixels:
    """Means of `step` x `step` pixels, of those that are known."""
    if step == 1:
        return values
    height, width = (-(-side // step) for side in values.shape)
    padded = np.pad(values, ((0, height * step - values.shape[0]), (0, width * step - values.shape[1])))
    blocks = padded.reshape(height, step, width, step)
    count = (blocks > 0).sum(axis=(1, 3))
    return np.rint(blocks.sum(axis=(1, 3), dtype=np.float64) / np.maximum(count, 1)).astype(np.uint16)


def nearest(values: Pixels, rows: Places, cols: Places) -> Pixels:
    """The pixel that each place lies in; 0 outside."""
    row, col = np.floor(rows).astype(np.int64), np.floor(cols).astype(np.int64)
    inside = (row >= 0) & (row < values.shape[0]) & (col >= 0) & (col < values.shape[1])
    return np.where(inside, values[row.clip(0, values.shape[0] - 1), col.clip(0, values.shape[1] - 1)], 0)


def bilinear(values: Pixels, rows: Places, cols: Places) -> Pixels:
    """Means of the four pixels around each place, of those that are known; 0 where its own pixel is not known."""
    own = nearest(values, rows, cols)
    padded = np.pad(values, 1)
    above, left = np.floor(rows - 0.5), np.floor(cols - 0.5)
    down, right = rows - 0.5 - above, cols - 0.5 - left
    row = (above.astype(np.int64) + 1).clip(0, values.shape[0])
    col = (left.astype(np.int64) + 1).clip(0, values.shape[1])
    total, weight = np.zeros(rows.shape), np.zeros(rows.shape)
    for below in (0, 1):
        for beside in (0, 1):
            corner = padded[row + below, col + beside]
            share = (down if below else 1 - down) * (right if beside else 1 - right) * (corner > 0)
            total += share * corner
            weight += share
    return np.where(own > 0, np.rint(total / np.maximum(weight, 1e-9)), 0).astype(np.uint16)


def _piece(rows: Places, cols: Places, raster: DatasetReader, step: int) -> Piece | None:
    """What must be read for some places: whole groups of `step` pixels; None where nothing must be."""
    margin = _MARGIN * step
    edges = []
    for places, size in ((rows, raster.height), (cols, raster.width)):
        first = max(int(np.floor(places.min())) - margin, 0) // step * step
        last = min(-(-(int(np.ceil(places.max())) + margin) // step) * step, size)
        if first >= last:
            return None
        edges.append((first, last - first))
    (top, height), (left, width) = edges
    return Piece(left, top, width, height)
