import numpy as np
import pytest

from sdm_ray.streams.permutation import permuted


@pytest.mark.parametrize("n", [1, 2, 3, 5, 64, 65, 1000, 4097, 100_003])
def test_every_number_stands_somewhere_once(n):
    for key in ((0, 0), (0, 1), (7, 3)):
        assert np.array_equal(np.sort(permuted(np.arange(n), n, key)), np.arange(n))


def test_what_stands_where_depends_on_the_key_and_not_on_how_it_is_asked_for():
    n = 200_000
    whole = permuted(np.arange(n), n, (1, 0))
    some = np.random.default_rng(0).integers(0, n, (40, 5))
    assert np.array_equal(permuted(some, n, (1, 0)), whole[some])
    for other in ((1, 1), (2, 0), (0, 1)):
        assert (permuted(np.arange(n), n, other) == whole).mean() < 1e-4
    assert permuted(np.zeros(0, np.int64), n, (1, 0)).shape == (0,)


def test_numbers_are_spread_as_at_random():
    """Of a random permutation some e^-1 of the numbers keep no neighbour, and ranks are not correlated."""
    n = 1 << 16
    found = permuted(np.arange(n), n, (5, 2)).astype(float)
    for lag in (1, 2, 256, 4096):
        assert abs(np.corrcoef(found[:-lag], found[lag:])[0, 1]) < 4 / np.sqrt(n)
    counts = np.histogram2d(np.arange(n), found, bins=16)[0]  # 256 squares of 256 numbers each
    assert ((counts - 256) ** 2 / 256).sum() < 225 + 5 * np.sqrt(2 * 225)  # chi-squared of 15 x 15 degrees of freedom


def test_a_billion_numbers_need_no_memory():
    n = 10**9
    found = permuted(np.arange(n - 1000, n), n, (0, 0))
    assert len(np.unique(found)) == 1000 and found.min() >= 0 and found.max() < n
    assert 0.4 * n < found.mean() < 0.6 * n
