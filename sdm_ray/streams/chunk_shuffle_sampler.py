"""A shuffle of places that can be read fast: places near each other come soon after each other.

With a permutation of all places nearly every patch would decode its chunks anew. Here several *sequences* of places are
interleaved. Each runs from north to south through vertical strips of chunks in random order, and every batch takes the
same number of rows from each. Within its sequence a place is delayed by a random distance (`shuffle_window`). So a
batch mixes places of as many regions as there are sequences, while a sequence decodes a chunk once and keeps it only
for its next few rows of chunks. Ranks that own whole sequences decode no chunk that another rank decodes as well.

The walk through each strip is the same in every epoch (`places_in_chunks`); for an epoch the order of the strips is
held. The places at some positions follow from the delays around them: draws are taken from the middle of the random
stream.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdm_ray.batch import Ints, share
from sdm_ray.streams.chunk_strips import FAR, chunk_strips, heights
from sdm_ray.streams.places_in_chunks import PlacesInChunks, Walk


@dataclass(frozen=True, eq=False)
class ChunkShuffleSampler:
    """Concatenated shuffles of `n` places; a function of its attributes alone (compare `Sampler`).

    Attributes:
        places: by chunk.
        seed: any number >= 0.
        batch: rows of a global batch, a multiple of `interleave`; row j belongs to sequence j modulo `interleave`.
        shuffle_window: rows by which a place is delayed at most, counted over all sequences.
        interleave: number of sequences; an epoch leaves out n modulo `interleave` places, others each time.
    """

    places: PlacesInChunks = field(repr=False)
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
        return len(self.places)

    def at(self, positions: Ints) -> tuple[Ints, Ints]:
        """Ids and epochs at positions, both int64, shaped as `positions`."""
        step, slot = np.divmod(np.asarray(positions, np.int64), self.batch)
        within, sequence = np.divmod(slot, self.interleave)
        epochs, index = np.divmod(step * (self.batch // self.interleave) + within, self.n // self.interleave)
        ids = np.empty_like(epochs)
        for number in np.unique(epochs):
            chosen = epochs == number
            ids[chosen] = _epoch(self, int(number)).at(sequence[chosen], index[chosen])
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
        chunk = self.places.chunk_of(ids)
        strip, down = self._strips[chunk], self.places.chunks.down[chunk] + FAR
        chunk_rows = np.maximum(1, np.ceil(least * self._rows_per_place)).astype(np.int64)
        visit = np.unique((epochs * self.interleave + slots % self.interleave) << 32 | strip, return_inverse=True)[1]
        return np.unique(visit << 32 | down // chunk_rows[strip], return_inverse=True)[1]

    def strip(self, ids: Ints) -> Ints:
        """Number of the strip of each place, (N,)."""
        return self._strips[self.places.chunk_of(ids)]

    @cached_property
    def walk(self) -> Walk:
        """All places strip by strip."""
        return self.places.walk(self._strips)

    @cached_property
    def starts(self) -> Ints:
        """Where each strip begins in `walk`, and its end."""
        return np.append(0, np.cumsum(np.bincount(self._strips, self.places.chunks.count).astype(np.int64)))

    @cached_property
    def _strips(self) -> Ints:
        """Number of the strip of each chunk."""
        return chunk_strips(self.places.chunks, max(1, self.shuffle_window // self.interleave))

    @cached_property
    def _rows_per_place(self) -> NDArray[np.float64]:
        return heights(self._strips, self.places.chunks.down, self.places.chunks.count)


class _Epoch:
    """The order of one epoch: the strips one after the other, cut into sequences, each place delayed in its own."""

    def __init__(self, sampler: ChunkShuffleSampler, number: int) -> None:
        self._sampler = sampler
        self._length = sampler.n // sampler.interleave
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([sampler.seed, number])))
        visits = np.argsort(random.permutation(len(sampler.starts) - 1))
        self._first = sampler.starts[visits]  # of each visited strip, in the walk
        self._ends = np.cumsum(np.diff(sampler.starts)[visits])  # of each visited strip, in the order of visits
        self._state: Any = random.bit_generator.state
        self._sequences = self._draws(self._length * sampler.interleave).permutation(sampler.interleave)

    def at(self, sequence: Ints, index: Ints) -> Ints:
        """Ids of places by sequence and place in it, each (N,)."""
        ids = np.empty(len(index), np.int64)
        own = self._sequences[sequence]
        for number in np.unique(own):
            chosen = np.flatnonzero(own == number)
            ordered = chosen[np.argsort(index[chosen], kind="stable")]
            apart = np.flatnonzero(np.diff(index[ordered]) > 4 * self._reach) + 1
            for near in np.split(ordered, apart):
                first = int(index[near[0]])
                ids[near] = self._delayed(int(number), first, int(index[near[-1]]) + 1)[index[near] - first]
        return ids

    def _delayed(self, sequence: int, first: int, last: int) -> Ints:
        """Ids at some places of a sequence, from `first` to before `last`.

        What stands at a place after the delays stood at most their longest before it.
        """
        start, stop = max(0, first - self._reach), min(self._length, last + self._reach)
        visited = sequence * self._length + np.arange(start, stop)
        window = self._sampler.shuffle_window / self._sampler.interleave
        time = visited + window * self._draws(int(visited[0])).random(len(visited))
        return self._visited(visited[np.argsort(time, kind="stable")[first - start : last - start]])

    def _visited(self, positions: Ints) -> Ints:
        """Ids in the order of visits, before any delay."""
        visit = np.searchsorted(self._ends, positions, side="right")
        back = self._ends[visit] - positions  # from the end of its strip
        size = np.diff(self._ends, prepend=0)[visit]
        return self._sampler.walk.at(self._first[visit] + size - back)

    @property
    def _reach(self) -> int:
        return -(-self._sampler.shuffle_window // self._sampler.interleave) + 2

    def _draws(self, skipped: int) -> np.random.Generator:
        """The random numbers of the epoch from one of them on."""
        stream: Any = np.random.PCG64()
        stream.state = self._state
        stream.advance(skipped)
        left = {name: self._state[name] for name in ("has_uint32", "uinteger")}  # which `advance` drops
        stream.state = {**stream.state, **left}
        return np.random.Generator(stream)


@lru_cache(maxsize=4)
def _epoch(sampler: ChunkShuffleSampler, number: int) -> _Epoch:
    return _Epoch(sampler, number)
