"""Differences by polygon, and between the scenarios of one map."""

import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from helpers.in_order import in_order
from helpers.parcel_files import write_shapes
from helpers.planted_errors import write_planted
from helpers.scenario_maps import write_scenarios
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.impact.change import job
from sdm_ray.impact.change.config import ChangeConfig
from sdm_ray.job import execute
from sdm_ray.mapping import all_tiles
from sdm_ray.mapping.config import ComputeConfig
from sdm_ray.stores import artefact

WEST, NORTH = 4_000_000, 3_200_000


@pytest.fixture(scope="module")
def in_process():
    """Tiles are done one after the other in this process instead of on a Ray cluster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "connect", lambda: None)
        patch.setattr(all_tiles, "run_tasks", in_order)
        yield


@pytest.fixture(scope="module")
def folder(world, tmp_path_factory):
    """Every species halves in the east under one scenario, and everywhere under the other."""
    place = UPath(tmp_path_factory.mktemp("zones"))
    numbers = np.random.default_rng(1)
    today = np.where(world.land, numbers.uniform(0.2, 0.6, (5, *world.grid.shape)), np.nan).astype(np.float32)
    east = np.where(world.country == 2, today / 2, today)
    scenarios = {"today": today, "east": east, "all": today / 2}
    write_scenarios(place / "map.zarr", world.grid, world.species, scenarios)
    write_planted(place / "errors", world.species)
    shapes = [
        shapely.box(WEST + 40_500, NORTH - 90_000, WEST + 80_500, NORTH - 30_500),  # west, across tiles
        shapely.box(WEST + 130_000, NORTH - 80_000, WEST + 150_000, NORTH - 40_000),  # east
        shapely.box(WEST + 60_200, NORTH - 60_800, WEST + 60_700, NORTH - 60_300),  # a quarter of a cell
        shapely.box(0, 0, 10_000, 10_000),
    ]
    write_shapes(place / "zones.gpkg", shapes, {"code": list("ABCD")})
    return place


def config(world, folder, **values):
    values = {"scenarios": "map.zarr", "zones": {"file": str(folder / "zones.gpkg"), "id": "code"}} | values
    return ChangeConfig(
        run_dir=str(folder),
        land=str(world.folder / "land.zarr"),
        tracking={"uri": f"sqlite:///{world.folder}/mlflow.db"},
        compute=ComputeConfig(cpus=0.5),
        **values,
    )


@pytest.fixture(scope="module")
def made(world, folder, in_process):
    execute("change", config(world, folder, errors="errors", draws=20), job.run, "change")
    return folder / "change.zarr"


def test_each_scenario_is_compared_with_the_baseline_in_each_polygon(made, world):
    zones = pd.read_csv(str(made / "zones.csv")).set_index(["after", "zone"])
    assert zones["before"].unique().tolist() == ["today"] and len(zones) == 8
    west, east = zones.loc[("east", "A")], zones.loc[("east", "B")]
    assert west["area_km2"] == pytest.approx(40 * 59.5) and west["mapped_share"] == pytest.approx(1)
    assert abs(west["richness_change"]) < 1e-6 and not west["distinct"]
    assert east["richness_change"] == pytest.approx(-east["richness_before"] / 2, rel=1e-2)
    assert east["richness_change_low"] < east["richness_change"] < east["richness_change_high"] < 0
    assert east["distinct"] and east["bray_curtis"] == pytest.approx(1 / 3, rel=1e-2)
    everywhere = zones.loc[("all", "A")]
    assert everywhere["richness_change"] == pytest.approx(-everywhere["richness_before"] / 2, rel=1e-2)
    assert zones.loc[("all", "C")]["warnings"] == "smaller than a cell"
    outside = zones.loc[("all", "D")]
    assert outside["warnings"] == "outside the map" and np.isnan(outside["richness_change"])
    countries = pd.read_csv(str(made / "countries.csv")).set_index(["after", "zone"])
    assert countries.loc[("east", "Eastland")]["cells"] == (world.country == 2).sum()


def test_means_are_weighted_by_exact_fractions(made, world):
    """The western zone cuts its cells in half at its western, eastern and northern edge."""
    data = pd.read_csv(str(made / "zones.csv")).set_index(["after", "zone"])
    weights = np.zeros(world.grid.shape)
    weights[30:90, 40:81] = 1
    weights[30] /= 2
    weights[:, [40, 80]] /= 2
    today = np.where(world.land, np.random.default_rng(1).uniform(0.2, 0.6, (5, *world.grid.shape)), np.nan)
    richness = np.nan_to_num(today.sum(0))
    weights *= world.land
    expected = (weights * richness).sum() / weights.sum()
    assert data.loc[("all", "A")]["richness_before"] == pytest.approx(expected, rel=2e-3)


def test_polygons_are_geoparquet_with_sources(made):
    found = pyogrio.read_info(str(made / "zones.parquet")) if "Parquet" in pyogrio.list_drivers() else None
    assert found is None or found["features"] == 8
    table = pd.read_parquet(str(made / "zones.parquet"))
    assert table["zone"].tolist() == list("ABCD") * 2 and "richness_change_low" in table
    assert "zones.gpkg (source not stated)" in artefact.read_record(made).sources


def test_what_is_no_comparison_is_refused(world, folder, in_process):
    for values, message in (
        ({"maps": {"a": "map.zarr", "b": "map.zarr"}}, "scenarios: is a map of several, in place of `maps`"),
        ({"scenarios": None}, "maps: expected two or more, or `scenarios`, a map of several; found 0"),
    ):
        with pytest.raises(ValueError, match=message):
            config(world, folder, **values)
    with pytest.raises(InputError, match=r"map.zarr: holds the scenarios today, east, all; expected a map of one, or"):
        job.run(config(world, folder, scenarios=None, maps={"a": "map.zarr", "b": "map.zarr"}), None)
    write_shapes(folder / "far.gpkg", [shapely.box(0, 0, 1000, 1000)], {"code": ["A"]})
    with pytest.raises(InputError, match=r"far.gpkg: no polygon lies in the map, which covers"):
        job.run(config(world, folder, zones={"file": str(folder / "far.gpkg")}), None)
