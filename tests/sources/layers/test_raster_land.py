"""Land where rasters have values."""

import numpy as np
import pytest
from helpers.raster_files import write
from rasterio.transform import from_origin

from sdm_ray.errors import InputError
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.layers import raster_land

WEST, NORTH = 4_000_000, 3_000_000


def land(**settings):
    config = PrepareConfig(land={"source": "rasters", **settings})
    return raster_land.land(config.land, config)


def test_land_is_where_any_raster_has_a_value(tmp_path):
    place = from_origin(WEST, NORTH, 1000, 1000)
    first, second = np.full((2, 4, 4), -9999, np.float32)
    first[:2], second[1:3] = 7, 8
    files = [
        write(tmp_path / "a.tif", first[None], place, "EPSG:3035", nodata=-9999),
        write(tmp_path / "b.tif", np.stack([second, second]), place, "EPSG:3035", nodata=-9999),  # bands without names
    ]
    found = land(rasters=files, name="valley")
    assert found.land.tolist() == [[True] * 4] * 3 + [[False] * 4]
    assert found.names == ["valley"] and (found.country == found.land).all()
    assert found.grid.bounds == (WEST, NORTH - 4000, WEST + 4000, NORTH)


def test_bounds_without_any_value_are_refused(tmp_path):
    file = write(tmp_path / "a.tif", np.ones((1, 4, 4), np.float32), from_origin(WEST, NORTH, 1000, 1000), "EPSG:3035")
    with pytest.raises(InputError, match="land: no raster has a value"):
        land(rasters=[file], bounds=[WEST + 90_000, NORTH, WEST + 99_000, NORTH + 9000], resolution_m=1000)
