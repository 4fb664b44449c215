"""Gradient-boosted trees as a baseline."""

from typing import Any

import numpy as np

from sdm_ray.baselines.config import BoostingConfig
from sdm_ray.models.species_losses import UNKNOWN

_FEW_ROUNDS, _FEW_IN_LEAF = 100, 5  # where labels are too few to stop early


class Boosting:
    """One LightGBM model for each species, all with the same bins; LightGBM handles missing values."""

    def __init__(self, config: BoostingConfig, seed: int, threads: int) -> None:
        self.name = f"gradient boosting, {config.features}"
        self._config = config
        self._params: dict[str, Any] = {
            "objective": "binary",
            "metric": "binary_logloss",
            "learning_rate": config.learning_rate,
            "num_leaves": config.num_leaves,
            "min_child_samples": config.min_child_samples,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": threads,
            "verbosity": -1,
            "feature_pre_filter": False,
        }
        self._models: list[Any] = []

    def fit(self, x: np.ndarray, labels: np.ndarray, train: np.ndarray, validation: np.ndarray) -> None:
        """Fit each species on `train` with early stopping on `validation`.

        A species with a single class in `train` is predicted by its prevalence there. One without presences in
        `validation` takes the median number of rounds of the others. Where labels are unknown, each species is fitted
        to its known labels, presences weighing as much as absences, for a fixed number of rounds.
        """
        import lightgbm

        if (labels[train] == UNKNOWN).any():
            self._models = [self._few(x, label, train) for label in labels.T]
            return
        data = lightgbm.Dataset(x[train], labels[train, 0], params=self._params, free_raw_data=False).construct()
        check = lightgbm.Dataset(
            x[validation], labels[validation, 0], reference=data, params=self._params, free_raw_data=False
        )
        share = labels[train].mean(axis=0)
        positives = np.count_nonzero(labels[validation], axis=0)
        self._models = [float(each) for each in share]
        rounds: list[int] = []
        fits = np.flatnonzero((share > 0) & (share < 1))
        # those that can be stopped come first, so that the others can take their number of rounds
        for species in sorted(fits, key=lambda s: positives[s] == 0):
            data.set_label(labels[train, species])
            stop = positives[species] > 0
            if stop:
                check.set_label(labels[validation, species])
            limit = self._config.max_rounds
            model = lightgbm.train(
                self._params,
                data,
                num_boost_round=limit if stop or not rounds else int(np.median(rounds)),
                valid_sets=[check] if stop else None,
                callbacks=[lightgbm.early_stopping(self._config.patience, verbose=False)] if stop else None,
            )
            if stop:
                rounds.append(model.best_iteration)
            self._models[species] = model

    def _few(self, x: np.ndarray, label: np.ndarray, train: np.ndarray) -> Any:  # noqa: ANN401 - LightGBM's or a number
        import lightgbm

        rows = train[label[train] != UNKNOWN]
        present = label[rows] == 1
        if present.all() or not present.any():
            return float(present.mean()) if len(rows) else 0.0
        weight = np.where(present, (~present).sum(), present.sum())
        params = self._params | {"min_child_samples": min(_FEW_IN_LEAF, self._config.min_child_samples)}
        data = lightgbm.Dataset(x[rows], present, weight=weight)
        return lightgbm.train(params, data, num_boost_round=min(_FEW_ROUNDS, self._config.max_rounds))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, S) float32."""
        found = np.empty((len(x), len(self._models)), np.float32)
        for species, model in enumerate(self._models):
            found[:, species] = model if isinstance(model, float) else model.predict(x)
        return found
