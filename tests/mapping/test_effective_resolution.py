from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from upath import UPath

from sdm_ray.geo.blocks import Blocks
from sdm_ray.geo.grid import Grid
from sdm_ray.mapping.effective_resolution import effective_resolution
from sdm_ray.model_io import SpeciesFolder
from sdm_ray.models.config import LocationConfig, SpeciesConfig
from sdm_ray.stores.covariates import Covariates, write_covariates

COARSE = LocationConfig(wavelengths_km=(3000, 250))


def folder(*frozen, location=COARSE, forest=False):
    config = SpeciesConfig(location=location, covariates=("rain",), frozen_location_features=frozen)
    return SpeciesFolder(config, pd.DataFrame(), "occurrence", Blocks(), None, 0, None, "none", forest=forest)


@pytest.fixture
def covariates(tmp_path):
    """A 1-km raster kept in cells of 10 km."""
    grid = Grid(4_000_000, 3_000_000, 10_000, 4, 4)
    write_covariates(UPath(tmp_path / "covariates.zarr"), grid, ["rain"], np.ones((1, 4, 4), np.float32), 1000)
    return Covariates(UPath(tmp_path / "covariates.zarr"))


def test_covariates_have_no_finer_detail_than_their_cells(covariates):
    assert effective_resolution(1000, folder(), covariates, None) == 10_000
    assert effective_resolution(20_000, folder(), covariates, None) == 20_000


@pytest.mark.parametrize(
    ("location", "metres"),
    [
        (COARSE, 125_000),
        (LocationConfig(kind="sincos"), 10_000_000),
        (LocationConfig(kind="harmonics", degrees=40), 500_000),
        (LocationConfig(kind="hashgrid", wavelengths_km=(1000, 10)), 10_000),
    ],
)
def test_every_location_encoder_has_its_detail(location, metres):
    assert effective_resolution(1000, folder(location=location), None, None) == metres


def test_geoclip_resolves_what_its_finest_features_do():
    """Their frequencies are normal with a standard deviation of 256 in the unit of the published projection."""
    unit_m = 6_371_000 * 180 / 66.50336
    found = effective_resolution(1000, folder(location=LocationConfig(kind="capsules")), None, None)
    assert found == pytest.approx(unit_m / 256 / 2, rel=0.02)


def test_frozen_features_and_a_forest_on_coordinates_count_too():
    assert effective_resolution(1000, folder(LocationConfig(wavelengths_km=(20,))), None, None) == 10_000
    assert effective_resolution(1000, folder(forest=True), None, None) == 1000


def test_a_model_that_knows_no_place_claims_nothing(covariates):
    lost = folder(location=None, forest=True)
    assert effective_resolution(1000, lost, None, None) is None
    assert effective_resolution(1000, replace(lost, forest=False), covariates, None) == 10_000
