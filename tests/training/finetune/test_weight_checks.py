"""What a model starts from has the same inputs, in the same order: shapes alone do not tell."""

import pytest
from helpers.small import LOCATION, settings
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.model_io import describe_species
from sdm_ray.stores.weights import save_weights
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import read_table
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.finetune.weight_checks import check_weights

MODEL = settings()["model"]


def fine_tuning(world, **changes) -> FineTuning:
    config = FinetuneConfig(run_dir=str(world), **settings(**changes))
    return FineTuning(config, read_table(config), "")


@pytest.fixture(scope="module")
def begun(world, tmp_path_factory) -> str:
    """The folder of a model on `wet` and `noise`, which nothing has trained."""
    folder = UPath(tmp_path_factory.mktemp("begun"))
    fits = fine_tuning(world)
    model = fits.fit(0).objective().model
    save_weights(folder, model.state_dict(), describe_species(fits.about(None)), fits.table.species, {})
    return str(folder)


def check(world, **changes) -> None:
    fits = fine_tuning(world, **changes)
    check_weights(fits.config, fits.model_config, fits.table)


def test_the_same_inputs_are_taken_over(world, begun, capsys):
    check(world, start=begun)
    assert "which has 3 of the 3 species" in capsys.readouterr().out


def test_covariates_of_another_order_are_refused(world, begun):
    """Both models have two covariates, and every weight has the same shape."""
    with pytest.raises(InputError, match=r"has the covariates wet, noise, found noise, wet here; expected the same"):
        check(world, start=begun, model={**MODEL, "covariates": ["noise", "wet"]})


def test_frozen_waves_of_other_lengths_are_refused(world, begun):
    with pytest.raises(InputError, match=r"model\.frozen_location_features none, found .*wavelengths_km=\(60"):
        check(world, start=begun, model={**MODEL, "frozen_location_features": [LOCATION]})


def test_an_encoder_of_other_wavelengths_is_refused(world, begun):
    other = {**LOCATION, "wavelengths_km": [60, 40]}
    with pytest.raises(InputError, match=r"start: location\..* differs there; .*`model\.location\.wavelengths_km`"):
        check(world, start=begun, model={**MODEL, "location": other})


def test_a_model_that_keeps_images_is_no_start(world, begun, tmp_path):
    """Its weights are of the features of its own images: of other surveys' images there would be others under them."""
    nearby = {"scale": "plant", "size": 32, "ranges_km": [1], "components": 3}
    with pytest.raises(ValueError, match=r"start: learnt from other features of images than these; expected no"):
        fine_tuning(world, start=begun, nearby_images=nearby)
    fits = fine_tuning(world, nearby_images=nearby)
    model = fits.fit(0).objective().model
    save_weights(UPath(tmp_path), model.state_dict(), describe_species(fits.about(None)), fits.table.species, {})
    with pytest.raises(InputError, match=r"keeps the images around its own surveys; expected a model without"):
        check(world, start=str(tmp_path))
