"""Surveys with few known occurrences: drawn ones are present, a background is absent, the rest unknown.

All labels of the common species may be known all the same: rare ones can borrow from them.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sdm_ray.models.species_losses import UNKNOWN
from sdm_ray.stores.labels import SparseLabels


@dataclass(frozen=True)
class FewLabels:
    """Labels of surveys most of which are unknown; see `stores.labels.SparseLabels`.

    Attributes:
        full: what the surveys truly hold.
        drawn: the occurrences that are known.
        background: whether a survey's absences are known, (N,).
        common: species of which everything is known, (S,); None for none.
    """

    full: SparseLabels = field(repr=False)
    drawn: SparseLabels = field(repr=False)
    background: NDArray[np.bool_] = field(repr=False)
    common: NDArray[np.bool_] | None = field(default=None, repr=False)

    @property
    def n_species(self) -> int:
        """Number of species."""
        return self.full.n_species

    def dense(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """1 where known to be present, 0 where known to be absent, else `UNKNOWN`; uint8 (len(ids), n_species)."""
        full = self.full.dense(ids)
        absent = self.background[ids, None] & (full == 0)
        found = np.where(absent, np.uint8(0), np.uint8(UNKNOWN))
        found[self.drawn.rows(ids)] = 1
        return found if self.common is None else np.where(self.common, full, found)

    def counts(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """In how many of some surveys each species is known to be present, and in how many absent, (n_species,)."""
        present, absent = self.drawn.counts(ids)[0], self.full.counts(ids[self.background[ids]])[1]
        if self.common is None:
            return present, absent
        every = self.full.counts(ids)
        return np.where(self.common, every[0], present), np.where(self.common, every[1], absent)


def commonest(labels: SparseLabels, count: int) -> NDArray[np.bool_]:
    """The species with the most surveys, bool (S,)."""
    found = np.zeros(labels.n_species, bool)
    found[np.argsort(-labels.counts(np.arange(len(labels)))[0], kind="stable")[:count]] = True
    return found


def draw(
    labels: SparseLabels, rows: NDArray[np.int64], shots: int, background: int, seed: int
) -> tuple[FewLabels, NDArray[np.int64]]:
    """Draw occurrences of each species, and surveys whose absences are known.

    With the same seed fewer occurrences are a part of more, and the background is the same.

    Args:
        labels: of all surveys.
        rows: numbers of the surveys to draw from.
        shots: occurrences of each species, or all where it has fewer.
        background: surveys.
        seed: of the draw.

    Returns:
        The labels, and the surveys that anything is known of, ascending.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(rows)
    known = np.zeros(len(labels), bool)
    known[rng.permutation(rows)[:background]] = True
    position, species = labels.rows(shuffled)
    first = np.lexsort((position, species))  # of each species, its surveys in the shuffled order
    rank = np.arange(len(first)) - np.searchsorted(species[first], species[first])
    chosen = first[rank < shots]
    survey, named = shuffled[position[chosen]], species[chosen]
    order = np.lexsort((named, survey))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(survey, minlength=len(labels)))])
    drawn = SparseLabels(indptr.astype(np.int64), named[order].astype(np.int32), labels.n_species)
    return FewLabels(labels, drawn, known), np.union1d(survey, np.flatnonzero(known))
