"""A shuffle of places that can be read fast: places near each other come soon after each other.

With a permutation of all places nearly every patch would decode its chunks anew. Here several *sequences* of places are
interleaved. Each runs from north to south through vertical strips of chunks in random order, and every batch takes the
same number of rows from each. Within its sequence a place is delayed by a random distance (`shuffle_window`). So a
batch mixes places of as many regions as there are sequences, while a sequence decodes a chunk once and keeps it only
for its next few rows of chunks. Ranks that own whole sequences decode no chunk that another rank decodes as well.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from sdm_ray.batch import Ints, share

_HEIGHT, _WIDTH = 64, 16  # chunks of a strip; narrower where places are dense
_FAR = 1 << 30  # makes numbers of chunks positive, also of those outside the cube


@dataclass(frozen=True, eq=False)
class ChunkShuffleSampler:
    """Concatenated shuffles of `n` places; a function of its attributes alone (compare `Sampler`).

    Attributes:
        rows: upper pixel row of each place's patch, (n,).
        cols: left pixel column, (n,).
        chunk: side of a chunk, pixels.
        seed: any number >= 0.
        batch: rows of a global batch, a multiple of `interleave`; row j belongs to sequence j modulo `interleave`.
        shuffle_window: rows by which a place is delayed at most, counted over all sequences.
        interleave: number of sequences; an epoch leaves out n modulo `interleave` places, others each time.
    """

    rows: Ints = field(repr=False)
    cols: Ints = field(repr=False)
    chunk: int
    seed: int
    batch: int
    shuffle_window: int
    interleave: int

    def __post_init__(self) -> None:
        if self.batch % self.interleave or self.n < self.interleave:
            raise ValueError(f"{self.interleave} sequences for batches of {self.batch} among {self.n} places")

    @property
    def n(self) -> int:
        """Number of places."""
        return len(self.rows)

    def at(self, positions: Ints) -> tuple[Ints, Ints]:
        """Ids and epochs at positions, both int64, shaped as `positions`."""
        step, slot = np.divmod(np.asarray(positions, np.int64), self.batch)
        within, sequence = np.divmod(slot, self.interleave)
        epochs, index = np.divmod(step * (self.batch // self.interleave) + within, self.n // self.interleave)
        ids = np.empty_like(epochs)
        for number in np.unique(epochs):
            chosen = epochs == number
            ids[chosen] = _shuffled(self, int(number))[sequence[chosen], index[chosen]]
        return ids, epochs

    def slots(self, batch: int, rank: int, world: int) -> Ints:
        """A rank's rows of a global batch, ascending: of whole sequences if the ranks divide them, else of parts.

        Example with 2 sequences, batches of 6 and 3 ranks: sequence 0 has the rows 0, 2, 4, sequence 1 the rows 1, 3,
        5. The ranks take 0, 2 and 1, 4 and 3, 5.
        """
        by_sequence = np.argsort(np.arange(batch) % self.interleave, kind="stable")
        return np.sort(by_sequence[share(batch, rank, world)])

    def groups(self, ids: Ints, epochs: Ints, slots: Ints, least: int) -> Ints:
        """Numbers of the groups of places that are read together: neighbouring rows of chunks of a strip, in one visit.

        Args:
            ids: of the places, (N,).
            epochs: of the places, (N,).
            slots: of the places in their global batch, (N,).
            least: places that a group should hold.
        """
        strip = self.strip[ids]
        down = self.rows[ids] // self.chunk + _FAR
        chunk_rows = np.maximum(1, np.ceil(least * _heights(self.strip, self.rows // self.chunk))).astype(np.int64)
        visit = np.unique((epochs * self.interleave + slots % self.interleave) << 32 | strip, return_inverse=True)[1]
        return np.unique(visit << 32 | down // chunk_rows[strip], return_inverse=True)[1]

    @cached_property
    def strip(self) -> Ints:
        """Number of the strip of each place, (n,)."""
        most = max(1, self.shuffle_window // self.interleave)
        return strips(self.rows // self.chunk, self.cols // self.chunk, most)


def strips(down: Ints, right: Ints, most: int) -> Ints:
    """Number of the strip of chunks that each place lies in; strips narrow until few places share a row of chunks.

    Args:
        down: row of each place's chunk, (n,).
        right: column of each place's chunk, (n,).
        most: places in a row of chunks of a strip, on average, unless a strip is one chunk wide.
    """
    numbers = np.full(len(down), -1, np.int64)
    open_ = np.arange(len(down))
    width, first = _WIDTH, 0
    while len(open_):
        keys = (down[open_] // _HEIGHT + _FAR) << 32 | right[open_] // width + _FAR
        inverse = np.unique(keys, return_inverse=True)[1]
        done = (_heights(inverse, down[open_]) * most >= 1)[inverse] | (width == 1)
        numbers[open_[done]] = first + inverse[done]
        first += int(inverse.max()) + 1
        open_, width = open_[~done], max(1, width // 2)
    return np.unique(numbers, return_inverse=True)[1]


def _heights(strip: Ints, down: Ints) -> NDArray[np.float64]:
    """Rows of chunks that hold places, divided by the places, of each strip."""
    rows = np.unique(strip << 32 | down + _FAR) >> 32
    return np.bincount(rows) / np.bincount(strip)


@lru_cache(maxsize=4)
def _shuffled(sampler: ChunkShuffleSampler, number: int) -> Ints:
    """Ids of an epoch, (sequences, length)."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([sampler.seed, number])))
    place = rng.permutation(int(sampler.strip.max()) + 1)
    visited = np.lexsort((sampler.cols, sampler.rows // sampler.chunk, place[sampler.strip]))
    length = sampler.n // sampler.interleave
    start = np.arange(length * sampler.interleave)
    visited = visited[: len(start)]
    time = start + sampler.shuffle_window / sampler.interleave * rng.random(len(start))
    parts = visited[np.lexsort((time, start // length))].reshape(sampler.interleave, length)
    return parts[rng.permutation(sampler.interleave)]
