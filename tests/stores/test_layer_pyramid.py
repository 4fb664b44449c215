"""Coarser levels of layers without species."""

import numpy as np
import pytest
import xarray as xr
from upath import UPath

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, tiles
from sdm_ray.indicators.cells import Dominant
from sdm_ray.stores import raster
from sdm_ray.stores.layer_pyramid import create_layer_levels, fill_layer_level
from sdm_ray.stores.pyramid import level_grid
from sdm_ray.stores.raster import ArraySpec

GRID = Grid(4_000_000.0, 3_000_000.0, 1000.0, 70, 50)
TILE = 32


@pytest.fixture
def made(tmp_path):
    """A store of a number, classes, and counts along an axis, on a coast that chance drew, with two levels."""
    rng = np.random.default_rng(3)
    sea = rng.random(GRID.shape) < 0.4
    values = {
        "richness": np.where(sea, np.nan, rng.random(GRID.shape)).astype(np.float32),
        "height": np.where(sea | (rng.random(GRID.shape) < 0.5), np.nan, rng.random(GRID.shape)).astype(np.float32),
        "dominant": np.where(sea, 65535, rng.integers(0, 3, GRID.shape)).astype(np.uint16),
        "likely": np.where(sea, 65535, rng.integers(0, 300, (2, *GRID.shape))).astype(np.uint16),
    }
    path = UPath(tmp_path / "layers.zarr")
    raster.open_root(path)
    group = raster.create(path / "0", GRID, {"threshold": [0.3, 0.5]}, {})
    flat = ((16, 16), (TILE, TILE))
    add = {
        "richness": ArraySpec("float32", *flat, fill=float("nan"), attrs={"units": "species"}),
        "height": ArraySpec("float32", *flat, fill=float("nan")),
        "dominant": ArraySpec("uint16", *flat, fill=65535, attrs={"flag_values": [0, 1, 2], "flag_meanings": "a b c"}),
        "likely": ArraySpec("uint16", (1, 16, 16), (2, TILE, TILE), ("threshold",), fill=65535),
    }
    for name, spec in add.items():
        raster.add_array(group, name, spec)[...] = values[name]
    create_layer_levels(path, 2)
    for level in (1, 2):
        for tile in reversed(tiles(level_grid(GRID, level), TILE)):
            fill_layer_level(path, level, tile.window)
    raster.consolidate(path)
    return path, values


def blocks(values, side):
    """(rows, cols, side * side) of a layer, padded with NaN."""
    height, width = (-(-size // side) * side for size in values.shape)
    full = np.full((height, width), np.nan)
    full[: values.shape[0], : values.shape[1]] = values
    return full.reshape(height // side, side, width // side, side).swapaxes(1, 2).reshape(height // side, -1, side**2)


@pytest.mark.parametrize("level", [1, 2])
def test_a_layer_with_gaps_of_its_own_is_the_mean_of_its_own_cells(made, level):
    path, values = made
    found, cells = raster.open_group(path / str(level)), blocks(values["height"], 2**level)
    counts = (~np.isnan(cells)).sum(axis=2)
    assert found["layer"][:].tolist() == ["dominant", "height", "likely", "likely", "richness"]
    assert np.array_equal(found["layer_cell_count"][1], counts)
    means = np.where(counts > 0, np.nansum(cells, axis=2) / np.maximum(counts, 1), np.nan)
    assert found["height"][...] == pytest.approx(means, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("level", [1, 2])
def test_a_number_is_the_mean_of_all_cells_of_level_0_with_data(made, level):
    path, values = made
    found, cells = raster.open_group(path / str(level)), blocks(values["richness"], 2**level)
    counts = (~np.isnan(cells)).sum(axis=2)
    assert np.array_equal(found["cell_count"][...], counts)
    means = np.where(counts > 0, np.nansum(cells, axis=2) / np.maximum(counts, 1), np.nan)
    assert found["richness"][...] == pytest.approx(means, abs=1e-6, nan_ok=True)
    assert found["richness"].attrs["units"] == "species"


def test_classes_are_the_commonest_below_and_counts_means_in_whole_numbers(made):
    path, values = made
    found = raster.open_group(path / "1")
    dominant = np.where(values["dominant"] == 65535, np.nan, values["dominant"])
    for row, col in ((3, 4), (10, 20), (24, 34)):
        here = blocks(dominant, 2)[row, col]
        numbers, counted = np.unique(here[~np.isnan(here)], return_counts=True)
        assert found["dominant"][row, col] == (numbers[counted.argmax()] if len(numbers) else 65535)
    for number in range(2):
        likely = np.where(values["likely"][number] == 65535, np.nan, values["likely"][number])
        expected = np.rint(np.nanmean(blocks(likely, 2)[10]))
        rows = found["likely"][number, 10]
        assert np.nanmean(np.where(rows == 65535, np.nan, rows)) == pytest.approx(expected, rel=0.1)
        cells = blocks(likely, 2)[10, 20]
        assert rows[20] == (np.rint(np.nanmean(cells)) if not np.isnan(cells).all() else 65535)
    assert found["threshold"][:].tolist() == [0.3, 0.5]


def test_more_classes_than_are_named_have_no_mean_either(tmp_path):
    """Of species 10, 210, 210, 210 a mean would be a species that is not there."""
    (layer,) = [
        each for name, each in Dominant(np.zeros(300, bool), ["Ficta"] * 300).layers.items() if "species" in name
    ]
    path, grid = UPath(tmp_path / "layers.zarr"), Grid(4_000_000.0, 3_000_000.0, 1000.0, 2, 2)
    raster.open_root(path)
    spec = ArraySpec(layer.dtype, (2, 2), (2, 2), fill=layer.fill, attrs=layer.attrs)
    raster.add_array(raster.create(path / "0", grid, {}, {}), "dominant_species", spec)[...] = [[10, 210], [210, 210]]
    create_layer_levels(path, 1)
    fill_layer_level(path, 1, Window(0, 0, 1, 1))
    assert raster.open_group(path / "1")["dominant_species"][0, 0] == 210


def test_all_levels_open_as_a_tree_with_their_place(made):
    path, _ = made
    tree = xr.open_datatree(str(path), engine="zarr")
    assert {"0", "1", "2"} <= set(tree.children)
    assert tree["2"].ds.richness.shape == (13, 18) and tree["2"].ds.x[0] == GRID.x0 + 2000
    layout = raster.open_group(path).attrs["multiscales"]["layout"]
    assert [each["asset"] for each in layout] == ["0", "1", "2"]
    assert layout[2]["spatial:transform"][0] == 4000
