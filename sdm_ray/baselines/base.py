"""What all baselines share: an interface, features, and a small grid of settings to choose from."""

from itertools import product
from typing import Protocol

import numpy as np

from sdm_ray.baselines.config import BaselineConfig, Features, ForestConfig, LogisticConfig, MaxentConfig
from sdm_ray.baselines.gradient_boosting import Boosting
from sdm_ray.baselines.logistic_regression import Logistic
from sdm_ray.baselines.maxent import Maxent
from sdm_ray.baselines.random_forest import Forest
from sdm_ray.errors import InputError
from sdm_ray.metrics.ranking import auc

_GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "forest": {"max_features": (0.15, 0.3, 0.6), "min_samples_leaf": (5, 10, 20)},
    "boosting": {"learning_rate": (0.05, 0.1), "num_leaves": (7, 15, 31), "min_child_samples": (20, 100)},
}


class Baseline(Protocol):
    """A method that is fitted on some rows and predicts probabilities of every species on others."""

    @property
    def name(self) -> str:
        """Method and features, as shown in tables."""
        ...

    def fit(self, x: np.ndarray, labels: np.ndarray, train: np.ndarray, validation: np.ndarray) -> None:
        """Fit on the rows `train`; choose the number of iterations on the rows `validation`.

        Args:
            x: features of all rows, (N, F).
            labels: 0, 1 or `models.species_losses.UNKNOWN`, (N, S).
            train: row numbers.
            validation: row numbers.
        """
        ...

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, S) float32."""
        ...


def feature_matrix(
    kind: Features, lon: np.ndarray, lat: np.ndarray, covariates: np.ndarray | None = None
) -> np.ndarray:
    """Features of surveys, float32 (N, F): coordinates, covariates, or both in this order.

    Args:
        kind: which features.
        lon: degrees, (N,).
        lat: degrees, (N,).
        covariates: (N, C), NaN where unknown.

    Raises:
        InputError: covariates are needed and none are given.
    """
    place = np.column_stack([lon, lat]).astype(np.float32)
    if kind == "coordinates":
        return place
    if covariates is None:
        raise InputError(f"baselines: features '{kind}' need covariates, the configuration names none")
    values = np.asarray(covariates, np.float32)
    return values if kind == "covariates" else np.hstack([place, values])


def build_baseline(config: BaselineConfig, seed: int, threads: int, blocks: np.ndarray | None = None) -> Baseline:
    """An unfitted baseline.

    Args:
        config: its settings.
        seed: of what it draws.
        threads: of a fit.
        blocks: number of the spatial block of each row that it is fitted by, (N,), where whole blocks are to choose
            its penalties; by default rows do.
    """
    if isinstance(config, ForestConfig):
        return Forest(config, seed, threads)
    if isinstance(config, LogisticConfig):
        return Logistic(config, blocks)
    if isinstance(config, MaxentConfig):
        return Maxent(config, seed, threads)
    return Boosting(config, seed, threads)


def tuned(
    config: BaselineConfig,
    x: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    *,
    seed: int,
    threads: int,
) -> BaselineConfig:
    """The settings, of a small fixed grid, with the highest macro AUC on the rows `validation`."""
    grid = _GRIDS[config.kind]
    best, best_score = config, -np.inf
    for values in product(*grid.values()):
        trial = config.model_copy(update=dict(zip(grid, values, strict=True)))
        baseline = build_baseline(trial, seed, threads)
        baseline.fit(x, labels, train, validation)
        each = auc(labels[validation], baseline.predict(x[validation]))
        score = np.nanmean(each) if np.isfinite(each).any() else -np.inf
        if score > best_score:
            best, best_score = trial, score
    return best
