"""Indicators that cannot be compared."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.impact.change.config import ChangeConfig
from sdm_ray.impact.change.layer_differences import create, plan, write
from sdm_ray.stores import raster

GOLDEN = Path(__file__).parents[2] / "golden" / "v1" / "indicators" / "indicators.zarr"


@pytest.fixture
def planned(tmp_path):
    """Plans the difference of a copy, in which some file was spoilt, from the artefact itself."""

    def make(file=None, content=b""):
        place = tmp_path / "indicators.zarr"
        shutil.copytree(GOLDEN, place)
        if file:
            (place / file).write_bytes(content)
        names = {"first": str(GOLDEN), "second": str(place)}
        config = ChangeConfig(maps={"first": "a.zarr", "second": "b.zarr"}, indicators=names, run_dir=str(tmp_path))
        return plan(config, list(names), raster.read_grid(raster.open_group(UPath(GOLDEN) / "0")))

    return make


def test_equal_indicators_do_not_differ(planned, tmp_path):
    found = planned()
    create(UPath(tmp_path), found, 64)
    write(UPath(tmp_path), found, 64)
    differences = raster.open_group(UPath(tmp_path) / "indicators")
    assert "richness" in found.layers and np.nanmax(abs(differences["richness"][...])) == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_damaged_metadata_is_one_line(planned, content):
    with pytest.raises(InputError, match=r"indicators\.zarr(/0)?: is damaged"):
        planned("0/richness/zarr.json", content)
