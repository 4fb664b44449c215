import numpy as np
import pytest
import shapely

from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, whole
from sdm_ray.indicators.fractions import cell_fractions
from sdm_ray.indicators.zone_sums import Shapes, ZoneSums

GRID = Grid(1000, 2000, 10, 40, 30)
SHAPES = np.array([
    shapely.box(1005, 1905, 1025, 1935),
    shapely.Point(1200, 1850).buffer(33),
    shapely.box(5000, 5000, 5010, 5010),
    shapely.Polygon(),
    shapely.box(1101, 1801, 1103, 1803),
])  # fmt: skip


def by_intersection(shape, grid):
    """Fractions by the overlay of every cell, cell by cell."""
    rows, cols = np.mgrid[0 : grid.height, 0 : grid.width]
    x, y = grid.x0 + cols * 10, grid.y1 - rows * 10
    return shapely.area(shapely.intersection(shapely.box(x, y - 10, x + 10, y), shape)).ravel() / 100


def test_fractions_are_those_of_an_overlay():
    shapes = [each for each in SHAPES if not each.is_empty]
    found = cell_fractions([shapely.to_wkb(each) for each in shapes], GRID, whole(GRID)).toarray()
    for shape, fractions in zip(shapes, found, strict=True):
        np.testing.assert_allclose(fractions, by_intersection(shape, GRID), atol=1e-6)


def test_fractions_of_windows_are_parts_of_the_whole():
    wkb = [shapely.to_wkb(SHAPES[1])]
    every = cell_fractions(wkb, GRID, whole(GRID)).toarray().reshape(30, 40)
    part = Window(10, 15, 8, 12)
    np.testing.assert_allclose(cell_fractions(wkb, GRID, part).toarray().reshape(8, 12), every[part.slices])


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    known = np.flatnonzero(rng.random(1200) < 0.9)
    return known, rng.random((len(known), 5)).astype(np.float32)


def test_sums_of_layers_and_species_are_those_of_the_overlay(world):
    known, p = world
    zones = ZoneSums(Shapes.of(SHAPES), GRID, whole(GRID), known)
    assert zones.zones.tolist() == [0, 1, 4]
    assert zones.cells == pytest.approx(shapely.area(SHAPES[[0, 1, 4]]) / 100, rel=1e-5)
    values, sd = p[:, 0].copy(), p[:, 1]
    values[::7] = np.nan
    weight, total, squares, error = zones.layer(values, sd)
    means, variances, highest = zones.species(p[zones.used])
    for row, number in enumerate([0, 1, 4]):
        f = by_intersection(SHAPES[number], GRID)[known]
        has = np.isfinite(values)
        assert weight[row] == pytest.approx(f[has].sum(), rel=1e-5)
        assert total[row] == pytest.approx((f * values)[has].sum(), rel=1e-5)
        assert squares[row] == pytest.approx((f * values**2)[has].sum(), rel=1e-5)
        assert error[row] == pytest.approx((f**2 * sd**2)[has].sum(), rel=1e-5)
        np.testing.assert_allclose(means[row], f @ p, rtol=1e-5)
        np.testing.assert_allclose(variances[row], f**2 @ (p * (1 - p)), rtol=1e-4)
        np.testing.assert_allclose(highest[row], p[f > 0].max(axis=0) if (f > 0).any() else 0)


def test_any_cut_into_windows_gives_the_same_sums(world):
    known, p = world
    full = np.full(1200, np.nan, np.float32)
    full[known] = p[:, 0]
    whole_sums = ZoneSums(Shapes.of(SHAPES), GRID, whole(GRID), known).layer(p[:, 0])
    total = np.zeros((4, len(SHAPES)))
    for window in whole(GRID).parts(7, 11):
        there = full.reshape(30, 40)[window.slices].ravel()
        inside = np.flatnonzero(np.isfinite(there))
        zones = ZoneSums(Shapes.of(SHAPES), GRID, window, inside)
        total[:, zones.zones] += zones.layer(there[inside])
    np.testing.assert_allclose(total[:3, [0, 1, 4]], whole_sums[:3], rtol=1e-5)
