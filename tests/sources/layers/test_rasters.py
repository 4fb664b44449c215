"""Rasters of several projections on one grid."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.layers import rasters
from sdm_ray.sources.layers.config import Rasters

JOB = PrepareConfig(land={"source": "virtual"})


def write(path, values, transform, crs, names=None, nodata=None) -> str:
    profile = {"driver": "GTiff", "dtype": values.dtype, "count": len(values), "nodata": nodata}
    height, width = values.shape[1:]
    with rasterio.open(path, "w", width=width, height=height, transform=transform, crs=crs, **profile) as raster:
        raster.write(values)
        for number, name in enumerate(names or [], 1):
            raster.set_band_description(number, name)
    return str(path)


def made(files: list[str], **settings):
    return rasters.covariates(Rasters(source="rasters", rasters=files, **settings), JOB)


def test_a_raster_of_the_grid_is_copied_as_it_is(data):
    path = data / "environment" / "eu_env_10km.tif"
    found = made([str(path)])
    with rasterio.open(path) as raster:
        np.testing.assert_array_equal(found.values, raster.read())
        assert found.names == list(raster.descriptions)
        assert found.grid.bounds == tuple(raster.bounds)
    assert found.effective_resolution_m == 10_000


def test_some_bands_in_the_order_asked_for(data):
    path = str(data / "environment" / "eu_env_10km.tif")
    every, some = made([path]), made([path], keep=["elevation_m", "t_annual_c"])
    assert some.names == ["elevation_m", "t_annual_c"]
    np.testing.assert_array_equal(some.values[1], every.values[every.names.index("t_annual_c")])


def test_degrees_are_brought_onto_the_grid(tmp_path):
    """A raster that says its own longitude must say that of the cells afterwards."""
    lon, lat = np.meshgrid(5 + 0.05 * (np.arange(200) + 0.5), 55 - 0.05 * (np.arange(160) + 0.5))
    values = np.stack([lon, lat]).astype(np.float32)
    degrees = write(tmp_path / "degrees.tif", values, from_origin(5, 55, 0.05, 0.05), "EPSG:4326", ["lon", "lat"])
    found = made([degrees], resolution_m=10_000)
    x, y = np.meshgrid(found.grid.x, found.grid.y)
    want = np.stack(to_lonlat(x, y))
    known = np.isfinite(found.values).all(axis=0)
    inside = (want[0] > 5.2) & (want[0] < 14.8) & (want[1] > 47.2) & (want[1] < 54.8)
    assert known[inside].all()
    assert not known[(want[0] < 4.8) | (want[0] > 15.2)].any()
    assert np.abs(found.values - want)[:, inside].max() < 0.01


def test_nodata_is_unknown_and_the_coarsest_pixel_is_what_counts(tmp_path):
    fine = np.arange(16, dtype=np.int16).reshape(1, 4, 4)
    coarse = np.array([[[7, -9999], [8, 9]]], np.float32)
    places = [from_origin(4_000_000, 3_000_000, side, side) for side in (1000, 2000)]
    files = [
        write(tmp_path / "fine.tif", fine, places[0], "EPSG:3035", nodata=5),
        write(tmp_path / "coarse.tif", coarse, places[1], "EPSG:3035", nodata=-9999),
    ]
    found = made(files, names=["a", "b"], resampling="nearest")
    assert found.grid.shape == (4, 4)
    assert found.effective_resolution_m == 2000
    want = fine[0].astype(np.float32)
    want[1, 1] = np.nan
    np.testing.assert_array_equal(found.values[0], want)
    np.testing.assert_array_equal(found.values[1], np.kron([[7, np.nan], [8, 9]], np.ones((2, 2))))


def test_rasters_that_cannot_be_used_are_named(tmp_path):
    band = np.ones((1, 2, 2), np.float32)
    place = from_origin(4_000_000, 3_000_000, 1000, 1000)
    nameless = write(tmp_path / "nameless.tif", band, place, "EPSG:3035")
    lost = write(tmp_path / "lost.tif", band, place, None, ["a"])
    (tmp_path / "text.tif").write_text("no raster")
    for files, settings, said in [
        ([nameless], {}, "nameless.tif: band 1 has no description"),
        ([nameless], {"names": ["a", "b"]}, "2 names for 1 bands"),
        ([nameless, nameless], {"names": ["a", "a"]}, "two bands are named a"),
        ([nameless], {"names": ["a"], "keep": ["b"]}, "no band is named b; found a"),
        ([lost], {}, "lost.tif: has no projection"),
        ([str(tmp_path / "text.tif")], {}, "text.tif: is no raster"),
        ([str(tmp_path / "absent.tif")], {}, "absent.tif: no such file"),
    ]:
        with pytest.raises(InputError, match=said):
            made(files, **settings)
