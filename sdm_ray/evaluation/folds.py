"""Folds of spatial blocks or of whole countries, and baselines cross-fitted in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import KDTree
from scipy.special import expit, logit

from sdm_ray.baselines.base import build_baseline, tuned
from sdm_ray.baselines.config import BaselineConfig, Features
from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks, Role
from sdm_ray.metrics.calibration_fit import fit_platt
from sdm_ray.progress import track
from sdm_ray.stores.holdout import HoldOut


@dataclass(frozen=True)
class Fold:
    """Row numbers of one fold by role."""

    name: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def check(self, labels: np.ndarray) -> None:
        """See that the fold has surveys to train and to test on, with presences and absences in both.

        Raises:
            InputError: there are none, or they hold a single class.
        """
        for use, rows in (("train", self.train), ("test", self.test)):
            if not len(rows):
                raise InputError(f"{self.name}: no {use} surveys; expected some: use larger or fewer folds")
            present = labels[rows].any(axis=0) & ~labels[rows].all(axis=0)
            if not present.any():
                raise InputError(
                    f"{self.name}: its {len(rows)} {use} surveys hold a single class (no species is present"
                    " in some and absent in others); use larger or fewer folds"
                )


def folds_of(x: np.ndarray, y: np.ndarray, holdout: HoldOut, named: np.ndarray | None = None) -> list[Fold]:
    """The folds of surveys, the same as of the models of a cross-fitted map.

    Folds without a country are left out: there may be fewer countries than folds.

    Args:
        x: (N,) EPSG:3035 metres.
        y: (N,) EPSG:3035 metres.
        holdout: blocks or countries that are held out together.
        named: (N,) country that each survey names, "" for none; None where none is named.
    """
    numbers: Sequence[int] = range(holdout.blocks.folds)
    if holdout.countries is not None:
        numbers = np.unique(holdout.fold(x, y, named)).tolist()
    return [_fold(f"fold {held_out}", holdout.role(x, y, held_out, named)) for held_out in numbers]


def _fold(name: str, roles: np.ndarray) -> Fold:
    return Fold(name, *(np.flatnonzero(roles == each) for each in (Role.TRAIN, Role.VALIDATION, Role.TEST)))


@dataclass(frozen=True)
class BaselineData:
    """What baselines are fitted by.

    Attributes:
        features: kind of features -> (N, F).
        labels: (N, S) of 0 and 1.
        block: (N,) number of the spatial block of each row.
    """

    features: Mapping[Features, np.ndarray]
    labels: np.ndarray
    block: np.ndarray


def cross_fit(
    baselines: Sequence[BaselineConfig],
    data: BaselineData,
    folds: Sequence[Fold],
    *,
    seed: int,
    threads: int,
) -> tuple[dict[str, np.ndarray], dict[str, list[dict[str, Any]]]]:
    """Fit each baseline in each fold and predict the test rows of the fold.

    Args:
        baselines: their settings.
        data: of all rows.
        folds: together they test every row that is to be predicted.
        seed: of the baselines.
        threads: for each fit.

    Returns:
        Name -> (N, S) float32 predictions, NaN for rows that no fold tests, and name -> the settings used, of each
        fold: with `tune` they are chosen on its own validation rows, since those of another fold may be its test rows.

    Raises:
        InputError: a fold is empty or holds a single class.
    """
    labels = data.labels
    for fold in folds:
        fold.check(labels)
    predictions: dict[str, np.ndarray] = {}
    settings: dict[str, list[dict[str, Any]]] = {}
    for config in baselines:
        x = data.features[config.features]
        found = np.full(labels.shape, np.nan, np.float32)
        name = build_baseline(config, seed, threads).name
        used = []
        for fold in track(folds, len(folds), f"{name}, fold"):
            own = config
            if config.tune:
                own = tuned(config, x, labels, fold.train, fold.validation, seed=seed, threads=threads)
            baseline = build_baseline(own, seed, threads, data.block)
            baseline.fit(x, labels, fold.train, fold.validation)
            found[fold.test] = baseline.predict(x[fold.test])
            used.append(own.model_dump())
        predictions[name], settings[name] = found, used
    return predictions, settings


def calibrated(
    predictions: Mapping[str, np.ndarray], labels: np.ndarray, folds: Sequence[Fold]
) -> dict[str, np.ndarray]:
    """Cross-fitted probabilities, each fold's calibrated by what the other folds' fits predict at their own rows.

    So are the models of `finetune` where folds are pooled: Platt scaling on out-of-fold predictions. A probability p
    of n rows is first drawn to (p (n - 1) + 1/2) / n, as the leaves of a forest may hold 0 (Smithson and Verkuilen
    2006, "A better lemon squeezer?").

    Args:
        predictions: method -> (N, S), NaN for rows that no fold tests.
        labels: (N, S) of 0 and 1.
        folds: that the predictions are of; with a single one they are returned as they are.
    """
    if len(folds) < 2:
        return dict(predictions)
    found = {}
    for method, each in predictions.items():
        scores = logit((each * (len(each) - 1) + 0.5) / len(each)).astype(np.float32)
        found[method] = np.full_like(each, np.nan)
        for fold in folds:
            others = np.concatenate([other.test for other in folds if other is not fold])
            scale, shift = fit_platt(scores[others], labels[others])
            found[method][fold.test] = expit(scale * scores[fold.test] + shift)
    return found


def held_out_by(blocks: Blocks, x: np.ndarray, y: np.ndarray, folds: Sequence[Fold]) -> dict[str, float | int | None]:
    """How surveys were held out, and distances from test surveys to the nearest training survey of their fold.

    At the edges of blocks without a buffer training surveys may lie next to test surveys: the 5th percentile of the
    distances shows how near they come.

    Args:
        blocks: settings of the folds.
        x: (N,) EPSG:3035 metres.
        y: (N,) EPSG:3035 metres.
        folds: the folds.
    """
    places = np.column_stack([x, y])
    found = [KDTree(places[each.train]).query(places[each.test])[0] / 1000 for each in folds if len(each.train)]
    low, median = np.percentile(np.concatenate(found), [5, 50]) if found else (None, None)
    return {
        "block_km": blocks.size_m / 1000,
        "folds": len(folds),
        "buffer_km": blocks.buffer_m / 1000,
        "nearest_training_km": None if median is None else float(median),
        "nearest_training_km_p5": None if low is None else float(low),
    }
