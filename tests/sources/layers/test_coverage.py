"""Surveys where covariates are unknown."""

import numpy as np
import pandas as pd
import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.sources.layers.coverage import check_surveys_covered
from sdm_ray.stores.covariates import write_covariates
from sdm_ray.stores.surveys import write_surveys

GRID = Grid(4_000_000.0, 3_000_000.0, 10_000.0, 10, 1)


@pytest.fixture
def stores(tmp_path) -> tuple[UPath, UPath]:
    """Ten cells with a survey each; soil is unknown in three of them, rain and warmth in one."""
    values = np.ones((3, *GRID.shape), np.float32)
    values[0, 0, :3] = np.nan
    values[1:, 0, 9] = np.nan
    write_covariates(UPath(tmp_path) / "c.zarr", GRID, ["soil", "rain", "warmth"], values, 1.0)
    lon, lat = to_lonlat(*GRID.centre(np.zeros(10, int), np.arange(10)))
    columns = {"survey_id": [str(i) for i in range(10)], "lon": lon, "lat": lat, "year": 2000, "uncertainty_m": 1.0}
    surveys = pd.DataFrame({**columns, "species": [[0]] * 10})
    species = pd.DataFrame({"species_id": [0], "name": ["Abies alba"], "gbif_key": [1]})
    write_surveys(UPath(tmp_path) / "surveys.parquet", surveys, species, "occurrence")
    return UPath(tmp_path) / "c.zarr", UPath(tmp_path) / "surveys.parquet"


def test_each_covariate_is_told(stores, capsys):
    check_surveys_covered(*stores, 0.3)
    assert capsys.readouterr().out.splitlines() == [
        "prepare: rain, warmth unknown at 1 of 10 surveys",
        "prepare: soil unknown at 3 of 10 surveys",
    ]


def test_too_many_are_refused(stores):
    with pytest.raises(InputError, match=r"c\.zarr: soil is unknown at 3 of 10 surveys, max_unknown allows 20%"):
        check_surveys_covered(*stores, 0.2)
