"""Own rasters: names, projections, classes, and whether they lie where the surveys are."""

import numpy as np
import pytest
from helpers.raster_files import write
from rasterio.transform import from_origin

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_xy
from sdm_ray.init.layers import outside, read_own_rasters
from sdm_ray.init.stated import Stated

PLACE = from_origin(6, 46, 0.01, 0.01)
SMOOTH = np.linspace(0, 99, 2500, dtype=np.float32).reshape(1, 50, 50)


def test_what_a_raster_holds(tmp_path):
    heat = write(tmp_path / "heat.tif", SMOOTH, PLACE, "EPSG:4326")
    two = write(tmp_path / "two.tif", np.concatenate([SMOOTH, SMOOTH]), PLACE, "EPSG:4326")
    found = read_own_rasters([heat, two], Stated())
    assert [each.bands for each in found] == [["heat"], ["two_1", "two_2"]]
    assert [each.settings() for each in found] == [{}, {"names": "{file}_{band}"}]
    assert 700 < found[0].pixel < 1200
    assert "heat; EPSG:4326, pixels of about" in found[0].line


def test_few_whole_numbers_are_classes_and_many_are_not(tmp_path):
    cover = write(tmp_path / "cover.tif", (SMOOTH % 5).astype(np.uint8), PLACE, "EPSG:4326")
    height = write(tmp_path / "height.tif", SMOOTH.astype(np.int16), PLACE, "EPSG:4326")
    first, second = read_own_rasters([cover, height], Stated())
    assert (first.settings(), first.classes) == ({"categorical": True}, 5)
    assert "5 classes" in first.line
    assert (second.settings(), second.classes) == ({}, 0)


def test_a_pattern_stands_for_its_files(tmp_path):
    for name in ("b1", "b2"):
        write(tmp_path / f"{name}.tif", SMOOTH, PLACE, "EPSG:4326")
    assert [each.bands for each in read_own_rasters([str(tmp_path / "b*.tif")], Stated())] == [["b1"], ["b2"]]


def test_a_raster_without_projection_is_asked_for_it(tmp_path):
    bare = write(tmp_path / "bare.tif", SMOOTH, PLACE, None)
    with pytest.raises(InputError, match=r"bare.tif: has no projection .*; state it with --raster-crs") as caught:
        read_own_rasters([bare], Stated())
    assert "\n" not in str(caught.value)
    assert read_own_rasters([bare], Stated(raster_crs="EPSG:4326"))[0].settings() == {"crs": "EPSG:4326"}


def test_what_cannot_be_used_is_one_line(tmp_path):
    with pytest.raises(InputError, match="--rasters: names no file"):
        read_own_rasters([], Stated())
    with pytest.raises(InputError, match=r"none\.tif: no such file"):
        read_own_rasters([str(tmp_path / "none.tif")], Stated())
    (tmp_path / "a").mkdir()
    same = [write(folder / "t.tif", SMOOTH, PLACE, "EPSG:4326") for folder in (tmp_path, tmp_path / "a")]
    with pytest.raises(InputError, match="two covariates are called t"):
        read_own_rasters(same, Stated())


def test_surveys_outside_are_counted_and_a_raster_elsewhere_is_refused(tmp_path):
    rasters = read_own_rasters([write(tmp_path / "heat.tif", SMOOTH, PLACE, "EPSG:4326")], Stated())
    x, y = to_xy(np.array([6.2, 6.3, 9.0]), np.array([45.8, 45.7, 45.7]))
    assert outside(rasters, x[:2], y[:2]) == []
    assert outside(rasters, x, y)[0].endswith("heat.tif: 1 of 3 surveys lie outside")
    with pytest.raises(InputError, match="covers none of the 1 surveys"):
        outside(rasters, x[2:], y[2:])
