"""Maps: round trips, cuts, levels, and what a plain reader sees."""

import multiprocessing
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import tiles
from sdm_ray.stores import maps, raster
from sdm_ray.stores.ledger import Ledger
from sdm_ray.stores.maps import Layer, Map, MapSpec, create_map

GRID = Grid(4_000_000.0, 3_000_000.0, 1000.0, 70, 50)
SPECIES = pd.DataFrame({"species_id": range(20), "name": [f"Species {i}" for i in range(20)]})


def spec(tile: int = 32, bits: int = 8) -> MapSpec:
    return MapSpec(SPECIES, "recorded", tile, {"inputs": Layer("uint8", 0, {"long_name": "inputs"})}, bits)


@pytest.fixture
def truth() -> np.ndarray:
    values = np.random.default_rng(0).random((20, *GRID.shape), np.float32)
    values[:, :10, :10] = np.nan
    return values


def fill(path: UPath, values: np.ndarray, tile: int) -> None:
    create_map(path, GRID, spec(tile))
    target = Map(path, writable=True)
    for each in tiles(GRID, tile):
        part = values[(slice(None), *each.window.slices)]
        target.write(each.window, part, {"inputs": np.full(part.shape[1:], 3, np.uint8)})


@pytest.mark.parametrize("bits", [8, 16])
def test_decoding_is_within_half_a_step_and_keeps_nodata(bits):
    values = np.array([0, 1e-3, 0.5, 1, np.nan], np.float32)
    back = maps.decode(maps.encode(values, bits))
    assert np.nanmax(np.abs(back - values)) <= 0.5 / ((1 << bits) - 2) + 1e-7
    assert np.isnan(back).tolist() == [False, False, False, False, True]


def test_probabilities_outside_zero_to_one_are_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        maps.encode(np.array([0.5, 1.1], np.float32))


@pytest.mark.parametrize("place", ["local", "memory"])
def test_the_decoded_map_does_not_depend_on_the_tile(tmp_path, truth, place):
    base = UPath(tmp_path) if place == "local" else UPath("memory://maps")
    for tile in (16, 32, 128):
        fill(base / f"{tile}.zarr", truth, tile)
    first, *others = (Map(base / f"{tile}.zarr").read(tiles(GRID, 128)[0].window) for tile in (16, 32, 128))
    for other in others:
        assert np.array_equal(first, other, equal_nan=True)


def test_cells_are_read_in_the_order_asked_for(tmp_path, truth):
    fill(UPath(tmp_path) / "map.zarr", truth, 32)
    rng = np.random.default_rng(1)
    rows, cols = rng.integers(0, 50, 200), rng.integers(0, 70, 200)
    read = Map(UPath(tmp_path) / "map.zarr").read_cells(rows, cols)
    assert np.array_equal(read, maps.decode(maps.encode(truth[:, rows, cols].T)), equal_nan=True)


def test_a_window_that_cuts_a_tile_is_refused(tmp_path, truth):
    create_map(UPath(tmp_path) / "map.zarr", GRID, spec())
    target = Map(UPath(tmp_path) / "map.zarr", writable=True)
    window = tiles(GRID, 16)[1].window
    with pytest.raises(ValueError, match="cuts a unit of writing"):
        target.write(window, truth[(slice(None), *window.slices)], {})


def test_a_plain_reader_sees_coordinates_projection_names_and_missing_sea(tmp_path, truth):
    path = UPath(tmp_path) / "map.zarr"
    fill(path, truth, 32)
    raster.consolidate(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        dataset = xr.open_zarr(str(path), group="0")
    assert list(dataset.species.values[:2]) == ["Species 0", "Species 1"]
    assert np.array_equal(dataset.x.values, GRID.x)
    assert np.array_equal(dataset.y.values, GRID.y)
    assert "3035" in dataset.spatial_ref.attrs["crs_wkt"]
    assert dataset.probability.attrs["grid_mapping"] == "spatial_ref" or "spatial_ref" in dataset.probability.coords
    values = dataset.probability.values
    assert np.isnan(values[:, :10, :10]).all()
    assert np.nanmax(np.abs(values - truth)) < 0.003


def test_levels_are_means_of_the_cells_that_have_data(tmp_path, truth):
    path = UPath(tmp_path) / "map.zarr"
    fill(path, truth, 32)
    maps.create_levels(path, 2)
    for level in (1, 2):
        for tile in tiles(maps.level_grid(GRID, level), 32):
            maps.fill_level(path, level, tile.window)
    fine, coarse = Map(path).read(tiles(GRID, 128)[0].window), Map(path, 1)
    assert coarse.grid.shape == (25, 35)
    assert coarse.grid.bounds == GRID.bounds
    means = np.nanmean(fine[:, 10:50].reshape(20, 20, 2, 35, 2), axis=(2, 4))
    assert np.nanmax(np.abs(coarse.read(tiles(coarse.grid, 128)[0].window)[:, 5:] - means)) < 0.003
    assert np.isnan(coarse.read(tiles(coarse.grid, 128)[0].window)[:, :5, :5]).all()
    assert Map(path, 2).grid.shape == (13, 18)


def _write_tile(path: str, values: np.ndarray, number: int) -> None:
    window = tiles(GRID, 16)[number].window
    Map(UPath(path), writable=True).write(window, values[(slice(None), *window.slices)], {})


def test_neighbouring_tiles_written_by_two_processes_lose_nothing(tmp_path, truth):
    path = UPath(tmp_path) / "map.zarr"
    create_map(path, GRID, spec(16))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(_write_tile, [(str(path), truth, i) for i in range(len(tiles(GRID, 16)))], chunksize=1)
    read = Map(path).read(tiles(GRID, 128)[0].window)
    assert np.array_equal(read, maps.decode(maps.encode(truth)), equal_nan=True)


def test_the_ledger_knows_done_tiles_and_refuses_another_map(tmp_path):
    ledger = Ledger(UPath(tmp_path) / "map.zarr", "one")
    ledger.add("E1N1", {"cells": 3})
    assert Ledger(UPath(tmp_path) / "map.zarr", "one").done() == {"E1N1": {"cells": 3}}
    with pytest.raises(InputError, match="fingerprint one, expected two"):
        Ledger(UPath(tmp_path) / "map.zarr", "two").done()


def test_what_is_no_map_is_named(tmp_path):
    with pytest.raises(InputError, match="no Zarr v3 group"):
        Map(UPath(tmp_path) / "nothing.zarr")
    raster.create(UPath(tmp_path) / "other.zarr", GRID, {}, {})
    with pytest.raises(InputError, match="is no map"):
        Map(UPath(tmp_path) / "other.zarr")
