"""Which file a name of GDAL means."""

import pytest

from sdm_ray.sources.layers.gdal_names import expanded, file_of, stem


@pytest.mark.parametrize(("name", "file"), [
    ("climate.tif", "climate.tif"),
    ("/data/climate.tif", "/data/climate.tif"),
    ("s3://bucket/climate.tif", "s3://bucket/climate.tif"),
    ("NETCDF:climate.nc:t2m", "climate.nc"),
    ('NETCDF:"/data/my climate.nc":t2m', "/data/my climate.nc"),
    ("netcdf:/data/climate.nc:t2m", "/data/climate.nc"),
    ('HDF4_EOS:EOS_GRID:"MCD12Q1.hdf":MCD12Q1:LC', "MCD12Q1.hdf"),
    ("GTIFF_DIR:2:/data/pages.tif", "/data/pages.tif"),
    ("/vsizip/world.zip/bio/bio1.tif", "world.zip"),
    ("/vsizip//data/world.zip/bio1.tif", "/data/world.zip"),
    ("/vsitar//data/world.tar.gz/bio1.tif", "/data/world.tar.gz"),
    ("/vsicurl/https://host.org/a.tif", "https://host.org/a.tif"),
    ("/vsis3/bucket/a.tif", "s3://bucket/a.tif"),
    ("NETCDF:/vsizip//data/era.zip/era.nc:t2m", "/data/era.zip"),
])  # fmt: skip
def test_the_file_behind_a_name(name, file):
    # The root of an absolute path after /vsizip/ is its second slash.
    assert file_of(name) == file


def test_patterns(tmp_path):
    for name in ("b2.nc", "b1.nc", "c.tif"):
        (tmp_path / name).touch()
    assert expanded(f"NETCDF:{tmp_path}/b*.nc:t2m") == [f"NETCDF:{tmp_path}/b{n}.nc:t2m" for n in (1, 2)]
    assert expanded(f"{tmp_path}/d*.tif") == [f"{tmp_path}/d*.tif"]
    names = ("/a/bio_1.tif", "/vsizip/w.zip/x/b.2.tiff", "NETCDF:a.nc:t2m")
    assert [stem(name) for name in names] == ["bio_1", "b.2", "t2m"]
