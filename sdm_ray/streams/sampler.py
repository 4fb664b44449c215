"""The order of training: a pure function of the seed, the same for any number of ranks.

Training walks through *positions* 0, 1, 2, … Pass p covers positions p*n to (p+1)*n - 1 with a permutation of the
n rows that depends on (seed, p) alone. Step k takes positions k*batch to (k+1)*batch - 1; a batch may span two
passes, so every batch is full. A rank takes a slice of each batch. Example with n = 5, batch = 3, two ranks:

    pass     |----- 0 -----|----- 1 -----|
    id        3  0  4  1  2  2  4  0  3  1
    step     |-- 0 --|-- 1 --|-- 2 --|
    rank      0  1  1  0  1  1  0  1  1
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Sampler:
    """Concatenated permutations of `n` rows.

    Attributes:
        n: number of rows.
        seed: any number >= 0.
        shuffled: False gives 0, 1, …, n - 1 in every pass.
    """

    n: int
    seed: int
    shuffled: bool = True

    def at(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids and passes at positions, both int64, shaped as `positions`."""
        positions = np.asarray(positions, np.int64)
        epochs, within = np.divmod(positions, self.n)
        if not self.shuffled:
            return within, epochs
        ids = np.empty_like(positions)
        for number in np.unique(epochs):
            chosen = epochs == number
            ids[chosen] = _permutation(self.n, self.seed, int(number))[within[chosen]]
        return ids, epochs

    def ids(self, start: int, stop: int) -> np.ndarray:
        """Ids at the positions from `start` to before `stop`, int64."""
        return self.at(np.arange(start, stop))[0]


def share(batch: int, rank: int, world: int) -> slice:
    """A rank's part of a global batch; the parts of all ranks tile it."""
    return slice(batch * rank // world, batch * (rank + 1) // world)


@lru_cache(maxsize=8)
def _permutation(n: int, seed: int, number: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number]))).permutation(n)
