"""Chunks: our own decoding beside zarr-python's, however the cube is stored."""

from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, whole
from sdm_ray.stores.cube import Cube, create_cube
from sdm_ray.stores.patch_reader import Wanted
from sdm_ray.stores.zarr_shards import Layout, _Parts, _RemoteShards, _Shards, chunks_of

GRID = Grid(4_000_000.0, 3_000_000.0, 10.0, 150, 110)
CHUNKS = [(row, col) for row in range(7) for col in range(10)]  # of 16 pixels


@pytest.fixture(scope="module")
def partly(tmp_path_factory) -> UPath:
    """A cube of two times and three bands, of which one shard is not written and another holds one chunk."""
    path = UPath(tmp_path_factory.mktemp("chunks")) / "cube.zarr"
    create_cube(path, GRID, ["a", "b"], ["red", "nir", "blue"], chunk=16, shard=64)
    store = Cube(path, writable=True)
    values = np.random.default_rng(0).integers(1, 10_000, (3, 64, 64)).astype(np.uint16)
    store.write(Window(0, 0, 64, 64), 1, values, np.ones((64, 64), np.uint8))
    values[:, 16:] = 0
    values[:, :, 16:] = 0
    store.write(Window(64, 64, 46, 64), 1, values[:, :46], np.ones((46, 64), np.uint8))
    store.write(Window(0, 128, 64, 22), 1, values[:, :, :22] + np.uint16(1), np.ones((64, 22), np.uint8))
    return path


def array_of(path: UPath) -> Any:
    return zarr.open_group(str(path), mode="r")["reflectance"]


def test_every_chunk_is_what_zarr_reads(partly):
    array = array_of(partly)
    chunks = chunks_of(array)
    assert isinstance(chunks, _Shards)
    for time in range(2):
        for run in chunks.layout.runs(CHUNKS, 5):
            for chunk, pixels in zip(run, chunks.read(time, run), strict=True):
                rows, cols = chunks.layout.slices(chunk)
                expected = array[time, :, rows, cols]
                assert np.array_equal(pixels[:, : expected.shape[1], : expected.shape[2]], expected)
    assert array[1].any() and not array[0].any()


def test_a_shard_that_is_written_anew_is_read_anew(tmp_path):
    path = UPath(tmp_path) / "cube.zarr"
    create_cube(path, GRID, ["a"], ["red"], chunk=16, shard=256)
    reader = Cube(path)
    for value in (0, 3, 5):
        if value:
            Cube(path, writable=True).write(
                whole(GRID), 0, np.full((1, *GRID.shape), value, np.uint16), np.ones(GRID.shape, np.uint8)
            )
        assert (reader.patches(Wanted(np.array([7]), np.array([30]), 20)) == value).all()


@pytest.mark.parametrize(
    "changed",
    [{"compressors": zarr.codecs.GzipCodec()}, {"shards": None}, {"dtype": "int32"}, None],
    ids=["gzip", "no shards", "int32", "at a URL"],
)
def test_cubes_stored_in_other_ways_give_the_same_patches(partly, tmp_path, changed):
    source = zarr.open_group(str(partly), mode="r")
    store = UPath(tmp_path / "cube.zarr") if changed else UPath("memory://other/cube.zarr")
    create_cube(store, GRID, ["a", "b"], ["red", "nir", "blue"], chunk=16, shard=64)
    if changed:
        group = zarr.open_group(str(store), mode="r+")
        array = source["reflectance"]
        given = {"shards": array.shards, "compressors": zarr.codecs.ZstdCodec(), "dtype": "uint16"} | changed
        shape, chunks = array.shape, array.chunks
        group.create_array("reflectance", shape=shape, chunks=chunks, fill_value=0, overwrite=True, **given)
        group["reflectance"][:] = array[:]
        assert isinstance(chunks_of(array_of(store)), _Parts)
    else:
        writer = Cube(store, writable=True)
        writer.write(whole(GRID), 1, source["reflectance"][1], np.ones(GRID.shape, np.uint8))
    rng = np.random.default_rng(1)
    wanted = Wanted(rng.integers(-20, 110, 30), rng.integers(-20, 150, 30), 33, 1, (2, 0))
    found = Cube(store).patches(wanted)
    assert np.array_equal(found, Cube(partly).patches(wanted)) and found.any()


def test_at_a_url_an_index_is_asked_for_once_and_neighbours_by_one_request(partly, monkeypatch):
    place = UPath("memory://counted/cube.zarr")
    create_cube(place, GRID, ["a"], ["red", "nir", "blue"], chunk=16, shard=64)
    values = zarr.open_group(str(partly), mode="r")["reflectance"][1]
    Cube(place, writable=True).write(whole(GRID), 0, values, np.ones(GRID.shape, np.uint8))
    chunks = chunks_of(array_of(place))
    assert isinstance(chunks, _RemoteShards) and chunks.threads >= 16
    asked = []
    for name in ("cat_file", "cat_ranges"):
        whole_call = getattr(chunks._ranges._files, name)
        monkeypatch.setattr(
            chunks._ranges._files,
            name,
            lambda *args, _call=whole_call, _name=name, **kw: asked.append(_name) or _call(*args, **kw),
        )
    for _ in range(2):
        for run in chunks.layout.runs([(row, col) for row in range(4) for col in range(4)], 8):
            for chunk, pixels in zip(run, chunks.read(0, run), strict=True):
                assert np.array_equal(pixels, values[:, *chunks.layout.slices(chunk)])
    assert asked.count("cat_ranges") == 4 and chunks._indexes.keys() == {"/counted/cube.zarr/reflectance/c/0/0/0/0"}


@pytest.mark.parametrize("damage", [lambda shard: shard[:-1] + b"x", lambda shard: shard[:30]], ids=["bits", "cut"])
def test_a_damaged_index_is_one_line(tmp_path, damage):
    path = UPath(tmp_path) / "cube.zarr"
    create_cube(path, GRID, ["a"], ["red"], chunk=16, shard=256)
    ones = np.ones((1, *GRID.shape), np.uint16)
    Cube(path, writable=True).write(whole(GRID), 0, ones, ones[0].astype(np.uint8))
    shard = tmp_path / "cube.zarr" / "reflectance" / "c" / "0" / "0" / "0" / "0"
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(InputError, match=r"cube\.zarr: a chunk cannot be read"):
        Cube(path).patches(Wanted(np.array([7]), np.array([30]), 20))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), unique=True), st.integers(1, 9), st.integers(1, 9))
def test_runs_hold_each_chunk_once_and_stay_in_a_shard(chunks, side, most):
    layout = Layout(700, 700, (16, 16), (side, side + 1), 1)
    runs = list(layout.runs(chunks, most))
    assert sorted(chunk for run in runs for chunk in run) == sorted(chunks)
    assert all(1 <= len(run) <= most and len(set(map(layout.shard_of, run))) == 1 for run in runs)
    assert len(runs) <= len(set(map(layout.shard_of, chunks))) + len(chunks) / most
