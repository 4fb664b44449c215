import numpy as np
import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import Window, whole
from sdm_ray.stores.cube import Cube, create_cube
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.streams.place_grid import PlaceGrid
from sdm_ray.streams.places import ListedPlaces
from sdm_ray.streams.survey_dataset import SurveyDataset
from sdm_ray.streams.window_dataset import WindowDataset
from sdm_ray.streams.windows import Windows

GRID = Grid(x0=4_000_000, y1=3_001_000, resolution=10, width=100, height=100)


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    path = UPath(tmp_path_factory.mktemp("cube") / "cube.zarr")
    create_cube(path, GRID, ["2021"], ["red", "green", "nir"], chunk=25, shard=100)
    values = np.random.default_rng(1).integers(1, 9000, (3, 100, 100)).astype(np.uint16)
    Cube(path, writable=True).write(whole(GRID), 0, values, np.ones((100, 100), np.uint8))
    return path


def lonlat_of(row: list[int], col: list[int]) -> np.ndarray:
    x, y = GRID.x[np.array(col)], GRID.y[np.array(row)]
    return np.stack(to_lonlat(x - 5, y + 5), axis=1)  # upper-left corners, the centres of even patches


def test_windows_are_what_the_cube_holds(cube):
    windows = Windows(str(cube), ("nir", "red"), ListedPlaces(lonlat_of([50, 30, 70], [40, 90, 8])), size=16)
    source = WindowDataset(windows)
    batch = source.read(np.array([2, 0]), np.array([0, 0]))
    expected = Cube(cube).read(Window(row=42, col=32, height=16, width=16))[[2, 0]]
    assert batch["image_satellite"].dtype == np.uint16
    assert np.array_equal(batch["image_satellite"][1], expected)
    assert batch["image_satellite"][0].shape == (2, 16, 16)


def test_a_band_that_is_not_there_is_named(cube):
    source = WindowDataset(Windows(str(cube), ("swir",), ListedPlaces(lonlat_of([50], [40])), size=16))
    with pytest.raises(InputError, match="no band swir"):
        source.read(np.array([0]), np.array([0]))


def test_places_of_a_cube_lie_on_a_grid_inside_it():
    found = PlaceGrid.over(GRID, 500)
    assert len(found) == 9
    assert np.allclose(found.xy(np.array([4])), [[4_000_500], [3_000_500]])


def test_a_batch_of_surveys(cube):
    labels = SparseLabels.from_lists([[0, 2], [], [1]], n_species=3)
    outside = np.array([[20.0, 40.0]])
    lonlat = np.concatenate([lonlat_of([50, 60], [40, 40]), outside])
    dataset = SurveyDataset(
        rows=np.array([2, 0]),
        all_lonlat=lonlat,
        covariates=np.array([[1, 2], [3, 4], [0, 0]], np.float32),
        known=np.array([[True, True], [True, False], [False, False]]),
        labels=labels,
        images=Windows(str(cube), ("red",), ListedPlaces(lonlat), 8),
        augment=True,
    )
    batch = dataset.read(np.array([0, 1]), np.array([0, 0]))
    assert batch["place"].tolist() == [2, 0]
    assert batch["labels"].tolist() == [[0, 1, 0], [1, 0, 1]]
    assert batch["has_covariates"].tolist() == [[False, False], [True, True]]
    assert batch["has_satellite"].tolist() == [False, True]
    assert batch["covariates"].tolist() == [[0, 0], [1, 2]]
    assert batch["image_satellite"].shape == (2, 1, 8, 8)
    again = dataset.subset(np.array([0])).read(np.array([0]), np.array([0]))
    assert np.array_equal(again["image_satellite"][0], batch["image_satellite"][1])


def test_series_come_as_they_are_and_each_is_hidden_by_a_draw_of_its_own():
    n = 2000
    light = np.arange(2 * 3 * n, dtype=np.float32).reshape(n, 2, 3)
    light[5] = np.nan
    light[6, 0] = np.nan
    dataset = SurveyDataset(
        rows=np.arange(n)[::-1],
        all_lonlat=np.zeros((n, 2)),
        covariates=np.zeros((n, 0), np.float32),
        known=np.zeros((n, 0), bool),
        labels=SparseLabels.from_lists([[]] * n, 1),
        series={"light": light, "rain": np.ones((n, 1, 12), np.float32)},
        hide=0.25,
    )
    ids, zeros = np.arange(n), np.zeros(n, np.int64)
    batch = dataset.read(ids, zeros)
    assert np.array_equal(batch["series_light"], light[::-1], equal_nan=True)
    assert np.flatnonzero(~batch["has_series_light"]).tolist() == [n - 1 - 5]  # gaps are no want of a series
    first, second = batch["hide_series_light"], batch["hide_series_rain"]
    assert 0.2 < first.mean() < 0.3 and 0.2 < second.mean() < 0.3 and (first & second).mean() < 0.1
    assert np.array_equal(dataset.read(ids[100:], zeros[100:])["hide_series_light"], first[100:])
    assert "hide_series_light" not in dataset.subset(ids, plain=True).read(ids, zeros)
    assert dataset.read(ids[:0], zeros[:0])["has_series_light"].shape == (0,)  # of a rank without rows


def test_inputs_are_hidden_at_the_asked_rate_by_key():
    n = 4000
    dataset = SurveyDataset(
        rows=np.arange(n),
        all_lonlat=np.zeros((n, 2)),
        covariates=np.zeros((n, 1), np.float32),
        known=np.ones((n, 2), bool),
        labels=SparseLabels.from_lists([[]] * n, 1),
        hide=0.25,
    )
    ids, zeros = np.arange(n), np.zeros(n, np.int64)
    hidden = dataset.read(ids, zeros)["hide_covariates"]
    assert 0.22 < hidden.mean() < 0.28
    assert np.array_equal(dataset.read(ids[100:], zeros[100:])["hide_covariates"], hidden[100:])
    assert "hide_covariates" not in dataset.subset(ids, plain=True).read(ids, zeros)
