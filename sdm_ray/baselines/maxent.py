"""MaxEnt by elapid as a baseline for presence-only records."""

from typing import Any

import numpy as np

from sdm_ray.baselines.config import MaxentConfig
from sdm_ray.errors import InputError
from sdm_ray.models.species_losses import UNKNOWN

_FEWEST = 2  # fewest presences that elapid can fit


class Maxent:
    """A MaxEnt model for each species: its presences against a background (Phillips et al. 2017, as elapid fits it).

    Predictions are relative suitabilities, by the complementary log-log. The background of a species is the rows where
    it is known to be absent or, where labels are complete, a random sample of all training rows. A missing covariate
    is imputed by the median of the training rows.
    """

    _imputer: Any  # fitted on the training rows

    def __init__(self, config: MaxentConfig, seed: int, threads: int) -> None:
        try:
            from elapid import MaxentModel
        except ImportError:
            raise InputError("baselines: maxent needs elapid; `uv sync --extra baselines` adds it") from None
        self.name = f"MaxEnt, {config.features}"
        self._config, self._seed = config, seed
        self._make = lambda: MaxentModel(
            feature_types=list(config.feature_types),
            beta_multiplier=config.beta_multiplier,
            n_cpus=threads,
            random_state=seed,
        )
        self._models: list[Any] = []

    def fit(self, x: np.ndarray, labels: np.ndarray, train: np.ndarray, validation: np.ndarray) -> None:
        """Fit on `train`; elapid chooses the regularisation."""
        from sklearn.impute import SimpleImputer

        self._imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(x[train])
        drawn = np.random.default_rng(self._seed).permutation(train)[: self._config.background]
        for label in labels.T:
            present = train[label[train] == 1]
            incomplete = (label[train] == UNKNOWN).any()
            background = train[label[train] == 0] if incomplete else drawn
            if len(present) < _FEWEST or not len(background):
                self._models.append(None)
                continue
            rows = np.concatenate([present, background])
            model = self._make()
            model.fit(
                self._imputer.transform(x[rows]).astype(np.float64), np.repeat([1, 0], [len(present), len(background)])
            )
            self._models.append(model)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Relative suitabilities (n, S) float32; 0 for a species with too few presences or no background."""
        whole = self._imputer.transform(x).astype(np.float64)
        parts = [np.zeros(len(x)) if model is None else model.predict(whole) for model in self._models]
        return np.stack(parts, axis=1).astype(np.float32)
