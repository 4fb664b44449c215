"""How far a cell's covariates are from those that the model was trained on."""

import numpy as np


class Similarity:
    """The multivariate environmental similarity surface, MESS (Elith, Kearney and Phillips 2010).

    100 where a cell is as ordinary as can be among the surveys, 0 at the edge of their range in any covariate; a
    negative figure says by how many percent of that range the worst covariate lies outside it.

    Args:
        reference: covariates at the surveys, (R, C).
    """

    def __init__(self, reference: np.ndarray) -> None:
        self._sorted = np.sort(np.ascontiguousarray(reference.T), axis=1)  # a search in strided columns copies them
        low, high = self._sorted[:, 0], self._sorted[:, -1]
        self._range = np.where(high > low, high - low, 1)

    def of(self, values: np.ndarray) -> np.ndarray:
        """Similarity of places, float32 (N,), from their covariates (N, C)."""
        worst = np.full(len(values), np.inf)
        for column, reference in enumerate(self._sorted):
            value = values[:, column]
            below = np.searchsorted(reference, value, side="left") / len(reference)
            within = 200 * np.minimum(below, 1 - below)
            outside = 100 * np.minimum(value - reference[0], reference[-1] - value) / self._range[column]
            # At the lowest and above the highest value the share below is 0 or 1: the distance decides, 0 or less.
            worst = np.minimum(worst, np.where((below == 0) | (below == 1), np.minimum(outside, 0), within))
        return worst.astype(np.float32)
