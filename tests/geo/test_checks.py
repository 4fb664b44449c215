"""Coordinates that cannot be right."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sdm_ray.geo.checks import EUROPE, check_lonlat


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
