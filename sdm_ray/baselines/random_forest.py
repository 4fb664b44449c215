"""A random forest as a baseline."""

from typing import Any

import numpy as np

from sdm_ray.baselines.config import ForestConfig
from sdm_ray.baselines.medians import Medians
from sdm_ray.models.species_losses import UNKNOWN

_ROWS_AT_ONCE = 20_000  # rows predicted at a time: bounds the forest's memory


class Forest:
    """One random forest for all species.

    Regression trees on 0 and 1 split by variance, which is half the Gini impurity, and their leaves hold the
    share of positives: the same forest as of classification trees, in half the memory. A missing covariate
    gets the median of the training rows. Where labels are unknown, a forest for each species on the rows that are
    known of it, its presences weighing as much as its absences.
    """

    _medians: Medians  # of the rows that it was fitted on

    def __init__(self, config: ForestConfig, seed: int, threads: int) -> None:
        self.name = f"random forest, {config.features}"
        self._settings = {
            "n_estimators": config.trees,
            "max_features": config.max_features,
            "min_samples_leaf": config.min_samples_leaf,
            "n_jobs": threads,
            "random_state": seed,
        }
        self._models: list[Any] = []

    def fit(self, x: np.ndarray, labels: np.ndarray, train: np.ndarray, validation: np.ndarray) -> None:
        """Learn from `train`; a forest needs no rows to stop on."""
        from sklearn.ensemble import RandomForestRegressor

        self._medians = Medians(x[train])
        if not (labels[train] == UNKNOWN).any():
            model = RandomForestRegressor(**self._settings)
            self._models = [model.fit(self._medians.fill(x[train]), labels[train].astype(np.float32))]
            return
        for label in labels.T:
            rows = train[label[train] != UNKNOWN]
            present = label[rows].astype(np.float32)
            weight = np.where(present, max(1, (1 - present).sum()), max(1, present.sum()))
            self._models.append(
                RandomForestRegressor(**self._settings).fit(self._medians.fill(x[rows]), present, weight)
            )

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, S) float32."""
        found = []
        for start in range(0, len(x), _ROWS_AT_ONCE):
            part = self._medians.fill(x[start : start + _ROWS_AT_ONCE])
            each = [model.predict(part).astype(np.float32).reshape(len(part), -1) for model in self._models]
            found.append(np.concatenate(each, axis=1))
        return np.concatenate(found)
