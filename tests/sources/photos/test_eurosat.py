"""Photos and patches of real data sets: places, views, what is missing."""

import numpy as np
import pandas as pd
import pytest

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat, to_xy
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.photos import eurosat, lucas, plantnet
from sdm_ray.sources.photos.config import EuroSat, Lucas, PlantNet
from sdm_ray.sources.photos.pack import check_image

JOB = PrepareConfig(land={"source": "virtual"})


def readable(listed) -> list[str]:
    """Files that are there and decode."""
    good = []
    with listed.opener.opened() as read:
        for row in listed.rows.itertuples():
            try:
                content = read(row.file)
            except (FileNotFoundError, KeyError):
                continue
            if check_image(content, row.ext) is None:
                good.append(row.file)
    return good


def test_eurosat(data):
    folder = data / "eurosat"
    source = EuroSat(source="eurosat", table=str(folder / "patches.csv"), images=str(folder / "patches.zip"))
    listed = eurosat.images(source, JOB)
    assert len(listed.rows) == listed.rows["key"].nunique() == 23_383
    some = type(listed)(listed.rows.iloc[::2000], listed.opener, listed.report)
    assert len(readable(some)) == len(some.rows) == 12


def test_plantnet(data):
    folder = data / "plantnet"
    source = PlantNet(source="plantnet", table=str(folder / "metadata_subset.csv"), folder=str(folder / "img"))
    listed = plantnet.images(source, JOB)
    assert len(listed.rows) == len(readable(listed)) == 20
    assert listed.rows["date"].iloc[0] == "2021-04-27"
    precise = plantnet.images(source.model_copy(update={"max_uncertainty_m": 50.0}), JOB)
    assert precise.report.left == {"uncertain": ["2644156588", "3948988520"]}


@pytest.fixture
def points(data) -> pd.DataFrame:
    return pd.read_csv(data / "lucas" / "metadata_subset.csv")


def lucas_of(table: pd.DataFrame, data, folder, views: str = "NESWP"):
    path = folder / "lucas.csv"
    table.to_csv(path, index=False)
    return lucas.images(Lucas(source="lucas", table=str(path), folder=str(data / "lucas"), views=views), JOB)


def test_lucas_longitudes_are_signed(points, data, tmp_path):
    listed = lucas_of(points, data, tmp_path)
    ids = listed.rows["file"].str.extract(r"(\d{8})")[0]
    x, y = to_xy(listed.rows["lon"].to_numpy(), listed.rows["lat"].to_numpy())
    apart = np.hypot(x - ids.str[:4].astype(float) * 1000, y - ids.str[4:].astype(float) * 1000)
    assert apart.max() < 170
    assert (listed.rows["lon"] < 0).sum() == 15  # three of the seven points lie west of Greenwich
    assert listed.report.noted == {}


def test_lucas_views_of_a_point_are_one_place(points, data, tmp_path):
    listed = lucas_of(points, data, tmp_path)
    per_point = listed.rows.groupby(listed.rows["file"].str.extract(r"(\d{8})")[0])["place_id"].nunique()
    assert (per_point == 1).all()
    assert listed.rows["place_id"].nunique() == 7
    assert set(listed.rows["date"]) >= {"2006-05-02", "2018-09-18"}
    covers = lucas_of(points, data, tmp_path, views="NESWPC")
    there = readable(covers)
    assert sorted(there) == sorted(str(each.relative_to(data / "lucas")) for each in (data / "lucas").rglob("*.jpg"))


def test_lucas_signs_are_held_against_the_point(points, data, tmp_path):
    table = points.copy()
    table["gps_ew"] = "East"  # as when the table was read without its signs
    listed = lucas_of(table, data, tmp_path)
    assert sorted(listed.report.noted["longitude_sign_repaired"]) == ["31603628", "32362878", "35262736"]
    pd.testing.assert_frame_equal(listed.rows, lucas_of(points, data, tmp_path).rows)


def test_lucas_positions_that_cannot_be_are_left_out_or_replaced(points, data, tmp_path):
    table = points.copy()
    table.loc[1, "gps_lat"] += 3  # some 300 km away
    table.loc[2, ["gps_lat", "gps_long"]] = 88.888888  # the raw tables' "none"
    listed = lucas_of(table, data, tmp_path)
    assert listed.report.dropped == {"far_from_its_point": ["47282098"]}
    assert listed.report.noted == {"no_gps_position": ["32362878"]}
    there = listed.rows[listed.rows["file"].str.contains("32362878")]
    lon, lat = to_lonlat(np.array([3_236_000.0]), np.array([2_878_000.0]))
    np.testing.assert_allclose(there[["lon", "lat"]], [[lon[0], lat[0]]] * len(there))


def test_a_table_without_photos_is_named(points, data, tmp_path):
    table = points.assign(photo_north="Photo not taken")
    with pytest.raises(InputError, match=r"lucas\.csv: no usable row has a photo of the views N marked as taken"):
        lucas_of(table, data, tmp_path, views="N")
