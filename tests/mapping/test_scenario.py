import numpy as np
import pytest
from helpers.parcel_files import square
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import whole
from sdm_ray.mapping.config import MapConfig
from sdm_ray.mapping.scenario import ChangedCovariates, prepare
from sdm_ray.mapping.scenario_config import ScenarioConfig
from sdm_ray.stores import artefact
from sdm_ray.stores.covariates import Covariates, write_covariates
from sdm_ray.stores.maps import Map

GRID = Grid(4_000_000, 3_010_000, 1000, 10, 10)
NAMES = ["forest", "grass", "warmth"]


@pytest.fixture
def stores(tmp_path):
    """Today: forest in the west, grass in the east; a warmer climate on a coarser grid, unknown in the south."""
    folder = UPath(tmp_path)
    values = np.zeros((3, 10, 10), np.float32)
    values[0, :, :5], values[1, :, 5:], values[2] = 1, 1, 10
    write_covariates(folder / "today.zarr", GRID, NAMES, values, 1000)
    warmer = np.full((2, 2, 2), 14, np.float32)
    warmer[:, 1] = np.nan
    write_covariates(folder / "later.zarr", Grid(4_000_000, 3_010_000, 5000, 2, 2), ["warmth", "rain"], warmer, 5000)
    write_covariates(folder / "other.zarr", GRID, ["lime"], values[:1], 1000)
    return folder


def changed(folder, names=NAMES, **values) -> ChangedCovariates:
    base, config = Covariates(folder / "today.zarr").select(names), ScenarioConfig(**values)
    place = None if config.covariates is None else folder / config.covariates
    return ChangedCovariates(base, prepare(config, place, base, GRID))


def at(store, *places):
    x, y = (
        1000 * np.array(each, float) + start
        for each, start in zip(np.transpose(places), (4_000_500, 3_000_500), strict=True)
    )
    values, known = store.at(x, y)
    distinct, there, which = store.distinct(x, y)
    assert np.array_equal(distinct[which], values) and np.array_equal(there[which], known)
    return np.where(known, values, np.nan).tolist()


def test_forest_becomes_what_it_is_told_to(stores, tmp_path):
    parcel = square(tmp_path, "parcel", 1, 1, 2)
    found = changed(stores, parcels=[{"within": parcel, "set": {"forest": 0, "grass": 1}}])
    assert at(found, (1, 1), (2, 2), (3, 3), (7, 1)) == [[0, 1, 10], [0, 1, 10], [1, 0, 10], [0, 1, 10]]


def test_forest_becomes_like_its_donors(stores, tmp_path):
    parcel, donor = square(tmp_path, "parcel", 1, 1, 2), square(tmp_path, "donor", 4, 4, 4)
    found = changed(stores, parcels=[{"within": parcel, "like": donor, "covariates": ["forest", "grass"]}])
    assert at(found, (1, 1), (3, 3)) == [[0.25, 0.75, 10], [1, 0, 10]]  # one of four columns is forest
    found = changed(stores, parcels=[{"within": parcel, "like": donor, "set": {"warmth": 3}}])
    assert at(found, (1, 1)) == [[0.25, 0.75, 3]]


def test_another_store_replaces_what_it_has_and_what_it_does_not_know_is_unknown(stores):
    found = at(changed(stores, covariates="later.zarr"), (1, 8), (1, 1))
    assert found[0] == [1, 0, 14] and found[1][:2] == [1, 0] and np.isnan(found[1][2])


def test_parcels_come_after_the_store_and_the_last_one_counts(stores, tmp_path):
    wide, narrow = square(tmp_path, "wide", 0, 0, 6), square(tmp_path, "narrow", 1, 1, 1)
    parcels = [{"within": wide, "set": {"warmth": 1, "forest": 0.5}}, {"within": narrow, "set": {"warmth": 2}}]
    found = changed(stores, covariates="later.zarr", parcels=parcels)
    assert at(found, (0, 0), (1, 1), (1, 8)) == [[0.5, 0, 1], [1, 0, 2], [1, 0, 14]]


def test_what_does_not_fit_is_refused(stores, tmp_path):
    parcel, far = square(tmp_path, "parcel", 1, 1, 2), square(tmp_path, "far", 500, 1, 2)
    for values, message in (
        ({"covariates": "other.zarr"}, r"scenario.covariates: .*other.zarr has none of the model's covariates"),
        (
            {"parcels": [{"within": parcel, "set": {"water": 1}}]},
            r"scenario.parcels: the model uses no covariate water",
        ),
        ({"parcels": [{"within": far, "set": {"grass": 1}}]}, r"far.gpkg: its polygons lie outside the map"),
        ({"parcels": [{"within": parcel, "like": far}]}, r"far.gpkg: no cell of .*today.zarr with a known forest"),
        ({"parcels": [{"within": str(tmp_path / "no.gpkg"), "set": {"grass": 1}}]}, r"no.gpkg: no such file"),
    ):
        with pytest.raises(InputError, match=message):
            changed(stores, **values)
    for values in ({}, {"parcels": [{"within": parcel}]}, {"parcels": [{"within": parcel, "covariates": ["grass"]}]}):
        with pytest.raises(ValueError, match=r"expected|give"):
            ScenarioConfig(**values)
    with pytest.raises(ValueError, match="scenario: embeddings are of today's covariates"):
        MapConfig(scenario={"covariates": "later.zarr"}, from_embeddings="embeddings.zarr")
    config = MapConfig(scenario={"covariates": "later.zarr", "parcels": [{"within": parcel, "set": {"grass": 1}}]})
    assert "later.zarr" in config.reads() and parcel in config.reads_files()


def test_a_map_of_a_scenario_is_that_of_a_store_with_the_same_values(make, world, tmp_path):
    """The north-west of the small country becomes wet and sour; novelty is beside the surveys' own covariates."""
    grid = Covariates(world.folder / "covariates.zarr").grid
    values = Covariates(world.folder / "covariates.zarr")._held.copy()
    parcel = square(tmp_path, "parcel", 40, 130, 40)  # 130 km north of 3,000 km
    rows, cols = np.mgrid[0 : grid.height, 0 : grid.width]
    x, y = grid.centre(rows, cols)
    inside = (x > 4_040_000) & (x < 4_080_000) & (y > 3_130_000) & (y < 3_170_000)
    changed_values = values.copy()
    changed_values[0, inside], changed_values[2, inside] = 9, -9
    write_covariates(world.folder / "wet.zarr", grid, ["rain", "warmth", "lime"], changed_values, 2000)
    artefact.seal(world.folder / "wet.zarr", artefact.Record(kind="covariates", fingerprint="wet"))
    scenario = {"parcels": [{"within": parcel, "set": {"rain": 9, "lime": -9}}]}
    maps = {
        "today": make("today.zarr", levels=0),
        "parcel": make("parcel.zarr", levels=0, scenario=scenario),
        "store": make("store.zarr", levels=0, scenario={"covariates": "wet.zarr"}),
    }
    read = {name: Map(place).read(whole(world.grid)) for name, place in maps.items()}
    rows, cols = np.mgrid[0 : world.grid.height, 0 : world.grid.width]
    x, y = world.grid.centre(rows, cols)
    there = world.land & (x > 4_040_000) & (x < 4_080_000) & (y > 3_130_000) & (y < 3_170_000)
    np.testing.assert_array_equal(read["parcel"], read["store"])
    assert np.array_equal(read["parcel"][:, ~there], read["today"][:, ~there], equal_nan=True)
    assert (read["parcel"][:, there] != read["today"][:, there]).mean() > 0.5
    similarity = Map(maps["parcel"]).layer("environmental_similarity")
    assert (similarity[there & world.covered] < 0).all()
    assert Map(maps["parcel"]).attrs["scenario"] == {"parcels": [{"within": parcel, "set": {"rain": 9, "lime": -9}}]}
