"""Maps with an axis of scenarios: the layout that others read, levels, and one scenario at a time."""

import numpy as np
import pandas as pd
import pytest
import xarray
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import tiles, whole
from sdm_ray.stores import pyramid
from sdm_ray.stores.encoding import decode, encode
from sdm_ray.stores.maps import Layer, Map, MapSpec, baseline, create_map

GRID = Grid(4_000_000.0, 3_000_000.0, 1000.0, 70, 50)
SPECIES = pd.DataFrame({"species_id": range(6), "name": [f"Species {i}" for i in range(6)]})
LAYERS = {"richness": Layer("float32", float("nan")), "far": Layer("float32", float("nan"), static=True)}
LABELS = ("today", "warm")


@pytest.fixture
def path(tmp_path):
    place = UPath(tmp_path) / "map.zarr"
    create_map(place, GRID, MapSpec(SPECIES, "recorded", 32, LAYERS, 16, {"title": "Two"}, LABELS))
    for label, values in truth().items():
        target = Map(place, writable=True, scenario=label)
        for tile in tiles(GRID, 32):
            p = values[:, *tile.window.slices]
            target.write(tile.window, p, {"richness": p.sum(0), "far": np.full(p.shape[1:], 7, np.float32)})
    pyramid.create_levels(place, 1)
    for tile in tiles(pyramid.level_grid(GRID, 1), 32):
        pyramid.fill_level(place, 1, tile.window)
    return place


def truth():
    values = np.random.default_rng(0).random((2, 6, *GRID.shape), np.float32)
    values[:, :, :10, :10] = np.nan
    return dict(zip(LABELS, values, strict=True))


def test_each_scenario_reads_what_it_was_given(path):
    rows, cols = np.array([0, 20, 49]), np.array([0, 33, 69])
    for label, values in truth().items():
        found = Map(path, scenario=label)
        assert np.array_equal(found.read(whole(GRID)), decode(encode(values, 16)), equal_nan=True)
        assert np.array_equal(found.read(whole(GRID), 3), decode(encode(values[3], 16)), equal_nan=True)
        assert np.array_equal(found.read_cells(rows, cols), decode(encode(values[:, rows, cols].T, 16)), equal_nan=True)
        assert np.array_equal(found.layer("richness"), values.sum(0), equal_nan=True)
        assert (found.layer("far") == 7).all() and set(found.layers()) == {"richness", "far"}
        means = np.nanmean(values.reshape(6, 25, 2, 35, 2), axis=(2, 4))
        level = Map(path, 1, scenario=label)
        np.testing.assert_allclose(level.read(whole(level.grid)), means, atol=2e-5)
        assert set(level.layers()) == {"richness", "far", "cell_count"}
    assert baseline(path).scenario == "today" and baseline(path, 1).grid.resolution == 2000


def test_the_axis_is_a_dimension_for_other_readers(path):
    data = xarray.open_zarr(str(path), group="0", consolidated=False)
    assert data["probability"].dims == ("scenario", "species", "y", "x")
    assert data["richness"].dims == ("scenario", "y", "x") and data["far"].dims == ("y", "x")
    assert data["scenario"].values.tolist() == ["today", "warm"]
    np.testing.assert_allclose(data["probability"].sel(scenario="warm").values, truth()["warm"], atol=1e-5)


def test_a_map_without_scenarios_has_no_axis(tmp_path):
    place = UPath(tmp_path) / "plain.zarr"
    create_map(place, GRID, MapSpec(SPECIES, "recorded", 32, LAYERS))
    assert Map(place).scenarios == [] and baseline(place).scenario is None
    with pytest.raises(InputError, match=r"plain.zarr: has no axis of scenarios; expected the scenario warm"):
        Map(place, scenario="warm")
