"""Places by the chunks that they lie in, and the walk through them: strip by strip, from north to south.

For listed places, and for few of a grid, the walk is sorted and held. Of many of a grid a part is worked out when it is
asked for.
"""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sdm_ray.batch import Ints
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import centred
from sdm_ray.streams.chunk_strips import FAR, Occupied, occupied
from sdm_ray.streams.place_grid import PlaceGrid
from sdm_ray.streams.places import Places

_LISTED = 1 << 22  # places of a grid that are listed, which is faster where they are sparse
_KEPT = 1 << 21  # places of rows of chunks that are remembered


class Walk(Protocol):
    """All places strip by strip, in each from north to south by rows of chunks and there from west to east."""

    def at(self, positions: Ints) -> Ints:
        """Ids of the places at some positions of the walk, (N,)."""
        ...


class PlacesInChunks(Protocol):
    """Places by chunk."""

    def __len__(self) -> int:
        """Number of places."""
        ...

    @property
    def chunks(self) -> Occupied:
        """The chunks that hold places."""
        ...

    def chunk_of(self, ids: Ints) -> Ints:
        """Number of the chunk of each place, (N,)."""
        ...

    def walk(self, strips: Ints) -> Walk:
        """The walk, by the number of the strip of each chunk, (c,)."""
        ...


@dataclass(frozen=True, eq=False)
class ListedInChunks:
    """Places anywhere.

    Attributes:
        rows: upper pixel row of the window of each place, (n,).
        cols: left pixel column, (n,).
        chunk: side of a chunk, pixels.
    """

    rows: NDArray[np.signedinteger[Any]] = field(repr=False)
    cols: NDArray[np.signedinteger[Any]] = field(repr=False)
    chunk: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def chunks(self) -> Occupied:
        """The chunks that hold places."""
        return self._counted[0]

    def chunk_of(self, ids: Ints) -> Ints:
        """Number of the chunk of each place, (N,)."""
        return np.asarray(self._counted[1][ids], np.int64)

    def walk(self, strips: Ints) -> "_Sorted":
        """The walk, by the number of the strip of each chunk, (c,)."""
        order, new = _rows_of_chunks(self.chunks, strips)
        row = np.empty(len(order), np.int64)
        row[order] = np.cumsum(new)
        keys = row[self._counted[1]] << 32 | (self.cols.astype(np.int64) + FAR)
        return _Sorted(np.argsort(keys, kind="stable").astype(np.uint32 if len(keys) < 1 << 32 else np.uint64))

    @cached_property
    def _counted(self) -> tuple[Occupied, NDArray[np.int32]]:
        return occupied(self.rows // self.chunk, self.cols // self.chunk)


@dataclass(frozen=True, eq=False)
class _Sorted:
    """A walk that is held."""

    ids: NDArray[np.unsignedinteger[Any]]

    def at(self, positions: Ints) -> Ints:
        return np.asarray(self.ids[positions], np.int64)


class GridInChunks:
    """Places of a grid.

    Args:
        places: the grid.
        rows: upper pixel row of the windows of each row of the grid, ascending, (r,).
        cols: left pixel column of the windows of each column, ascending, (c,).
        chunk: side of a chunk, pixels.
    """

    def __init__(self, places: PlaceGrid, rows: Ints, cols: Ints, chunk: int) -> None:
        self.places, self.cols = places, cols
        down, right = rows // chunk, cols // chunk
        self.tops, self.lefts = _bounds(down), _bounds(right)
        counts = np.stack([self._counts(top, bottom) for top, bottom in pairwise(self.tops)])
        i, j = np.nonzero(counts)
        self.chunks = Occupied(down[self.tops[i]], right[self.lefts[j]], counts[i, j])
        self.corners = i, j
        self._number = np.zeros(counts.shape, np.int32)
        self._number[i, j] = np.arange(len(i))
        self._down, self._right = (
            np.repeat(np.arange(len(ends) - 1), np.diff(ends)) for ends in (self.tops, self.lefts)
        )

    def __len__(self) -> int:
        return len(self.places)

    def chunk_of(self, ids: Ints) -> Ints:
        """Number of the chunk of each place, (N,)."""
        rows, cols = self.places.cells(ids)
        return np.asarray(self._number[self._down[rows], self._right[cols]], np.int64)

    def walk(self, strips: Ints) -> "_Computed":
        """The walk, by the number of the strip of each chunk, (c,)."""
        return _Computed(self, strips)

    def _counts(self, top: int, bottom: int) -> Ints:
        """Places in each chunk of a row of chunks."""
        used = np.unpackbits(self.places.used[top:bottom], axis=1, count=len(self.cols))
        return np.add.reduceat(used.sum(axis=0, dtype=np.int64), self.lefts[:-1])


class _Computed:
    """A walk of which only those rows of chunks are worked out that are asked for; a strip is a rectangle of chunks."""

    def __init__(self, own: GridInChunks, strips: Ints) -> None:
        order, new = _rows_of_chunks(own.chunks, strips)
        first = np.flatnonzero(new)
        last = np.append(first[1:], len(order)) - 1
        down, right = own.corners
        self._own = own
        self._down, self._left, self._right = down[order[first]], right[order[first]], right[order[last]]
        self._starts = np.append(0, np.cumsum(np.add.reduceat(own.chunks.count[order], first)))
        self._known: dict[int, Ints] = {}  # the row that was worked out first comes first
        self._held = 0

    def at(self, positions: Ints) -> Ints:
        row = np.searchsorted(self._starts, positions, side="right") - 1
        ids = np.empty(len(positions), np.int64)
        order = np.argsort(row, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(row[order])) + 1):
            if len(some):
                number = int(row[some[0]])
                ids[some] = self._row(number)[positions[some] - self._starts[number]]
        return ids

    def _row(self, number: int) -> Ints:
        """Ids of the places of a row of chunks of a strip, from west to east."""
        found = self._known.get(number)
        if found is None:
            found = self._known[number] = self._work_out(number)
            self._held += len(found)
            while self._held > _KEPT and len(self._known) > 1:
                self._held -= len(self._known.pop(next(iter(self._known))))
        return found

    def _work_out(self, number: int) -> Ints:
        places, tops, lefts = self._own.places, self._own.tops, self._own.lefts
        top, bottom = tops[self._down[number]], tops[self._down[number] + 1]
        left, right = lefts[self._left[number]], lefts[self._right[number] + 1]
        octets = places.used[top:bottom, left // 8 : -(-right // 8)]
        used = np.unpackbits(octets, axis=1)[:, left % 8 :][:, : right - left]
        rows, cols = np.nonzero(used)
        before = places.before(np.arange(top, bottom), np.full(bottom - top, left))
        in_row = np.arange(len(rows)) - np.append(0, np.cumsum(used.sum(axis=1, dtype=np.int64)))[rows]
        order = np.argsort(self._own.cols[left + cols], kind="stable")
        return np.asarray((before[rows] + in_row)[order], np.int64)


def in_chunks(places: Places, grid: Grid, size: int, chunk: int) -> PlacesInChunks:
    """Places by the chunks of a raster that hold the upper left pixels of windows centred on them.

    Args:
        places: any.
        grid: of the raster.
        size: side of a window, pixels.
        chunk: side of a chunk, pixels.
    """
    if isinstance(places, PlaceGrid) and len(places) > _LISTED:
        rows, _ = centred(grid, places.x[:1], places.y, size)
        _, cols = centred(grid, places.x, places.y[:1], size)
        return GridInChunks(places, rows, cols, chunk)
    rows, cols = centred(grid, *places.xy(np.arange(len(places))), size)
    return ListedInChunks(rows.astype(np.int32), cols.astype(np.int32), chunk)


def _rows_of_chunks(chunks: Occupied, strips: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Chunks in the order of the walk, (c,), and which of them begin a row of chunks of a strip, (c,)."""
    order = np.lexsort((chunks.down, strips))
    new = np.diff(chunks.down[order], prepend=-FAR) != 0
    new |= np.diff(strips[order], prepend=-1) != 0
    return order, new


def _bounds(numbers: Ints) -> Ints:
    """Where each run of equal numbers begins, and the end."""
    return np.append(np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1)), len(numbers))
