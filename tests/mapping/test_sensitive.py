import numpy as np
import pandas as pd
import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, tiles, whole
from sdm_ray.mapping.sensitive import PublishedMap, publishable
from sdm_ray.stores.maps import Map, MapSpec, create_map

GRID = Grid(4_003_000, 3_002_000, 1000, 50, 40)  # begins inside squares of 10 km
SPECIES = ["Abies alba", "Fagus sylvatica", "Taxus baccata"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    place = UPath(tmp_path_factory.mktemp("sensitive") / "map.zarr")
    create_map(place, GRID, MapSpec(pd.DataFrame({"species_id": range(3), "name": SPECIES}), "occurrence", 32, {}, 16))
    p = np.random.default_rng(0).random((3, *GRID.shape)).astype(np.float32)
    p[:, :, 45:] = np.nan
    for tile in tiles(GRID, 32):
        Map(place, writable=True).write(tile.window, p[(slice(None), *tile.window.slices)], {})
    return place


def test_a_sensitive_species_is_the_mean_of_its_squares(path):
    plain, shown = (
        Map(path).read(whole(GRID)),
        PublishedMap(path, sensitive={"TAXUS baccata L.": 10_000}).read(whole(GRID)),
    )
    assert np.array_equal(shown[:2], plain[:2], equal_nan=True)
    assert np.array_equal(np.isnan(shown), np.isnan(plain))
    inside = slice(2, 12), slice(7, 17)  # 2,990 to 3,000 km north, 4,010 to 4,020 km east
    assert np.unique(shown[2][inside]).tolist() == pytest.approx([plain[2][inside].mean()], abs=1e-4)
    assert shown[2][2, 7] != shown[2][1, 7] and shown[2][2, 7] != shown[2][2, 6]


@pytest.mark.parametrize("window", [Window(0, 0, 9, 9), Window(5, 13, 7, 21), Window(33, 30, 7, 20)])
def test_any_window_shows_the_same(path, window):
    shown = PublishedMap(path, sensitive={"Taxus baccata": 10_000})
    part, every = shown.read(window), shown.read(whole(GRID))[(slice(None), *window.slices)]
    assert np.array_equal(part, every, equal_nan=True)
    assert np.array_equal(shown.read(window, 2), every[2], equal_nan=True)


def test_what_is_not_to_be_published_is_left_out_or_refused(path, capsys):
    shown = PublishedMap(path, sensitive={"Abies alba": None, "Yeti": 500})
    assert publishable(shown, None) == [1, 2]
    told = capsys.readouterr().out
    assert "1 of 3 species are sensitive and left out" in told and "1 of 2 names are no species of the map" in told
    with pytest.raises(InputError, match="Abies alba is not to be published"):
        publishable(shown, ["Abies alba"])


def test_squares_that_cut_cells_are_refused(path):
    with pytest.raises(InputError, match=r"sensitive: Taxus baccata: 2500 m is no multiple of the 1000 m"):
        PublishedMap(path, sensitive={"Taxus baccata": 2500})
