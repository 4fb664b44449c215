"""A random forest as a baseline."""

from typing import Any

import numpy as np

from sdm_ray.baselines.config import ForestConfig
from sdm_ray.models.species_losses import UNKNOWN

_ROWS_AT_ONCE = 20_000  # rows predicted at a time: bounds the forest's memory


class Forest:
    """A random forest for all species together.

    Its regression trees split labels 0 and 1 by variance, which is half the Gini impurity, and their leaves hold
    prevalences: the forest is the same as one of classification trees, in half the memory. A missing covariate is
    imputed by the median of the training rows. Where labels are unknown, each species has a forest of its own, fitted
    to its known labels, presences weighing as much as absences.
    """

    _imputer: Any  # fitted on the training rows

    def __init__(self, config: ForestConfig, seed: int, threads: int) -> None:
        self.name = f"{'extra trees' if config.extra else 'random forest'}, {config.features}"
        self._extra = config.extra
        self._settings = {
            "n_estimators": config.trees,
            "max_features": config.max_features,
            "min_samples_leaf": config.min_samples_leaf,
            "n_jobs": threads,
            "random_state": seed,
        }
        self._models: list[Any] = []

    def fit(self, x: np.ndarray, labels: np.ndarray, train: np.ndarray, validation: np.ndarray) -> None:
        """Fit on `train`; a forest needs no validation rows."""
        from sklearn.impute import SimpleImputer

        self._imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(x[train])
        if not (labels[train] == UNKNOWN).any():
            model = self._forest()
            self._models = [model.fit(self._imputer.transform(x[train]), labels[train].astype(np.float32))]
            return
        for label in labels.T:
            rows = train[label[train] != UNKNOWN]
            present = label[rows].astype(np.float32)
            weight = np.where(present, max(1, (1 - present).sum()), max(1, present.sum()))
            self._models.append(self._forest().fit(self._imputer.transform(x[rows]), present, weight))

    def _forest(self) -> Any:  # noqa: ANN401 - of scikit-learn
        from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

        return (ExtraTreesRegressor if self._extra else RandomForestRegressor)(**self._settings)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, S) float32."""
        found = []
        for start in range(0, len(x), _ROWS_AT_ONCE):
            part = self._imputer.transform(x[start : start + _ROWS_AT_ONCE])
            each = [model.predict(part).astype(np.float32).reshape(len(part), -1) for model in self._models]
            found.append(np.concatenate(each, axis=1))
        return np.concatenate(found)
