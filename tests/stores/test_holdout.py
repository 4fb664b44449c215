"""Holding out blocks, or whole countries."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from upath import UPath

from sdm_ray.geo.blocks import Blocks, Role, fold, fold_of, role
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
    country, folds = Land(UPath(land)).countries_of(*places), holdout.fold(*places)
    assert all(len(np.unique(folds[country == each])) == 1 for each in range(1, 11))
    assert len(np.unique(folds)) > 1
    for held_out in np.unique(folds):
        roles = holdout.role(*places, int(held_out))
        assert np.array_equal(roles == Role.TEST, folds == held_out)
        assert {Role.TRAIN, Role.VALIDATION, Role.CALIBRATE} <= set(roles)


def test_land_store_round_trip(land):
    store = Land(UPath(land))
    assert store.countries[:2] == ["", "Country 0"]
    assert store.land().all()


@pytest.fixture
def island(tmp_path) -> Land:
    """Two countries side by side in the middle of a sea, 20 columns each, and cells of 1 km."""
    grid = Grid(4e6, 3e6, 1000.0, 80, 60)
    country = np.zeros(grid.shape, np.int16)
    country[20:40, 20:40], country[20:40, 40:60] = 1, 2
    write_land(UPath(tmp_path) / "island.zarr", grid, country > 0, country, ["Ahia", "Behia"])
    return Land(UPath(tmp_path) / "island.zarr")


def test_places_at_sea_belong_to_the_nearest_country(island):
    col, row = np.array([5, 39, 41, 75, 45, 200]), np.array([30, 19, 5, 59, 30, -40])
    x, y = island.grid.centre(row, col)  # the last lies outside the store
    assert island.countries_of(x, y).tolist() == [1, 1, 2, 2, 2, 2]
    assert island.countries_of(x[:0], y[:0]).tolist() == []


def test_a_place_belongs_to_the_country_that_it_names(island):
    """Spelled as in the store, or otherwise; then its name stands for where most places of that name lie."""
    x, y = island.grid.centre(np.full(6, 30), np.array([30, 38, 41, 50, 41, 39]))
    names = np.array(["ahia", "ahia", "ahia", "BE", "BE", "BE"])
    assert island.countries_of(x, y, names).tolist() == [1, 1, 1, 2, 2, 2]
    assert island.countries_of(x, y, np.where(names == "BE", "", names)).tolist() == [1, 1, 1, 2, 2, 1]


def test_nothing_at_the_border_of_a_held_out_country_is_trained_on(island):
    rng = np.random.default_rng(0)
    col, row = rng.uniform(15, 65, 4000), rng.uniform(15, 45, 4000)
    x, y = island.grid.x0 + col * 1000, island.grid.y1 - row * 1000
    named = np.where(col < 42, "Ahia", "Behia")  # where an outline errs by two cells
    folds = {name: int(fold_of(np.array([number]), BLOCKS)[0]) for number, name in ((1, "Ahia"), (2, "Behia"))}
    assert folds["Ahia"] != folds["Behia"]
    holdout = HoldOut(replace(BLOCKS, buffer_m=0.0), str(island.path))
    assert np.array_equal(holdout.fold(x, y, named), np.where(named == "Ahia", folds["Ahia"], folds["Behia"]))
    roles = holdout.role(x, y, folds["Behia"], named)
    assert np.array_equal(roles == Role.TEST, named == "Behia")
    assert (roles[(named == "Ahia") & (col >= 40)] == Role.BUFFER).all()  # cells that Behia's map predicts
    assert (roles[(named == "Ahia") & (col < 40) & (row > 20) & (row < 40)] != Role.BUFFER).all()
    wide = HoldOut(replace(BLOCKS, buffer_m=5000.0), str(island.path)).role(x, y, folds["Behia"], named)
    inland = (named == "Ahia") & (row > 20) & (row < 40)
    assert (wide[inland & (col > 35.2)] == Role.BUFFER).all()
    assert (wide[inland & (col < 34)] != Role.BUFFER).all()
    assert np.array_equal(wide == Role.TEST, roles == Role.TEST)


def test_places_near_tested_places_are_not_trained_on(island):
    """A survey of Behia far inside Ahia's outline is tested, and what lies around it is left out."""
    x, y = island.grid.centre(np.array([30, 30, 30]), np.array([25, 27, 33]))
    named = np.array(["Behia", "Ahia", "Ahia"])
    behia = int(fold_of(np.array([2]), BLOCKS)[0])
    roles = HoldOut(replace(BLOCKS, buffer_m=3000.0), str(island.path)).role(x, y, behia, named)
    assert roles[0] == Role.TEST and roles[1] == Role.BUFFER and roles[2] != Role.BUFFER
