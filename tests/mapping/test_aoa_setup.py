"""The area of applicability of the small country's model, chosen in the configuration."""

import json

import numpy as np
import pytest

from sdm_ray.errors import InputError
from sdm_ray.mapping import aoa_setup
from sdm_ray.mapping.aoa_config import ApplicabilityConfig
from sdm_ray.mapping.config import MapConfig
from sdm_ray.model_io import read_species_folder
from sdm_ray.stores.covariates import Covariates


def settings(world, **values):
    names = {"model": "plain", "covariates": "covariates.zarr", "surveys": "surveys.parquet"}
    return MapConfig(run_dir=str(world.folder), **names, applicability=values)


def found(world, **values):
    config = settings(world, **values)
    model = read_species_folder(world.folder / "plain")
    store = Covariates(world.folder / "covariates.zarr").select(model.config.covariates)
    return aoa_setup.find(config, config.applicability, model, store)


def test_weights_are_alike_or_those_of_the_model(world, models):
    equal, weighted = found(world, weights="equal"), found(world)
    assert equal.used.all() and equal.exact and equal.threshold > 0
    ratio = (weighted.scale * equal.scale[::-1]) / (weighted.scale[::-1] * equal.scale)
    assert not np.isclose(ratio[0], 1)  # lime and rain count differently for the model


def test_a_covariate_that_the_model_does_not_look_at_weighs_nothing(world, models):
    numbers = np.random.default_rng(0)
    lonlat, values = numbers.uniform([9, 49], [11, 51], (50, 2)), numbers.normal(size=(50, 2))
    values[:, 1] = 3.0  # permuted, it is the same
    weights = aoa_setup.sensitivity(world.folder / "plain", lonlat, values, 0)
    assert weights[0] > 0 and weights[1] == 0


def test_weights_come_from_an_evaluation_that_explained_the_model(world, models):
    place = world.folder / "explained"
    place.mkdir(exist_ok=True)
    importance = {"location": {"value": 0.1}, "lime": {"value": -0.01}, "rain": {"value": 0.2}}
    (place / "metrics.json").write_text(json.dumps({"importance": importance}))
    assert found(world, evaluation="explained").used.tolist() == [False, True]
    (place / "metrics.json").write_text(json.dumps({"importance": {"climate": {"value": 0.2}}}))
    with pytest.raises(InputError, match="has no importance of lime; expected `explain` without `groups`"):
        found(world, evaluation="explained")
    (place / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match="has no importance; expected one with `explain`"):
        found(world, evaluation="explained")


def test_a_model_without_covariates_has_no_such_area(world, models):
    config = settings(world)
    with pytest.raises(InputError, match="uses no covariates"):
        aoa_setup.find(config, ApplicabilityConfig(), read_species_folder(world.folder / "plain"), None)
    with pytest.raises(ValueError, match="applicability needs surveys"):
        MapConfig(run_dir=str(world.folder), applicability={})
