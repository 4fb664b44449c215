"""Places of a grid are those that a list of them would hold, in the same order."""

import pickle
import tracemalloc

import numpy as np
import pytest

from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.streams import places_in_chunks
from sdm_ray.streams.chunk_shuffle_sampler import ChunkShuffleSampler
from sdm_ray.streams.place_grid import PlaceGrid
from sdm_ray.streams.places import ListedPlaces
from sdm_ray.streams.places_in_chunks import GridInChunks, in_chunks

GRID = Grid(4_000_000.0, 2_900_000.0, 10.0, 5000, 4000)


def some_of(share: float, stride: float = 170.0, seed: int = 0) -> PlaceGrid:
    """A grid of which only a share is used, and nothing in its east."""
    rng = np.random.default_rng(seed)
    return PlaceGrid.over(GRID, stride).only(
        lambda x, y: (rng.random((len(y), len(x))) < share) & (x < 4_042_000) & (y[:, None] > 2_862_000)
    )


def listed(places: PlaceGrid) -> ListedPlaces:
    return places.subset(np.arange(len(places)))


def test_all_places_of_a_grid_are_multiples_of_the_stride_from_the_north_west_on():
    places = PlaceGrid.over(Grid(1005.0, 2995.0, 10.0, 20, 30), 50.0)
    x, y = places.xy(np.arange(len(places)))
    assert len(places) == 4 * 6
    assert x[:5].tolist() == [1050, 1100, 1150, 1200, 1050] and y[[0, 4, -1]].tolist() == [2950, 2900, 2700]
    assert places.extent == (1050, 2700, 1200, 2950)


@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
def test_the_number_of_a_place_tells_where_it_lies(share):
    places = some_of(share)
    used = np.unpackbits(places.used, axis=1)[:, : len(places.x)]
    rows, cols = np.nonzero(used)
    assert len(places) == len(rows) > 0
    ids = np.random.default_rng(1).permutation(len(places))
    assert np.array_equal(np.stack(places.cells(ids)), np.stack([rows[ids], cols[ids]]))
    assert np.array_equal(np.stack(places.xy(ids)), np.stack([places.x[cols[ids]], places.y[rows[ids]]]))
    assert np.array_equal(places.before(rows, cols), np.arange(len(rows)))
    west, south, east, north = places.extent
    assert (west, east) == (places.x[cols.min()], places.x[cols.max()])
    assert (south, north) == (places.y[rows.max()], places.y[rows.min()])


def test_places_keep_their_numbers_where_others_are_left_out():
    places = some_of(0.5)
    fewer = places.only(lambda x, y: np.broadcast_to(x % 340 == 0, (len(y), len(x))))
    kept = np.flatnonzero(places.xy(np.arange(len(places)))[0] % 340 == 0)
    assert 0 < len(fewer) < len(places)
    assert np.array_equal(fewer.number(np.arange(len(fewer))), places.number(kept))
    part = fewer.subset(np.array([3, 1]))
    assert np.array_equal(part.number(np.arange(2)), places.number(kept[[3, 1]]))
    assert np.array_equal(part.lonlat(np.arange(2)), places.lonlat(kept[[3, 1]]))


def test_a_grid_without_places_is_empty():
    assert len(PlaceGrid.over(Grid(10.0, 90.0, 10.0, 5, 5), 1000.0)) == 0
    assert len(some_of(0.0)) == 0


@pytest.mark.parametrize(
    ("share", "window", "chunk"), [(1.0, 200, 256), (0.1, 64, 100), (0.01, 4000, 256), (1.0, 16, 64)]
)
@pytest.mark.parametrize("kept", [1, 1 << 21])
def test_the_order_of_a_grid_is_that_of_its_places_in_a_list(monkeypatch, share, window, chunk, kept):
    monkeypatch.setattr(places_in_chunks, "_LISTED", 0)
    monkeypatch.setattr(places_in_chunks, "_KEPT", kept)
    places = some_of(share)
    orders = [
        ChunkShuffleSampler(in_chunks(each, GRID, 32, chunk), 5, 24, window, 8) for each in (places, listed(places))
    ]
    assert orders[0].n == orders[1].n == len(places)
    positions = np.arange(2 * (len(places) // 8 * 8))
    ids, epochs = orders[0].at(positions)
    assert isinstance(orders[0].places, GridInChunks) and np.array_equal(ids, orders[1].at(positions)[0])
    groups = [each.groups(ids, epochs, positions % 24, 10) for each in orders]
    assert np.array_equal(*groups)
    some = np.random.default_rng(2).integers(0, len(positions), 100)
    assert np.array_equal(orders[0].at(some)[0], ids[some])
    assert np.array_equal(pickle.loads(pickle.dumps(orders[0])).at(some)[0], ids[some])


def test_what_is_held_is_little_for_each_place(monkeypatch):
    monkeypatch.setattr(places_in_chunks, "_LISTED", 0)
    tracemalloc.start()
    places = PlaceGrid.over(Grid(0.0, 0.0, 10.0, 200_000, 100_000), 1000.0)
    order = ChunkShuffleSampler(
        in_chunks(places, Grid(0.0, 0.0, 10.0, 200_000, 100_000), 128, 2560), 0, 4096, 1 << 14, 16
    )
    order.at(np.arange(4096))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(places) > 1_900_000 and held < 2 * len(places)


def test_listed_places_are_found_where_their_degrees_say():
    lonlat = np.stack(to_lonlat(np.array([4_000_100.0, 4_000_300.0]), np.array([2_890_000.0, 2_880_000.0])), axis=1)
    places = ListedPlaces(lonlat)
    assert np.allclose(places.xy(np.array([1, 0])), [[4_000_300, 4_000_100], [2_880_000, 2_890_000]], atol=1e-3)
    assert places.number(np.array([1])).tolist() == [1]
    assert places.subset(np.array([1])).number(np.array([0])).tolist() == [1]
