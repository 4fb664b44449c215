"""Several scenarios in one map: each as a map of its own would be, with what they change by species."""

import numpy as np
import pandas as pd
import pytest
import xarray
from helpers.in_order import in_order
from helpers.parcel_files import square
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.windows import whole
from sdm_ray.job import execute
from sdm_ray.mapping import all_tiles
from sdm_ray.mapping import map as map_job
from sdm_ray.mapping.config import MapConfig
from sdm_ray.stores import artefact
from sdm_ray.stores.ledger import Ledger
from sdm_ray.stores.maps import Map


@pytest.fixture
def make(world, models, tmp_path, monkeypatch):
    """Makes a map in this process, without a Ray cluster; returns its place."""

    def do_tiles(kind, work, todo, compute):
        worker, ledger = kind(work), Ledger(UPath(work.output), work.fingerprint)
        for tile in todo.left:
            ledger.add(tile.id, worker.do(tile))

    monkeypatch.setattr(map_job, "connect", lambda: None)
    monkeypatch.setattr(map_job, "do_tiles", do_tiles)
    monkeypatch.setattr(all_tiles, "run_tasks", in_order)

    def made(output, **values):
        config = MapConfig(
            run_dir=str(world.folder),
            output=str(tmp_path / output),
            tracking={"uri": f"sqlite:///{world.folder}/mlflow.db"},
            **{"model": "plain", "covariates": "covariates.zarr", "surveys": "surveys.parquet"},
            **{"tile": 64, "block": 16, "levels": 1} | values,
        )
        execute("map", config, map_job.run, "map")
        return UPath(config.output)

    return made


def test_a_map_of_scenarios_holds_what_maps_of_each_hold(make, world, tmp_path):
    parcel = square(tmp_path, "parcel", 40, 130, 40)
    scenarios = {
        "wet": {"parcels": [{"within": parcel, "set": {"rain": 9, "lime": -9}}]},
        2050: {"parcels": [{"within": parcel, "donors": {"where": {"warmth": 1}}}]},
    }
    cube = make("scenarios.zarr", scenarios=scenarios, baseline="today")
    single = {
        "today": make("today.zarr"),
        "wet": make("wet.zarr", scenario=scenarios["wet"]),
        "2050": make("2050.zarr", scenario=scenarios[2050]),
    }
    grid, static = world.grid, {"survey_distance", "surveyed_country"}
    for label, place in single.items():
        for level in (0, 1):
            own, alone = Map(cube, level, scenario=label), Map(place, level)
            assert np.array_equal(own.stored(whole(own.grid)), alone.stored(whole(alone.grid)))
            for name in alone.layers():
                np.testing.assert_array_equal(own.layer(name), alone.layer(name), err_msg=f"{label} {level} {name}")
        cells = np.arange(60, 70), np.arange(60, 70)
        assert np.array_equal(
            Map(cube, scenario=label).read_cells(*cells), Map(place).read_cells(*cells), equal_nan=True
        )
    data = xarray.open_zarr(str(cube), group="0")
    assert data["probability"].dims == ("scenario", "species", "y", "x")
    assert data["scenario"].values.tolist() == ["today", "wet", "2050"]
    assert {name for name in data if data[name].dims == ("y", "x")} >= static
    novel = Map(cube, scenario="wet").layer("novel")
    similarity = Map(cube, scenario="wet").layer("environmental_similarity")
    assert np.array_equal(novel == 1, similarity < 0) and np.array_equal(novel == 255, np.isnan(similarity))
    assert (novel == 1).sum() > (Map(cube, scenario="today").layer("novel") == 1).sum()

    table = pd.read_csv(str(cube / "scenarios.csv")).set_index(["scenario", "species"])
    before, after = (Map(cube, scenario=label).read(whole(grid)) for label in ("today", "wet"))
    change = np.nan_to_num(after - before)
    for number, name in enumerate(world.species):
        row = table.loc[("wet", name)]
        assert row["km2_gained"] == pytest.approx(np.maximum(change[number], 0).sum(), rel=1e-4)
        assert row["km2_lost"] == pytest.approx(np.maximum(-change[number], 0).sum(), rel=1e-4)
        assert row["km2_before"] == pytest.approx(np.nansum(before[number]), rel=1e-4)
        assert row["km2_stable"] == pytest.approx(np.nansum(np.minimum(before, after)[number]), rel=1e-4)
        inside = np.maximum(change[number], 0)[novel == 1].sum()
        assert row["km2_gained_novel"] == pytest.approx(inside, rel=1e-4, abs=1e-4)
    assert table.index.get_level_values("scenario").unique().tolist() == ["wet", "2050"]
    done = Ledger(cube, artefact.read_record(cube).fingerprint).done()
    assert all({f"{label}/species_sums" for label in ("today", "wet", "2050")} <= set(each) for each in done.values())
    assert (cube / "odmap.csv").exists() or list(cube.glob("*odmap*"))


def test_a_map_of_scenarios_is_opened_one_at_a_time(make, tmp_path):
    cube = make("two.zarr", levels=0, scenarios={"dry": {"parcels": [{"within": square(tmp_path, "p", 40, 130, 9),
                                                                       "set": {"rain": 0}}]}})  # fmt: skip
    with pytest.raises(InputError, match=r"two.zarr: holds the scenarios baseline, dry; expected a map of one, or `sc"):
        Map(cube)
    with pytest.raises(InputError, match=r"two.zarr: holds the scenarios baseline, dry; expected the scenario warm"):
        Map(cube, scenario="warm")
    one = make("one.zarr", levels=0)
    with pytest.raises(InputError, match=r"one.zarr: has no axis of scenarios; expected the scenario dry"):
        Map(one, scenario="dry")


def test_configurations_that_contradict_themselves_are_refused():
    warm = {"covariates": "warm.zarr"}
    for values, message in (
        ({"scenarios": {"a": warm}, "scenario": warm}, "scenario: expected it, for a map of one, or `scenarios`"),
        ({"scenarios": {"baseline": warm}}, "scenarios: 'baseline' is the label of the baseline"),
        ({"scenarios": {"a": warm}, "from_embeddings": "e.zarr"}, "embeddings are of today's covariates"),
    ):
        with pytest.raises(ValueError, match=message):
            MapConfig(**values)
    assert MapConfig(scenarios={2050: warm, "b": warm}).reads().count("warm.zarr") == 1
