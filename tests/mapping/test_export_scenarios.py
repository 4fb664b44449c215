"""A map of scenarios is exported one scenario at a time, or whole as an EBV cube."""

import numpy as np
import pytest
import rasterio
import xarray
from helpers import publisher
from helpers.scenario_maps import write_scenarios
from upath import UPath

from sdm_ray import job
from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import whole
from sdm_ray.mapping import export
from sdm_ray.mapping.config import ExportConfig
from sdm_ray.stores.encoding import decode
from sdm_ray.stores.maps import Map

GRID = Grid(4_000_000, 3_300_000, 1000, 90, 70)
NAMES = ["Abies alba", "Fagus sylvatica"]
ABOUT = {**publisher.ABOUT, "date": "2050-07-01"}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = UPath(tmp_path_factory.mktemp("export"))
    today, warm = np.random.default_rng(2).random((2, 2, *GRID.shape)).astype(np.float32)
    write_scenarios(folder / "map.zarr", GRID, NAMES, {"today": today, "warm": warm}, levels=1)
    return folder


def make(run_dir, **values) -> UPath:
    config = ExportConfig(run_dir=str(run_dir), tracking={"uri": f"sqlite:///{run_dir}/mlflow.db"}, **values)
    job.execute("export", config, export.run, "export")
    return config.path(config.output)


def test_a_scenario_is_exported_by_name(run_dir):
    output = make(run_dir, scenario="warm", layers=["richness", "novel"], output="warm")
    source = Map(run_dir / "map.zarr", scenario="warm")
    with rasterio.open(str(output / "fagus-sylvatica.tif")) as found:
        assert np.array_equal(decode(found.read(1)), source.read(whole(GRID), 1))
    with rasterio.open(str(output / "richness.tif")) as found:
        assert np.array_equal(found.read(1), source.layer("richness"))
    assert (output / "fagus-sylvatica.png").exists() and (output / "richness.png").exists()
    assert '"map.zarr: warm"' in (output / "item.json").read_text()
    with pytest.raises(InputError, match=r"map.zarr: holds the scenarios today, warm; expected a map of one, or `sc"):
        make(run_dir, output="none")


def test_an_ebv_cube_has_a_group_for_each_scenario(run_dir):
    pytest.importorskip("netCDF4", reason="an extra of sdm-ray, `ebv`")
    cube = str(make(run_dir, format="ebv", ebv=ABOUT, output="ebv") / "ebv_cube.nc")
    for number, label in enumerate(("today", "warm"), 1):
        with xarray.open_dataset(cube, group=f"scenario_{number}/metric_1", engine="netcdf4") as data:
            found = data["ebv_cube"].values[:, 0]
        np.testing.assert_array_equal(found, Map(run_dir / "map.zarr", scenario=label).read(whole(GRID)))
    one = str(make(run_dir, format="ebv", ebv=ABOUT, scenario="warm", output="one") / "ebv_cube.nc")
    with xarray.open_dataset(one, group="scenario_1/metric_1", engine="netcdf4") as data:
        warm = Map(run_dir / "map.zarr", scenario="warm").read(whole(GRID))
        np.testing.assert_array_equal(data["ebv_cube"].values[:, 0], warm)
