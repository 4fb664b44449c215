"""Rasters of several projections on one grid."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import rasterio
import xarray as xr
from helpers.raster_files import write
from rasterio.transform import from_origin

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.layers import rasters
from sdm_ray.sources.layers.config import Rasters

JOB = PrepareConfig(land={"source": "virtual"})


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
    two = write(tmp_path / "two.tif", np.ones((2, 2, 2), np.float32), place, "EPSG:3035")
    lost = write(tmp_path / "lost.tif", band, place, None, ["a"])
    (tmp_path / "text.tif").write_text("no raster")
    for files, settings, said in [
        ([two], {}, "two.tif: band 1 has no description"),
        ([{"file": two, "names": ["a"]}], {}, "two.tif: 1 names for 2 bands"),
        ([{"file": two, "names": "{bnd}"}], {}, "'{bnd}' is no pattern"),
        ([{"file": lost, "crs": "EPSG:0"}], {}, "crs EPSG:0 is no projection"),
        ([nameless], {"names": ["a", "b"]}, "2 names for 1 bands"),
        ([nameless, nameless], {"names": ["a", "a"]}, "two bands are named a"),
        ([nameless], {"names": ["a"], "keep": ["b"]}, "no band is named b; found a"),
        ([lost], {}, "lost.tif: has no projection"),
        ([str(tmp_path / "text.tif")], {}, "text.tif: is no raster"),
        ([str(tmp_path / "absent.tif")], {}, "absent.tif: no such file"),
    ]:
        with pytest.raises(InputError, match=said):
            made(files, **settings)


def test_a_single_band_is_named_by_its_file_and_several_by_a_pattern(tmp_path):
    place = from_origin(4_000_000, 3_000_000, 1000, 1000)
    for month in ("jan", "jul"):
        write(tmp_path / f"rain_{month}.tif", np.full((1, 2, 2), len(month), np.int16), place, "EPSG:3035")
        write(tmp_path / f"warm_{month}.tif", np.ones((2, 2, 2), np.int16), place, "EPSG:3035")
    found = made([f"{tmp_path}/rain_*.tif", {"file": f"{tmp_path}/warm_*.tif", "names": "{file}.{band}"}])
    assert found.names == [
        "rain_jan", "rain_jul", "warm_jan.1", "warm_jan.2", "warm_jul.1", "warm_jul.2",
    ]  # fmt: skip


def test_variables_of_a_netcdf_and_files_in_an_archive(tmp_path):
    """NetCDF as climate services give it: longitude and latitude, several variables, no projection."""
    lon, lat = np.arange(5, 15, 0.5) + 0.25, np.arange(47, 55, 0.5)[::-1] + 0.25
    values = np.add.outer(lat, lon)
    data = {name: (("lat", "lon"), values * step) for name, step in (("t2m", 1.0), ("tp", 2.0))}
    xr.Dataset(data, {"lat": lat, "lon": lon}).to_netcdf(tmp_path / "era.nc", engine="scipy")
    with pytest.raises(InputError, match=r"era\.nc: holds no band of its own; expected one of netcdf:.*:t2m, netcdf"):
        made([f"{tmp_path}/era.nc"])
    with pytest.raises(InputError, match="has no projection"):
        made([f"NETCDF:{tmp_path}/era.nc:tp"])
    both = [{"file": f"NETCDF:{tmp_path}/era.nc:{name}", "crs": "EPSG:4326"} for name in ("t2m", "tp")]
    found = made(both, resolution_m=50_000)
    assert found.names == ["t2m", "tp"]
    known = np.isfinite(found.values).all(axis=0)
    assert known.sum() > 100
    np.testing.assert_allclose(found.values[1][known], 2 * found.values[0][known], rtol=1e-5)
    file = write(tmp_path / "bio1.tif", np.ones((1, 4, 4), np.float32), from_origin(10, 50, 1, 1), "EPSG:4326")
    with ZipFile(tmp_path / "world.zip", "w") as archive:
        archive.write(file, "bio/bio1.tif")
    Path(file).unlink()
    zipped = Rasters(source="rasters", rasters=[f"/vsizip/{tmp_path}/world.zip/bio/bio1.tif"])
    assert zipped.files() == {"rasters.0": f"{tmp_path}/world.zip"}
    assert rasters.covariates(zipped, JOB).names == ["bio1"]


def test_classes_become_shares_and_no_code_is_invented(tmp_path):
    """Classes 1, 5 and 200 of 500 m in cells of 1 km; halves of two cells are of two classes."""
    codes = np.array([[[1, 1, 5, 5], [1, 1, 200, 200], [0, 0, 5, 5], [0, 0, 5, 1]]], np.uint8)
    place = from_origin(4_000_000, 3_000_000, 500, 500)
    file = write(tmp_path / "cover.tif", codes, place, "EPSG:3035", ["cover"], nodata=0)
    found = made([{"file": file, "categorical": True}], resolution_m=1000)
    assert found.names == ["cover=1", "cover=5", "cover=200"]
    want = [[[1, 0], [np.nan, 0.25]], [[0, 0.5], [np.nan, 0.75]], [[0, 0.5], [np.nan, 0]]]
    np.testing.assert_allclose(found.values, want)
    most = made([{"file": file, "categorical": True, "resampling": "mode"}], resolution_m=1000)
    assert set(np.unique(most.values[np.isfinite(most.values)])) == {0, 1}
    np.testing.assert_array_equal(most.values[:, 0, 0], [1, 0][: len(most.names)] + [0] * (len(most.names) - 2))
    with pytest.raises(ValueError, match="classes cannot be interpolated"):
        made([{"file": file, "categorical": True, "resampling": "bilinear"}])
    with rasterio.open(file, "r+") as raster:
        raster.write_colormap(1, {1: (0, 0, 0, 255), 5: (9, 9, 9, 255), 200: (99, 9, 9, 255)})
    assert made([file], resolution_m=1000).names == found.names
    assert made([{"file": file, "categorical": False}], resolution_m=1000).names == ["cover"]


def test_what_is_read_of_a_file_shapes_the_artefact_and_where_it_lies_does_not(tmp_path):
    def shaping(file: str, **how):
        return Rasters(source="rasters", rasters=[{"file": file, **how}]).shaping()

    assert shaping("a/bio1.tif") == shaping("b/bio1.tif")
    assert shaping("a/bio1.tif") != shaping("a/bio1.tif", scale=0.1)
    assert shaping("NETCDF:a.nc:t2m") != shaping("NETCDF:a.nc:tp")
