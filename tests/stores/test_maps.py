"""Maps: round trips, cuts, levels, and what a plain reader sees."""

import multiprocessing
import time
import warnings
from dataclasses import replace
from multiprocessing.connection import Connection

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, tiles, whole
from sdm_ray.stores import artefact, raster
from sdm_ray.stores.encoding import decode, encode
from sdm_ray.stores.ledger import Ledger
from sdm_ray.stores.maps import Layer, Map, MapSpec, create_map

GRID = Grid(4_000_000.0, 3_000_000.0, 1000.0, 70, 50)
SPECIES = pd.DataFrame({"species_id": range(20), "name": [f"Species {i}" for i in range(20)]})


def spec(tile: int = 32, bits: int = 8) -> MapSpec:
    return MapSpec(SPECIES, "recorded", tile, {"inputs": Layer("uint8", 0, {"long_name": "inputs"})}, bits)


@pytest.fixture
def truth() -> np.ndarray:
    values = np.random.default_rng(0).random((20, *GRID.shape), np.float32)
    values[:, :10, :10] = np.nan
    return values


def fill(path: UPath, values: np.ndarray, tile: int) -> None:
    create_map(path, GRID, spec(tile))
    target = Map(path, writable=True)
    for each in tiles(GRID, tile):
        part = values[(slice(None), *each.window.slices)]
        target.write(each.window, part, {"inputs": np.full(part.shape[1:], 3, np.uint8)})


@pytest.mark.parametrize("bits", [8, 16])
def test_decoding_is_within_half_a_step_and_keeps_nodata(bits):
    values = np.array([0, 1e-3, 0.5, 1, np.nan], np.float32)
    back = decode(encode(values, bits))
    assert np.nanmax(np.abs(back - values)) <= 0.5 / ((1 << bits) - 2) + 1e-7
    assert np.isnan(back).tolist() == [False, False, False, False, True]


def test_probabilities_outside_zero_to_one_are_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        encode(np.array([0.5, 1.1], np.float32))


@given(
    st.lists(st.floats(0, 1, width=32) | st.just(float("nan")), max_size=30),
    st.sampled_from([8, 16]),
)
def test_encoding_twice_is_encoding_once(values, bits):
    once = decode(encode(np.array(values, np.float32), bits))
    assert np.array_equal(once, decode(encode(once, bits)), equal_nan=True)
    assert np.array_equal(np.isnan(once), np.isnan(np.array(values, np.float32)))


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.sampled_from([1, 3, 8, 16, 64]), st.randoms())
def test_any_cut_written_in_any_order_gives_the_same_map(height, width, species, tile, random):
    grid = Grid(4_000_000.0, 3_000_000.0, 1000.0, width, height)
    values = np.random.default_rng(height * width).random((species, height, width), np.float32)
    values[values < 0.2] = np.nan
    path = UPath("memory://cuts/map.zarr")
    create_map(path, grid, replace(spec(tile), species=SPECIES[:species]))
    target = Map(path, writable=True)
    cut = tiles(grid, tile)
    random.shuffle(cut)
    for each in cut:
        part = values[(slice(None), *each.window.slices)]
        target.write(each.window, part, {"inputs": np.full(part.shape[1:], 3, np.uint8)})
    assert np.array_equal(Map(path).read(whole(grid)), decode(encode(values)), equal_nan=True)
    assert (Map(path).layer("inputs") == 3).all()


@pytest.mark.parametrize("place", ["local", "memory"])
def test_the_decoded_map_does_not_depend_on_the_tile(tmp_path, truth, place):
    base = UPath(tmp_path) if place == "local" else UPath("memory://maps")
    for tile in (16, 32, 128):
        fill(base / f"{tile}.zarr", truth, tile)
    first, *others = (Map(base / f"{tile}.zarr").read(tiles(GRID, 128)[0].window) for tile in (16, 32, 128))
    for other in others:
        assert np.array_equal(first, other, equal_nan=True)


def test_cells_are_read_in_the_order_asked_for(tmp_path, truth):
    fill(UPath(tmp_path) / "map.zarr", truth, 32)
    rng = np.random.default_rng(1)
    rows, cols = rng.integers(0, 50, 200), rng.integers(0, 70, 200)
    read = Map(UPath(tmp_path) / "map.zarr").read_cells(rows, cols)
    assert np.array_equal(read, decode(encode(truth[:, rows, cols].T)), equal_nan=True)


def test_cells_outside_the_map_are_refused_not_wrapped_around(tmp_path, truth):
    fill(UPath(tmp_path) / "map.zarr", truth, 32)
    store = Map(UPath(tmp_path) / "map.zarr")
    for row, col in ((-1, 0), (0, -1), (50, 0), (0, 70)):
        with pytest.raises(ValueError, match="outside the map of 50 x 70"):
            store.read_cells(np.array([3, row]), np.array([3, col]))
    assert store.read_cells(np.empty(0, int), np.empty(0, int)).shape == (0, 20)


def test_what_would_be_written_beside_its_place_is_refused(tmp_path, truth):
    create_map(UPath(tmp_path) / "map.zarr", GRID, spec())
    target = Map(UPath(tmp_path) / "map.zarr", writable=True)
    ones = np.ones((20, 32, 32), np.float32)
    for window in (Window(-32, 0, 32, 32), Window(32, 0, 32, 32), Window(0, 64, 32, 32), Window(0, 0, 0, 32)):
        with pytest.raises(ValueError, match="is not inside the grid"):
            target.write(window, ones, {})
    first = Window(0, 0, 32, 32)
    with pytest.raises(ValueError, match="is none of the blocks"):
        target.write_species(first, slice(0, 10), ones[:10])
    with pytest.raises(ValueError, match="values of shape"):
        target.write(first, ones[:, :1], {})
    with pytest.raises(ValueError, match="layer inputs of shape"):
        target.write(first, ones, {"inputs": np.ones((1, 32), np.uint8)})
    with pytest.raises(ValueError, match="layer distance of shape"):
        target.write(first, ones, {"distance": ones[0]})
    with pytest.raises(ValueError, match="between 0 and 1"):
        target.write(first, ones * np.inf, {})
    assert np.isnan(Map(target.path).read(whole(GRID))).all()


def test_a_tile_of_sea_writes_nothing_and_clears_what_was_there(tmp_path, truth):
    path = UPath(tmp_path) / "map.zarr"
    create_map(path, GRID, spec())
    target, first = Map(path, writable=True), Window(0, 0, 32, 32)
    objects = tmp_path / "map.zarr" / "0" / "probability" / "c"
    target.write(first, np.full((20, 32, 32), np.nan, np.float32), {})
    assert not [file for file in objects.rglob("*") if file.is_file()]
    target.write(first, np.ones((20, 32, 32), np.float32), {})
    assert len([file for file in objects.rglob("*") if file.is_file()]) == 1
    target.write(first, np.full((20, 32, 32), np.nan, np.float32), {})
    assert np.isnan(target.read(first)).all()


def test_a_window_that_cuts_a_tile_is_refused(tmp_path, truth):
    create_map(UPath(tmp_path) / "map.zarr", GRID, spec())
    target = Map(UPath(tmp_path) / "map.zarr", writable=True)
    window = tiles(GRID, 16)[1].window
    with pytest.raises(ValueError, match="cuts a unit of writing"):
        target.write(window, truth[(slice(None), *window.slices)], {})


def test_a_plain_reader_sees_coordinates_projection_names_and_missing_sea(tmp_path, truth):
    path = UPath(tmp_path) / "map.zarr"
    fill(path, truth, 32)
    Ledger(path, "one").add("E1N1", {})
    raster.consolidate(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(str(path), group="0").load()
    assert list(dataset.species.values[:2]) == ["Species 0", "Species 1"]
    assert dataset.species_id.dims == ("species",)
    assert "species_id" in dataset.probability.coords
    assert np.array_equal(dataset.x.values, GRID.x)
    assert np.array_equal(dataset.y.values, GRID.y)
    assert "3035" in dataset.spatial_ref.attrs["crs_wkt"]
    assert dataset.probability.attrs["grid_mapping"] == "spatial_ref" or "spatial_ref" in dataset.probability.coords
    values = dataset.probability.values
    assert np.isnan(values[:, :10, :10]).all()
    assert np.nanmax(np.abs(values - truth)) < 0.003


def _write_tile(path: str, values: np.ndarray, number: int) -> None:
    window = tiles(GRID, 16)[number].window
    Map(UPath(path), writable=True).write(window, values[(slice(None), *window.slices)], {})


def test_neighbouring_tiles_written_by_two_processes_lose_nothing(tmp_path, truth):
    path = UPath(tmp_path) / "map.zarr"
    create_map(path, GRID, spec(16))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(_write_tile, [(str(path), truth, i) for i in range(len(tiles(GRID, 16)))], chunksize=1)
    read = Map(path).read(tiles(GRID, 128)[0].window)
    assert np.array_equal(read, decode(encode(truth)), equal_nan=True)


def _map_until_killed(path: str, values: np.ndarray, started: Connection | None) -> None:
    """The life of a worker: each tile that the ledger lacks is written and recorded; `started` hears of each."""
    ledger, target = Ledger(UPath(path), "one"), Map(UPath(path), writable=True)
    done = ledger.done()
    for number, tile in enumerate(tiles(GRID, 16)):
        if tile.id in done:
            continue
        part = values[(slice(None), *tile.window.slices)]
        target.write(tile.window, part, {"inputs": np.ones(part.shape[1:], np.uint8)})
        if started is not None and number == 7:
            started.send("written but not recorded")
            time.sleep(60)
        ledger.add(tile.id, {"tile": number})


def test_a_killed_worker_costs_one_tile_and_changes_nothing(tmp_path, truth):
    path = UPath(tmp_path) / "map.zarr"
    create_map(path, GRID, spec(16))
    context = multiprocessing.get_context("spawn")
    hears, started = context.Pipe(duplex=False)
    worker = context.Process(target=_map_until_killed, args=(str(path), truth, started))
    worker.start()
    assert hears.poll(60)
    worker.kill()
    worker.join()
    assert sorted(figures["tile"] for figures in Ledger(path, "one").done().values()) == list(range(7))
    _map_until_killed(str(path), truth, None)
    assert len(Ledger(path, "one").done()) == len(tiles(GRID, 16))
    assert np.array_equal(Map(path).read(whole(GRID)), decode(encode(truth)), equal_nan=True)


def test_an_unsealed_map_is_not_read_as_a_finished_one(tmp_path, truth):
    path = UPath(tmp_path) / "map.zarr"
    artefact.begin(path, artefact.Beginning(fingerprint="one"))
    fill(path, truth, 32)
    with pytest.raises(InputError, match=r"map\.zarr: unfinished"):
        artefact.read_record(path)
    assert artefact.begin(path, artefact.Beginning(fingerprint="one"))  # what was written is kept for going on
    assert np.array_equal(Map(path).read(whole(GRID)), decode(encode(truth)), equal_nan=True)
    artefact.seal(path, artefact.Record(kind="map", fingerprint="one"))
    assert artefact.read_record(path).kind == "map"


def test_what_is_no_map_is_named(tmp_path):
    with pytest.raises(InputError, match="no Zarr v3 group"):
        Map(UPath(tmp_path) / "nothing.zarr")
    raster.create(UPath(tmp_path) / "other.zarr", GRID, {}, {})
    with pytest.raises(InputError, match="is no map"):
        Map(UPath(tmp_path) / "other.zarr")


def test_richness_from_many_rare_species_as_stored_is_that_of_the_unrounded():
    """Within 0.5 %: 11,255 species whose mean probabilities span four orders of magnitude, as surveys' shares do."""
    rng = np.random.default_rng(0)
    mean = np.exp(rng.normal(np.log(3e-4), 1.8, 11_255))
    p = np.minimum(mean[:, None] * np.exp(rng.normal(-0.5, 1, (11_255, 50))), 1).astype(np.float32)
    richness = p.sum(0, dtype=np.float64)
    stored = decode(encode(p, 16)).sum(0, dtype=np.float64)
    assert np.abs(stored / richness - 1).max() < 0.005
    coarse = decode(encode(p, 8)).sum(0, dtype=np.float64)
    assert np.abs(coarse / richness - 1).max() > 0.05  # which is why rare species get 16 bits
