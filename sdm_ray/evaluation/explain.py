"""Permutation importance and response curves of a species model, on held-out surveys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sdm_ray.errors import InputError
from sdm_ray.evaluation.config import EvaluateConfig, ExplainConfig
from sdm_ray.evaluation.folds import Fold
from sdm_ray.evaluation.scores import HeldOutSurveys
from sdm_ray.metrics.block_bootstrap import Interval, compare
from sdm_ray.model_io import LoadedModel, load_species_model, read_species_folder
from sdm_ray.models.batch import inputs_of, uses_covariates
from sdm_ray.progress import track
from sdm_ray.stores.covariates import Covariates

LOCATION = "location"
_UNCHANGED = "unchanged"
_ROWS = 8192
_CURVE_SURVEYS = 400  # surveys of each fold for a point of a curve


@dataclass(frozen=True)
class Tested:
    """A fold's model and surveys that it held out."""

    model: LoadedModel
    rows: np.ndarray  # row numbers of the surveys, (n,)
    lonlat: np.ndarray  # degrees, (n, 2)
    values: np.ndarray  # covariates, (n, C)
    known: np.ndarray  # which of them are known, (n, C)

    def predict(self, lonlat: np.ndarray, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Probabilities (n, S) at places, without images."""
        parts = []
        for start in range(0, len(lonlat), _ROWS):
            part = slice(start, start + _ROWS)
            with torch.inference_mode():
                batch = inputs_of(self.model.config, lonlat[part], values[part], known[part])
                parts.append(self.model.model.probabilities(batch).numpy())
        return np.concatenate(parts)


def read_tested(
    config: EvaluateConfig, explained: ExplainConfig, surveys: HeldOutSurveys, folds: Sequence[Fold]
) -> list[Tested]:
    """The fold models of a folder, each with a sample of its fold's test surveys.

    Raises:
        InputError: the fold models are missing or of other blocks, have other species, or use covariates that the store
            does not have.
    """
    assert config.covariates is not None
    path, covariates, blocks = config.path(explained.model), config.path(config.covariates), config.held_out_blocks
    about = read_species_folder(path)
    if about.folds != len(folds):
        raise InputError(f"{path}: has {about.folds} fold models, expected {len(folds)}, as `blocks` has folds")
    if about.countries or about.blocks != blocks:
        held_out = "countries" if about.countries else about.blocks
        raise InputError(f"{path}: its fold models held out {held_out}, expected {blocks} as configured")
    if (names := about.species["name"].tolist()) != surveys.species:
        raise InputError(f"{path}: its {len(names)} species are not the {len(surveys.species)} of the map")
    reason = f", which {path} was trained with"
    store = Covariates(covariates).select(about.config.covariates, reason, about.embeddings)
    found = []
    for number, fold in enumerate(folds):
        drawn = np.random.default_rng([config.seed, number]).permutation(fold.test)[: explained.surveys // len(folds)]
        rows = np.sort(drawn)
        values, known = store.at(surveys.x[rows], surveys.y[rows])
        lonlat = np.column_stack([surveys.lon[rows], surveys.lat[rows]])
        found.append(Tested(load_species_model(path, number), rows, lonlat, values, known))
    return found


def importance(
    tested: Sequence[Tested],
    surveys: HeldOutSurveys,
    groups: Mapping[str, Sequence[str]],
    *,
    seed: int,
    resamples: int,
    min_positives: int,
) -> dict[str, Interval]:
    """Permutation importance: decrease of macro AUC if an input is permuted between surveys, largest first.

    All other inputs are unchanged (Breiman 2001, Machine Learning 45:5). Covariates of a group are permuted together,
    since one of several correlated covariates can replace another. Intervals are from resampled blocks.

    Args:
        tested: fold models and surveys.
        surveys: all surveys.
        groups: name -> covariates that are permuted together; others are permuted one by one.
        seed: of the permutations.
        resamples: number of resamples.
        min_positives: fewest surveys with a species in the means.

    Raises:
        InputError: a group names a covariate that the model does not use.
    """
    names = list(tested[0].model.config.covariates)
    inputs = _inputs(names, groups, with_location=tested[0].model.config.location is not None)
    rows = np.concatenate([each.rows for each in tested])
    found = {_UNCHANGED: np.concatenate([each.predict(each.lonlat, each.values, each.known) for each in tested])}
    for name, columns in track(list(inputs.items()), len(inputs), "importance"):
        found[name] = np.concatenate([_permuted(each, columns, seed) for each in tested])
    compared = compare(
        surveys.labels[rows], found, surveys.block[rows], seed=seed, resamples=resamples, min_positives=min_positives
    )
    pairs = compared.differences["auc"]
    drops = {second: drop for (first, second), drop in pairs.items() if first == _UNCHANGED}
    return dict(sorted(drops.items(), key=lambda item: -item[1].value))


def responses(tested: Sequence[Tested], species: Sequence[str], steps: int, seed: int) -> pd.DataFrame:
    """Response curves: mean probability of each species with one covariate set to a value at all surveys.

    Partial dependence (Friedman 2001, Annals of Statistics 29:1189) on held-out surveys, between the 2nd and the 98th
    percentile of a covariate.

    Returns:
        Rows of `covariate`, `value`, `species`, `mean` over the fold models, and their `low` and `high`.
    """
    names = tested[0].model.config.covariates
    values = np.concatenate([np.where(each.known, each.values, np.nan) for each in tested])
    tables = []
    for column, name in track(list(enumerate(names)), len(names), "responses"):
        low, high = np.nanpercentile(values[:, column], [2, 98])
        points = np.linspace(low, high, steps)
        curves = np.stack([_curve(each, column, points, seed) for each in tested])  # (folds, points, S)
        index = pd.MultiIndex.from_product([[name], points, species], names=["covariate", "value", "species"])
        parts = {"mean": curves.mean(0), "low": curves.min(0), "high": curves.max(0)}
        tables.append(pd.DataFrame({key: part.ravel() for key, part in parts.items()}, index).reset_index())
    columns = ["covariate", "value", "species", "mean", "low", "high"]
    return pd.concat(tables) if tables else pd.DataFrame(columns=columns)


def _inputs(names: list[str], groups: Mapping[str, Sequence[str]], *, with_location: bool) -> dict[str, list[int]]:
    """Input -> columns of the covariates; none for the location."""
    for group, members in groups.items():
        unknown = [name for name in members if name not in names]
        if unknown:
            raise InputError(f"explain.groups.{group}: the model uses no {unknown[0]}; found {', '.join(names)}")
    grouped = {name for members in groups.values() for name in members}
    found: dict[str, list[int]] = {LOCATION: []} if with_location else {}
    found |= {group: [names.index(name) for name in members] for group, members in groups.items()}
    return found | {name: [column] for column, name in enumerate(names) if name not in grouped}


def _permuted(each: Tested, columns: list[int], seed: int) -> np.ndarray:
    """Predictions with some covariates, or the locations, permuted between surveys."""
    order = np.random.default_rng(seed).permutation(len(each.rows))
    if not columns:
        return each.predict(each.lonlat[order], each.values, each.known)
    values = each.values.copy()
    known = np.asarray(each.known[:, columns].all(axis=1))
    others = order[known[order]]
    for column in columns:
        values[known, column] = each.values[others, column]
    return each.predict(each.lonlat, values, each.known)


def _curve(each: Tested, column: int, points: np.ndarray, seed: int) -> np.ndarray:
    """Mean probabilities (points, S) with a covariate set to each of some values."""
    known = uses_covariates(each.model.config, each.known)
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(known))[:_CURVE_SURVEYS]
    values = np.tile(each.values[rows], (len(points), 1))
    values[:, column] = np.repeat(points, len(rows))
    shown = np.tile(each.known[rows], (len(points), 1))
    shown[:, column] = True
    found = each.predict(np.tile(each.lonlat[rows], (len(points), 1)), values, shown)
    return np.asarray(found.reshape(len(points), len(rows), -1).mean(axis=1))
