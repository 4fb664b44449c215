"""Coarser levels of a map."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from upath import UPath

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import tiles, whole
from sdm_ray.stores import pyramid, raster
from sdm_ray.stores.maps import Layer, Map, MapSpec, create_map

GRID = Grid(4_000_000.0, 3_000_000.0, 1000.0, 70, 50)
SPECIES = pd.DataFrame({"species_id": range(20), "name": [f"Species {i}" for i in range(20)]})


@pytest.fixture
def truth() -> np.ndarray:
    values = np.random.default_rng(0).random((20, *GRID.shape), np.float32)
    values[:, :10, :10] = np.nan
    return values


def fill(path: UPath, values: np.ndarray, tile: int, bits: int = 8) -> None:
    grid = Grid(GRID.x0, GRID.y1, GRID.resolution, *values.shape[:0:-1])
    create_map(path, grid, MapSpec(SPECIES[: len(values)], "recorded", tile, {}, bits))
    target = Map(path, writable=True)
    for each in tiles(grid, tile):
        target.write(each.window, values[(slice(None), *each.window.slices)], {})


def add_levels(path: UPath, levels: int, tile: int) -> None:
    pyramid.create_levels(path, levels)
    for level in range(1, levels + 1):
        for each in reversed(tiles(pyramid.level_grid(Map(path).grid, level), tile)):
            pyramid.fill_level(path, level, each.window)


def test_at_a_coast_each_cell_of_level_0_weighs_the_same(tmp_path):
    """One land cell of probability 1 in one quarter, twelve of 0 in the others: 1 / 13, and not 1 / 4."""
    values = np.zeros((1, 4, 4), np.float32)
    values[0, :2, :2] = [[np.nan, np.nan], [np.nan, 1]]
    path = UPath(tmp_path) / "coast.zarr"
    fill(path, values, 8, bits=16)
    add_levels(path, 2, 8)
    assert Map(path, 1).read(whole(Map(path, 1).grid))[0].tolist() == [[1, 0], [0, 0]]
    assert Map(path, 1).layer(pyramid.COUNT).tolist() == [[1, 4], [4, 4]]
    assert Map(path, 2).read(whole(Map(path, 2).grid))[0, 0, 0] == pytest.approx(1 / 13, abs=1 / 65534)
    assert Map(path, 2).layer(pyramid.COUNT).tolist() == [[13]]


def test_any_level_is_the_mean_of_level_0(tmp_path, truth):
    """On a coast that chance drew, as far as the rounding of each level allows."""
    truth[:, np.random.default_rng(1).random(GRID.shape) < 0.5] = np.nan
    path = UPath(tmp_path) / "map.zarr"
    fill(path, truth, 32, bits=16)
    add_levels(path, 3, 32)
    full = np.full((20, 56, 72), np.nan)
    full[:, :50, :70] = truth
    mean = np.nanmean(full.reshape(20, 7, 8, 9, 8), axis=(2, 4))
    np.testing.assert_allclose(Map(path, 3).read(whole(Map(path, 3).grid)), mean, atol=3 / 65534)


def test_levels_are_means_of_the_cells_that_have_data(tmp_path, truth):
    path = UPath(tmp_path) / "map.zarr"
    fill(path, truth, 32)
    add_levels(path, 2, 32)
    fine, coarse = Map(path).read(tiles(GRID, 128)[0].window), Map(path, 1)
    assert coarse.grid.shape == (25, 35)
    assert coarse.grid.bounds == GRID.bounds
    means = np.nanmean(fine[:, 10:50].reshape(20, 20, 2, 35, 2), axis=(2, 4))
    assert np.nanmax(np.abs(coarse.read(tiles(coarse.grid, 128)[0].window)[:, 5:] - means)) < 0.003
    assert np.isnan(coarse.read(tiles(coarse.grid, 128)[0].window)[:, :5, :5]).all()
    assert Map(path, 2).grid.shape == (13, 18)


@pytest.mark.parametrize("tile", [8, 16, 64])
def test_levels_do_not_depend_on_the_tile_and_describe_themselves(tmp_path, truth, tile):
    pictures = []
    for side in (tile, 32):
        path = UPath(tmp_path) / f"{side}.zarr"
        fill(path, truth, side)
        add_levels(path, 2, side)
        pictures.append([Map(path, level).read(whole(Map(path, level).grid)) for level in (1, 2)])
        raster.consolidate(path)
    for one, other in zip(*pictures, strict=True):
        assert np.array_equal(one, other, equal_nan=True)
    attrs = raster.open_group(path).attrs
    assert [each["name"] for each in attrs["zarr_conventions"]] == ["multiscales", "proj", "spatial"]
    layout = attrs["multiscales"]["layout"]
    assert [(each["asset"], each.get("derived_from")) for each in layout] == [("0", None), ("1", "0"), ("2", "1")]
    assert [each["spatial:shape"] for each in layout] == [[50, 70], [25, 35], [13, 18]]
    tree = xr.open_datatree(str(path), engine="zarr")
    assert [tree[each["asset"]].probability.shape[1:] for each in layout] == [(50, 70), (25, 35), (13, 18)]


def test_a_map_opened_without_a_group_shows_its_species_and_the_way_to_its_levels(tmp_path, truth):
    path = UPath(tmp_path) / "map.zarr"
    fill(path, truth, 32)
    add_levels(path, 1, 32)
    raster.consolidate(path)
    root = xr.open_zarr(str(path))
    assert list(root["species"].values) == list(SPECIES["name"]) and "group='0'" in root.attrs["comment"]
    tree = xr.open_datatree(str(path), engine="zarr")
    assert tree["0"]["probability"].sizes["x"] == 70 and tree["1"]["probability"].sizes["x"] == 35
    assert xr.open_zarr(str(path), group="0")["probability"].sel(species="Species 3").shape == (50, 70)


def test_quality_layers_have_levels_too(tmp_path):
    """Means of numbers, each cell of level 0 with the same weight; of flags the commonest."""
    path, values = UPath(tmp_path) / "map.zarr", np.full((1, 4, 4), 0.5, np.float32)
    values[0, :2, :2] = [[np.nan, np.nan], [np.nan, 0.5]]
    distance = np.arange(16, dtype=np.float32).reshape(4, 4)
    inputs = np.array([[0, 0, 3, 1], [0, 1, 3, 3], [1, 1, 1, 3], [1, 1, 3, 3]], np.uint8)
    layers = {"distance": Layer("float32", np.nan, {"units": "m"}), "inputs": Layer("uint8", 0, {"flag_masks": [1, 2]})}
    grid = Grid(GRID.x0, GRID.y1, GRID.resolution, 4, 4)
    create_map(path, grid, MapSpec(SPECIES[:1], "recorded", 4, layers))
    Map(path, writable=True).write(whole(grid), values, {"distance": distance, "inputs": inputs})
    add_levels(path, 2, 4)
    level = Map(path, 1)
    assert level.layer("distance").tolist() == [[5, 4.5], [10.5, 12.5]]
    assert level.layer("inputs").tolist() == [[1, 3], [1, 3]]
    assert level.layer_attrs("distance")["units"] == "m" and level.layers()["inputs"] == 0
    assert Map(path, 2).layer("distance").tolist() == [[pytest.approx((5 + 4 * (4.5 + 10.5 + 12.5)) / 13)]]
