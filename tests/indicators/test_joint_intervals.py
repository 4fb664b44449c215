import numpy as np
import pandas as pd
import pytest
from helpers.in_order import in_order
from helpers.planted_errors import planted
from upath import UPath

from sdm_ray.geo.windows import Window, whole
from sdm_ray.indicators import joint_intervals
from sdm_ray.indicators.config import IndicatorsConfig
from sdm_ray.indicators.error_model import ErrorModel, write_error_model
from sdm_ray.indicators.joint_intervals import DrawnSums, Task, interval_table, tile_draws, write_intervals
from sdm_ray.mapping import all_tiles
from sdm_ray.stores.maps import Map, MapSpec, create_map


@pytest.fixture(scope="module")
def folder(world, tmp_path_factory):
    """A map of the small country, and the errors of its species."""
    place = UPath(tmp_path_factory.mktemp("intervals"))
    species = pd.DataFrame({"species_id": range(5), "name": world.species})
    create_map(place / "map.zarr", world.grid, MapSpec(species, "occurrence", 256, {}, 16))
    values = np.random.default_rng(1).uniform(0.1, 0.6, (5, *world.grid.shape)).astype(np.float32)
    Map(place / "map.zarr", writable=True).write(whole(world.grid), np.where(world.land, values, np.nan), {})
    (place / "errors").mkdir()
    write_error_model(place / "errors", model_of(world), {})
    return place


def model_of(world) -> ErrorModel:
    model = planted()
    return ErrorModel(
        tuple(world.species), model.ranges_m, model.loadings[:, :5], model.own[:, :5], model.site[:5]
    )  # fmt: skip


@pytest.fixture(scope="module")
def task(world, folder):
    return Task(str(folder / "map.zarr"), str(world.folder / "land.zarr"), model_of(world), 30, 0)


def test_sums_are_those_of_the_map_and_do_not_depend_on_the_cut(world, task):
    every = tile_draws(task, whole(world.grid))
    values = Map(UPath(task.map)).read(whole(world.grid))
    assert every.area == pytest.approx(np.nansum(values, axis=(1, 2)), rel=1e-5)
    west = world.country == 1
    assert every.cells[1] == west.sum()
    assert every.richness[1] == pytest.approx(values[:, west].sum(), rel=1e-5)
    assert every.richness_draws.mean(axis=1)[1] == pytest.approx(every.richness[1], rel=0.15)
    total = DrawnSums.zero(3, 5, 30)
    for part in (Window(0, 0, 100, 208), Window(100, 0, 44, 57), Window(100, 57, 44, 151)):
        total.add(tile_draws(task, part))
    for name in ("cells", "richness", "richness_draws", "area", "area_draws"):
        assert getattr(total, name) == pytest.approx(getattr(every, name), rel=1e-4)


def test_the_table_has_a_row_for_each_country_with_cells_and_each_species():
    drawn = np.arange(101.0)[None]
    sums = DrawnSums(np.array([0, 10.0]), np.array([0, 50.0]), np.vstack([drawn, drawn]), np.array([7.0]), 2 * drawn)
    table = interval_table(sums, ["", "A"], ["Abies alba"], 0.9, 4.0)
    assert table.round(9).to_numpy().tolist() == [
        ["country", "A", "mean_richness", 5.0, 0.5, 9.5],
        ["species", "Abies alba", "expected_area_km2", 28.0, 40.0, 760.0],
    ]


def test_indicators_write_them_by_name(world, folder, task, monkeypatch):
    monkeypatch.setattr(all_tiles, "run_tasks", in_order)
    monkeypatch.setattr(joint_intervals.ray, "put", lambda each: each)
    monkeypatch.setattr(joint_intervals.ray, "get", lambda each: each)
    config = IndicatorsConfig(run_dir=str(folder), land=str(world.folder / "land.zarr"), errors="errors")
    assert "errors" in config.reads()
    write_intervals(folder, config, Map(folder / "map.zarr"), np.arange(5) > 0)
    table = pd.read_csv(str(folder / "intervals.csv"))
    assert table["of"].tolist() == ["country", "country", *["species"] * 4]
    assert table["name"].tolist() == ["Westland", "Eastland", *world.species[1:]]
    assert (table["low"] < table["high"]).all() and (table["low"] < 1.1 * table["value"]).all()
