import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from sdm_ray.indicators.joint_moments import ORDER, pair_moments


def test_the_series_is_the_bivariate_normal_probability():
    """Two groups of places, all pairs alike: the mean products of residuals are those of the bivariate normal."""
    a, r = np.array([-0.8, 0.3]), 0.5
    probability = norm.cdf(a)
    x, y = np.array([0.0, 1000.0]), np.zeros(2)
    moments = pair_moments(x, y, np.tile(probability, (2, 1)), np.zeros((2, 2), int), pairs=50, seed=0)
    near = next(each for each in moments if each.distance_m == 1000)
    expected = multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf(a) - probability.prod()
    found = sum(r**k * near.series[k - 1][0, 1] for k in range(1, ORDER + 1))
    assert found == pytest.approx(expected, abs=1e-3)
    assert near.series[0][0, 1] == pytest.approx(norm.pdf(a).prod())
    assert near.series[1][0, 1] == pytest.approx((a * norm.pdf(a)).prod() / math.factorial(2))


def test_products_are_means_over_pairs_of_both_orders():
    labels = np.array([[1, 0], [0, 1]])
    probability = np.full((2, 2), 0.25)
    here, near = pair_moments(np.array([0.0, 1000.0]), np.zeros(2), probability, labels, pairs=50, seed=0)
    assert here.distance_m == 0 and here.pairs == 2
    assert here.products == pytest.approx(np.array([[0.3125, -0.1875], [-0.1875, 0.3125]]))
    assert near.products == pytest.approx(np.array([[-0.1875, 0.3125], [0.3125, -0.1875]]))
    assert near.variance == pytest.approx(np.full((2, 2), (0.25 * 0.75) ** 2 / near.pairs))


def test_pairs_lie_in_the_class_that_they_are_counted_in():
    numbers = np.random.default_rng(0)
    x, y = 1e5 * numbers.random(500), 1e5 * numbers.random(500)
    moments = pair_moments(x, y, np.full((500, 1), 0.5), np.zeros((500, 1), int), pairs=300, seed=1)
    distances = [each.distance_m for each in moments]
    assert distances == sorted(distances) and distances[-1] < 160_000
    assert all(each.pairs <= 500 for each in moments)
