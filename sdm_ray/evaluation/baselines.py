"""The rivals: random forest and gradient boosting, fitted on the same rows as the model beside them."""

from itertools import product
from typing import Any, Protocol

import numpy as np

from sdm_ray.errors import InputError
from sdm_ray.evaluation.config import BoostingConfig, Features, ForestConfig
from sdm_ray.evaluation.metrics import auc

_ROWS_AT_ONCE = 20_000  # rows predicted at a time: bounds the forest's memory
_GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "forest": {"max_features": (0.15, 0.3, 0.6), "min_samples_leaf": (5, 10, 20)},
    "boosting": {"learning_rate": (0.05, 0.1), "num_leaves": (7, 15, 31), "min_child_samples": (20, 100)},
}


class Rival(Protocol):
    """What is fitted on some rows and predicts the probability of every species on others."""

    @property
    def name(self) -> str:
        """Method and features, as tables show it."""
        ...

    def fit(self, x: np.ndarray, labels: np.ndarray, train: np.ndarray, select: np.ndarray) -> None:
        """Learn from the rows `train`; choose how long to learn on the rows `select`."""
        ...

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, S) float32."""
        ...


def feature_matrix(
    kind: Features, lon: np.ndarray, lat: np.ndarray, covariates: np.ndarray | None = None
) -> np.ndarray:
    """Features (N, F) float32 of surveys: degrees, covariates (N, C), or both side by side.

    Raises:
        InputError: covariates are asked for and there are none.
    """
    place = np.column_stack([lon, lat]).astype(np.float32)
    if kind == "coordinates":
        return place
    if covariates is None:
        raise InputError(f"rivals: features '{kind}' need covariates, the configuration names none")
    values = np.asarray(covariates, np.float32)
    return values if kind == "covariates" else np.hstack([place, values])


class Forest:
    """One random forest for all species.

    Regression trees on 0 and 1 split by variance, which is half the Gini impurity, and their leaves hold the
    share of positives: the same forest as of classification trees, in half the memory. A missing covariate
    gets the median of the training rows.
    """

    def __init__(self, config: ForestConfig, seed: int, threads: int) -> None:
        from sklearn.ensemble import RandomForestRegressor

        self.name = f"random forest, {config.features}"
        self._median = np.zeros(0)
        self._model = RandomForestRegressor(
            config.trees,
            max_features=config.max_features,
            min_samples_leaf=config.min_samples_leaf,
            n_jobs=threads,
            random_state=seed,
        )

    def fit(self, x: np.ndarray, labels: np.ndarray, train: np.ndarray, select: np.ndarray) -> None:
        """Learn from `train`; a forest needs no rows to stop on."""
        known = np.ma.masked_invalid(x[train])
        self._median = np.ma.median(known, axis=0).filled(0).astype(np.float32)
        self._model.fit(self._whole(x[train]), labels[train].astype(np.float32))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, S) float32."""
        parts = [self._whole(x[start : start + _ROWS_AT_ONCE]) for start in range(0, len(x), _ROWS_AT_ONCE)]
        found = [self._model.predict(part).astype(np.float32).reshape(len(part), -1) for part in parts]
        return np.concatenate(found)

    def _whole(self, x: np.ndarray) -> np.ndarray:
        return np.where(np.isfinite(x), x, self._median)


class Boosting:
    """One LightGBM model a species over one common binning; it handles missing values itself."""

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

    def fit(self, x: np.ndarray, labels: np.ndarray, train: np.ndarray, select: np.ndarray) -> None:
        """Learn each species from `train` and stop on `select`.

        A species with one class in `train` gets its constant share. One with no positives in `select` learns
        for as many rounds as the median of the others.
        """
        import lightgbm

        data = lightgbm.Dataset(x[train], labels[train, 0], params=self._params, free_raw_data=False).construct()
        check = lightgbm.Dataset(x[select], labels[select, 0], reference=data, params=self._params, free_raw_data=False)
        share = labels[train].mean(axis=0)
        positives = np.count_nonzero(labels[select], axis=0)
        self._models = [float(each) for each in share]
        rounds: list[int] = []
        fits = np.flatnonzero((share > 0) & (share < 1))
        # those that can be stopped come first, so that the others can take their number of rounds
        for species in sorted(fits, key=lambda s: positives[s] == 0):
            data.set_label(labels[train, species])
            stop = positives[species] > 0
            if stop:
                check.set_label(labels[select, species])
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

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, S) float32."""
        found = np.empty((len(x), len(self._models)), np.float32)
        for species, model in enumerate(self._models):
            found[:, species] = model if isinstance(model, float) else model.predict(x)
        return found


def build_rival(config: ForestConfig | BoostingConfig, seed: int, threads: int) -> Rival:
    """An unfitted rival."""
    if isinstance(config, ForestConfig):
        return Forest(config, seed, threads)
    return Boosting(config, seed, threads)


def tuned(
    config: ForestConfig | BoostingConfig,
    x: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    select: np.ndarray,
    *,
    seed: int,
    threads: int,
) -> ForestConfig | BoostingConfig:
    """The configuration of the small fixed grid with the highest macro AUC on the rows `select`."""
    grid = _GRIDS[config.kind]
    best, best_score = config, -np.inf
    for values in product(*grid.values()):
        trial = config.model_copy(update=dict(zip(grid, values, strict=True)))
        rival = build_rival(trial, seed, threads)
        rival.fit(x, labels, train, select)
        each = auc(labels[select], rival.predict(x[select]))
        score = np.nanmean(each) if np.isfinite(each).any() else -np.inf
        if score > best_score:
            best, best_score = trial, score
    return best
