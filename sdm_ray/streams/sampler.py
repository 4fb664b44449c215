"""The order of training rows: a pure function of the seed, the same for any number of ranks.

Training walks through *positions* 0, 1, 2, … Epoch p covers positions p*n to (p+1)*n - 1 with a permutation of the
n rows that depends on (seed, p) alone. Step k takes positions k*batch to (k+1)*batch - 1; a batch may span two
epochs, so every batch is full. A rank takes a slice of each batch. Example with n = 5, batch = 3, two ranks:

    epoch    |----- 0 -----|----- 1 -----|
    id        3  0  4  1  2  2  4  0  3  1
    step     |-- 0 --|-- 1 --|-- 2 --|
    rank      0  1  1  0  1  1  0  1  1

Of many rows the permutation is computed where it is asked for, so that no rank holds it.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sdm_ray.batch import Ints, share
from sdm_ray.streams.permutation import permuted

_STORED = 1 << 22  # rows whose permutation is drawn and kept, 8 bytes a row: asking for it is faster


@dataclass(frozen=True)
class Sampler:
    """Concatenated permutations of `n` rows.

    Attributes:
        n: number of rows.
        seed: any number >= 0.
        shuffled: False gives 0, 1, …, n - 1 in every epoch.
    """

    n: int
    seed: int
    shuffled: bool = True

    def at(self, positions: Ints) -> tuple[Ints, Ints]:
        """Ids and epochs at positions, both int64, shaped as `positions`."""
        positions = np.asarray(positions, np.int64)
        epochs, within = np.divmod(positions, self.n)
        if not self.shuffled:
            return within, epochs
        ids = np.empty_like(positions)
        for number in np.unique(epochs):
            chosen = epochs == number
            ids[chosen] = _permuted(within[chosen], self.n, self.seed, int(number))
        return ids, epochs

    def slots(self, batch: int, rank: int, world: int) -> Ints:
        """A rank's rows of a global batch, ascending; those of all ranks are the whole batch."""
        return np.arange(batch)[share(batch, rank, world)]

    def ids(self, start: int, stop: int) -> Ints:
        """Ids at the positions from `start` to before `stop`, int64."""
        return self.at(np.arange(start, stop))[0]


def _permuted(within: Ints, n: int, seed: int, number: int) -> Ints:
    return _permutation(n, seed, number)[within] if n <= _STORED else permuted(within, n, (seed, number))


@lru_cache(maxsize=8)
def _permutation(n: int, seed: int, number: int) -> Ints:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number]))).permutation(n)
