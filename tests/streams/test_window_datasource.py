import numpy as np
import pytest
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import tiles
from sdm_ray.stores.cube import Cube, create_cube
from sdm_ray.streams.config import Mixing
from sdm_ray.streams.loader import Stream, batches, in_order
from sdm_ray.streams.places import ListedPlaces
from sdm_ray.streams.reader_tasks import ReaderTasks
from sdm_ray.streams.window_dataset import WindowDataset
from sdm_ray.streams.window_datasource import plan, read_windows
from sdm_ray.streams.windows import Windows

GRID = Grid(4_000_000.0, 3_000_000.0, 10.0, 400, 300)
STEPS = 20


def make_cube(path: UPath) -> None:
    create_cube(path, GRID, ["spring", "summer"], ["red", "nir"], chunk=32, shard=128)
    cube = Cube(path, writable=True)
    rng = np.random.default_rng(3)
    for tile in tiles(GRID, cube.shard):
        shape = (2, tile.window.height, tile.window.width)
        for time in range(2):
            cube.write(tile.window, time, rng.integers(1, 9000, shape).astype(np.uint16), np.ones(shape[1:], np.uint8))


@pytest.fixture(scope="module")
def windows(tmp_path_factory) -> Windows:
    path = UPath(tmp_path_factory.mktemp("reading")) / "cube.zarr"
    make_cube(path)
    rng = np.random.default_rng(4)
    west, south, east, north = GRID.bounds
    lonlat = np.stack(to_lonlat(rng.uniform(west, east, 300), rng.uniform(south, north, 300)), axis=1)
    return Windows(str(path), ("nir", "red"), ListedPlaces(lonlat), 16, "summer")


def stream(windows: Windows, readers: int = 0, **mixing):
    dataset = WindowDataset(windows, augment=True, seed=5)
    return Stream.of(dataset, 7, 24, Mixing(**{"shuffle_window": 96, "interleave": 3} | mixing), ReaderTasks(readers))


def same(found: dict, expected: dict) -> bool:
    return found.keys() == expected.keys() and all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("readers", [0, 2])
def test_batches_are_what_the_order_says(windows, readers, ray_cluster):
    made = stream(windows, readers)
    found = list(batches(made, 0, 1, 0, STEPS))
    assert len(found) == STEPS
    assert all(same(batch, made.take(step)) for step, batch in enumerate(found))
    assert found[0]["image_satellite"].dtype == np.uint16


@pytest.mark.parametrize("interleave", [1, 3])
def test_ranks_and_restarts_change_nothing(windows, interleave):
    made = stream(windows, interleave=interleave)
    ranks = [list(batches(made, rank, 3, 4, 15)) for rank in range(3)]
    slots = np.argsort(np.concatenate([made.sampler.slots(24, rank, 3) for rank in range(3)]))
    for step, parts in enumerate(zip(*ranks, strict=True), start=4):
        joined = {name: np.concatenate([part[name] for part in parts])[slots] for name in parts[0]}
        assert same(joined, made.take(step))


def test_a_long_training_is_planned_some_steps_at_a_time(windows, monkeypatch):
    monkeypatch.setattr("sdm_ray.streams.parts._PLANNED_ROWS", 60)
    made = stream(windows)
    assert all(same(batch, made.take(step)) for step, batch in enumerate(batches(made, 0, 1, 0, STEPS)))


def test_a_stream_can_be_left_early(windows):
    made = batches(stream(windows), 0, 1, 0, STEPS)
    next(made)
    made.close()
    assert list(made) == []


@pytest.mark.parametrize(("readers", "tasks"), [(0, [0, 7, 13, 20]), (2, [0, 4, 7, 10, 13, 16, 20])])
def test_groups_are_read_when_they_are_first_wanted(readers, tasks):
    rng = np.random.default_rng(0)
    group, ids = rng.permutation(np.repeat(np.arange(20), 10)), rng.permutation(200)
    reading, where = plan(ids, group, row_bytes=16 << 20, readers=readers)
    assert np.array_equal(reading.ids[where], ids)
    read = group[np.argsort(where)]
    assert (np.diff(read) != 0).sum() == 19  # none is read in parts
    first = [np.flatnonzero(group == each)[0] for each in read[::10]]
    assert first == sorted(first)
    assert reading.groups.tolist() == list(range(0, 201, 10))
    assert reading.tasks.tolist() == tasks  # 1 GB for all readers together, and what completes a group


def test_the_dataset_tells_the_share_without_data(tmp_path, ray_cluster):
    path = UPath(tmp_path) / "cube.zarr"
    make_cube(path)
    corner = np.stack(to_lonlat(np.array([GRID.bounds[0]]), np.array([GRID.bounds[3]])), axis=1)
    windows = Windows(str(path), ("red",), ListedPlaces(corner), 16)
    reading, _ = plan(np.array([0]), np.array([0]), windows.row_bytes)
    row = read_windows(windows, reading, ReaderTasks(1)).take(1)[0]
    assert row["nodata"] == pytest.approx(0.75)
    assert np.array_equal(row["image"], windows.read(np.array([0]))[0])


@pytest.mark.parametrize("readers", [0, 2])
def test_a_broken_chunk_is_named(tmp_path, windows, readers, ray_cluster):
    path = UPath(tmp_path) / "cube.zarr"
    make_cube(path)
    shard = tmp_path / "cube.zarr" / "reflectance" / "c" / "1" / "0" / "1" / "1"
    content = bytearray(shard.read_bytes())
    content[: len(content) // 2] = bytes(len(content) // 2)
    shard.write_bytes(content)
    broken = Windows(str(path), windows.bands, windows.places, windows.size, "summer")
    with pytest.raises(InputError, match=r"cube\.zarr: a chunk cannot be read"):
        list(batches(stream(broken, readers), 0, 1, 0, STEPS))


def test_sequences_are_as_many_as_batch_and_places_allow(windows):
    assert stream(windows, interleave=16).sampler.interleave == 1  # 300 places are too few for 16
    assert stream(windows, interleave=4).sampler.interleave == 4
    assert stream(windows, interleave=5).sampler.interleave == 1  # of batches of 24


@pytest.mark.parametrize("readers", [0, 1])
def test_windows_in_order_are_those_that_are_read_at_once(windows, readers, ray_cluster):
    dataset = WindowDataset(windows)
    expected = dataset.read(np.arange(300), np.zeros(300, np.int64))
    found = list(in_order(dataset, 64, ReaderTasks(readers)))
    for name, values in expected.items():
        assert np.array_equal(np.concatenate([each[name] for each in found]), values)
