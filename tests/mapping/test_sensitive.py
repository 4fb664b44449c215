import numpy as np
import pandas as pd
import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, tiles, whole
from sdm_ray.mapping.sensitive import PublishedMap, publishable
from sdm_ray.stores.maps import Map, MapSpec, create_map
from sdm_ray.stores.pyramid import create_levels, fill_level

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
    assert np.isnan(shown[2])[np.isnan(plain[2])].all()
    inside = slice(2, 12), slice(7, 17)  # 2,990 to 3,000 km north, 4,010 to 4,020 km east
    assert np.unique(shown[2][inside]).tolist() == pytest.approx([plain[2][inside].mean()], abs=1e-4)
    assert shown[2][2, 7] != shown[2][1, 7] and shown[2][2, 7] != shown[2][2, 6]


def test_squares_of_which_less_than_half_is_mapped_are_withheld(path):
    """The map has 2 of 10 rows in the north, 7 of 10 columns in the west, and 8 of 10 before the sea in the east."""
    shown = PublishedMap(path, sensitive={"Taxus baccata": 10_000}).read(whole(GRID), 2)
    assert np.isnan(shown[:2]).all() and np.isnan(shown[:, 45:]).all()
    assert not np.isnan(shown[2:32, :45]).any()


def test_no_level_shows_a_single_mapped_cell(tmp_path):
    place = UPath(tmp_path / "map.zarr")
    spec = MapSpec(pd.DataFrame({"species_id": [0], "name": ["Taxus baccata"]}), "occurrence", 64, {})
    grid = Grid(4_000_000, 3_000_000, 1000, 64, 64)
    create_map(place, grid, spec)
    p = np.full((1, 64, 64), np.nan, np.float32)
    p[0, 9, 9], p[0, 20:30, 20:26] = 0.9, 0.5
    Map(place, writable=True).write(whole(grid), p, {})
    create_levels(place, 4)
    for level in range(1, 5):
        fill_level(place, level, Window(0, 0, 64 >> level, 64 >> level))
    for level, side in enumerate((10, 5, 3, 2, 1)):
        shown = PublishedMap(place, level, sensitive={"Taxus baccata": 10_000})
        values = shown.read(whole(shown.grid), 0)
        assert np.isnan(values[:side, :side]).all(), level
        assert np.nanmax(values, initial=0) < 0.6
    assert np.nansum(PublishedMap(place, sensitive={"Taxus baccata": 10_000}).read(whole(grid), 0)) > 25


def test_layers_that_are_sums_over_all_species_are_refused(path):
    for sensitive in ({"Taxus baccata": 10_000}, {"Taxus baccata": None}):
        shown = PublishedMap(path, sensitive=sensitive)
        shown.check_layers(["inputs"])
        with pytest.raises(InputError, match=r"layers: richness_variance is a sum .* show where Taxus baccata is"):
            shown.check_layers(["inputs", "richness_variance"])
    PublishedMap(path, sensitive={"Taxus baccata": 500}).check_layers(["richness"])  # finer than a cell


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
