"""An order of places that a reader can follow: shuffled, yet places near each other come within reach.

A permutation of all places would have nearly every patch decode its chunks anew. Here a pass goes through squares of
chunks (*neighbourhoods*) in random order, and every place is moved back by a random distance of at most `reach` rows.
So whoever reads the neighbourhoods one after the other and holds about `reach` / 2 patches can give the places in
this order, having decoded each neighbourhood once; and a batch mixes places of all neighbourhoods within reach.

A pass is cut into `lanes` of equal length, and every batch takes the same number of rows from each. Ranks that own
whole lanes share no neighbourhood, so together they decode each once as well.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

_LARGEST = 64  # chunks along a side of a neighbourhood
_NEIGHBOURHOODS_IN_REACH = 6
_FAR = 1 << 30  # makes numbers of chunks positive, also of those outside the cube
_JITTER = 8  # the share of `reach` by which the rows of one band of chunks are moved apart is 1 / _JITTER

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NearbyOrder:
    """Concatenated shuffles of `n` places; a function of its attributes alone (compare `order.Order`).

    Attributes:
        rows: upper pixel row of each place's patch, (n,).
        cols: left pixel column, (n,).
        chunk: side of a chunk, pixels.
        seed: any number >= 0.
        batch: rows of a global batch, a multiple of `lanes`.
        reach: rows by which a place is moved back at most, of all lanes together.
        lanes: parts of a pass that run side by side; a pass leaves out n modulo `lanes` places, other ones each time.
    """

    rows: Ints = field(repr=False)
    cols: Ints = field(repr=False)
    chunk: int
    seed: int
    batch: int
    reach: int
    lanes: int = 1

    def __post_init__(self) -> None:
        if self.batch % self.lanes or self.n < self.lanes:
            raise ValueError(f"{self.lanes} lanes for batches of {self.batch} among {self.n} places")

    @property
    def n(self) -> int:
        """Number of places."""
        return len(self.rows)

    def at(self, positions: Ints) -> tuple[Ints, Ints]:
        """Ids and passes at positions, both int64, shaped as `positions`."""
        step, slot = np.divmod(np.asarray(positions, np.int64), self.batch)
        wide = self.batch // self.lanes
        lane, within = np.divmod(slot, wide)
        passes, index = np.divmod(step * wide + within, self.n // self.lanes)
        ids = np.empty_like(passes)
        for number in np.unique(passes):
            chosen = passes == number
            ids[chosen] = _shuffled(self, int(number))[lane[chosen], index[chosen]]
        return ids, passes

    def visits(self, ids: Ints, passes: Ints, lanes: Ints) -> Ints:
        """A number for each visit of a lane to a neighbourhood, shaped as `ids`."""
        count = int(self.neighbourhood.max()) + 1
        key = (passes * self.lanes + lanes) * count + self.neighbourhood[ids]
        return np.unique(key, return_inverse=True)[1].reshape(ids.shape)

    @cached_property
    def neighbourhood(self) -> Ints:
        """Number of the neighbourhood of each place, (n,)."""
        most = max(1, self.reach // _NEIGHBOURHOODS_IN_REACH)
        return neighbourhoods(self.rows // self.chunk, self.cols // self.chunk, most)

    @cached_property
    def band(self) -> Ints:
        """Number of the row of chunks of its neighbourhood that each place's patch begins in, (n,)."""
        return np.unique(self.neighbourhood << 32 | self.rows // self.chunk + _FAR, return_inverse=True)[1]


def neighbourhoods(down: Ints, right: Ints, most: int) -> Ints:
    """Number of the square or half square of chunks that each chunk lies in, split until few places share one.

    Args:
        down: row of each place's chunk, (n,).
        right: column of each place's chunk, (n,).
        most: places that share a neighbourhood, unless they share a chunk.
    """
    numbers = np.full(len(down), -1, np.int64)
    open_ = np.arange(len(down))
    height = width = _LARGEST
    first = 0
    while len(open_):
        keys = (down[open_] // height + _FAR) << 32 | right[open_] // width + _FAR
        _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        done = (counts[inverse] <= most) | (height == width == 1)
        numbers[open_[done]] = first + inverse[done]
        first += len(counts)
        open_ = open_[~done]
        height, width = (height, width // 2) if height == width else (height // 2, width)
    return np.unique(numbers, return_inverse=True)[1]


@lru_cache(maxsize=4)
def _shuffled(order: NearbyOrder, number: int) -> Ints:
    """Ids of a pass, (lanes, length)."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([order.seed, number])))
    place = rng.permutation(int(order.neighbourhood.max()) + 1)
    visited = np.lexsort((order.cols, order.band, place[order.neighbourhood]))
    length = order.n // order.lanes
    start = np.arange(length * order.lanes)
    visited = visited[: len(start)]
    # A whole band moves together, and its rows a little apart: what is read at once can be let go at once.
    moved = rng.random(int(order.band.max()) + 1)[order.band[visited]] + rng.random(len(start)) / _JITTER
    time = start + order.reach / order.lanes / (1 + 1 / _JITTER) * moved
    return visited[np.lexsort((time, start // length))].reshape(order.lanes, length)
