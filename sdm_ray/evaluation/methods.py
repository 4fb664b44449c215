"""Predictions of the compared methods at the surveys: cross-fitted maps, and baselines fitted in the same folds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdm_ray.baselines.base import feature_matrix
from sdm_ray.errors import InputError
from sdm_ray.evaluation import held_out_data
from sdm_ray.evaluation.config import EvaluateConfig
from sdm_ray.evaluation.folds import BaselineData, Fold, cross_fit
from sdm_ray.evaluation.map_checks import require_held_out
from sdm_ray.evaluation.scores import HeldOutSurveys
from sdm_ray.stores.holdout import HoldOut
from sdm_ray.stores.maps import Map

Predictions = dict[str, np.ndarray]
"""Method -> probabilities or suitabilities, (N, S)."""


def map_predictions(
    config: EvaluateConfig, surveys: HeldOutSurveys, maps: Mapping[str, str], holdout: HoldOut
) -> tuple[Predictions, int]:
    """Each map at the surveys, NaN where its cell has no value or one of another fold than the survey.

    A cell lies in another fold than its survey where the survey names another country than the land store.

    Args:
        config: of the job.
        surveys: the surveys.
        maps: label -> name of the map.
        holdout: what the maps' models held out together.

    Returns:
        The predictions, and the number of surveys whose cell in any map belongs to another fold.

    Raises:
        InputError: a map may not be scored at the surveys, or lacks a species.
    """
    found, others = {}, np.zeros(len(surveys.x), bool)
    own = holdout.fold(surveys.x, surveys.y, surveys.country)
    for label, name in maps.items():
        path = config.path(name)
        require_held_out(path, holdout)
        found[label] = held_out_data.map_at(path, surveys.x, surveys.y, surveys.species)
        grid = Map(path).grid
        other = holdout.fold(*grid.centre(*grid.cell(surveys.x, surveys.y))) != own
        found[label][other] = np.nan
        others |= other
    return found, int(others.sum())


def baseline_predictions(
    config: EvaluateConfig, surveys: HeldOutSurveys, folds: Sequence[Fold]
) -> tuple[Predictions, dict[str, list[dict[str, Any]]]]:
    """The baselines' predictions at what each fold holds out, and their settings in each fold."""
    covariates = held_out_data.covariates_at(config.path(config.covariates), surveys) if config.covariates else None
    features = {
        baseline.features: feature_matrix(baseline.features, surveys.lon, surveys.lat, covariates)
        for baseline in config.baselines
    }
    data = BaselineData(features, surveys.labels, surveys.block)
    return cross_fit(config.baselines, data, folds, seed=config.seed, threads=config.threads)


def where_all_predict(
    config: EvaluateConfig, surveys: HeldOutSurveys, predictions: Predictions
) -> tuple[HeldOutSurveys, Predictions, int]:
    """The surveys where every method has a value, the predictions there, and the number of surveys left out.

    Raises:
        InputError: more surveys are left out than `max_outside` allows.
    """
    known = np.all([np.isfinite(each).all(axis=1) for each in predictions.values()], axis=0)
    outside = int((~known).sum())
    if outside > config.max_outside * len(known):
        without = {label: int(np.isnan(each).any(axis=1).sum()) for label, each in predictions.items()}
        worst = max(without, key=lambda label: without[label])
        raise InputError(
            f"{config.path(config.maps.get(worst, worst))}: has no held-out value at {without[worst]} of {len(known)}"
            f" surveys, max_outside allows {config.max_outside:.0%}"
        )
    return surveys.rows(known), {label: each[known] for label, each in predictions.items()}, outside
