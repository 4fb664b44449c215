"""Precomputed embeddings as covariates: where their pixels lie, and their values."""

import json

import numpy as np
import pytest
import rasterio
from helpers.embedding_files import NORTH, UTM, WEST, alphaearth_cog, tessera_tile, unit_bytes
from pydantic import ValidationError
from pyproj import Transformer

from sdm_ray.errors import InputError
from sdm_ray.readers.alphaearth import dequantised
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.layers.config import Rasters
from sdm_ray.sources.layers.rasters import covariates

JOB = PrepareConfig(land={"source": "virtual"})
TO_UTM = Transformer.from_crs("EPSG:3035", UTM, always_xy=True)


def made(*entries, **settings):
    return covariates(Rasters(source="rasters", embeddings=list(entries), **settings), JOB)


def expected(found, values, left, top):
    """Values (C, height, width) of the pixel at the centre of each cell, NaN outside."""
    x, y = np.meshgrid(found.grid.x, found.grid.y)
    east, north = TO_UTM.transform(x, y)
    col, row = np.floor((east - left) / 10).astype(int), np.floor((top - north) / 10).astype(int)
    inside = (row >= 0) & (row < values.shape[1]) & (col >= 0) & (col < values.shape[2])
    want = np.full((len(values), *found.grid.shape), np.nan, np.float32)
    want[:, inside] = values[:, row[inside], col[inside]]
    return want


@pytest.mark.parametrize("south_up", [True, False])
def test_alphaearth_lies_where_it_is_whichever_way_its_rows_run(tmp_path, south_up):
    stored = unit_bytes(70, 90)
    stored[:, 3, 4] = -128
    path = alphaearth_cog(tmp_path / "annual/2021/32N/a.tiff", stored, south_up=south_up)
    with rasterio.open(path) as raster:
        assert (raster.transform.e > 0) == south_up  # the trap of the published files
    found = made({"name": "alphaearth", "tiles": path}, resolution_m=10)
    want = expected(found, dequantised(stored), WEST, NORTH)
    np.testing.assert_array_equal(found.values, want)
    assert np.isfinite(want).mean() > 0.8 and found.names[:2] == ["A00", "A01"] and len(found.names) == 64


def test_coarse_cells_hold_the_mean_direction_and_two_tiles_are_one(tmp_path):
    stored = unit_bytes(128, 128)
    stored[:, :20, :20] = -128
    one = alphaearth_cog(tmp_path / "annual/2021/32N/whole.tiff", stored)
    parts = [stored[:, :, :60], stored[:, :, 60:]]
    for number, part in enumerate(parts):
        alphaearth_cog(tmp_path / f"annual/2021/33N/part{number}.tiff", part, WEST + 600 * number)
    whole = made({"name": "alphaearth", "tiles": one}, resolution_m=200)
    halves = made({"name": "alphaearth", "tiles": str(tmp_path / "annual/2021/33N/*.tiff")}, resolution_m=200)
    assert whole.grid == halves.grid
    np.testing.assert_allclose(whole.values, halves.values, atol=1e-6)
    known = np.isfinite(whole.values).all(axis=0)
    assert known.any() and not known.all()
    np.testing.assert_allclose(np.linalg.norm(whole.values[:, known], axis=0), 1, atol=1e-5)
    rows, cols = np.mgrid[:128, :128]
    x, y = Transformer.from_crs(UTM, "EPSG:3035", always_xy=True).transform(
        WEST + 10 * (cols + 0.5), NORTH - 10 * (rows + 0.5)
    )
    cell = whole.grid.index(x, y)
    pixels = dequantised(stored)
    middle = int(np.bincount(cell[cell >= 0]).argmax())
    mean = np.nanmean(pixels[:, cell == middle], axis=1)
    np.testing.assert_allclose(whole.values.reshape(64, -1)[:, middle], mean / np.linalg.norm(mean), atol=1e-6)


def test_overviews_are_read_where_cells_are_coarse(tmp_path):
    stored = np.zeros((64, 256, 256), np.int8)
    stored[0], stored[1, :128] = 100, 50
    path = alphaearth_cog(tmp_path / "annual/2020/32N/a.tiff", stored, overviews=(2, 4, 8))
    plain = alphaearth_cog(tmp_path / "annual/2020/33N/a.tiff", stored)
    coarse, fine = (made({"name": "alphaearth", "tiles": each}, resolution_m=500) for each in (path, plain))
    assert coarse.effective_resolution_m == fine.effective_resolution_m == 10
    inside = np.isfinite(coarse.values[0]) & np.isfinite(fine.values[0])
    assert np.abs(coarse.values - fine.values)[:, inside].max() < 0.1 and inside.sum() >= 16


def test_year_and_version_are_recorded(tmp_path):
    path = alphaearth_cog(tmp_path / "annual/2021/32N/a.tiff", unit_bytes(20, 20))
    (source,) = made({"name": "alphaearth", "tiles": path}, resolution_m=50).embeddings
    assert (source.name, source.version, source.year, len(source.covariates)) == ("alphaearth", "v1", 2021, 64)
    config = Rasters(source="rasters", embeddings=[{"name": "alphaearth", "tiles": path}])
    assert "produced by Google and Google DeepMind" in config.cite() and "embeddings.0.0" in config.files()
    moved = alphaearth_cog(tmp_path / "elsewhere/2021/32N/a.tiff", unit_bytes(20, 20))
    again = Rasters(source="rasters", embeddings=[{"name": "alphaearth", "tiles": moved}])
    assert config.shaping() == again.shaping()  # where a file lies does not matter


def test_what_reads_no_embedding_is_made_from_the_same_as_before():
    assert "embeddings" not in Rasters(source="rasters", rasters=["a.tif"]).shaping()


def test_two_years_or_versions_are_refused(tmp_path):
    for year in (2020, 2021):
        alphaearth_cog(tmp_path / f"annual/{year}/32N/a.tiff", unit_bytes(20, 20))
    both = str(tmp_path / "annual/*/32N/*.tiff")
    with pytest.raises(ValidationError, match="alphaearth of 2020 and 2021; expected one year, they are never mixed"):
        Rasters(source="rasters", embeddings=[{"name": "alphaearth", "tiles": both}])
    one = str(tmp_path / "annual/2020/32N/a.tiff")
    with pytest.raises(ValidationError, match="alphaearth of 2020 and 2024"):
        Rasters(source="rasters", embeddings=[{"name": "alphaearth", "tiles": one, "year": 2024}])
    two = [{"name": "alphaearth", "tiles": one, "version": each} for each in ("v1", "v2")]
    with pytest.raises(ValidationError, match="alphaearth v1 of 2020 and v2 of 2020; expected one version"):
        Rasters(source="rasters", embeddings=two)
    nameless = alphaearth_cog(tmp_path / "a.tiff", unit_bytes(20, 20))
    with pytest.raises(InputError, match="no year in the paths of its tiles"):
        made({"name": "alphaearth", "tiles": nameless}, resolution_m=50)


def test_tessera_is_dequantised_by_the_scale_of_each_pixel(tmp_path):
    numbers = np.random.default_rng(1)
    for number, lon in enumerate((9.05, 9.15)):
        stored = numbers.integers(-127, 128, (40, 50, 128)).astype(np.int8)
        scales = numbers.uniform(0.01, 0.1, (40, 50)).astype(np.float32)
        scales[0, 0], scales[0, 1] = np.nan, np.inf
        tessera_tile(tmp_path, lon, 49.55, 2024, stored, scales)
        if number == 0:
            first = (stored, scales)
    found = made({"name": "tessera", "tiles": str(tmp_path)}, resolution_m=10)
    assert found.names[0] == "tessera_000" and len(found.names) == 128
    assert found.embeddings[0].year == 2024 and found.embeddings[0].version == "v1"
    values = first[0].astype(np.float32) * first[1][..., None]
    values[0, :2], values[-1] = np.nan, np.nan  # sea, no embedding yet; water of the land mask
    with rasterio.open(tmp_path / "global_0.1_degree_tiff_all" / "grid_9.05_49.55.tiff") as raster:
        left, top = raster.transform.c, raster.transform.f
    want = expected(found, np.moveaxis(values, -1, 0), left, top)
    there = np.isfinite(want)
    assert there.any(axis=0).sum() > 1500
    np.testing.assert_array_equal(found.values[there], want[there])


def test_tessera_of_several_years_needs_one_and_every_part_of_a_tile(tmp_path):
    stored, scales = np.ones((5, 5, 128), np.int8), np.ones((5, 5), np.float32)
    for year in (2023, 2024):
        tessera_tile(tmp_path, 9.05, 49.55, year, stored, scales)
    with pytest.raises(InputError, match="found 2023 and 2024; expected one `year`"):
        made({"name": "tessera", "tiles": str(tmp_path)}, resolution_m=10)
    assert made({"name": "tessera", "tiles": str(tmp_path), "year": 2023}, resolution_m=10).embeddings[0].year == 2023
    with pytest.raises(InputError, match=r"has no tile of 2019; found 2023, 2024"):
        made({"name": "tessera", "tiles": str(tmp_path), "year": 2019}, resolution_m=10)
    (tmp_path / "global_0.1_degree_tiff_all" / "grid_9.05_49.55.tiff").unlink()
    with pytest.raises(InputError, match=r"grid_9.05_49.55.tiff: no such file; a tile of TESSERA needs it"):
        made({"name": "tessera", "tiles": str(tmp_path), "year": 2023}, resolution_m=10)


def test_a_file_that_is_no_embedding_is_named(tmp_path):
    with rasterio.open(
        tmp_path / "b.tif", "w", driver="GTiff", width=4, height=4, count=3, dtype="uint8", crs=UTM,
        transform=rasterio.transform.from_origin(WEST, NORTH, 10, 10),
    ) as raster:  # fmt: skip
        raster.write(np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(InputError, match=r"3 bands of uint8.*expected the 64 bands of int8 of AlphaEarth"):
        made({"name": "alphaearth", "tiles": str(tmp_path / "b.tif"), "year": 2020}, resolution_m=100)
    (tmp_path / "c.tif").write_text(json.dumps({}))
    with pytest.raises(InputError, match="is no raster that GDAL reads"):
        made({"name": "alphaearth", "tiles": str(tmp_path / "c.tif"), "year": 2020}, resolution_m=100)
