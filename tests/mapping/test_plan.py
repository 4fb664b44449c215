import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.mapping import plan as planning
from sdm_ray.mapping.plan import blocks, coarser, make, split
from sdm_ray.stores.pyramid import level_grid

GRID = Grid(4_000_000, 3_200_000, 1000, 208, 144)


def test_a_plan_holds_the_tiles_with_wanted_cells_and_skips_the_done_ones():
    wanted = np.zeros(GRID.shape, bool)
    wanted[70, 70] = wanted[143, 207] = wanted[143, 206] = True
    plan = make(GRID, 64, lambda window: wanted[window.slices], done={"E4064000N3072000"})
    assert {(tile.window.row, tile.window.col): tile.cells for tile in plan.tiles} == {(64, 64): 1, (128, 192): 2}
    assert plan.tiles[1].window == Window(128, 192, 16, 16)
    assert plan.cells == 3
    assert [tile.cells for tile in plan.left] == [2]


@pytest.mark.parametrize("cells", [1, 64 * 64, 2 * 64 * 64, 1 << 24])
def test_tiles_that_are_counted_together_are_those_that_are_counted_alone(monkeypatch, cells):
    wanted = np.random.default_rng(0).random(GRID.shape) < 0.001
    monkeypatch.setattr(planning, "_MASK_CELLS", cells)
    asked = []
    plan = make(GRID, 64, lambda window: asked.append(window) or wanted[window.slices])
    alone = {(r, c): int(wanted[r : r + 64, c : c + 64].sum()) for r in range(0, 144, 64) for c in range(0, 208, 64)}
    assert {(tile.window.row, tile.window.col): tile.cells for tile in plan.tiles} == {
        at: count for at, count in alone.items() if count
    }
    assert len(asked) == {1: 12, 64 * 64: 12, 2 * 64 * 64: 6, 1 << 24: 3}[cells]


@pytest.mark.parametrize("level", [1, 2, 3])
def test_tiles_of_a_coarser_level_lie_over_those_of_the_map_and_no_others(level):
    wanted = np.zeros(GRID.shape, bool)
    wanted[3, 3] = wanted[140, 200] = wanted[20, 70] = True
    plan = make(GRID, 16, lambda window: wanted[window.slices])
    grid = level_grid(GRID, level)
    rows, cols = np.nonzero(wanted)
    over = {(row >> level) // 16 * 16 + 1j * ((col >> level) // 16 * 16) for row, col in zip(rows, cols, strict=True)}
    found = coarser(plan, grid, 16, level)
    assert {tile.window.row + 1j * tile.window.col for tile in found} == over
    assert sum(tile.cells for tile in found) == 3
    assert all(tile.window.row + tile.window.height <= grid.height for tile in found)


def test_the_lines_count_what_is_wanted():
    plan = make(GRID, 64, lambda window: np.ones((window.height, window.width), bool))
    text = "\n".join(plan.lines(10, 8))
    assert f"cells {208 * 144} (100.0% of the grid), 10 species" in text


@given(row=st.integers(0, 3), col=st.integers(0, 3), block=st.sampled_from([16, 32, 64]), limit=st.integers(1, 300))
def test_parts_and_blocks_cover_a_tile_once_and_blocks_lie_on_the_grid(row, col, block, limit):
    tile = Window(row * 64, col * 64, min(64, 208 - row * 64), min(64, 144 - col * 64 + 16 * 4))
    seen = np.zeros((512, 512), int)
    for part in split(tile, block, lambda each: each.height * each.width <= limit):
        for each in blocks(part, block):
            assert each.row % block == 0 and each.col % block == 0
            assert each.height <= block and each.width <= block
            seen[each.slices] += 1
    assert seen[tile.slices].min() == 1
    assert seen.sum() == tile.size


@pytest.mark.parametrize("size", [16, 48, 80])
def test_blocks_do_not_depend_on_the_tile(size):
    def cut(tile):
        plan = make(GRID, tile, lambda window: np.ones((window.height, window.width), bool))
        return {each for tile in plan.tiles for each in blocks(tile.window, 16)}

    assert cut(size) == cut(160)
