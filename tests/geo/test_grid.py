"""The grid as a value object, and the projection."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdm_ray.geo.grid import EU_EXTENT, Grid, eu_grid, grid_of, to_lonlat, to_xy

GRIDS = st.builds(
    Grid,
    x0=st.integers(-100, 9000).map(lambda k: k * 1000.0),
    y1=st.integers(0, 9000).map(lambda k: k * 1000.0),
    resolution=st.sampled_from([10.0, 50.0, 100.0, 1000.0]),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
)


@given(GRIDS)
def test_the_cell_of_a_centre_is_that_cell(grid):
    row, col = np.indices(grid.shape).reshape(2, -1)
    back_row, back_col = grid.cell(*grid.centre(row, col))
    assert np.array_equal(row, back_row)
    assert np.array_equal(col, back_col)
    assert np.array_equal(grid.index(*grid.centre(row, col)), np.arange(row.size))


@given(GRIDS)
def test_axes_are_the_centres_and_bounds_enclose_them(grid):
    x, y = grid.centre(np.arange(grid.height), np.zeros(grid.height))
    assert np.allclose(y, grid.y)
    assert np.allclose(x, grid.x[0])
    west, south, east, north = grid.bounds
    assert (east - west, north - south) == (grid.width * grid.resolution, grid.height * grid.resolution)
    assert grid.x[-1] < east
    assert grid.y[-1] > south


def test_the_eu_grid_has_the_size_of_the_regulation():
    grid = eu_grid(1000)
    assert (grid.width, grid.height) == (6500, 4600)
    assert grid.bounds == EU_EXTENT


def test_a_box_is_widened_to_whole_cells():
    grid = grid_of((4_321_001.0, 3_210_999.0, 4_322_000.0, 3_211_001.0), 1000)
    assert grid == Grid(4_321_000.0, 3_212_000.0, 1000.0, 1, 2)
    with pytest.raises(ValueError, match="no cells"):
        grid_of((1.0, 1.0, 0.0, 2.0), 1000)


def test_outside_is_minus_one():
    grid = Grid(0.0, 1000.0, 100.0, 10, 10)
    assert grid.index(np.array([-1.0, 1001.0, 50.0]), np.array([50.0, 50.0, 50.0])).tolist() == [-1, -1, 90]


def test_projection_puts_the_reference_point_at_its_false_origin():
    x, y = to_xy(np.array([10.0]), np.array([52.0]))
    assert np.allclose([x[0], y[0]], [4_321_000, 3_210_000], atol=1e-3)


def test_projection_there_and_back():
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-25, 45, 1000), rng.uniform(28, 71, 1000)
    back = to_lonlat(*to_xy(lon, lat))
    assert np.allclose(back, (lon, lat), atol=1e-9)


def test_projection_agrees_with_the_inventory(data):
    import pandas as pd

    trees = pd.read_parquet(data / "euforest" / "occurrences.parquet").sample(2000, random_state=0)
    x, y = to_xy(trees.lon.to_numpy(), trees.lat.to_numpy())
    assert np.abs(x - trees.x).max() < 1  # the table's degrees are rounded to five decimals
    assert np.abs(y - trees.y).max() < 1
