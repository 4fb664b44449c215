"""A planted change of the virtual landscape: forest is lost in parcels, and nowhere else does anything change."""

import numpy as np
import pandas as pd
import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.job import Job
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.virtual import landscape, management, world
from sdm_ray.sources.virtual.config import ManagementConfig, VirtualConfig
from sdm_ray.sources.virtual.world import FOREST, GRASS
from sdm_ray.stores.cube import Cube
from sdm_ray.tracking import Tracker

LANDSCAPE = VirtualConfig(cells=48, species=6)
MANAGED = LANDSCAPE.model_copy(update={"management": ManagementConfig(parcels=12)})
SEED = 3


@pytest.fixture(scope="module")
def landscapes():
    return world.build(LANDSCAPE, SEED), management.build(MANAGED, SEED)


@pytest.fixture(scope="module")
def cleared(landscapes) -> np.ndarray:
    """Cells of the treated parcels."""
    table, _ = management.parcels(landscapes[0], MANAGED.management)
    found = np.zeros(landscapes[0].land.shape, bool)
    for row, col in table.loc[table["cleared"] == 1, ["row", "col"]].to_numpy():
        found[row : row + 2, col : col + 2] = True
    return found


def test_treated_parcels_lose_their_forest_to_grass_and_no_other_cell_changes(landscapes, cleared):
    before, after = landscapes
    assert cleared.sum() == 12 * 4 and (after.fractions[FOREST][cleared] == 0).all()
    gained = after.fractions[GRASS] - before.fractions[GRASS]
    assert gained[cleared] == pytest.approx(before.fractions[FOREST][cleared], abs=1e-6)
    same = ~cleared & before.land
    np.testing.assert_array_equal(after.fractions[:, same], before.fractions[:, same])
    np.testing.assert_allclose(after.logits[:, same], before.logits[:, same], atol=1e-5)


def test_species_gain_and_lose_where_forest_went(landscapes, cleared):
    before, after = landscapes
    change = (after.probability - before.probability)[:, cleared].mean(axis=1)
    assert change.min() < -0.1 and change.max() > 0.05


def test_treated_parcels_differ_from_the_others(landscapes):
    table, shapes = management.parcels(landscapes[0], MANAGED.management)
    means = table.groupby("cleared")["moisture"].mean()
    assert means[1] > means[0] and table["forest"].min() >= 0.3
    assert len(shapes) == len(table) and shapes[0].area == 2000**2


def test_more_parcels_than_there_is_forest_are_refused(landscapes):
    with pytest.raises(InputError, match=r"expected at least 2000, twice management\.parcels"):
        management.parcels(landscapes[0], ManagementConfig(parcels=1000))


def test_the_satellite_sees_the_loss_in_another_year(tmp_path, landscapes, cleared):
    listed = {"source": "virtual"}
    config = PrepareConfig(run_dir=str(tmp_path), virtual=MANAGED, seed=SEED, cube=listed, suffix="-2025")
    assert config.writes() == ["cube-2025.zarr"]
    job = Job(UPath(tmp_path) / "cube-2025.zarr", "", {}, False, Tracker("", ""))
    landscape.cube(config.cube, config, job)
    cube = Cube(job.output)
    assert list(cube.times) == ["2025-summer"]
    nir = landscape.render(landscapes[0])[0][3].astype(float), landscape.render(landscapes[1])[0][3].astype(float)
    pixels = np.kron(cleared, np.ones((20, 20), bool)) & (landscapes[0].cover == FOREST)
    assert (nir[1] - nir[0])[pixels].mean() > 300  # grass shines brighter in the near infrared


def test_surveys_have_no_suffix():
    with pytest.raises(ValueError, match="suffix: surveys and occurrences share"):
        PrepareConfig(surveys={"source": "virtual"}, suffix="-2025")


def test_parcels_are_written_with_what_they_were_like(tmp_path):
    config = PrepareConfig(virtual=MANAGED, seed=SEED, parcels={"source": "virtual"})
    assert landscape.units(config.parcels, config, UPath(tmp_path) / "parcels.parquet")["cleared"] == 12
    table = pd.read_parquet(tmp_path / "parcels.parquet")
    assert {"parcel", "cleared", "forest", "moisture", "temperature_c", "elevation_m"} < set(table)
    with pytest.raises(InputError, match=r"virtual\.management says what is done"):
        landscape.units(config.parcels, config.model_copy(update={"virtual": LANDSCAPE}), UPath(tmp_path) / "p.parquet")
