"""Indicators of one scenario of a map with several are those of a map that holds it alone."""

import numpy as np
import pandas as pd
import pytest
import xarray
from helpers.scenario_maps import write_scenarios
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.indicators.config import IndicatorsConfig
from sdm_ray.indicators.job import run
from sdm_ray.job import execute
from sdm_ray.mapping.config import ComputeConfig


def test_a_scenario_is_named_and_has_its_own_figures(world, in_process, tmp_path):
    place = UPath(tmp_path)
    today = np.where(world.land, np.random.default_rng(1).uniform(0.2, 0.6, (5, *world.grid.shape)), np.nan)
    today = today.astype(np.float32)
    write_scenarios(place / "map.zarr", world.grid, world.species, {"today": today, "felled": today / 2})

    def make(**values):
        config = IndicatorsConfig(
            run_dir=str(place),
            land=str(world.folder / "land.zarr"),
            tracking={"uri": f"sqlite:///{world.folder}/mlflow.db"},
            compute=ComputeConfig(cpus=0.5),
            **values,
        )
        execute("indicators", config, run, "indicators")
        return place / config.output

    felled, whole = make(scenario="felled", output="felled.zarr"), make(scenario="today", output="today.zarr")
    data = xarray.open_zarr(str(felled), group="0")
    assert data.attrs["scenario"] == "felled"
    np.testing.assert_allclose(data["richness"].values, (today / 2).sum(0), rtol=1e-5)
    areas = [pd.read_csv(str(each / "species.csv"))["expected_area_km2"] for each in (whole, felled)]
    assert (areas[1] / areas[0]).to_numpy() == pytest.approx(np.full(5, 0.5), rel=1e-3)
    with pytest.raises(InputError, match=r"map.zarr: holds the scenarios today, felled; expected a map of one, or"):
        make()
