"""Coordinates that cannot be right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdm_ray.errors import InputError
from sdm_ray.geo.checks import EUROPE, check_lonlat, require_lonlat, require_near
from sdm_ray.geo.grid import to_xy


def test_each_mistake_is_found_under_its_name():
    rows = {
        "good": (3.87, 43.52),
        "swapped": (48.13, 20.47),
        "sign_flipped": (-60.0, 10.0),
        "zero": (0.0, 0.0),
        "metres": (4_321_000.0, 3_210_000.0),
        "whole_degrees": (4.0, 44.0),
        "outside": (100.0, 10.0),
        "missing": (np.nan, 44.0),
        "not_in_crs": (np.inf, 44.0),
        "not_degrees": (5.0, 95.0),
    }
    lon, lat = np.array(list(rows.values())).T
    found = check_lonlat(lon, lat, extent=(-10.0, 26.0, 35.0, 72.0))
    names = list(rows)
    by_row = {int(i): kind for kind, each in found.items() for i in each}
    expected = {i: name for i, name in enumerate(names) if name not in ("good", "sign_flipped")}
    expected[names.index("sign_flipped")] = "outside"  # turning its sign does not bring it into the region
    assert by_row == expected


def test_a_flipped_sign_is_told_from_outside_where_the_region_allows():
    found = check_lonlat(np.array([-21.0]), np.array([60.0]), extent=(20.0, 55.0, 30.0, 65.0))
    assert found["sign_flipped"].tolist() == [0]


def test_real_surveys_are_clean(data):
    import pandas as pd

    table = pd.read_csv(data / "glc24-cbnmed" / "GLC24-PA-data_subset.csv")
    assert sum(len(rows) for rows in check_lonlat(table.lon.to_numpy(), table.lat.to_numpy()).values()) == 0


DEGREES = st.floats(-400, 400) | st.integers(-90, 90).map(float) | st.just(float("nan"))


@given(st.lists(st.tuples(DEGREES, DEGREES), max_size=30))
def test_a_row_is_under_one_kind_and_what_is_plausible_under_none(places):
    lon, lat = np.array(places, float).reshape(-1, 2).T
    found = check_lonlat(lon, lat)
    named = np.concatenate(list(found.values()))
    assert len(np.unique(named)) == len(named)
    west, south, east, north = EUROPE
    rest = np.setdiff1d(np.arange(len(lon)), named)
    assert ((lon[rest] >= west) & (lon[rest] <= east) & (lat[rest] >= south) & (lat[rest] <= north)).all()
    assert ((lon[rest] % 1 != 0) | (lat[rest] % 1 != 0)).all()


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ((np.nan, 44.0), r"t.csv: row 2 is \(nan, 44\), expected a longitude and a latitude"),
        ((4_321_000.0, 3_210_000.0), "row 2 is .*, expected WGS84 degrees, not metres"),
        ((8.0, 95.0), r"row 2 is \(8, 95\), expected WGS84 degrees, longitude first"),
        ((200.0, 45.0), r"row 2 is \(200, 45\), expected WGS84 degrees, longitude first"),
        ((0.0, 0.0), "row 2 .* stands for no coordinates"),
        ((48.13, 20.47), "row 2 .* in Europe only with longitude and latitude exchanged"),
    ],
)
def test_coordinates_that_cannot_be_right_are_refused_by_row(place, line):
    lon, lat = np.array([(3.87, 43.52), place]).T
    with pytest.raises(InputError, match=line):
        require_lonlat(lon, lat, "t.csv")
    with pytest.raises(InputError, match=r"\(3 such rows\)"):
        require_lonlat(np.repeat(lon[1], 3), np.repeat(lat[1], 3), "t.csv")


def test_elsewhere_no_place_counts_as_exchanged():
    require_lonlat(np.array([48.13]), np.array([20.47]), "t.csv", anywhere=True)
    require_lonlat(np.array([3.87, -61.0]), np.array([43.52, 16.2]), "t.csv")


def test_the_corners_of_europe_are_near_and_reunion_is_far():
    west, south, east, north = EUROPE
    lon, lat = np.array([west, east, west, east, -28.0]), np.array([south, south, north, north, 38.0])
    require_near(*to_xy(lon, lat), "place")
    with pytest.raises(InputError, match=r"place lies 9,2\d\d km .* 1\.8 times as long as wide; .* `force: \[far\]`"):
        require_near(*to_xy(np.array([10.0, 55.5]), np.array([50.0, -21.0])), "place")


def test_the_distance_is_that_on_the_ground():
    """A quarter of the way round the Earth to the south of 52 N is 38 S."""
    with pytest.raises(InputError, match=r"lies (9,9|10,0)\d\d km .* 2\.0 times"):
        require_near(*to_xy(np.array([10.0]), np.array([-38.0])), "place")
