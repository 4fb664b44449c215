"""The tile cube: patches, shards, what is outside."""

import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, tiles, whole
from sdm_ray.stores import patch_reader, raster
from sdm_ray.stores.cube import Cube, bands_of_squares, create_cube
from sdm_ray.stores.patch_reader import Wanted

GRID = Grid(4_000_000.0, 3_000_000.0, 10.0, 150, 110)
BANDS = ["red", "nir", "blue"]


def fill(path: UPath, grid: Grid = GRID, chunk: int = 16, shard: int = 64) -> np.ndarray:
    """A cube of two times; every value is another one."""
    create_cube(path, grid, ["spring", "autumn"], BANDS, chunk, shard)
    values = np.random.default_rng(0).integers(1, 10_000, (2, 3, *grid.shape), np.uint16)
    store = Cube(path, writable=True)
    for time in range(2):
        for tile in tiles(grid, store.shard):
            part = values[(time, slice(None), *tile.window.slices)]
            store.write(tile.window, time, part, np.full(part.shape[1:], 7 + time, np.uint8))
    raster.consolidate(path)
    return values


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> tuple[UPath, np.ndarray]:
    path = UPath(tmp_path_factory.mktemp("cube")) / "cube.zarr"
    return path, fill(path)


def cut(values: np.ndarray, row: int, col: int, size: int) -> np.ndarray:
    """A patch by the plainest means: pad with 0, slice."""
    far = 400
    padded = np.pad(values, ((0, 0), (far, far), (far, far)))
    return padded[:, row + far : row + far + size, col + far : col + far + size]


@settings(deadline=None, max_examples=30)
@example([(109, 149), (110, 151), (112, 3), (-16, 20)], 16, 0)
@given(
    st.lists(st.tuples(st.integers(-60, 170), st.integers(-60, 200)), max_size=40),
    st.sampled_from([1, 5, 16, 33]),
    st.integers(0, 1),
)
def test_patches_are_the_pixels_in_the_order_asked_for(filled, corners, size, time):
    path, values = filled
    rows, cols = np.array(corners, np.int64).reshape(-1, 2).T
    found = Cube(path).patches(Wanted(rows, cols, size, time))
    assert found.shape == (len(corners), 3, size, size)
    for patch, row, col in zip(found, rows, cols, strict=True):
        assert np.array_equal(patch, cut(values[time], row, col, size))


def test_bands_of_patches_come_in_the_order_asked_for(filled):
    path, values = filled
    rows, cols = np.array([3, 70, 100]), np.array([140, 0, 60])
    found = Cube(path).patches(Wanted(rows, cols, 20, bands=(2, 0)))
    assert np.array_equal(found[1], cut(values[0], 70, 0, 20)[[2, 0]])


@given(st.lists(st.tuples(st.integers(-5, 90), st.integers(-5, 90)), max_size=60), st.integers(1, 9))
def test_patches_are_grouped_by_square_and_row_of_chunks(corners, side):
    down, right = np.array(corners, np.int64).reshape(-1, 2).T
    groups = bands_of_squares(down, right, side)
    assert sorted(np.concatenate([*groups, []]).tolist()) == list(range(len(corners)))
    for group in groups:
        assert len(set(down[group])) == 1
        assert len(set(right[group] // side)) == 1
    squares = [(int(down[g[0]]) // side, int(right[g[0]]) // side) for g in groups]
    assert squares == sorted(squares)  # one square is finished before the next


@pytest.mark.parametrize("held_bytes", [patch_reader._HELD_BYTES, 0])
def test_a_chunk_is_decoded_once_for_neighbouring_groups_if_memory_allows(filled, monkeypatch, held_bytes):
    path, values = filled
    cube = Cube(path)
    decoded: list = []
    read = type(cube._chunks).read
    monkeypatch.setattr(
        type(cube._chunks), "read", lambda self, time, chunks: (decoded.extend(chunks), read(self, time, chunks))[1]
    )
    monkeypatch.setattr(patch_reader, "_HELD_BYTES", held_bytes)
    rows, cols = (axis.ravel() for axis in np.mgrid[0:80:7, 0:100:7])
    found = cube.patches(Wanted(rows, cols, 30))
    for patch, row, col in zip(found, rows, cols, strict=True):
        assert np.array_equal(patch, cut(values[0], row, col, 30))
    assert len(set(decoded)) > 20
    assert (len(decoded) == len(set(decoded))) == (held_bytes > 0)


def test_a_chunk_that_cannot_be_decoded_is_one_line(tmp_path):
    path = UPath(tmp_path) / "cube.zarr"
    fill(path)
    shard = tmp_path / "cube.zarr" / "reflectance" / "c" / "0" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[40:400] = bytes(360)
    shard.write_bytes(content)
    with pytest.raises(InputError, match=r"cube\.zarr: a chunk cannot be read"):
        Cube(path).patches(Wanted(np.arange(0, 60, 5), np.arange(0, 60, 5), 8))


@pytest.mark.parametrize("window", [Window(-10, -5, 30, 40), Window(100, 140, 50, 50), Window(500, 0, 4, 4)])
def test_windows_are_padded_with_nodata(filled, window):
    path, values = filled
    read = Cube(path).read(window, 1)
    side = max(window.height, window.width)
    assert np.array_equal(read, cut(values[1], window.row, window.col, side)[:, : window.height, : window.width])


def test_the_count_of_scenes_comes_back(filled):
    assert (Cube(filled[0]).valid_count(Window(3, 4, 5, 6), 1) == np.full((5, 6), 8)).all()


def test_the_count_of_scenes_of_single_pixels(tmp_path):
    """In any order, over several chunks; 0 beyond the cube."""
    path = UPath(tmp_path / "cube.zarr")
    grid = Grid(4_000_000, 3_000_000, 10, 100, 70)
    create_cube(path, grid, ["a", "b"], ["red"], chunk=16, shard=32)
    counts = np.random.default_rng(0).integers(0, 9, (70, 100)).astype(np.uint8)
    Cube(path, writable=True).write(whole(grid), 1, np.ones((1, 70, 100), np.uint16), counts)
    rows, cols = np.random.default_rng(1).integers(-5, [[75], [105]], (2, 300))
    found = Cube(path).valid_at(rows, cols, 1)
    inside = grid.contains(rows, cols)
    assert np.array_equal(found[inside], counts[rows[inside], cols[inside]]) and not found[~inside].any()
    assert inside.any() and not inside.all() and not Cube(path).valid_at(rows, cols, 0).any()
    assert len(Cube(path).valid_at(rows[:0], cols[:0])) == 0


def test_a_plain_reader_sees_reflectance_and_names(filled):
    path, values = filled
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(str(path)).load()
    assert dataset.band.values.tolist() == BANDS
    assert dataset.time.values.tolist() == ["spring", "autumn"]
    assert np.allclose(dataset.reflectance, values / 10_000)
    assert dataset.reflectance.dims == ("time", "band", "y", "x")


def test_nodata_is_missing_for_a_plain_reader(tmp_path):
    create_cube(UPath(tmp_path) / "cube.zarr", GRID, ["t"], BANDS)
    raster.consolidate(UPath(tmp_path) / "cube.zarr")
    assert xr.open_zarr(str(tmp_path / "cube.zarr")).reflectance.isnull().all()


def test_a_cube_at_a_url(filled):
    path = UPath("memory://cubes/cube.zarr")
    values = fill(path)
    assert np.array_equal(Cube(path).read(whole(GRID)), values[0])
    rows, cols = np.array([-4, 90, 33]), np.array([70, 130, 2])
    found = Cube(path).patches(Wanted(rows, cols, 40, time=1))
    assert all(np.array_equal(found[i], cut(values[1], rows[i], cols[i], 40)) for i in range(3))


def test_seasons_and_bands_are_found_by_name(filled):
    cube = Cube(filled[0])
    assert (cube.time(None), cube.time("autumn"), cube.numbers(["blue", "red"])) == (0, 1, (2, 0))
    with pytest.raises(InputError, match=r"no season winter; found spring, autumn"):
        cube.time("winter")
    with pytest.raises(InputError, match=r"no band swir; found red, nir, blue"):
        cube.numbers(["swir"])


@pytest.mark.parametrize(("height", "width"), [(200, 40), (40, 200), (50, 50), (130, 64)])
def test_two_writers_never_share_a_shard_whatever_the_shape(tmp_path, height, width):
    grid = Grid(0.0, 10_000.0, 10.0, width, height)
    path = UPath(tmp_path) / "cube.zarr"
    values = fill(path, grid)
    assert np.array_equal(Cube(path).read(whole(grid), 1), values[1])
    store = Cube(path, writable=True)
    shards = raster.open_group(path)["reflectance"].shards[-2:]
    for tile in tiles(grid, store.shard):
        window = tile.window
        for start, extent, shard, size in zip(
            (window.row, window.col), (window.height, window.width), shards, grid.shape, strict=True
        ):
            assert start % shard == 0
            assert (start + extent) % shard == 0 or start + extent == size
    half = Window(0, 0, height // 2 + 1, width)
    with pytest.raises(ValueError, match="cuts a unit of writing"):
        store.write(half, 0, values[0, :, : half.height], np.ones((half.height, width), np.uint8))


def test_what_is_no_cube_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"cube\.zarr: no Zarr v3 group"):
        Cube(UPath(tmp_path) / "cube.zarr")
