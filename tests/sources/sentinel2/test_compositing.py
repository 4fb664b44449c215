"""Composites, held against NumPy's masked median and against a search by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window
from sdm_ray.sources.sentinel2 import compositing
from sdm_ray.sources.sentinel2.scenes import Scene

GRID = Grid(0.0, 3000.0, 10.0, 300, 300)


@st.composite
def stacks(draw):
    """Observations (N, 2, 3, 3); a pixel is known in both bands or in none."""
    count = draw(st.integers(1, 6))
    values = draw(arrays.arrays(np.uint16, (count, 2, 3, 3), elements=st.integers(1, 65534)))
    clear = draw(arrays.arrays(bool, (count, 1, 3, 3)))
    return values * clear


@settings(deadline=None, max_examples=60)
@given(stacks())
def test_the_median_is_that_of_the_clear_observations(stack):
    clear = (stack[:, 0] > 0).sum(axis=0)
    expected = np.ma.median(np.ma.masked_equal(stack.astype(np.float64), 0), axis=0).filled(0)
    assert np.array_equal(compositing.median(stack, clear), np.rint(expected))


@settings(deadline=None, max_examples=60)
@given(stacks())
def test_the_medoid_is_the_observation_nearest_to_the_median(stack):
    clear = (stack[:, 0] > 0).sum(axis=0)
    middle = compositing.median(stack, clear).astype(int)
    found = compositing.medoid(stack, clear)
    for row, col in np.ndindex(3, 3):
        seen = [layer[:, row, col].astype(int) for layer in stack if layer[0, row, col]]
        expected = min(seen, key=lambda one: np.abs(one - middle[:, row, col]).sum()) if seen else np.zeros(2)
        assert np.array_equal(found[:, row, col], expected)


def scene(name: str, observation: str) -> Scene:
    return Scene(name=name, date="", observation=observation, tile="", rasters={}, bounds=(0, 0, 1, 1))


def shown(values):
    def observe(what, target):
        return values[what.name][:, *target.window.slices]

    return observe


@pytest.mark.parametrize("budget", [1 << 28, 40_000])
def test_overlapping_scenes_of_one_pass_count_once_whatever_the_parts(monkeypatch, budget):
    monkeypatch.setattr(compositing, "_BUDGET", budget)
    rng = np.random.default_rng(0)
    values = {name: rng.integers(1, 9000, (2, 300, 300)).astype(np.uint16) for name in "abc"}
    values["a"][:, :, 200:] = 0
    values["b"][:, :, :100] = 0
    values["c"][:, :50] = 0
    scenes = [scene("a", "monday"), scene("b", "monday"), scene("c", "tuesday")]
    window = Window(0, 0, 300, 300)
    found, count = compositing.compose(GRID, window, scenes, shown(values), "median", 2)
    monday = np.where(values["a"] > 0, values["a"], values["b"])
    expected = np.where(values["c"] > 0, np.rint((monday.astype(int) + values["c"]) / 2), monday)
    assert np.array_equal(found, expected)
    assert np.array_equal(count, np.where(np.arange(300)[:, None] < 50, 1, 2) * np.ones((1, 300)))


def test_a_window_is_cut_into_parts_that_fit():
    parts = list(compositing.parts(Window(2048, 0, 2048, 1000), 2 * 4 * 60))
    covered = np.zeros((4096, 1000), int)
    for part in parts:
        covered[part.slices] += 1
        assert part.size * 2 * 4 * 60 <= compositing._BUDGET
    assert (covered[2048:] == 1).all()


def test_without_scenes_all_is_unknown():
    for how in ("median", "medoid"):
        found, count = compositing.compose(GRID, Window(0, 0, 20, 30), [], shown({}), how, 2)
        assert found.shape == (2, 20, 30) and not found.any() and not count.any()
