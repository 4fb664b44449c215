"""The grid of LUCAS: nearest points and the sign of the longitude."""

import numpy as np
import pandas as pd
import pytest

from sdm_ray.geo.grid import to_lonlat
from sdm_ray.geo.lucas import Fit, distance_to, grid_fit, nearest_point, point_ids, point_xy


def test_positions_find_their_point():
    x, y = np.array([3_526_000.0, 4_728_000.0]), np.array([2_736_000.0, 2_098_000.0])
    near = nearest_point(*to_lonlat(x + 300, y - 400))
    np.testing.assert_allclose(near, [x, y, [500, 500]], atol=0.01)
    np.testing.assert_allclose(distance_to(*to_lonlat(x + 300, y - 400), x, y), 500, atol=0.01)


def test_no_position_has_no_point():
    assert np.isinf(nearest_point(np.array([np.nan]), np.array([47.0]))[2]).all()
    assert grid_fit(np.array([np.nan, 3.0]), np.array([47.0, np.inf])).tolist() == [Fit.NEITHER, Fit.NEITHER]


def test_points_go_by_their_kilometres():
    ids = np.array([35262736, 9001000])  # the second has an easting of fewer digits
    assert [each.tolist() for each in point_xy(ids)] == [[3_526_000, 900_000], [2_736_000, 1_000_000]]
    assert point_ids(*point_xy(ids)).tolist() == ids.tolist()


def test_a_longitude_without_its_sign_fits_mirrored():
    lon, lat = to_lonlat(np.array([3_526_040.0]), np.array([2_736_030.0]))  # 50 m from a point in the west of France
    assert lon[0] < 0
    assert grid_fit(lon, lat).tolist() == [Fit.AS_WRITTEN]
    assert grid_fit(-lon, lat).tolist() == [Fit.MIRRORED]
    assert grid_fit(lon, lat, tolerance_m=49).tolist() == [Fit.NEITHER]
    assert grid_fit(np.zeros(1), lat, tolerance_m=2000).tolist() == [Fit.BOTH]


@pytest.mark.parametrize(
    ("tolerance_m", "counts"),
    [(100, [705, 7547, 4515, 97]), (150, [504, 7564, 4585, 211]), (250, [281, 7416, 4596, 571])],
)
def test_mirrored_positions_of_a_published_table(data, tolerance_m, counts):
    table = pd.read_csv(data / "lucas" / "just_gps_filtered_CBN-med.csv")
    fit = grid_fit(table["lon"].to_numpy(), table["lat"].to_numpy(), tolerance_m)
    assert np.bincount(fit, minlength=4).tolist() == counts


def test_the_real_points_stand_on_the_grid(data):
    table = pd.read_csv(data / "lucas" / "metadata_subset.csv")
    x, y, apart = nearest_point(table["th_long"].to_numpy(), table["th_lat"].to_numpy())
    assert point_ids(x, y).tolist() == table["point_id"].tolist()
    assert apart.max() < 1
