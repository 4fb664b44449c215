import numpy as np
import pytest

from sdm_ray.geo.block_means import block_means, block_modes, block_sums

NAN = np.nan


def test_blocks_at_the_edge_count_the_cells_that_they_have():
    values = np.arange(15.0).reshape(3, 5)
    assert block_sums(values, 2).tolist() == [[0 + 1 + 5 + 6, 2 + 3 + 7 + 8, 4 + 9], [10 + 11, 12 + 13, 14]]
    assert block_means(values, 2).tolist() == [[3, 5, 6.5], [10.5, 12.5, 14]]


def test_cells_without_a_value_and_weights_count_in_means():
    values = np.array([[1, 0, NAN, NAN], [NAN, NAN, NAN, NAN]])
    weights = np.array([[1, 3, 7, 7], [7, 7, 7, 7]], np.uint8)
    np.testing.assert_array_equal(block_means(values, 2), [[0.5, NAN]])
    np.testing.assert_array_equal(block_means(values, 2, weights), [[0.25, NAN]])


def test_many_small_numbers_are_summed_exactly_enough():
    values = np.full((1000, 1000), 0.1, np.float32)
    assert block_means(values, 1000)[0, 0] == pytest.approx(0.1, rel=1e-7)


def test_categories_are_never_mixed():
    flags = np.array([[3, 7, 0, 0], [7, 0, 0, 1], [0, 0, 5, 5], [0, 0, 3, 3]], np.uint8)
    assert block_modes(flags, 2, 0).tolist() == [[7, 1], [0, 3]]
    assert block_modes(np.zeros((3, 3), np.uint8), 2, 0).tolist() == [[0, 0], [0, 0]]
    assert block_modes(flags, 2, 0).dtype == np.uint8
