"""Surveys whose probabilities are wrong in a known way: correlated over space and species."""

from collections.abc import Sequence

import numpy as np
from upath import UPath

from sdm_ray.indicators.error_model import ErrorModel, write_error_model
from sdm_ray.indicators.joint_draws import JointDraws
from sdm_ray.indicators.joint_fit import HeldOut
from sdm_ray.stores import artefact

SPECIES = [f"Ficta {name}" for name in ("alba", "montana", "nigra", "palustris", "rubra", "sylvatica")]


def planted(loading=0.5, own=0.1, site=0.3) -> ErrorModel:
    """One field of 20 km that moves all species, one of each alone, and what a survey shares."""
    count = len(SPECIES)
    return ErrorModel(
        tuple(SPECIES),
        (20_000.0,),
        np.full((1, count, 1), loading, np.float32),
        np.full((1, count), own, np.float32),
        np.full((count, 1), site, np.float32),
    )


def surveys(model: ErrorModel, count=4000, side=400_000, seed=0) -> HeldOut:
    """Surveys drawn from one draw of the errors about predictions of .1 to .6."""
    numbers = np.random.default_rng(seed)
    x, y = 4_000_000 + side * numbers.random(count), 2_000_000 + side * numbers.random(count)
    probability = (0.1 + 0.5 * numbers.random((count, len(SPECIES)))).astype(np.float32)
    draws = JointDraws(model, 1, seed + 7, site=True).probabilities(x, y, probability.T, slice(0, len(SPECIES)))
    true = np.concatenate(list(draws), axis=1)
    return HeldOut(x, y, probability, (numbers.random(true.shape) < true).astype(np.uint8))


def write_planted(folder: UPath, species: Sequence[str]) -> None:
    """Write the first columns of the planted errors, as those of some species, as a sealed artefact."""
    model, count = planted(), len(species)
    folder.mkdir()
    own = ErrorModel(
        tuple(species), model.ranges_m, model.loadings[:, :count], model.own[:, :count], model.site[:count]
    )
    write_error_model(folder, own, {})
    artefact.seal(folder, artefact.Record(kind="errors", fingerprint="e"))
