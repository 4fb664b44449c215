"""Holding out blocks, or whole countries."""

import pickle

import numpy as np
import pytest
from upath import UPath

from sdm_ray.geo.blocks import Blocks, Role, fold, role
from sdm_ray.geo.grid import Grid
from sdm_ray.stores.holdout import HoldOut
from sdm_ray.stores.land import Land, write_land

BLOCKS = Blocks(size_m=10_000, folds=3)


@pytest.fixture
def places() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(4e6, 4.1e6, 3000), rng.uniform(2.9e6, 3e6, 3000)


@pytest.fixture
def land(tmp_path) -> str:
    grid = Grid(4e6, 3e6, 1000.0, 100, 100)
    country = (np.arange(100) // 10 + 1).astype(np.int16)[None].repeat(100, 0)
    path = UPath(tmp_path) / "land.zarr"
    write_land(path, grid, np.ones(grid.shape, bool), country, [f"Country {i}" for i in range(10)])
    return str(path)


def test_blocks_are_held_out_as_the_grid_says(places):
    assert np.array_equal(HoldOut(BLOCKS).fold(*places), fold(*places, BLOCKS))
    assert np.array_equal(HoldOut(BLOCKS).role(*places, 1), role(*places, BLOCKS, 1))


def test_a_country_is_held_out_whole(places, land):
    holdout = pickle.loads(pickle.dumps(HoldOut(BLOCKS, land)))
    country, folds = Land(UPath(land)).country_at(*places), holdout.fold(*places)
    assert all(len(np.unique(folds[country == each])) == 1 for each in range(1, 11))
    assert len(np.unique(folds)) > 1
    for held_out in np.unique(folds):
        roles = holdout.role(*places, int(held_out))
        assert np.array_equal(roles == Role.TEST, folds == held_out)
        assert {Role.TRAIN, Role.VALIDATION, Role.CALIBRATE} <= set(roles)


def test_land_store_round_trip(land):
    store = Land(UPath(land))
    assert store.countries[:2] == ["", "Country 0"]
    assert store.country_at(np.array([4_000_500.0, 0.0]), np.array([2_999_500.0, 0.0])).tolist() == [1, 0]
    assert store.land().all()
