"""Windows, tiles and patches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdm_ray.geo.codes import eea_code, from_eea_code, from_res_code, res_code
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, centred, tiles, whole

GRIDS = st.builds(
    Grid,
    x0=st.integers(0, 50).map(lambda k: k * 1000.0),
    y1=st.integers(50, 100).map(lambda k: k * 1000.0),
    resolution=st.just(1000.0),
    width=st.integers(1, 30),
    height=st.integers(1, 30),
)


@given(GRIDS, st.integers(1, 12))
def test_tiles_partition_the_grid(grid, size):
    seen = np.zeros(grid.shape, int)
    cut = tiles(grid, size)
    for tile in cut:
        seen[tile.window.slices] += 1
    assert (seen == 1).all()
    assert len({tile.id for tile in cut}) == len(cut)


def test_tiles_begin_at_the_north_western_corner_and_are_named_by_their_south_western():
    grid = Grid(4_096_000.0, 3_328_000.0, 1000.0, 300, 256)
    cut = tiles(grid, 256)
    assert [tile.id for tile in cut] == ["E4096000N3072000", "E4352000N3072000"]
    assert cut[1].window == Window(0, 256, 256, 44)


def test_codes_as_the_agencies_write_them():
    assert eea_code(4_321_500, 3_210_020, 1000) == "1kmE4321N3210"
    assert eea_code(4_321_500, 3_210_020, 10_000) == "10kmE432N321"
    assert eea_code(4_321_500, 3_210_020, 100) == "100mE43215N32100"
    assert res_code(4_321_500, 3_210_020, 1000) == "CRS3035RES1000mN3210000E4321000"


@given(st.integers(0, 7_000_000), st.integers(0, 6_000_000), st.sampled_from([10, 100, 250, 1000, 10_000, 100_000]))
def test_codes_there_and_back(x, y, side):
    west, south, back = from_eea_code(eea_code(x, y, side))
    assert (west, south, back) == from_res_code(res_code(x, y, side))
    assert back == side
    assert west <= x < west + side
    assert south <= y < south + side


@pytest.mark.parametrize("code", ["1kmN3210E4321", "kmE1N1", "1kmE4321N3210 ", "1miE4321N3210", ""])
def test_what_is_no_code_is_refused(code):
    with pytest.raises(ValueError, match="is no EEA cell code"):
        from_eea_code(code)
    with pytest.raises(ValueError, match="is no cell code"):
        from_res_code(code)


@given(GRIDS, st.integers(1, 12), st.integers(0, 3), st.integers(0, 3))
def test_a_grid_that_begins_at_a_tile_has_the_same_tiles(grid, size, down, right):
    """So a smaller map of the same region is cut, and named, like the larger one around it."""
    row, col = down * size, right * size
    if row >= grid.height or col >= grid.width:
        return
    part = Grid(grid.x0 + col * 1000, grid.y1 - row * 1000, 1000.0, grid.width - col, grid.height - row)
    larger = {tile.id: tile.window for tile in tiles(grid, size)}
    for tile in tiles(part, size):
        window = tile.window
        assert larger[tile.id] == Window(window.row + row, window.col + col, window.height, window.width)


def test_a_patch_holds_its_point_in_the_middle():
    grid = Grid(0.0, 1000.0, 10.0, 100, 100)
    row, col = centred(grid, np.array([500.0, 504.0, 506.0]), np.array([500.0, 500.0, 500.0]), 4)
    assert col.tolist() == [48, 48, 49]
    assert row.tolist() == [48, 48, 48]
    odd_row, odd_col = centred(grid, np.array([505.0]), np.array([495.0]), 3)
    assert (odd_row[0], odd_col[0]) == (49, 49)


def test_windows_pad_and_intersect():
    grid = Grid(0.0, 10.0, 1.0, 10, 10)
    window = Window(0, 6, 4, 4)
    assert window.padded(2) == Window(-2, 4, 8, 8)
    assert window.padded(2).intersect(whole(grid)) == Window(0, 4, 6, 6)
    assert window.intersect(Window(5, 0, 2, 2)).size == 0


def test_parts_cover_a_window_once_from_its_corner():
    window = Window(3, 5, 4, 7)
    assert list(window.parts(3, 4)) == [Window(3, 5, 3, 4), Window(3, 9, 3, 3), Window(6, 5, 1, 4), Window(6, 9, 1, 3)]
    assert list(Window(3, 5, 0, 7).parts(3, 4)) == []
    assert window.shifted(-3, 2) == Window(0, 7, 4, 7)
