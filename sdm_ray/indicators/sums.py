"""Sums over the species of a cell, taken block of species by block, so that memory does not grow with their number.

Every indicator is a function of such sums (see `formulas`), each of a weight of the species times a term of its
probability p: sum_j w_j term(p_j).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass
class Needs:
    """The sums that some indicators need.

    Attributes:
        count: number of species.
        rows: term -> name of a sum -> weights of the species, (S,).
        dominant: whether the most probable species is wanted.
        skip: species that are never the dominant one, bool (S,).
    """

    count: int
    rows: dict[str, dict[str, Floats]] = field(default_factory=dict)
    dominant: bool = False
    skip: NDArray[np.bool_] | None = None

    def add(self, term: str, name: str, weights: NDArray[np.floating] | None = None) -> None:
        """Ask for a sum.

        Args:
            term: one of `TERMS`.
            name: of the sum.
            weights: of the species, (S,); by default 1.
        """
        if term not in TERMS:
            raise ValueError(f"{term}: no such term; expected one of {', '.join(TERMS)}")
        if term in _OF_SHARES and weights is not None:
            raise ValueError(f"{term}: has the weight 1 for every species")
        full = np.ones(self.count) if weights is None else weights
        self.rows.setdefault(term, {})[name] = np.asarray(full, np.float32)


TERMS = (
    "p", "v", "sqrt p",
    "count", "share p", "share v", "p log p", "v log p", "v log2 p", "v p", "v p2",
)  # fmt: skip
"""Terms of a probability p, with v = p (1 - p). From `count` on, of probabilities that reach the floor alone."""
_OF_SHARES = frozenset(TERMS[TERMS.index("count") :])
_TINY = np.float32(1e-30)  # so that 0 log 0 is 0
_MOST_ACTIVE = 0.8  # share of the species that reach the floor somewhere, above which leaving out the others is no gain


class CellSums:
    """Sums over the species of some cells.

    Attributes:
        dominant: number of the most probable species of each cell, int32 (N,).
        dominant_probability: its probability, (N,).
    """

    def __init__(self, needs: Needs, cells: int, floor: float = 0) -> None:
        """Begin with sums of 0.

        Args:
            needs: the sums.
            cells: N.
            floor: probabilities below it count as 0 in the terms of shares.
        """
        self._needs, self._floor = needs, np.float32(floor)
        self._weights = {term: np.stack(list(rows.values())) for term, rows in needs.rows.items()}
        self._sums = {term: np.zeros((len(rows), cells), np.float32) for term, rows in self._weights.items()}
        self._shares = not _OF_SHARES.isdisjoint(self._weights)
        self._space = np.empty((2, 0), np.float32)
        self.dominant = np.zeros(cells, np.int32)
        self.dominant_probability = np.full(cells, -1, np.float32)

    def add(self, p: Floats, species: slice, cells: slice = slice(None)) -> None:
        """Add a block of species in some of the cells.

        Blocks that fit into a processor's cache, such as 64 species in 1,024 cells, are several times faster.

        Args:
            p: probabilities, (K, N); they are overwritten.
            species: their numbers.
            cells: their numbers.
        """
        if self._needs.dominant:
            self._find_dominant(p, species, cells)
        at = species, cells
        v, other = self._buffers(p.shape)
        self._add("p", p, at)
        self._add("v", _variance(p, v), at)
        if "sqrt p" in self._weights:
            self._add("sqrt p", np.sqrt(p, out=other), at)
        if self._shares:
            self._add_shares(p, at)

    def __getitem__(self, key: tuple[str, str]) -> Floats:
        """The sum of a term under its name, (N,)."""
        term, name = key
        return self._sums[term][list(self._needs.rows[term]).index(name)]

    def _add_shares(self, p: Floats, at: tuple[slice, slice]) -> None:
        if self._floor > 0:
            some = np.flatnonzero(p.max(axis=1) >= self._floor)
            if len(some) < _MOST_ACTIVE * len(p):
                p = p[some]
        reached = (p >= self._floor if self._floor > 0 else p > 0).astype(np.float32)
        self._add_share("count", _sum(reached), at)
        if self._floor > 0:
            np.multiply(p, reached, out=p)
        square, other = self._buffers(p.shape)
        np.multiply(p, p, out=square)
        first, second = _sum(p), _sum(square)
        self._add_share("share p", first, at)
        self._add_share("share v", first - second, at)  # v is p - p^2, so that its sums are differences of such of p
        if "v p" in self._weights:
            third = _product(p, square)
            self._add_share("v p", second - third, at)
            self._add_share("v p2", third - _product(square, square), at)
        if "p log p" in self._weights:
            log = np.log(np.add(p, _TINY, out=other), out=other)
            entropy = np.multiply(p, log, out=square)
            total = _sum(entropy)
            self._add_share("p log p", total, at)
            self._add_share("v log p", total - _product(p, entropy), at)
            self._add_share("v log2 p", _product(entropy, log) - _product(entropy, entropy), at)

    def _add_share(self, term: str, sums: Floats, at: tuple[slice, slice]) -> None:
        if term in self._weights:
            self._sums[term][0, at[1]] += sums

    def _add(self, term: str, values: Floats, at: tuple[slice, slice]) -> None:
        if term in self._weights:
            species, cells = at
            weights, sums = self._weights[term], self._sums[term]
            if len(weights) == 1:
                sums[0, cells] += weights[0, species] @ values
            else:
                sums[:, cells] += weights[:, species] @ values

    def _buffers(self, shape: tuple[int, ...]) -> list[Floats]:
        """Two arrays to work in, which are kept: fresh ones would cost more than the arithmetic."""
        size = shape[0] * shape[1]
        if self._space.shape[1] < size:
            self._space = np.empty((2, size), np.float32)
        return [each[:size].reshape(shape) for each in self._space]

    def _find_dominant(self, p: Floats, species: slice, cells: slice) -> None:
        allowed = np.arange(species.start, species.stop)
        if self._needs.skip is not None and self._needs.skip[species].any():
            allowed = allowed[~self._needs.skip[species]]
            p = p[allowed - species.start]
        if not len(allowed):
            return
        highest, before = p.max(axis=0), self.dominant_probability[cells]
        better = np.flatnonzero(highest > before)
        before[better] = highest[better]
        self.dominant[cells][better] = allowed[_first_at(p, highest)[better]]


def counted(flags: NDArray[np.bool_]) -> NDArray[np.integer]:
    """How many of the flags of each column are set, (N,); several times faster than `numpy.count_nonzero`."""
    small = len(flags) <= np.iinfo(np.uint8).max
    return np.add.reduce(flags.view(np.uint8), axis=0, dtype=np.uint8 if small else np.uint32)


def _sum(values: Floats) -> Floats:
    """Sums over species, (N,)."""
    found: Floats = np.ones(len(values), np.float32) @ values
    return found


def _product(one: Floats, other: Floats) -> Floats:
    """Sums over species of a product, (N,), without an array of the products."""
    return np.asarray(np.einsum("kn,kn->n", one, other), np.float32)


def _first_at(p: Floats, highest: Floats) -> NDArray[np.int64]:
    """Row of the first number of each column that is the highest, (N,); faster than `argmax`, which steps over rows."""
    rows = np.stack([np.ones(len(p)), np.arange(len(p))]).astype(np.float32)
    count, number = rows @ (p == highest).astype(np.float32)
    found = number.astype(np.int64)
    several = np.flatnonzero(count > 1)
    found[several] = p[:, several].argmax(axis=0)
    return found


def _variance(p: Floats, out: Floats) -> Floats:
    """Writes p (1 - p) to another array."""
    np.multiply(p, p, out=out)
    return np.subtract(p, out, out=out)
