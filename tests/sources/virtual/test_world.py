"""The virtual landscape: what is claimed about its truth, and that chance comes from the seed alone."""

import io

import numpy as np
import pytest
import xarray
from PIL import Image
from upath import UPath

from sdm_ray.geo.grid import to_xy
from sdm_ray.job import Job
from sdm_ray.sources.config import PrepareConfig
from sdm_ray.sources.virtual import landscape
from sdm_ray.sources.virtual import world as virtual_world
from sdm_ray.sources.virtual.config import VirtualConfig, VirtualPhotos, VirtualSurveys
from sdm_ray.stores.cube import Cube
from sdm_ray.stores.maps import Map
from sdm_ray.tracking import Tracker

LISTED = {"source": "virtual"}


@pytest.fixture(scope="module")
def config() -> PrepareConfig:
    return PrepareConfig(virtual=VirtualConfig(cells=48, species=6), seed=3, truth=LISTED, cube=LISTED)


@pytest.fixture(scope="module")
def world(config):
    return virtual_world.build(config.virtual, config.seed)


def test_the_seed_decides_everything(config, world):
    virtual_world.build.cache_clear()
    again = virtual_world.build(config.virtual, config.seed)
    np.testing.assert_array_equal(again.cover, world.cover)
    np.testing.assert_array_equal(again.logits, world.logits)
    np.testing.assert_array_equal(landscape.render(again)[0], landscape.render(world)[0])
    other = virtual_world.build(config.virtual, config.seed + 1)
    assert (other.cover != world.cover).mean() > 0.3


def test_the_landscape_has_land_sea_and_every_class(world):
    assert 0.5 < world.land.mean() < 0.98
    assert world.sea[:, 0].any()
    assert all((world.cover[~world.sea] == each).mean() > 0.002 for each in range(5))
    np.testing.assert_allclose(world.fractions.sum(axis=0), 1, atol=1e-5)


def test_prevalences_are_those_asked_for(world):
    mean = np.nanmean(world.probability, axis=(1, 2))
    np.testing.assert_allclose(np.sort(mean), np.geomspace(0.05, 0.5, 6), rtol=0.02)
    assert np.isnan(world.probability[:, ~world.land]).all()


def test_climate_and_land_cover_both_decide(world):
    """A regression on the climate alone, on land cover alone and on both, over all land cells."""
    land = world.land
    size = world.grid.shape
    climate = world.climate[:, : size[0], : size[1]][:, land].T.astype(float)
    climate = (climate - climate.mean(axis=0)) / climate.std(axis=0)
    cover = np.sqrt(world.fractions[:, land].T.astype(float))

    def explained(*columns: np.ndarray) -> np.ndarray:
        design = np.column_stack([np.ones(land.sum()), *columns])
        logits = world.logits[:, land].T.astype(float)
        rest = logits - design @ np.linalg.lstsq(design, logits, rcond=None)[0]
        return 1 - rest.var(axis=0) / logits.var(axis=0)

    both = explained(climate, climate[:, :1] ** 2, cover)
    assert both.min() > 0.999  # the truth is exactly a function of these
    assert explained(climate, climate[:, :1] ** 2).mean() < 0.9
    assert explained(cover).mean() < 0.9


def test_surveys_are_drawn_from_the_truth(config, world):
    found = landscape.surveys(VirtualSurveys(source="virtual", surveys=4000), config)
    x, y = to_xy(found.surveys["lon"].to_numpy(), found.surveys["lat"].to_numpy())
    row, col = world.grid.cell(x, y)
    assert world.land[row, col].all()
    seen = np.zeros((6, 4000))
    for survey, species in enumerate(found.surveys["species"]):
        seen[species, survey] = 1
    expected = world.probability[:, row, col]
    error = 4 * np.sqrt((expected * (1 - expected)).sum(axis=1))  # four standard deviations of a sum of coins
    assert (np.abs(seen.sum(axis=1) - expected.sum(axis=1)) < error).all()
    sure = expected > 0.8
    assert seen[sure].mean() > 0.8


def test_the_cube_shows_the_land_cover(config, world, tmp_path):
    path = UPath(tmp_path) / "cube.zarr"
    figures = landscape.cube(config.cube, config, Job(path, "", {}, False, Tracker("", "")))
    cube = Cube(path)
    assert (cube.bands, cube.grid) == (["blue", "green", "red", "nir"], world.pixels)
    every = xarray.open_zarr(str(path), consolidated=False)["reflectance"].load()
    values = every.values[0] / (every.attrs.get("scale_factor", 1e-4) if every.dtype == np.uint16 else 1e-4)
    clear = np.nan_to_num(values[3]) > 0
    assert figures["nodata_share"] == pytest.approx(1 - clear.mean(), abs=1e-6)
    greenness = (values[3] - values[2]) / np.maximum(values[3] + values[2], 1)
    means = [greenness[clear & (world.cover == each)].mean() for each in range(5)]
    assert means[virtual_world.FOREST] > means[virtual_world.GRASS] > means[virtual_world.BARE]
    assert means[virtual_world.WATER] < 0


def test_the_truth_is_a_map_in_steps_finer_than_a_percent(config, world, tmp_path):
    path = UPath(tmp_path) / "truth.zarr"
    landscape.truth(config.truth, config, path)
    store = Map(path)
    assert store.probability_kind == "occurrence"
    opened = xarray.open_zarr(str(path), group="0", consolidated=False)["probability"]
    np.testing.assert_allclose(opened.values, world.probability, atol=1e-4)


def test_covariates_blur_the_climate(config, world):
    made = landscape.covariates(config.truth, config)
    assert made.effective_resolution_m == 5000
    assert made.values.shape == (3, 10, 10)
    step = made.grid.resolution / world.grid.resolution
    mean = world.climate[0, : int(step), -int(step) :].mean()  # the north-eastern cell, which is land
    assert abs(made.values[0, 0, -1] - mean) < 3 * world.climate[0].std()
    assert np.isfinite(made.values[0]).any()


@pytest.mark.parametrize("scale", ["plant", "landscape"])
def test_photos_show_their_place(config, scale):
    listed = landscape.images(VirtualPhotos(source="virtual", scale=scale, photos=60, size=48), config)
    assert listed.rows["key"].is_unique
    with listed.opener.opened() as read:
        files = [read(each) for each in listed.rows["file"]]
        assert read("7") == files[7]
    photos = np.stack([np.asarray(Image.open(io.BytesIO(each)), float) for each in files])
    assert photos.shape == (60, 48, 48, 3)
    if scale == "landscape":
        # The more forest around, the darker the ground.
        ground = photos[:, 24:].mean(axis=(1, 2, 3))
        assert np.corrcoef(ground, listed.opener.shares[:, virtual_world.FOREST])[0, 1] < -0.5
    else:
        same = listed.opener.subject[:, 0]
        centre = photos[:, 16:32, 16:32].mean(axis=(1, 2))
        within = np.mean([centre[same == each].std(axis=0).mean() for each in np.unique(same)])
        assert within < 0.9 * centre.std(axis=0).mean()  # a species has its colours
