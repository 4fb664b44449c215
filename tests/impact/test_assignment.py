import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from sdm_ray.impact.assignment import optimal_pairs


def drawn(seed, treated=30, controls=40):
    """Costs of pairs that chance allows, infinite for others; treated units like the same controls best."""
    rng = np.random.default_rng(seed)
    return np.where(
        rng.random((treated, controls)) < 0.2, np.arange(controls) + rng.random((treated, controls)), np.inf
    )


def pairs(cost, ratio, most):
    def nearest(which, count):
        near = np.argsort(cost[which], axis=1)[:, :count]
        row, place = np.nonzero(np.isfinite(np.take_along_axis(cost[which], near, axis=1)))
        return which[row], near[row, place], cost[which[row], near[row, place]]

    return optimal_pairs(nearest, cost.shape, ratio, most)


def most_matched(cost, copies):
    """The largest number of rows that can be matched at all, each standing there several times."""
    allowed = sparse.csr_matrix(np.repeat(np.isfinite(cost), copies, axis=0))
    return np.count_nonzero(maximum_bipartite_matching(allowed, perm_type="column") >= 0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_few_candidates_at_first_match_as_many_as_all(seed, ratio):
    cost = drawn(seed)
    row, column = pairs(cost, ratio, most=1)
    assert len(set(column)) == len(column) and np.bincount(row).max() <= ratio
    assert len(set(row)) == most_matched(cost, 1), "treated units with a control"
    assert len(row) == most_matched(cost, ratio), "pairs"
    assert np.isfinite(cost[row, column]).all()


def test_more_treated_units_than_controls():
    cost = drawn(0, treated=60, controls=10)
    assert len(pairs(cost, 2, most=1)[0]) == len(set(pairs(cost, 2, most=1)[0])) == 10


def test_distances_are_the_least_where_candidates_suffice():
    cost = np.array([[1.0, 2, 9], [1, 5, 9]])
    row, column = pairs(cost, 1, most=3)
    assert cost[row, column].sum() == 3
    assert [len(each) for each in pairs(np.full((2, 2), np.inf), 1, most=1)] == [0, 0]
