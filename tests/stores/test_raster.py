"""Groups on the grid: what a plain reader sees, and what is refused."""

import warnings

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, tiles
from sdm_ray.stores import raster
from sdm_ray.stores.raster import ArraySpec

GRID = Grid(4_000_000.0, 3_000_000.0, 250.0, 30, 20)
VALUES = np.arange(2 * 20 * 30, dtype=np.float32).reshape(2, 20, 30)


def write(path: UPath) -> None:
    spec = ArraySpec("float32", (1, 16, 16), (2, 32, 32), leading=("kind",), fill=float("nan"), attrs={"units": "K"})
    raster.write(path, GRID, {"values": (spec, VALUES)}, {"kind": ["été", "hiver"]}, {"title": "t"})


def test_a_plain_reader_needs_no_warning_and_finds_place_and_projection(tmp_path):
    write(UPath(tmp_path) / "r.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(str(tmp_path / "r.zarr")).load()
    assert dataset.kind.values.tolist() == ["été", "hiver"]
    assert np.array_equal(dataset.x, GRID.x)
    assert np.array_equal(dataset.y, GRID.y)
    assert dataset.spatial_ref.attrs["grid_mapping_name"] == "lambert_azimuthal_equal_area"
    assert np.array_equal(dataset["values"], VALUES)
    assert dataset["values"].attrs["units"] == "K"


def test_the_group_names_the_conventions_that_it_follows(tmp_path):
    write(UPath(tmp_path) / "r.zarr")
    attrs = zarr.open_group(tmp_path / "r.zarr", mode="r").attrs
    assert [each["name"] for each in attrs["zarr_conventions"]] == ["proj", "spatial"]
    assert attrs["proj:code"] == "EPSG:3035"
    assert attrs["spatial:bbox"] == [4_000_000.0, 2_995_000.0, 4_007_500.0, 3_000_000.0]
    assert attrs["spatial:transform"] == [250.0, 0.0, 4_000_000.0, 0.0, -250.0, 3_000_000.0]


def test_the_transform_is_in_the_order_of_rasterio():
    from rasterio.transform import Affine, xy

    x, y = xy(Affine(*GRID.transform), [0, 19], [0, 29])
    assert np.array_equal(x, GRID.x[[0, 29]])
    assert np.array_equal(y, GRID.y[[0, 19]])


@pytest.mark.parametrize("place", ["local", "memory"])
def test_the_grid_comes_back(tmp_path, place):
    path = UPath(tmp_path) / "r.zarr" if place == "local" else UPath("memory://raster/r.zarr")
    write(path)
    group = raster.open_group(path)
    assert raster.read_grid(group) == GRID
    assert np.array_equal(group["values"][...], VALUES)


def test_making_a_group_again_removes_what_was_there(tmp_path):
    path = UPath(tmp_path) / "r.zarr"
    write(path)
    raster.create(path, Grid(0.0, 100.0, 10.0, 4, 4), {}, {})
    group = raster.open_group(path)
    assert sorted(group.keys()) == ["spatial_ref", "x", "y"]
    assert raster.read_grid(group).width == 4


def test_what_lies_beside_the_arrays_does_not_disturb(tmp_path):
    path = UPath(tmp_path) / "r.zarr"
    write(path)
    (path / "artefact.json").write_text("{}")
    (path / "ledger").mkdir()
    (path / "ledger" / "E1N1.json").write_text("{}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raster.consolidate(path)
        assert "values" in xr.open_zarr(str(path))


def test_what_is_no_group_on_the_grid_is_one_line(tmp_path):
    path = UPath(tmp_path)
    with pytest.raises(InputError, match=r"none\.zarr: no Zarr v3 group"):
        raster.open_group(path / "none.zarr")
    zarr.create_group(tmp_path / "old.zarr", zarr_format=2)
    with pytest.raises(InputError, match=r"old\.zarr: no Zarr v3 group"):
        raster.open_group(path / "old.zarr")
    zarr.create_array(tmp_path / "array.zarr", shape=(2,), dtype="u1")
    with pytest.raises(InputError, match=r"array\.zarr: no Zarr v3 group"):
        raster.open_group(path / "array.zarr")
    with pytest.raises(InputError, match="has no attribute"):
        raster.read_grid(zarr.create_group(tmp_path / "bare.zarr"))
    write(path / "r.zarr")
    group = raster.open_group(path / "r.zarr", "r+")
    group.attrs["proj:code"] = "EPSG:4326"
    with pytest.raises(InputError, match="has the projection EPSG:4326, expected EPSG:3035"):
        raster.read_grid(raster.open_group(path / "r.zarr"))


SMALL = st.builds(Grid, st.just(0.0), st.just(1000.0), st.just(1.0), st.integers(1, 40), st.integers(1, 40))


@given(SMALL, st.integers(1, 16))
def test_tiles_are_units_of_writing(grid, side):
    for tile in tiles(grid, side):
        raster.require_aligned(tile.window, side, grid)


@given(SMALL, st.integers(2, 16), st.tuples(*[st.integers(-20, 60)] * 2, *[st.integers(0, 60)] * 2))
def test_a_window_is_refused_exactly_where_it_shares_a_unit_or_leaves_the_grid(grid, side, numbers):
    window = Window(*numbers)
    inside = np.zeros((100, 100), bool)  # 20 cells beyond the grid on the western and northern side
    inside[window.row + 20 : window.row + 20 + window.height, window.col + 20 : window.col + 20 + window.width] = True
    cells = inside[20 : 20 + grid.height, 20 : 20 + grid.width]
    whole_units = all(
        cells[tile.window.slices].all() or not cells[tile.window.slices].any() for tile in tiles(grid, side)
    )
    allowed = window.size > 0 and whole_units and cells.sum() == window.size
    try:
        raster.require_aligned(window, side, grid)
    except ValueError:
        assert not allowed
    else:
        assert allowed


@given(st.lists(st.tuples(st.integers(-300, 300), st.integers(-300, 300)), max_size=50), st.integers(1, 64))
def test_cells_are_grouped_by_chunk(cells, chunk):
    rows, cols = np.array(cells, np.int64).reshape(-1, 2).T
    groups = raster.by_chunk(rows, cols, chunk)
    assert sorted(np.concatenate([*groups, []]).tolist()) == list(range(len(cells)))
    keys = [{(int(rows[i]) // chunk, int(cols[i]) // chunk) for i in group} for group in groups]
    assert all(len(key) == 1 for key in keys)
    assert len(set().union(*keys)) == len(groups)
