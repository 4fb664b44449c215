"""The area of applicability of a map's model, from its surveys, folds and the importance of its covariates."""

import json

import numpy as np
import torch
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import fold, fold_of
from sdm_ray.geo.grid import to_xy
from sdm_ray.mapping import aoa
from sdm_ray.mapping.aoa_config import ApplicabilityConfig
from sdm_ray.mapping.config import CellsConfig
from sdm_ray.model_io import SpeciesFolder, load_species_model
from sdm_ray.models.batch import inputs_of
from sdm_ray.progress import say
from sdm_ray.stores.covariates import Covariates
from sdm_ray.stores.land import Land
from sdm_ray.stores.surveys import countries_named, read_surveys

_ROWS = 1000  # surveys at which covariates are permuted


def find(
    config: CellsConfig, settings: ApplicabilityConfig, model: SpeciesFolder, store: Covariates | None
) -> aoa.Applicability:
    """The area of applicability for a map.

    Raises:
        InputError: the model uses no covariates, they are unknown at too many surveys, or the evaluation has no
            importance of them.
    """
    if store is None or config.surveys is None:
        raise InputError(f"applicability: {config.path(config.model)} uses no covariates; expected a model that does")
    surveys, _ = read_surveys(config.path(config.surveys))
    x, y = to_xy(surveys["lon"].to_numpy(), surveys["lat"].to_numpy())
    values, each_known = store.at(x, y)
    known = each_known.all(axis=1)
    if known.sum() < 2:
        raise InputError(f"applicability: {store.path}: all covariates are known at {known.sum()} surveys; expected 2")
    if model.countries:
        land = Land(config.path(config.land))
        folds = fold_of(land.countries_of(x, y, countries_named(surveys)), model.blocks)
    else:
        folds = fold(x, y, model.blocks)
    lonlat = surveys[["lon", "lat"]].to_numpy(np.float64)[known]
    weights = _weights(config, settings, store.names, (lonlat, values[known]))
    try:
        found = aoa.fit(aoa.Reference(values[known], folds[known], weights), settings.most_surveys, config.seed)
    except ValueError as error:
        raise InputError(f"applicability: {error}; expected covariates that the model depends on") from None
    largest = np.argsort(-weights)[:3]
    named = ", ".join(f"{store.names[number]} {weights[number] / max(weights.max(), 1e-12):.2f}" for number in largest)
    say(
        f"map: area of applicability: dissimilarity up to {found.threshold:.3f} from {known.sum()} surveys,"
        f" {len(found.points)} searched{'' if found.exact else ' (a random part)'}; weights {named}"
    )
    return found


def _weights(
    config: CellsConfig, settings: ApplicabilityConfig, names: list[str], surveys: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    if settings.evaluation is not None:
        return _importance(config.path(settings.evaluation), names)
    if settings.weights == "equal":
        return np.ones(len(names))
    return sensitivity(config.path(config.model), *surveys, seed=config.seed)


def _importance(place: UPath, names: list[str]) -> np.ndarray:
    """Permutation importance out of an evaluation; 0 where it is negative.

    Raises:
        InputError: the evaluation did not explain the model, or lacks a covariate.
    """
    found = json.loads((place / "metrics.json").read_text()).get("importance")
    if found is None:
        raise InputError(f"applicability.evaluation: {place} has no importance; expected one with `explain`")
    if missing := [name for name in names if name not in found]:
        raise InputError(
            f"applicability.evaluation: {place} has no importance of {missing[0]}; expected `explain` without `groups`"
        )
    return np.array([max(found[name]["value"] or 0.0, 0.0) for name in names])


def sensitivity(model: UPath, lonlat: np.ndarray, values: np.ndarray, seed: int) -> np.ndarray:
    """Mean absolute change of a model's probabilities where a covariate is permuted between surveys, (C,).

    Permutation importance (Breiman 2001, Machine Learning 45:5) of the predictions themselves, so that it needs no
    held-out labels. All other inputs stay as they are.

    Args:
        model: folder.
        lonlat: of surveys, degrees, (R, 2).
        values: their covariates, all known, (R, C).
        seed: of the permutations.
    """
    numbers = np.random.default_rng(seed)
    rows = np.sort(numbers.permutation(len(values))[:_ROWS])
    loaded, lonlat, values = load_species_model(model), lonlat[rows], values[rows].astype(np.float32)
    known = np.ones(values.shape, bool)

    def probabilities(shown: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batch = inputs_of(loaded.config, lonlat, shown, known)
            return np.asarray(loaded.model.probabilities(batch).numpy(), np.float64)

    before = probabilities(values)
    found = np.zeros(values.shape[1])
    for column in range(values.shape[1]):
        permuted = values.copy()
        permuted[:, column] = numbers.permutation(values[:, column])
        found[column] = np.abs(probabilities(permuted) - before).mean()
    return found
