"""What stands for a missing covariate in a baseline that needs them all."""

import numpy as np


class Medians:
    """Medians of the columns of training rows, (n, F); 0 for a column that is nowhere known."""

    def __init__(self, x: np.ndarray) -> None:
        self._values = np.ma.median(np.ma.masked_invalid(x), axis=0).filled(0).astype(np.float32)

    def fill(self, x: np.ndarray) -> np.ndarray:
        """(n, F) with the medians where a value is missing."""
        return np.where(np.isfinite(x), x, self._values)
