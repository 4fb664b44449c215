import pickle

import numpy as np
import pytest
from scipy.spatial import KDTree

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.mapping.region_mask import Area, grid_within, surveyed_cells
from sdm_ray.stores.land import Land

EXTENT = (4_032_000.0, 3_072_000.0, 4_160_000.0, 3_168_000.0)


def area_of(world, grid, surveyed_only=False):
    land = Land(world.folder / "land.zarr")
    x, y = world.grid.centre(*np.nonzero(world.surveys))
    places, countries = surveyed_cells(grid, x + 300, y - 300), np.unique(land.countries_of(x, y))
    return Area(str(land.path), grid, places, countries, surveyed_only)


def test_land_is_wanted_in_a_part_of_the_land_store(world):
    grid = grid_within(Land(world.folder / "land.zarr"), EXTENT, 1000)
    area = pickle.loads(pickle.dumps(area_of(world, grid)))
    part = slice(32, 128), slice(32, 160)
    assert np.array_equal(area.wanted(Window(0, 0, 96, 128)), world.land[part])
    assert np.array_equal(area.wanted(Window(64, 32, 10, 20)), world.land[96:106, 64:84])
    flags = area.surveyed_country(Window(0, 0, 96, 128))
    assert np.array_equal(flags, np.array([255, 1, 0])[world.country[part]])


def test_only_cells_with_surveys_are_wanted(world):
    grid = grid_within(Land(world.folder / "land.zarr"), EXTENT, 1000)
    area = area_of(world, grid, surveyed_only=True)
    assert np.array_equal(area.wanted(Window(0, 0, 96, 128)), world.surveys[32:128, 32:160])


def test_distance_to_the_nearest_surveyed_cell_counts_surveys_beyond_the_map(world):
    grid = grid_within(Land(world.folder / "land.zarr"), EXTENT, 1000)
    x, y = grid.centre(np.array([0, 90]), np.array([127, 3]))
    rows, cols = np.nonzero(world.surveys)
    there = np.column_stack(world.grid.centre(rows, cols))
    expected = np.hypot(*(np.column_stack([x, y])[:, None] - there).transpose(2, 0, 1)).min(axis=1)
    assert area_of(world, grid).distance(x, y) == pytest.approx(expected)
    empty = Area("", grid, np.empty((0, 2)), np.empty(0), False)
    assert np.isnan(empty.distance(x, y)).all()
    assert (empty.surveyed_country(Window(0, 0, 2, 3)) == 255).all()


def test_another_resolution_or_a_larger_extent_is_refused(world):
    land = Land(world.folder / "land.zarr")
    with pytest.raises(InputError, match=r"resolution_m: 500, but .*land.zarr has cells of 1000 m"):
        grid_within(land, None, 500)
    with pytest.raises(InputError, match=r"extent: .* reaches beyond .*land.zarr"):
        grid_within(land, (3_999_000, 3_100_000, 4_100_000, 3_200_000), 1000)
    assert grid_within(land, None, 1000) == Grid(4_000_000, 3_200_000, 1000, 208, 144)


@pytest.mark.parametrize(("west", "side"), [(0, 64), (900, 64), (-3000, 300), (500, 1)])
def test_distances_are_those_to_the_nearest_of_all(west, side):
    """Among the surveys, beside them and far away, for one cell and for many."""
    places = np.random.default_rng(0).integers(0, 1000, (2000, 2)) * 1000.0 + 500
    area = Area("no.zarr", Grid(0, 1_000_000, 1000, 1000, 1000), places, np.zeros(0, np.int64), False)
    rows, cols = np.mgrid[0:side, 0:side]
    x, y = (cols.ravel() + west) * 1000.0 + 500, rows.ravel() * 1000.0 + 500
    expected = KDTree(places).query(np.column_stack([x, y]))[0]
    np.testing.assert_allclose(area.distance(x, y), expected, rtol=1e-6)
    assert len(area.distance(x[:0], y[:0])) == 0
