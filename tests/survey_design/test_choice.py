"""Sites are chosen where the model is unsure and unlike what is surveyed or chosen, as long as the budget lasts."""

import numpy as np
import pytest

from sdm_ray.survey_design.choice import Candidates, Limits, choose, entropy, variance


def line(positions, uncertainty=None, cost=None):
    """Candidates on a line, with one survey at 0; and their distances to it."""
    points = np.asarray(positions, float)[:, None]
    count = len(points)
    unsure = np.ones(count) if uncertainty is None else np.asarray(uncertainty, float)
    paid = np.ones(count) if cost is None else np.asarray(cost, float)
    return Candidates(points, unsure, paid, np.column_stack([points[:, 0] * 1000, np.zeros(count)])), np.abs(
        points[:, 0]
    )


def test_without_uncertainty_the_farthest_is_next():
    """Gonzalez' algorithm worked by hand: 10 first, then the middle, 5, then 2.5 or 7.5."""
    found = choose(*line([1, 2.5, 5, 7.5, 9, 10]), Limits(4))
    assert found.rows.tolist()[:2] == [5, 2] and set(found.rows.tolist()[2:]) == {1, 3}
    assert found.novelty.tolist() == [10, 5, 2.5, 2.5]


def test_uncertainty_weighs_the_distance():
    found = choose(*line([2, 4, 8], uncertainty=[1, 0.9, 0.1]), Limits(2))
    assert found.rows.tolist() == [1, 0] and found.gain == pytest.approx([3.6, 2])


def test_gain_is_for_its_cost_and_the_budget_is_kept():
    candidates, novelty = line([10, 9, 1], cost=[10, 2, 1])
    assert choose(candidates, novelty, Limits(3, budget=3)).rows.tolist() == [1, 2]
    assert choose(candidates, novelty, Limits(3, budget=13)).rows.tolist() == [1, 2, 0]
    assert candidates.cost[choose(candidates, novelty, Limits(3, budget=12.5)).rows].sum() <= 12.5


def test_sites_lie_apart():
    candidates, novelty = line([10, 9.5, 5], uncertainty=[1, 5, 1])
    assert choose(candidates, novelty, Limits(3, apart_m=600)).rows.tolist() == [1, 2]


def test_what_is_like_a_survey_is_not_chosen():
    assert choose(*line([0, 0]), Limits(2)).rows.tolist() == []
    assert choose(*line([0, 3, 3]), Limits(3)).rows.tolist() == [1]


def test_a_choice_covers_the_space_better_than_chance():
    """The largest distance of any place to a chosen one is at most twice the least possible, by Gonzalez 1985."""
    numbers = np.random.default_rng(0)
    points = numbers.random((500, 2))
    candidates = Candidates(points, np.ones(500), np.ones(500), points * 1e5)
    start = np.linalg.norm(points - points[0], axis=1)
    covered = choose(candidates, start, Limits(20)).rows
    drawn = numbers.permutation(500)[:20]
    radius = [np.linalg.norm(points[:, None] - points[rows], axis=2).min(1).max() for rows in (covered, drawn)]
    assert radius[0] < 0.8 * radius[1]


def test_measures_of_uncertainty_are_largest_at_one_half():
    probability = np.array([[0.5, 0.5], [0.1, 0.9], [0.0, 1.0]])
    assert entropy(probability) == pytest.approx([1, 0.469, 0], abs=1e-3)
    assert variance(probability) == pytest.approx([0.25, 0.09, 0])
