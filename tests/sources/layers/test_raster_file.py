"""Where a raster lies and what its pixels say, whatever its orientation, longitudes and encoding."""

import numpy as np
import pytest
import rasterio
from helpers.raster_files import write
from rasterio.transform import Affine, from_origin

from sdm_ray.config import load
from sdm_ray.errors import InputError
from sdm_ray.geo.grid import EU_EXTENT, Grid, to_lonlat
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.layers.config import RasterFile, Rasters
from sdm_ray.sources.layers.raster_file import opened
from sdm_ray.sources.layers.rasters import covariates

JOB = PrepareConfig(land={"source": "virtual"})


def made(file: str, **settings):
    how = {key: settings.pop(key) for key in ("nodata", "scale", "offset", "crs") if key in settings}
    return covariates(Rasters(source="rasters", rasters=[{"file": file, **how}], **settings), JOB)


def coordinates(first: float, step: float = 0.5) -> np.ndarray:
    """Longitude (-180 to 180) and latitude of the pixels of a world raster, (2, 360, 720)."""
    lon = (first + step * (np.arange(round(360 / step)) + 0.5) + 180) % 360 - 180
    lat = 90 - step * (np.arange(round(180 / step)) + 0.5)
    return np.stack(np.meshgrid(lon, lat)).astype(np.float32)


@pytest.mark.parametrize("first", [-180.0, 0.0], ids=["-180..180", "0..360"])
def test_a_world_raster_covers_the_eu_grid(tmp_path, first):
    place = from_origin(first, 90, 0.5, 0.5)
    file = write(tmp_path / "world.tif", coordinates(first), place, "EPSG:4326", ["lon", "lat"])
    found = made(file, resolution_m=50_000)
    assert found.grid.bounds == EU_EXTENT
    assert np.isfinite(found.values).all()  # Lisbon, London and Warsaw alike
    want = np.stack(to_lonlat(*np.meshgrid(found.grid.x, found.grid.y)))
    assert np.abs(found.values - want).max() < 0.07  # GDAL places to an eighth of a pixel; across Greenwich too


def test_a_region_in_longitudes_beyond_180_lies_where_it_is(tmp_path):
    values = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
    east = write(tmp_path / "east.tif", values, from_origin(350, 45, 1, 1), "EPSG:4326")  # 10 to 4 degrees west
    west = write(tmp_path / "west.tif", values, from_origin(-10, 45, 1, 1), "EPSG:4326")
    found, same = made(east, resolution_m=20_000), made(west, resolution_m=20_000)
    assert found.grid == same.grid
    np.testing.assert_array_equal(found.values, same.values)
    assert np.isfinite(found.values).mean() > 0.6


def test_rows_from_south_to_north_give_the_same(tmp_path):
    values = np.random.default_rng(0).normal(size=(1, 30, 40)).astype(np.float32)
    north = write(tmp_path / "north.tif", values, from_origin(5, 50, 0.1, 0.1), "EPSG:4326")
    south = write(tmp_path / "south.tif", values[:, ::-1], Affine(0.1, 0, 5, 0, 0.1, 47), "EPSG:4326")
    found, same = made(north), made(south)
    assert found.grid == same.grid and np.isfinite(found.values).mean() > 0.7
    np.testing.assert_array_equal(found.values, same.values)
    plain = write(tmp_path / "plain.tif", values[:, ::-1], Affine(1e3, 0, 4e6, 0, 1e3, 2.97e6), "EPSG:3035")
    np.testing.assert_array_equal(made(plain).values, values)


def test_a_rotated_raster_is_turned(tmp_path):
    turned = Affine.translation(4_000_000, 3_000_000) @ Affine.rotation(30) @ Affine.scale(1000, -1000)
    values = np.full((1, 40, 40), 7, np.float32)
    found = made(write(tmp_path / "turned.tif", values, turned, "EPSG:3035", nodata=-1))
    known = np.isfinite(found.values[0])
    assert 1500 < known.sum() < 1700 and not known[0, 0]
    assert (found.values[0][known] == 7).all()


def test_a_part_is_what_a_whole_read_gives(tmp_path):
    """Only pixels around the grid are read; the values are those of a grid that needs all."""
    values = np.add.outer(np.arange(200), np.arange(300))[None].astype(np.float32)
    file = write(tmp_path / "a.tif", values, from_origin(3, 52, 0.02, 0.02), "EPSG:4326")
    whole = made(file, resolution_m=5000)
    west, south, _, north = whole.grid.bounds
    bounds = (west + 100_000, south + 100_000, west + 150_000, south + 160_000)
    part = made(file, resolution_m=5000, bounds=bounds)
    row, col = (round((north - part.grid.y1) / 5000), 20)
    there = whole.values[:, row : row + part.grid.height, col : col + part.grid.width]
    np.testing.assert_allclose(part.values, there, atol=0.25)  # a quarter of a pixel
    with opened(RasterFile(file=file)) as reader:
        pixels, _ = reader.read(1, Grid(west + 1e5, north - 1e5, 5000, 2, 2))
    assert pixels.size < 0.05 * values.size


def test_scale_and_offset_are_applied(tmp_path):
    """15.8 degrees as CHELSA stores them: 2,889.5 tenths of a kelvin."""
    values = np.full((1, 4, 4), 28895, np.uint16)
    place = from_origin(4_000_000, 3_000_000, 1000, 1000)
    file = write(tmp_path / "t.tif", values, place, "EPSG:3035", nodata=65535)
    with rasterio.open(file, "r+") as raster:
        raster.scales, raster.offsets = (0.01,), (-273.15,)
    np.testing.assert_allclose(made(file).values, 15.8, atol=1e-3)
    np.testing.assert_allclose(made(file, scale=1, offset=0).values, 28895)  # where the file says it wrongly


def test_undeclared_marks_of_no_data_are_told(tmp_path, capsys):
    place = from_origin(4_000_000, 3_000_000, 1000, 1000)
    heights = np.array([[[-9999, 120], [-12, 4810]]], np.int16)
    file = write(tmp_path / "h.tif", heights, place, "EPSG:3035")
    np.testing.assert_array_equal(made(file).values, [[[np.nan, 120], [-12, 4810]]])
    assert "h.tif: band 1: 1 pixels hold -9999, taken as no data" in capsys.readouterr().out
    np.testing.assert_array_equal(made(file, nodata=-12).values, [[[-9999, 120], [np.nan, 4810]]])
    assert capsys.readouterr().out == ""
    least = write(tmp_path / "f.tif", np.float32([[[-3.4028235e38, 1], [2, 3]]]), place, "EPSG:3035", nodata=-1)
    np.testing.assert_array_equal(made(least).values, [[[np.nan, 1], [2, 3]]])
    dense = write(tmp_path / "d.tif", np.int16([[[-9999, -9998], [-7000, 3]]]), place, "EPSG:3035")
    np.testing.assert_array_equal(made(dense).values, [[[-9999, -9998], [-7000, 3]]])
    assert "kept as values" in capsys.readouterr().out


def test_a_raster_elsewhere_is_refused_unless_bounds_are_given(tmp_path):
    oregon = write(tmp_path / "oregon.tif", np.ones((1, 5, 5), np.float32), from_origin(-123, 45, 1, 1), "EPSG:4326")
    with pytest.raises(InputError, match=r"oregon\.tif: covers nothing of the EU grid's extent"):
        made(oregon)
    nowhere = write(tmp_path / "nowhere.tif", np.ones((1, 5, 5), np.float32), Affine.identity(), "EPSG:4326")
    with pytest.raises(InputError, match=r"nowhere\.tif: does not say where its pixels lie"):
        made(nowhere)


def test_a_projection_that_the_file_lacks_is_given(data):
    file = str(data / "swiss-alps-plots" / "ecospat.testEnv.tif")
    with pytest.raises(InputError, match=r"testEnv\.tif: has no projection \(CRS\).*set `crs`"):
        made(file)
    found = made(file, crs="EPSG:21781", names=list("abcde"))
    lon, lat = to_lonlat(*(np.array([axis.mean()]) for axis in (found.grid.x, found.grid.y)))
    assert (6.5 < lon[0] < 7.5) and (46 < lat[0] < 47)  # the western Swiss Alps


def test_a_copy_that_was_interrupted_is_one_line(tmp_path):
    values = np.random.default_rng(0).random((1, 90, 90), np.float32)
    file = write(tmp_path / "whole.tif", values, from_origin(8, 50, 0.1, 0.1), "EPSG:4326")
    (tmp_path / "part.tif").write_bytes((tmp_path / "whole.tif").read_bytes()[:6000])
    assert made(file).values.size
    with pytest.raises(InputError, match=r"part\.tif: its pixels cannot be read \(.*\); copy it again"):
        made(str(tmp_path / "part.tif"))
    with pytest.raises(InputError, match=r"rasters\.0\.nodta: unknown key"):
        load(_job(tmp_path, f"[{{file: {file}, nodta: 3}}]"), PrepareConfig)


def _job(folder, rasters: str):
    file = folder / "prepare.yaml"
    file.write_text(f"covariates: {{source: rasters, rasters: {rasters}}}\n")
    return file
