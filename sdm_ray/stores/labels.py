"""Which species a survey holds, kept sparse until a batch is made."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SparseLabels:
    """Sets of species in compressed rows.

    Attributes:
        indptr: where the species of row i begin, (N + 1,) int64.
        indices: species of all rows one after the other, int32.
        n_species: number of species.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    n_species: int

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int] | NDArray[np.int32]], n_species: int) -> "SparseLabels":
        """From one list of species numbers per survey; a species named twice counts once."""
        sets = [np.unique(np.asarray(each, np.int32)) for each in lists]
        indptr = np.concatenate([[0], np.cumsum([len(each) for each in sets], dtype=np.int64)])
        indices = np.concatenate(sets) if sets else np.empty(0, np.int32)
        return cls(indptr.astype(np.int64), indices.astype(np.int32), n_species)

    @classmethod
    def none(cls, count: int, n_species: int) -> "SparseLabels":
        """Of so many surveys without any species."""
        return cls(np.zeros(count + 1, np.int64), np.empty(0, np.int32), n_species)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def rows(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The presences of some surveys: position in `ids`, and species."""
        counts = self.indptr[ids + 1] - self.indptr[ids]
        position = np.repeat(np.arange(len(ids)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return position, self.indices[np.repeat(self.indptr[ids], counts) + within]

    def dense(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Presence and absence of some surveys, (len(ids), n_species)."""
        out = np.zeros((len(ids), self.n_species), np.uint8)
        out[self.rows(ids)] = 1
        return out

    def counts(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """In how many of some surveys each species is present, and in how many absent, (n_species,) each."""
        present = np.bincount(self.rows(ids)[1], minlength=self.n_species)
        return present, len(ids) - present

    def sets(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """A number for the set of species of each of some surveys; equal sets have equal numbers."""
        named = [self.indices[self.indptr[i] : self.indptr[i + 1]].tobytes() for i in ids]
        return np.unique(np.array(named, object), return_inverse=True)[1]
