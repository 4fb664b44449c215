"""The chunks that places lie in, and vertical strips of them, narrower where places are dense.

Places are counted per chunk first: what follows takes time and memory in the number of chunks.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sdm_ray.batch import Ints

FAR = 1 << 30
"""Makes numbers of chunks positive, also of those outside the cube."""
_HEIGHT, _WIDTH = 64, 16  # chunks of a strip
_DENSE = 4  # chunks for each place, up to which all chunks between the outermost are counted in one array


@dataclass(frozen=True)
class Occupied:
    """The chunks that hold places.

    Attributes:
        down: row of each chunk, (c,).
        right: column of each chunk, (c,).
        count: places in each, (c,).
    """

    down: Ints = field(repr=False)
    right: Ints = field(repr=False)
    count: Ints = field(repr=False)


def occupied(down: NDArray[np.signedinteger], right: NDArray[np.signedinteger]) -> tuple[Occupied, NDArray[np.int32]]:
    """The chunks of places, row by row, and the number of the chunk of each place, (n,).

    Args:
        down: row of the chunk of each place, (n,).
        right: column of the chunk of each place, (n,).
    """
    top, left = int(down.min()), int(right.min())
    high, wide = int(down.max()) - top + 1, int(right.max()) - left + 1
    cell = (down.astype(np.int64) - top) * wide + (right - left)
    if high * wide <= _DENSE * len(cell) + 1:
        counts = np.bincount(cell, minlength=high * wide)
        found = np.flatnonzero(counts)
        number = np.zeros(high * wide, np.int32)
        number[found] = np.arange(len(found), dtype=np.int32)
        count, of_place = counts[found], number[cell]
    else:  # places far from each other
        found, inverse, count = np.unique(cell, return_inverse=True, return_counts=True)
        of_place = inverse.astype(np.int32)
    return Occupied(found // wide + top, found % wide + left, count), of_place


def chunk_strips(chunks: Occupied, most: int) -> Ints:
    """Number of the strip of each chunk; strips narrow until few places share a row of chunks.

    Args:
        chunks: that hold places.
        most: places in a row of chunks of a strip, on average, unless a strip is one chunk wide.
    """
    numbers = np.full(len(chunks.down), -1, np.int64)
    open_ = np.arange(len(chunks.down))
    width, first = _WIDTH, 0
    while len(open_):
        keys = (chunks.down[open_] // _HEIGHT + FAR) << 32 | chunks.right[open_] // width + FAR
        inverse = np.unique(keys, return_inverse=True)[1]
        wide_enough = heights(inverse, chunks.down[open_], chunks.count[open_]) * most >= 1
        done = wide_enough[inverse] | (width == 1)
        numbers[open_[done]] = first + inverse[done]
        first += int(inverse.max()) + 1
        open_, width = open_[~done], max(1, width // 2)
    return np.unique(numbers, return_inverse=True)[1]


def heights(strip: Ints, down: Ints, count: Ints) -> NDArray[np.float64]:
    """Rows of chunks that hold places, divided by the places, of each strip.

    Args:
        strip: of each chunk, (c,).
        down: row of each chunk, (c,).
        count: places in each chunk, (c,).
    """
    rows = np.unique(strip << 32 | down + FAR) >> 32
    return np.bincount(rows) / np.bincount(strip, count)
