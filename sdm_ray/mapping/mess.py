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
        """Similarity of places, float32 (N,), from their covariates (N, C); those that are NaN do not count."""
        nearest = np.full(len(values), len(self._sorted[0]))  # surveys beyond a cell, on the side with fewer of them
        outside = np.full(len(values), np.inf)
        for column, reference in enumerate(self._sorted):
            value = values[:, column]
            known = np.isfinite(value)
            below = np.searchsorted(reference, value, side="left")
            np.minimum(nearest, np.minimum(below, len(reference) - below), out=nearest, where=known)
            margin = np.minimum(value - reference[0], reference[-1] - value) / self._range[column]
            np.minimum(outside, margin, out=outside, where=known)
        # At the lowest and above the highest value no survey is beyond: the distance decides, 0 or less.
        within = 200 * nearest / self._sorted.shape[1]
        return np.where(nearest > 0, within, 100 * np.minimum(outside, 0)).astype(np.float32)
