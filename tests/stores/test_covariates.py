"""The covariate store."""

import numpy as np
import pytest
import xarray as xr
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.stores.covariates import Covariates, write_covariates

GRID = Grid(4_000_000.0, 3_000_000.0, 10_000.0, 6, 4)
NAMES = ["rain", "warmth"]


@pytest.fixture
def values() -> np.ndarray:
    values = np.random.default_rng(0).normal(10, 3, (2, *GRID.shape)).astype(np.float32)
    values[0, 0, 0] = np.nan
    values[1, 3, 5] = np.inf
    return values


@pytest.fixture
def store(tmp_path, values) -> Covariates:
    write_covariates(UPath(tmp_path) / "c.zarr", GRID, NAMES, values, 25_000.0)
    return Covariates(UPath(tmp_path) / "c.zarr")


def test_places_get_the_values_of_their_cell(store, values):
    row, col = (axis.ravel() for axis in np.indices(GRID.shape))
    x, y = GRID.centre(row, col)
    found, known = store.at(x + 4_900, y - 4_900)
    assert np.array_equal(known, np.isfinite(values).all(axis=0).ravel())
    assert np.array_equal(found[known], values[:, row[known], col[known]].T)
    assert known.sum() == GRID.width * GRID.height - 2


def test_where_a_value_is_unknown_all_are_zero_and_it_is_said(store):
    x, y = GRID.centre(np.array([0, 3, 0]), np.array([0, 5, -1]))
    found, known = store.at(x, y)
    assert not known.any()
    assert (found == 0).all()
    assert found.dtype == np.float32


def test_a_large_store_is_read_by_chunk_and_gives_the_same(tmp_path, monkeypatch):
    grid = Grid(4_000_000.0, 3_000_000.0, 1000.0, 300, 200)
    values = np.random.default_rng(1).normal(size=(2, *grid.shape)).astype(np.float32)
    values[1, 20:60, 100:180] = np.nan
    write_covariates(UPath(tmp_path) / "c.zarr", grid, NAMES, values, 1000.0)
    rng = np.random.default_rng(2)
    x, y = grid.x0 + rng.uniform(-5e3, 305e3, 900), grid.y1 - rng.uniform(-5e3, 205e3, 900)
    expected = Covariates(UPath(tmp_path) / "c.zarr").at(x, y)
    monkeypatch.setattr("sdm_ray.stores.covariates._HELD_BYTES", 0)
    large = Covariates(UPath(tmp_path) / "c.zarr")
    asked: list = []
    start = large._engine.start
    monkeypatch.setattr(large._engine, "start", lambda parts: (asked.extend(parts), start(parts))[1])
    found = large.at(x, y)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert 700 < found[1].sum() < 900
    assert len(asked) == 6  # 128 x 128 chunks, each once


def test_points_that_share_a_cell_share_its_values(store):
    rng = np.random.default_rng(3)
    x, y = GRID.x0 + rng.uniform(-5e3, 65e3, 400), GRID.y1 - rng.uniform(-5e3, 45e3, 400)
    values, known, which = store.distinct(x, y)
    expected, there = store.at(x, y)
    assert np.array_equal(values[which], expected)
    assert np.array_equal(known[which], there)
    assert len(values) == len(known) == len(set(zip(*GRID.cell(x, y), strict=True)))


def test_mean_and_spread_are_over_the_known_cells(store, values):
    for i in range(2):
        finite = values[i][np.isfinite(values[i])]
        assert store.mean[i] == pytest.approx(finite.mean(), rel=1e-5)
        assert store.std[i] == pytest.approx(finite.std(), rel=1e-5)
    assert store.names == NAMES
    assert store.grid == GRID
    assert store.effective_resolution_m == 25_000.0


def test_a_plain_reader_sees_the_values(tmp_path, store, values):
    read = xr.open_zarr(str(tmp_path / "c.zarr")).covariates.sel(covariate="rain")
    assert np.array_equal(read, values[0], equal_nan=True)


def test_faults_are_named(tmp_path, values):
    path = UPath(tmp_path) / "c.zarr"
    empty = values.copy()
    empty[1] = np.nan
    with pytest.raises(InputError, match="covariate warmth: has no value in any cell"):
        write_covariates(path, GRID, NAMES, empty, 1.0)
    with pytest.raises(InputError, match="two have the same name"):
        write_covariates(path, GRID, ["rain", "rain"], values, 1.0)
    assert not path.exists()
