"""Nodes are the same whatever asks for them, and weights have no seams."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdm_ray.geo.grid import Grid
from sdm_ray.mapping.feature_grid import SIDE, Lattice, in_squares

METRES = st.floats(-2e6, 8e6)


def test_cells_whose_side_is_the_stride_are_nodes():
    grid = Grid(4_000_000, 3_200_000, 1000, 30, 20)
    rows, cols = (each.ravel() for each in np.mgrid[:20, :30])
    x, y = grid.centre(rows, cols)
    nodes, weights = Lattice(1000).around(x, y)
    assert np.array_equal(np.sort(weights, 1), np.tile([0, 0, 0, 1], (600, 1)))
    squares, at = in_squares(nodes)
    there = np.stack(Lattice(1000).places(squares))
    chosen = at[weights == 1]
    np.testing.assert_allclose(there[:, chosen], [x, y])
    assert len(squares) == 4 * 3  # columns 4000 to 4029, rows 3180 to 3199


@given(st.lists(st.tuples(METRES, METRES), min_size=1, max_size=20), st.sampled_from([10.0, 320.0, 999.5, 2000.0]))
def test_what_changes_evenly_is_met_exactly(points, stride):
    x, y = np.array(points).T
    lattice = Lattice(stride)
    nodes, weights = lattice.around(x, y)
    squares, at = in_squares(nodes)
    node_x, node_y = lattice.places(squares)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert (np.abs(node_x[at] - x[:, None])[weights > 0] <= stride * (1 + 1e-5)).all()
    for field in (node_x, node_y):
        mean = (weights * (field[at] - field[at[:, :1]])).sum(1) + field[at[:, 0]]
        np.testing.assert_allclose(mean, x if field is node_x else y, atol=stride * 1e-4)
    assert len(squares) <= 4 * len(points) and at.max() < len(squares) * SIDE**2


@pytest.mark.parametrize("step", [1e-3, 1.0])
def test_weights_change_no_faster_than_places(step):
    x = np.arange(4_000_000, 4_002_000, step * 10)[:400]
    lattice = Lattice(320)
    node_value = np.random.default_rng(0).normal(size=(1 << 16,))

    def value(x):
        nodes, weights = lattice.around(x, np.full(len(x), 3_100_123.0))
        return (weights * node_value[(nodes[..., 0] * 31 + nodes[..., 1]) % (1 << 16)]).sum(1)

    steepest = 2 * np.abs(node_value).max() / 320
    assert np.abs(np.diff(value(x))).max() <= steepest * step * 10 + 1e-5
