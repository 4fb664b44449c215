"""Donor cells: land takes the covariates and images of other places, whichever way the map is cut."""

import numpy as np
import pytest
import shapely
import torch
from helpers.parcel_files import square, write_squares
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.mapping.cell_sources import Sources
from sdm_ray.mapping.feature_grid import Blending, Lattice
from sdm_ray.mapping.patch_batches import Images, Pixels
from sdm_ray.mapping.scenario import ChangedCovariates, prepare
from sdm_ray.mapping.scenario_config import ScenarioConfig
from sdm_ray.stores.covariates import Covariates, write_covariates
from sdm_ray.stores.cube import Cube, create_cube

GRID = Grid(4_000_000, 3_020_000, 1000, 20, 20)
WHERE = {"where": {"cover=grass": 0.9}}


@pytest.fixture
def land(tmp_path):
    """Forest in the west, grass in the east; every cell has a warmth of its own, and pixels that hold its column."""
    folder, rows, cols = UPath(tmp_path), *np.mgrid[:20, :20]
    values = np.stack([cols < 12, cols >= 12, 100 * rows + cols]).astype(np.float32)
    write_covariates(folder / "today.zarr", GRID, ["cover=forest", "cover=grass", "warmth"], values, 1000)
    pixels = Grid(GRID.x0, GRID.y1, 250, 80, 80)
    create_cube(folder / "cube.zarr", pixels, ["2021"], ["red"], chunk=16, shard=32)
    column = np.broadcast_to(1 + np.arange(80) // 4, (1, 80, 80)).astype(np.uint16)
    Cube(folder / "cube.zarr", writable=True).write(Window(0, 0, 80, 80), 0, column, np.ones((80, 80), np.uint8))
    return folder


NAMES = ("cover=forest", "cover=grass", "warmth")


def changed(folder, *parcels, seed=0, names=NAMES, later=None) -> ChangedCovariates:
    base = Covariates(folder / "today.zarr").select(names)
    config = ScenarioConfig(parcels=parcels, covariates=later)
    place = None if later is None else folder / later
    return ChangedCovariates(base, prepare(config, place, base, GRID, seed))


def centres(rows, cols):
    return GRID.centre(np.asarray(rows), np.asarray(cols))


def test_a_parcel_takes_covariates_of_grass_nearby_and_others_stay(land, tmp_path):
    parcel = square(tmp_path, "parcel", 2, 14, 4)
    found = changed(land, {"within": parcel, "donors": WHERE | {"nearest": 3}})
    rows, cols = np.mgrid[2:6, 2:6].reshape(2, -1)
    values, known = found.at(*centres(rows, cols))
    assert known.all() and (values[:, :2] == [0, 1]).all()
    donor_rows, donor_cols = np.divmod(values[:, 2].astype(int), 100)
    assert (donor_cols >= 12).all() and (np.abs(donor_rows - rows) <= 1).all()  # the nearest ones lie in the same rows
    assert len(np.unique(values[:, 2])) > 4
    outside, _ = found.at(*centres([0, 7], [0, 7]))
    assert outside.tolist() == [[1, 0, 0], [1, 0, 707]]


def test_only_named_covariates_are_taken_and_set_counts_more(land, tmp_path):
    parcel = square(tmp_path, "parcel", 2, 14, 4)
    taken = {"within": parcel, "donors": WHERE, "covariates": ["cover=forest", "cover=grass"]}
    (values,), _ = changed(land, taken).at(*centres([3], [4]))
    assert values.tolist() == [0, 1, 304]
    (values,), _ = changed(land, taken | {"set": {"warmth": -5}}).at(*centres([3], [4]))
    assert values.tolist() == [0, 1, -5]


def test_draws_follow_from_seed_and_place_alone(land, tmp_path):
    parcel = square(tmp_path, "parcel", 0, 8, 12)
    found = changed(land, {"within": parcel, "donors": WHERE})
    x, y = centres(*np.mgrid[0:12, 0:12].reshape(2, -1))
    every, _ = found.at(x, y)
    parts = np.concatenate([found.at(x[part], y[part])[0] for part in (slice(0, 50), slice(50, 144))])
    assert np.array_equal(every, parts)
    distinct, _, which = found.distinct(x, y)
    assert np.array_equal(distinct[which], every)
    other, _ = changed(land, {"within": parcel, "donors": WHERE}, seed=1).at(x, y)
    assert (other != every).any(axis=1).mean() > 0.5


def test_donors_lie_in_polygons_or_not_in_the_changed_land_itself(land, tmp_path):
    parcel, meadow = square(tmp_path, "parcel", 10, 10, 6), square(tmp_path, "meadow", 17, 1, 2)
    within = {"within": parcel, "donors": WHERE}
    rows, cols = np.mgrid[4:10, 10:16].reshape(2, -1)
    x, y, moved = changed(land, within).image_places(*centres(rows, cols))
    assert moved.all()
    row, col = GRID.cell(x, y)
    assert not ((row >= 4) & (row < 10) & (col >= 10) & (col < 16)).any()
    x, y, _ = changed(land, {"within": parcel, "like": meadow, "donors": {}}).image_places(*centres(rows, cols))
    row, col = GRID.cell(x, y)
    assert set(zip(row.tolist(), col.tolist(), strict=True)) == {(17, 17), (17, 18), (18, 17), (18, 18)}


def places(found, rows, cols):
    """Rows and columns of the cells whose images are shown."""
    x, y, _ = found.image_places(*centres(rows, cols))
    row, col = GRID.cell(x, y)
    return set(zip(row.tolist(), col.tolist(), strict=True))


def test_donors_lie_within_reach_of_the_polygons_themselves(land, tmp_path):
    """The box around two parcels in corners is the whole map, most of which is far from both."""
    parcel = tmp_path / "corners.gpkg"
    write_squares(parcel, [(4_000_000, 3_018_000), (4_018_000, 3_000_000)], 2000, {"id": [1, 2]})
    found = changed(land, {"within": str(parcel), "donors": {"where": {"warmth": 0}, "search_m": 2000, "nearest": 100}})
    (parcels,) = found._parcels
    away = shapely.distance(parcels.shape, shapely.points(parcels.donors.places))
    assert len(away) > 4 and away.max() <= 2000


def test_a_donor_knows_the_covariates_that_are_taken(land, tmp_path):
    cols = np.mgrid[:20, :20][1]
    values = np.stack([cols < 12, cols >= 12, np.where(cols < 14, np.nan, 1)]).astype(np.float32)
    write_covariates(land / "gaps.zarr", GRID, list(NAMES), values, 1000)
    base = Covariates(land / "gaps.zarr")
    parcel, meadow = square(tmp_path, "parcel", 2, 14, 4), square(tmp_path, "meadow", 12, 8, 4)
    for extra in ({"like": meadow, "donors": {}}, {"donors": WHERE}):
        for taken, first in ((None, 14), (["cover=forest"], 12)):
            config = ScenarioConfig(parcels=[{"within": parcel, "covariates": taken, **extra}])
            found = ChangedCovariates(base, prepare(config, None, base, GRID))
            (parcels,) = found._parcels
            assert ((parcels.donors.places[:, 0] - GRID.x0) // 1000).min() == first, (extra, taken)


def test_donors_are_what_the_scenario_has_grass_in(land, tmp_path):
    """In the scenario's store grass lies in the south, not in the east as today."""
    rows = np.mgrid[:20, :20][0]
    later = np.stack([rows < 12, rows >= 12]).astype(np.float32)
    write_covariates(land / "later.zarr", GRID, ["cover=forest", "cover=grass"], later, 1000)
    parcel = square(tmp_path, "parcel", 2, 14, 4)
    taken = {"within": parcel, "donors": WHERE}
    found = changed(land, taken, later="later.zarr")
    inside = np.mgrid[2:6, 2:6].reshape(2, -1)
    assert (found.at(*centres(*inside))[0][:, :2] == [0, 1]).all()
    assert min(row for row, _ in places(found, *inside)) == 12


@pytest.mark.parametrize("stride", [None, 500.0])
def test_models_are_shown_the_images_of_donors(land, tmp_path, stride):
    parcel = square(tmp_path, "parcel", 2, 14, 4)
    changed_land = changed(land, {"within": parcel, "donors": WHERE})
    pixels = Pixels(Images(Cube(land / "cube.zarr"), (0,), 4))
    sources = Sources(changed_land, pixels)
    x, y = centres([3, 4, 8], [3, 5, 8])
    if stride is None:
        seen = sources.patches(x, y).mean(axis=(1, 2, 3))
    else:
        blending = Blending(
            Lattice(stride), [lambda patches: patches.mean(dim=(1, 2, 3))[:, None]], torch.device("cpu")
        )
        features, there = sources.features(blending, 0, x, y)
        assert there.all()
        seen = features[:, 0].numpy()
    donor_x, _, moved = changed_land.image_places(x, y)
    assert moved.tolist() == [True, True, False]
    columns = (donor_x - GRID.x0) // 1000
    assert (columns[:2] >= 12).all() and columns[2] == 8
    assert seen == pytest.approx(1 + columns, abs=0.51)


def test_what_does_not_fit_is_refused(land, tmp_path):
    parcel = square(tmp_path, "parcel", 2, 14, 4)
    for donors, message in (
        ({"where": {"cover=water": 1}}, r"today.zarr: has no covariate cover=water, which scenario.parcels.donors"),
        (
            {"where": {"warmth": 9999}},
            r"no cell of .*today.zarr with warmth >= 9999 within 50000 m of the changed",
        ),
        (WHERE | {"search_m": 2000}, r"no cell of .* with cover=grass >= 0.9 within 2000 m"),
        ({"where": {"cover": 1}}, r"donors.where: expected covariates, not the name of all their classes"),
    ):
        with pytest.raises(InputError, match=message):
            changed(land, {"within": parcel, "donors": donors})
    with pytest.raises(ValueError, match="donors: expected `where`"):
        ScenarioConfig(parcels=[{"within": parcel, "donors": {}}])
