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
    assert np.array_equal(known, np.isfinite(values)[:, row, col].T)
    assert np.array_equal(found[known], values[:, row, col].T[known])
    assert known.sum() == 2 * GRID.width * GRID.height - 2


def test_each_covariate_is_known_or_unknown_by_itself(store, values):
    x, y = GRID.centre(np.array([0, 3, 0]), np.array([0, 5, -1]))
    found, known = store.at(x, y)
    assert known.tolist() == [[False, True], [True, False], [False, False]]  # the last lies outside
    assert found.dtype == np.float32
    assert (found[~known] == 0).all()
    assert found[0, 1] == values[1, 0, 0] and found[1, 0] == values[0, 3, 5]


def test_selected_covariates_come_in_the_order_asked_for(store, values, monkeypatch):
    x, y = GRID.centre(*(axis.ravel() for axis in np.indices(GRID.shape)))
    chosen = store.select(["warmth", "rain"])
    assert chosen.names == ["warmth", "rain"]
    assert np.array_equal(chosen.mean, store.mean[::-1]) and np.array_equal(chosen.std, store.std[::-1])
    assert all(np.array_equal(a, b[:, ::-1]) for a, b in zip(chosen.at(x, y), store.at(x, y), strict=True))
    rain = chosen.select(["rain"])
    values_there, known = rain.at(x, y)
    assert np.array_equal(known.ravel(), np.isfinite(values[0]).ravel())  # what is missing of warmth costs nothing
    assert np.array_equal(values_there[known], values[0].ravel()[known.ravel()])
    monkeypatch.setattr("sdm_ray.stores.covariates._HELD_BYTES", 0)
    large = Covariates(store.path).select(["warmth"])
    assert all(np.array_equal(a, b[:, :1]) for a, b in zip(large.at(x, y), chosen.at(x, y), strict=True))


def test_a_covariate_that_is_not_there_is_named(store):
    with pytest.raises(
        InputError, match=r"c\.zarr: has no covariate soil, which m was trained with; found rain, warmth"
    ):
        store.select(["rain", "soil"], ", which m was trained with")


def test_a_name_of_classes_selects_them_all(tmp_path):
    values = np.random.default_rng(0).random((4, *GRID.shape)).astype(np.float32)
    names = ["rain", "cover=1", "cover=20", "covers"]
    write_covariates(UPath(tmp_path) / "c.zarr", GRID, names, values, 1.0)
    store = Covariates(UPath(tmp_path) / "c.zarr")
    assert store.select(["cover", "rain"]).names == ["cover=1", "cover=20", "rain"]
    assert store.select(["cover=20"]).names == ["cover=20"]


def test_opening_a_store_reads_no_values(store):
    store.path.joinpath("covariates", "c", "0", "0", "0").unlink()
    again = Covariates(store.path)
    assert again.select(["rain"]).names == ["rain"]
    assert not again.at(*GRID.centre(np.array([1]), np.array([1])))[1].any()  # read now, and nothing is left


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
    assert 700 < found[1][:, 1].sum() < found[1][:, 0].sum() < 900
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
