"""Gains, losses and turnover of species between two maps, from probabilities.

For a species with probability p before and p' after, the probability that it is there both times is not known from the
two maps. Two bounds are given:

- what must change at least (presences persist as far as the probabilities allow): gain max(p' - p, 0), loss
  max(p - p', 0). The Sorensen dissimilarity of these expectations, (b + c) / (2 a + b + c) with a = sum of min(p, p'),
  is the Bray-Curtis dissimilarity of the probabilities, sum |p' - p| / sum (p + p') (Bray and Curtis 1957);
- what changes if presences before and after are independent given the probabilities: the same ratio with a = sum of
  p p', b + c = sum of p + p' - 2 p p' (Sorensen 1948; Baselga 2010, Global Ecology and Biogeography 19:134). It is
  not 0 for two equal maps unless all probabilities are 0 or 1.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Turnover:
    """Sums over species at places, block by block of species.

    Attributes:
        before: expected richness before.
        after: likewise after.
        gain: sum over species of the probability gained.
        loss: of the probability lost.
        both: sum of p p'.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        zeros = np.zeros((5, *shape), np.float32)
        self.before: Array = zeros[0]
        self.after: Array = zeros[1]
        self.gain: Array = zeros[2]
        self.loss: Array = zeros[3]
        self.both: Array = zeros[4]

    def add(self, before: Array, after: Array) -> None:
        """Add a species, of the shape of the places."""
        difference = after - before
        self.before += before
        self.after += after
        self.gain += np.maximum(difference, 0)
        self.loss -= np.minimum(difference, 0)
        self.both += before * after

    @property
    def change(self) -> Array:
        """Expected richness after minus before."""
        return np.asarray(self.after - self.before, np.float32)

    @property
    def bray_curtis(self) -> Array:
        """Least turnover, 0 to 1; 0 where no species is expected."""
        return _ratio(self.gain + self.loss, self.before + self.after)

    @property
    def sorensen(self) -> Array:
        """Turnover if presences before and after are independent, 0 to 1; 0 where no species is expected."""
        return _ratio(self.before + self.after - 2 * self.both, self.before + self.after)

    def figures(self) -> dict[str, Array]:
        """All of them by name."""
        return {
            "richness_change": self.change,
            "gains": self.gain,
            "losses": self.loss,
            "bray_curtis": self.bray_curtis,
            "sorensen": self.sorensen,
        }


def _ratio(part: Array, whole: Array) -> Array:
    found: Array = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return found
