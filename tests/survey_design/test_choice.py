"""Sites are chosen that bring the cells nearest to a survey, as long as the budget lasts."""

import numpy as np
import pytest

from sdm_ray.survey_design.choice import Candidates, Demand, Limits, choose, entropy, variance


def line(positions, weight=None, cost=None):
    """Cells on a line, all of them candidates, with one survey at 0."""
    points = np.asarray(positions, float)[:, None]
    paid = np.ones(len(points)) if cost is None else np.asarray(cost, float)
    counted = np.ones(len(points)) if weight is None else np.asarray(weight, float)
    xy = np.column_stack([points[:, 0] * 1000, np.zeros(len(points))])
    return Candidates(points, paid, xy), Demand(points, np.abs(points[:, 0]), counted)


def test_the_site_that_takes_most_of_the_distances_is_next():
    """By hand: cells at 1, 2, 9, 10, 11 have 33 in all; a site at 10 leaves 1 + 2 + 1 + 0 + 1."""
    found = choose(*line([1, 2, 9, 10, 11]), Limits(2))
    assert found.rows.tolist() == [3, 1] or found.rows.tolist() == [3, 0]
    assert found.gain == pytest.approx([28 / 33, 2 / 33])
    assert found.first[0] == pytest.approx((33 - (0 + 1 + 8 + 9 + 10)) / 33)


def test_cells_count_by_their_weight():
    assert choose(*line([-3, 2]), Limits(1)).rows.tolist() == [0]
    assert choose(*line([-3, 2], weight=[1, 9]), Limits(1)).rows.tolist() == [1]


def test_gain_is_for_its_cost_and_the_budget_is_kept():
    candidates, demand = line([10, -9, 1], cost=[10, 2, 1])
    assert choose(candidates, demand, Limits(3, budget=3)).rows.tolist() == [1, 2]
    assert choose(candidates, demand, Limits(3, budget=13)).rows.tolist() == [1, 2, 0]
    assert candidates.cost[choose(candidates, demand, Limits(3, budget=12.5)).rows].sum() <= 12.5


def test_a_cheap_site_does_not_use_up_what_the_best_one_costs():
    """By gain for its cost the first site leads, with 0.5 % of the distances; the other costs too much then."""
    points = np.array([[0.0], [10.0]])
    candidates = Candidates(points, np.array([0.01, 10]), np.zeros((2, 2)))
    demand = Demand(points, np.array([0.05, 10]), np.ones(2))
    found = choose(candidates, demand, Limits(10, budget=10))
    assert found.rows.tolist() == [1] and found.gain == pytest.approx([10 / 10.05])
    both = choose(candidates, demand, Limits(10, budget=10.1))
    assert both.rows.tolist() == [0, 1] and both.gain.sum() == pytest.approx(1)


def test_sites_lie_apart():
    candidates, demand = line([10, 9.5, 5])
    assert 2 in choose(candidates, demand, Limits(2, apart_m=600)).rows
    assert len(choose(candidates, demand, Limits(3, apart_m=600)).rows) == 2


def test_what_is_like_a_survey_is_not_chosen():
    assert choose(*line([0, 0]), Limits(2)).rows.tolist() == []
    assert choose(*line([0, 3, 3]), Limits(3)).rows.tolist() == [1]


@pytest.mark.parametrize("seed", range(3))
def test_looking_at_leading_sites_alone_chooses_as_looking_at_all(seed):
    numbers = np.random.default_rng(seed)
    points, others, cost = numbers.random((60, 3)), numbers.random((80, 3)), numbers.uniform(1, 3, 60)
    start = np.linalg.norm(others, axis=1)
    found = choose(Candidates(points, cost, points), Demand(others, start, np.ones(80)), Limits(10, budget=15))
    distances = np.linalg.norm(points[:, None] - others, axis=2)

    def one_by_one(rows):
        while True:
            nearest = np.minimum(start, distances[rows].min(axis=0, initial=np.inf))
            gain = np.maximum(nearest - distances, 0).sum(1) / cost
            gain[rows], gain[cost > 15 - cost[rows].sum()] = 0, 0
            if len(rows) == 10 or not gain.max() > 0:
                return rows, nearest.sum()
            rows = [*rows, int(gain.argmax())]

    best = int(np.maximum(start - distances, 0).sum(1).argmax())
    assert found.rows.tolist() == min((one_by_one([]), one_by_one([best])), key=lambda each: each[1])[0]


def test_measures_of_uncertainty_are_largest_at_one_half():
    probability = np.array([[0.5, 0.5], [0.1, 0.9], [0.0, 1.0]])
    assert entropy(probability) == pytest.approx([1, 0.469, 0], abs=1e-3)
    assert variance(probability) == pytest.approx([0.25, 0.09, 0])
