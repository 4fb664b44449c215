"""Sums over the species of a cell, taken block of species by block, so that memory does not grow with their number.

Every indicator is a function of such sums (see `formulas`), each of a weight of the species times a term of its
probability p: sum_j w_j term(p_j).
"""

from collections.abc import Mapping
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
        full = np.ones(self.count) if weights is None else weights
        self.rows.setdefault(term, {})[name] = np.asarray(full, np.float32)


TERMS = (
    "p", "v", "sqrt p",
    "count", "share p", "share v", "p log p", "v log p", "v log2 p", "v p", "v p2",
)  # fmt: skip
"""Terms of a probability p, with v = p (1 - p). From `count` on, of probabilities that reach the floor alone."""
_OF_SHARES = frozenset(TERMS[TERMS.index("count") :])


def terms(p: Floats, wanted: Mapping[str, object], floor: float = 0) -> dict[str, Floats]:
    """Terms of probabilities.

    Args:
        p: (K, N).
        wanted: names of terms.
        floor: probabilities below it count as 0 in the terms of shares.

    Returns:
        name -> (K, N).
    """
    found = {"p": p, "v": p - p * p}
    if "sqrt p" in wanted:
        found["sqrt p"] = np.sqrt(p)
    if not _OF_SHARES.isdisjoint(wanted):
        found |= _share_terms(p, found["v"], wanted, floor)
    return {name: found[name] for name in wanted}


def _share_terms(p: Floats, v: Floats, wanted: Mapping[str, object], floor: float) -> dict[str, Floats]:
    reached = p >= np.float32(floor) if floor > 0 else p > 0
    found = {"share p": p, "share v": v}
    if floor > 0:
        found = {"share p": p * reached, "share v": v * reached}
    share, v = found["share p"], found["share v"]
    if "count" in wanted:
        found["count"] = reached.astype(np.float32)
    if "p log p" in wanted or "v log p" in wanted:
        log = np.log(np.maximum(p, np.float32(1e-30)))
        found["p log p"], found["v log p"] = share * log, v * log
        found["v log2 p"] = found["v log p"] * log
    if "v p" in wanted or "v p2" in wanted:
        found["v p"] = v * p
        found["v p2"] = found["v p"] * p
    return found


class CellSums:
    """Sums over the species of some cells.

    Attributes:
        dominant: number of the most probable species of each cell, int32 (N,).
        dominant_probability: its probability, (N,).
    """

    def __init__(self, needs: Needs, cells: int, floor: float = 0) -> None:
        self._needs, self._floor = needs, floor
        self._weights = {term: np.stack(list(rows.values())) for term, rows in needs.rows.items()}
        self._sums = {term: np.zeros((len(rows), cells), np.float32) for term, rows in self._weights.items()}
        self.dominant = np.zeros(cells, np.int32)
        self.dominant_probability = np.full(cells, -1, np.float32)

    def add(self, p: Floats, species: slice, cells: slice = slice(None)) -> None:
        """Add the probabilities of a block of species in some of the cells, (K, N)."""
        for term, values in terms(p, self._weights, self._floor).items():
            self._sums[term][:, cells] += self._weights[term][:, species] @ values
        if self._needs.dominant:
            self._find_dominant(p, species, cells)

    def __getitem__(self, key: tuple[str, str]) -> Floats:
        """The sum of a term under its name, (N,)."""
        term, name = key
        return self._sums[term][list(self._needs.rows[term]).index(name)]

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
        self.dominant[cells][better] = allowed[p[:, better].argmax(axis=0)]
