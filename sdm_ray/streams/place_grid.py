"""Places of a regular grid, of which some are used: where a place lies follows from its number.

A place costs a bit, so that a billion fit in the memory of every rank. Which crossing of the grid is the k-th that is
used is found by counts of blocks of bits (Jacobson, Space-efficient Static Trees and Graphs, 1989: rank and select).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdm_ray.batch import Floats, Ints
from sdm_ray.geo.grid import Extent, Grid, to_lonlat
from sdm_ray.streams.places import ListedPlaces

_BYTES = 64  # of a block of bits, whose places are counted together
_AT_ONCE = 1 << 22  # crossings that are looked at together

Bools = NDArray[np.bool_]
Keep = Callable[[Floats, Floats], Bools]
"""(eastings of columns (c,), northings of rows (r,)) -> which crossings are used, (r, c)."""


@dataclass(frozen=True, eq=False)
class PlaceGrid:
    """The used crossings of a grid, numbered from 0, row by row from the north and from west to east.

    Attributes:
        x: eastings of the columns, EPSG:3035 metres, ascending, (c,).
        y: northings of the rows, EPSG:3035 metres, descending, (r,).
        used: a bit for each crossing, uint8 (r, b); b is a multiple of 64, and bits beyond the last column are 0.
    """

    x: Floats = field(repr=False)
    y: Floats = field(repr=False)
    used: NDArray[np.uint8] = field(repr=False)

    @classmethod
    def over(cls, grid: Grid, stride_m: float) -> "PlaceGrid":
        """All places over a raster whose coordinates are multiples of a stride in metres."""
        west, south, east, north = grid.bounds
        x = np.arange(np.ceil(west / stride_m), np.floor(east / stride_m) + 1) * stride_m
        y = np.arange(np.ceil(south / stride_m), np.floor(north / stride_m) + 1)[::-1] * stride_m
        row = _packed(np.ones((1, len(x)), bool))
        return cls(x, y, np.repeat(row, len(y), axis=0))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def only(self, keep: Keep) -> "PlaceGrid":
        """Those of the places that are kept, numbered anew."""
        used = np.empty_like(self.used)
        height = max(1, _AT_ONCE // max(1, len(self.x)))
        for top in range(0, len(self.y), height):
            part = slice(top, top + height)
            used[part] = self.used[part] & _packed(keep(self.x, self.y[part]))
        return PlaceGrid(self.x, self.y, used)

    def subset(self, ids: Ints) -> ListedPlaces:
        """Some of the places, listed."""
        return ListedPlaces(self.lonlat(ids), self.number(ids))

    def number(self, ids: Ints) -> Ints:
        """A number of each place, int64 (N,), which it keeps where others are left out."""
        rows, cols = self.cells(ids)
        return rows * len(self.x) + cols

    def xy(self, ids: Ints) -> tuple[Floats, Floats]:
        """EPSG:3035 metres, (N,) each."""
        rows, cols = self.cells(ids)
        return self.x[cols], self.y[rows]

    def lonlat(self, ids: Ints) -> Floats:
        """WGS84 degrees, float64 (N, 2)."""
        return np.stack(to_lonlat(*self.xy(ids)), axis=1)

    @property
    def extent(self) -> Extent:
        """Of all places, EPSG:3035 metres."""
        cols = np.flatnonzero(np.unpackbits(np.bitwise_or.reduce(self.used, axis=0)))
        rows = np.flatnonzero(self.used.any(axis=1))
        return float(self.x[cols[0]]), float(self.y[rows[-1]]), float(self.x[cols[-1]]), float(self.y[rows[0]])

    def cells(self, ids: Ints) -> tuple[Ints, Ints]:
        """Row and column of each place in the grid, (N,) each."""
        block = np.searchsorted(self._starts, ids, side="right") - 1
        words = self.used.reshape(-1, _BYTES // 8, 8)
        word, left = _holding(np.bitwise_count(self._words[block]), ids - self._starts[block])
        octets = words[block, word]
        octet, left = _holding(np.bitwise_count(octets), left)
        bit, _ = _holding(np.unpackbits(np.take_along_axis(octets, octet[:, None], axis=1), axis=1), left)
        rows, cols = np.divmod(((block * (_BYTES // 8) + word) * 8 + octet) * 8 + bit, 8 * self.used.shape[1])
        return rows, cols

    def before(self, rows: Ints, cols: Ints) -> Ints:
        """How many places come before each of some crossings, (N,)."""
        block, within = np.divmod(rows * (8 * self.used.shape[1]) + cols, 8 * _BYTES)
        bits = np.unpackbits(self.used.reshape(-1, _BYTES)[block], axis=1)
        within_block = (bits * (np.arange(8 * _BYTES) < within[:, None])).sum(axis=1)
        return np.asarray(self._starts[block] + within_block, np.int64)

    @property
    def _words(self) -> NDArray[np.uint64]:
        return self.used.reshape(-1, _BYTES).view(np.uint64)

    @cached_property
    def _starts(self) -> Ints:
        """Number of the first place of each block of bits, and how many there are in all."""
        counts = np.zeros(self.used.size // _BYTES + 1, np.int64)
        for first in range(0, len(counts) - 1, _AT_ONCE):
            part = slice(first, min(first + _AT_ONCE, len(counts) - 1))
            counts[1:][part] = np.bitwise_count(self._words[part]).sum(axis=1, dtype=np.int64)
        return np.cumsum(counts, out=counts)


def _packed(used: Bools) -> NDArray[np.uint8]:
    """Bits of rows of crossings, uint8 (r, b)."""
    bits = np.packbits(used, axis=1)
    return np.pad(bits, ((0, 0), (0, -bits.shape[1] % _BYTES)))


def _holding(counts: NDArray[Any], left: Ints) -> tuple[Ints, Ints]:
    """The part of each row that holds the place of a number, and the number within it.

    Args:
        counts: places of each part, (N, parts).
        left: number of the place in its row, (N,).
    """
    ends = np.cumsum(counts, axis=1, dtype=np.int64)
    part = (ends <= left[:, None]).sum(axis=1)
    own = np.take_along_axis(ends - counts, part[:, None], axis=1)[:, 0]
    return part, left - own
