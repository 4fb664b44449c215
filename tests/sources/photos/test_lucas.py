"""LUCAS: signs of longitudes, names of photos."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat, to_xy
from sdm_ray.sources.base import Report
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.photos import lucas
from sdm_ray.sources.photos.config import Lucas
from sdm_ray.sources.photos.lucas_files import LucasFiles, listed_photos, other_names, parsed, plain_names

JOB = PrepareConfig(land={"source": "virtual"})


def source(table, folder=".", **settings) -> Lucas:
    return Lucas.model_validate({"source": "lucas", "table": str(table), "folder": str(folder), **settings})


@pytest.fixture(scope="module")
def published(data):
    return data / "lucas/just_gps_filtered_CBN-med.csv"


def test_mirrored_positions_are_found_named_and_repaired(published):
    placed, report = lucas.positions(source(published))
    raw = pd.read_csv(published)
    repaired = report.noted["longitude_sign_repaired"]
    assert len(repaired) == len(set(repaired)) == 4585
    assert (placed["lon"] < 0).sum() == 4585
    assert set(placed.loc[placed["lon"] < 0, "id"]) == set(repaired)
    assert {kind: len(keys) for kind, keys in report.dropped.items()} == {
        "fits_grid_both_ways": 211, "fits_grid_neither_way": 504,
    }  # fmt: skip
    assert len(placed) + report.lost == len(raw)
    x, y = to_xy(placed["lon"].to_numpy(), placed["lat"].to_numpy())
    point = placed["point_id"].to_numpy()
    assert np.hypot(x - point // 10_000 * 1000, y - point % 10_000 * 1000).max() <= 150
    assert placed.groupby("point_id")["place_id"].nunique().max() == 1


def test_mirrored_positions_are_dropped_where_that_is_asked_for(published):
    placed, report = lucas.positions(source(published, mirrored="drop"))
    assert len(report.dropped["longitude_mirrored"]) == 4585
    assert (placed["lon"] > 0).all()
    with pytest.raises(InputError, match=r"5300 of 12864 rows cannot be used.*4585 longitude_mirrored"):
        report.check(0.05)


def test_the_photos_of_the_sample_at_their_points(data):
    settings = {"folder": data / "lucas", "views": "NESWPC"}
    found = lucas.images(source(data / "lucas/metadata_subset.csv", **settings), JOB)
    with found.opener.opened() as read:
        there = [name for name in found.rows["file"] if (data / "lucas" / name).exists()]
        assert len(there) > 20
        assert all(read(name)[:2] == b"\xff\xd8" for name in there)
    assert found.rows["place_id"].nunique() == 7
    listed = {"photos": data / "lucas/filepaths_subset.csv"}
    some = lucas.images(source(data / "lucas/metadata_subset.csv", **settings, photos=str(listed["photos"])), JOB)
    assert set(some.rows["key"]) <= {*found.rows["key"]}
    with some.opener.opened() as read:
        assert all(read(name)[:2] == b"\xff\xd8" for name in some.rows["file"])


def test_a_table_of_positions_finds_the_photos_of_its_points(data, tmp_path):
    sample = pd.read_csv(data / "lucas/metadata_subset.csv")
    x, y = sample["point_id"] // 10_000 * 1000.0, sample["point_id"] % 10_000 * 1000.0
    lon, lat = to_lonlat((x + 40).to_numpy(), y.to_numpy())
    pd.DataFrame({"id": range(len(sample)), "lat": lat, "lon": np.abs(lon)}).to_csv(tmp_path / "p.csv", index=False)
    found = lucas.images(source(tmp_path / "p.csv", data / "lucas", max_dropped=1), JOB)
    west = sample.loc[lon < 0, "point_id"].astype(str)
    assert len(west) > 0
    assert {key.split("-")[2][:8] for key in found.rows.loc[found.rows["lon"] < 0, "key"]} <= set(west)
    assert len(found.rows) > 10


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("2018/UK/316/036/31603628N.jpg", ("2018", "31603628", "N")),
        ("lucas_photos/LUCAS2018/UK/316/036/31603628S.jpg", ("2018", "31603628", "S")),
        ("a/b/202231603628LCLU_North.jpg", ("2022", "31603628", "N")),
        ("LUCAS2015_31603628_Cover.jpg", ("2015", "31603628", "C")),
        ("2018/UK/316/036/31603628X.jpg", None),
        ("31603628N.jpg", None),
    ],
)
def test_names_say_survey_point_and_view(path, expected):
    assert parsed(path) == expected


def test_photos_are_found_under_every_name_they_are_handed_out_by(tmp_path):
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "JPEG")
    for name in ("LUCAS2018/FR/352/627/35262736N.jpg", "202235262736LCLU_East.jpg", "LUCAS2015_35262736_Cover.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content.getvalue())
    years, views = ["2018", "2022", "2015"], "NEC"
    with LucasFiles(str(tmp_path)).opened() as read:
        for year, view in zip(years, views, strict=True):
            one = (pd.Series([value]) for value in (year, "FR", "35262736"))
            name = plain_names(*one, view)[0]
            assert parsed(name) == (year, "35262736", view)
            assert read(name) == content.getvalue()
            assert name == other_names(name)[0]
        with pytest.raises(FileNotFoundError):
            read("2018/FR/352/627/35262736S.jpg")


def test_a_list_that_names_no_photo_is_accounted_for(tmp_path):
    rows = {
        "lucas_id": [35262736, 35262736, 1],
        "url": ["x/photos/2018/FR/352/627/35262736N.jpg", "x/readme.txt", None],
    }
    pd.DataFrame(rows).to_csv(tmp_path / "list.csv", index=False)
    report = Report("list.csv", 3)
    photos = listed_photos(str(tmp_path / "list.csv"), "NESW", report)
    assert photos["file"].tolist() == ["2018/FR/352/627/35262736N.jpg"]
    assert len(report.dropped["path_of_no_photo"]) == 2
