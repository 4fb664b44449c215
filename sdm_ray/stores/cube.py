"""The tile cube: surface reflectance on the EU grid.

`reflectance(time, band, y, x)` is uint16, reflectance x 10,000, 0 = nodata; `valid_count(time, y, x)` says from how
many clear scenes a value was made. A static cube has one time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, whole
from sdm_ray.stores import raster
from sdm_ray.stores.patch_reader import Ints, Patches, Wanted, cut
from sdm_ray.stores.raster import ArraySpec
from sdm_ray.stores.zarr_io import Engine, engine_of, read, read_cells
from sdm_ray.stores.zarr_shards import Chunks, chunks_of

_SQUARE = 16  # chunks along a side of what is cut from north to south; two rows of chunks are held, 17 MB


def create_cube(
    path: UPath, grid: Grid, times: Sequence[str], bands: Sequence[str], chunk: int = 256, shard: int = 2048
) -> None:
    """Make an empty cube.

    Args:
        path: folder or URL.
        grid: its pixels.
        times: names of the composites (`2021-summer`).
        bands: names of the bands (`red`, `nir`).
        chunk: side of a chunk, pixels; a chunk holds all bands.
        shard: side of a shard, pixels; one task writes one shard.
    """
    attrs = {"title": "Surface reflectance", "Conventions": "CF-1.11"}
    group = raster.create(path, grid, {"time": list(times), "band": list(bands)}, attrs)
    reflectance = ArraySpec(
        dtype="uint16",
        chunks=(1, len(bands), chunk, chunk),
        shards=(1, len(bands), shard, shard),
        leading=("time", "band"),
        fill=0,
        attrs={"long_name": "surface reflectance", "scale_factor": 1e-4, "units": "1"},
    )
    count = ArraySpec(
        dtype="uint8",
        chunks=(1, chunk, chunk),
        shards=(1, shard, shard),
        leading=("time",),
        attrs={"long_name": "number of valid scenes"},
    )
    raster.add_array(group, "reflectance", reflectance)
    raster.add_array(group, "valid_count", count)


class Cube:
    """A tile cube for reading and for writing whole shards.

    Attributes:
        grid: its pixels.
        bands: names of the bands.
        times: names of the composites.
    """

    @raster.reports_damage("tile cube")
    def __init__(self, path: UPath, *, writable: bool = False) -> None:
        group: Any = raster.open_group(path, "r+" if writable else "r")
        self.path = path
        self.grid: Grid = raster.read_grid(group)
        self.bands = [str(name) for name in group["band"][:]]
        self.times = [str(name) for name in group["time"][:]]
        self._reflectance = group["reflectance"]
        self._valid_count = group["valid_count"]

    @cached_property
    def _engine(self) -> Engine:
        return engine_of(self._reflectance)

    @cached_property
    def _chunks(self) -> Chunks:
        return chunks_of(self._reflectance)

    @cached_property
    def _count_engine(self) -> Engine:
        return engine_of(self._valid_count)

    @property
    def chunk(self) -> int:
        """Side of the unit of decoding, pixels."""
        return max(self._reflectance.chunks[-2:])

    @cached_property
    def shard(self) -> int:
        """Side of the unit of writing, pixels; along an axis that is shorter, the unit is the whole axis."""
        return max((self._reflectance.shards or self._reflectance.chunks)[-2:])

    @raster.reports_damage("tile cube")
    def read(self, window: Window, time: int = 0) -> NDArray[np.uint16]:
        """Reflectance of a window, (band, height, width); 0 outside the cube."""
        out = np.zeros((len(self.bands), window.height, window.width), np.uint16)
        inner = window.intersect(whole(self.grid))
        if inner.size:
            rows, cols = inner.slices
            row, col = inner.row - window.row, inner.col - window.col
            with self._readable():
                pixels = read(self._engine, (time, slice(None), rows, cols))
            out[:, row : row + inner.height, col : col + inner.width] = pixels
        return out

    @raster.reports_damage("tile cube")
    def valid_count(self, window: Window, time: int = 0) -> NDArray[np.uint8]:
        """Number of valid scenes of a window inside the cube, (height, width)."""
        return self._valid_count[(time, *window.slices)]

    def valid_at(self, rows: Ints, cols: Ints, time: int = 0) -> NDArray[np.uint8]:
        """Number of valid scenes of single pixels, (N,); 0 outside the cube."""
        inside = self.grid.contains(rows, cols)
        found = np.zeros(len(rows), np.uint8)
        if inside.any():
            with self._readable():
                cells = rows[inside], cols[inside]
                found[inside] = read_cells(self._count_engine, self._valid_count, cells, (time,))
        return found

    def time(self, season: str | None) -> int:
        """Number of a composite by its name; the first where None is asked for.

        Raises:
            InputError: there is none of this name.
        """
        if season is not None and season not in self.times:
            raise InputError(f"{self.path}: has no season {season}; found {', '.join(self.times)}")
        return 0 if season is None else self.times.index(season)

    def numbers(self, bands: Sequence[str]) -> tuple[int, ...]:
        """Numbers of bands by their names.

        Raises:
            InputError: there is none of this name.
        """
        missing = [band for band in bands if band not in self.bands]
        if missing:
            raise InputError(f"{self.path}: has no band {missing[0]}; found {', '.join(self.bands)}")
        return tuple(self.bands.index(band) for band in bands)

    def cut(
        self, wanted: Wanted, groups: Sequence[Ints], allocate: Callable[[Ints], Patches], keep: int = 2
    ) -> Iterator[Patches]:
        """Cut patches group by group into the arrays that `allocate` returns (see `patch_reader.cut`).

        Raises:
            InputError: a chunk cannot be decoded.
        """
        with self._readable():
            yield from cut(self._chunks, wanted, groups, allocate, keep)

    def patches(self, wanted: Wanted) -> NDArray[np.uint16]:
        """All the patches in the order asked for, (N, band, size, size), 0 outside the cube."""
        bands = len(self.bands if wanted.bands is None else wanted.bands)
        out = np.empty((len(wanted.rows), bands, wanted.size, wanted.size), np.uint16)
        high, wide = self._reflectance.chunks[-2:]
        groups = bands_of_squares(wanted.rows // high, wanted.cols // wide, _SQUARE)
        for _ in self.cut(wanted, groups, lambda group: [out[i] for i in group]):
            pass
        return out

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError, OverflowError) as error:  # of codecs for bytes they cannot decode
            raise InputError(f"{self.path}: a chunk cannot be read ({str(error).partition(chr(10))[0]})") from None

    def write(self, window: Window, time: int, reflectance: NDArray[np.uint16], valid_count: NDArray[np.uint8]) -> None:
        """Write whole shards; two tasks never share one.

        Args:
            window: aligned to shards, or ending at the cube's edge.
            time: number of the composite.
            reflectance: (band, height, width).
            valid_count: (height, width).

        Raises:
            ValueError: the window cuts a shard, so that two writers could lose each other's pixels.
        """
        raster.require_aligned(window, self.shard, self.grid)
        self._reflectance[(time, slice(None), *window.slices)] = reflectance
        self._valid_count[(time, *window.slices)] = valid_count


def bands_of_squares(down: NDArray[np.int64], right: NDArray[np.int64], side: int) -> list[NDArray[np.int64]]:
    """Positions grouped by square of `side` x `side` chunks and, within, by row of chunks."""
    key = np.stack([down, right // side, down // side])
    sequence = np.lexsort(key)
    breaks = np.flatnonzero((np.diff(key[:, sequence], axis=1) != 0).any(axis=0)) + 1
    return [group for group in np.split(sequence, breaks) if len(group)]
