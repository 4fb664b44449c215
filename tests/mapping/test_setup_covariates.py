"""A map of a model whose covariates came from columns of its surveys: from a store of the same names, or refused."""

from dataclasses import replace

import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.mapping import setup
from sdm_ray.mapping.config import MapConfig
from sdm_ray.model_io import read_species_folder


@pytest.fixture
def prepared(world, models, monkeypatch):
    """Prepares a map by a model that knows some covariates."""

    def made(names, covariates="covariates.zarr"):
        genuine = read_species_folder(world.folder / "plain")
        about = replace(genuine, config=genuine.config.model_copy(update={"covariates": names}))
        monkeypatch.setattr(setup, "read_species_folder", lambda place: about)
        config = MapConfig(run_dir=str(world.folder), model="plain", covariates=covariates, tile=64)
        return setup.prepare(config, UPath(world.folder) / "none.zarr", "")

    return made


def test_a_store_of_the_same_names_is_taken(prepared, world):
    assert prepared(("lime", "rain")).work.recipe.covariates == str(world.folder / "covariates.zarr")


def test_a_covariate_that_no_store_has_is_named(prepared):
    with pytest.raises(
        InputError, match=r"covariates\.zarr: has no covariate pH, which .*plain was trained with; found"
    ):
        prepared(("rain", "pH"))
    with pytest.raises(InputError, match=r"covariates: names no store; .*plain needs rain, pH"):
        prepared(("rain", "pH"), covariates=None)
