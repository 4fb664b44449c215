"""What lies in a bucket is read and written by the same code: an S3 server of its own, reached over the network."""

import numpy as np
import pandas as pd
import pytest
from helpers.object_store import bucket
from upath import UPath

from sdm_ray.geo.grid import Grid, to_lonlat
from sdm_ray.geo.windows import Window, tiles
from sdm_ray.stores import icechunk_repository, raster
from sdm_ray.stores.cube import Cube, create_cube
from sdm_ray.stores.maps import Map, MapSpec, create_map
from sdm_ray.stores.shards import Sample, Shards, write_index, write_shard
from sdm_ray.streams.config import Mixing
from sdm_ray.streams.loader import Stream, batches
from sdm_ray.streams.places import ListedPlaces
from sdm_ray.streams.window_dataset import WindowDataset
from sdm_ray.streams.windows import Windows

__all__ = ["bucket"]

GRID = Grid(4_000_000.0, 3_000_000.0, 10.0, 150, 110)


@pytest.fixture(scope="module")
def cube(bucket):
    path = UPath(bucket) / "cube.zarr"
    create_cube(path, GRID, ["summer"], ["red", "nir"], chunk=32, shard=64)
    store = Cube(path, writable=True)
    values = np.random.default_rng(0).integers(1, 9000, (2, *GRID.shape)).astype(np.uint16)
    for tile in tiles(GRID, store.shard):
        part = values[(slice(None), *tile.window.slices)]
        store.write(tile.window, 0, part, np.ones(part.shape[1:], np.uint8))
    raster.consolidate(path)
    return str(path), values


def test_windows_of_a_cube_in_a_bucket(cube):
    path, values = cube
    rows, cols = np.random.default_rng(1).integers(0, 100, (2, 120))
    x, y = GRID.x0 + (cols + 5) * 10.0, GRID.y1 - (rows + 5) * 10.0
    windows = Windows(path, ("nir", "red"), ListedPlaces(np.stack(to_lonlat(x, y), axis=1)), 10)
    stream = Stream.of(WindowDataset(windows), 0, 24, Mixing(interleave=1, shuffle_window=60))
    for step, batch in enumerate(batches(stream, 0, 1, 0, 5)):
        ids = stream.rows(range(step, step + 1))[0][0]
        expected = [values[::-1, row : row + 10, col : col + 10] for row, col in zip(rows[ids], cols[ids], strict=True)]
        assert np.array_equal(batch["image_satellite"], np.array(expected))


def test_images_in_a_bucket(bucket):
    folder = UPath(bucket) / "shards"
    samples = [Sample(f"k{i}", "npy", bytes([i]) * (i + 1), "satellite", 5.0, 45.0, i) for i in range(9)]
    write_index(folder, [write_shard(folder, 0, samples[:4]), write_shard(folder, 1, samples[4:])])
    rows = np.array([7, 0, 4])
    assert Shards(UPath(str(folder))).read(rows) == [samples[i].image for i in rows]


def test_versions_of_a_map_in_a_bucket(bucket, tmp_path):
    place = UPath(tmp_path) / "map.zarr"
    place.mkdir()
    icechunk_repository.start(place, UPath(bucket) / "versions", "map")
    spec = MapSpec(pd.DataFrame({"species_id": [0], "name": ["a"]}), "occurrence", 64, {})
    with icechunk_repository.changing(place, "a map"):
        create_map(place, GRID, spec)
        Map(place, writable=True).write(Window(0, 0, 64, 64), np.full((1, 64, 64), 0.5, np.float32), {})
    icechunk_repository.publish(place)
    assert Map(place).read(Window(60, 60, 8, 8))[0, 0, 0] == pytest.approx(0.5, abs=0.002)
