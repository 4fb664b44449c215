import numpy as np
import pytest
from helpers.management import small, study
from scipy.optimize import linear_sum_assignment

from sdm_ray.errors import InputError
from sdm_ray.impact.config import MatchingConfig
from sdm_ray.impact.matching import _whitened, match, propensity_logit

WIDE = MatchingConfig(caliper=None)


def test_the_assignment_is_the_optimal_one():
    units = study(120, seed=3)
    found = match(units, WIDE)
    z = _whitened(units.covariates)
    treated, controls = np.flatnonzero(units.treated), np.flatnonzero(~units.treated)
    cost = np.linalg.norm(z[treated][:, None] - z[controls], axis=2)
    row, column = linear_sum_assignment(cost)
    assert len(found.treated) == len(treated) == len(set(found.control))
    ours = np.linalg.norm(z[found.treated] - z[found.control], axis=1).sum()
    assert ours == pytest.approx(cost[row, column].sum())


def test_the_distance_is_the_mahalanobis_distance():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (50, 3)) @ rng.normal(0, 1, (3, 3))
    z, inverse = _whitened(values), np.linalg.inv(np.cov(values, rowvar=False, ddof=0))
    gap = values[0] - values[1]
    assert np.sum((z[0] - z[1]) ** 2) == pytest.approx(gap @ inverse @ gap, rel=0.03)  # variance of n and n - 1


def test_as_many_treated_units_as_possible_are_matched():
    # unit 0 reaches control 2 only; unit 1 reaches 2, which is more alike, and 3
    units = small([1, 1, 0, 0], [2005] * 4, np.zeros((4, 2)), covariates=[0.0, 0.2, 0.1, 0.9])
    found = match(units, MatchingConfig(caliper=None, max_distance_m=2500))
    assert sorted(zip(found.treated.tolist(), found.control.tolist(), strict=True)) == [(0, 2), (1, 3)]


@pytest.mark.parametrize("classes", [1, 2])
def test_units_that_are_all_alike_are_matched_to_different_controls(classes):
    """All controls of a class are equally near; as many candidates as there are at first are too few for all."""
    covariates = np.concatenate([np.arange(500) % classes, np.arange(2000) % classes])
    units = small(np.arange(2500) < 500, [2005] * 2500, np.zeros((2500, 2)), covariates=covariates)
    found = match(units, MatchingConfig())
    assert len(found.unmatched) == 0 and len(set(found.control)) == 500
    assert (covariates[found.treated] == covariates[found.control]).all()


def test_a_crowd_of_treated_units_is_not_limited_to_its_nearest_controls():
    """The nearest 200 controls of all 300 are the same."""
    covariates = np.concatenate([np.linspace(0, 1e-3, 300), np.linspace(1, 2, 400)])
    units = small(np.arange(700) < 300, [2005] * 700, np.zeros((700, 2)), covariates=covariates)
    found = match(units, WIDE)
    assert len(found.unmatched) == 0 and sorted(found.control) == list(range(300, 600))


def test_every_treated_unit_gets_a_first_control_before_any_gets_a_second():
    units = small([1, 1, 0, 0], [2005] * 4, np.zeros((4, 2)), covariates=[0.0, 5.0, 0.0, 0.01])
    found = match(units, MatchingConfig(caliper=None, ratio=2))
    assert (found.treated.tolist(), found.control.tolist()) == ([0, 1], [2, 3])


def test_calipers_and_distances_hold_for_every_pair():
    units = study(300, seed=1)
    config = MatchingConfig(caliper=0.2, min_distance_m=5_000, max_distance_m=40_000)
    found, logit = match(units, config), propensity_logit(units)
    metres = np.hypot(units.x[found.treated] - units.x[found.control], units.y[found.treated] - units.y[found.control])
    assert len(found.treated) and metres.min() >= 5_000 and metres.max() <= 40_000
    assert np.abs(logit[found.treated] - logit[found.control]).max() <= 0.2 * logit.std() + 1e-9
    assert set(found.treated) | set(found.unmatched) == set(np.flatnonzero(units.treated))


def test_with_replacement_each_takes_its_nearest():
    units = small([1, 1, 0, 0], [2005] * 4, np.zeros((4, 2)), covariates=[0.0, 0.1, 0.05, 3.0])
    found = match(units, MatchingConfig(caliper=None, replace=True))
    assert found.control.tolist() == [2, 2]
    both = match(units, MatchingConfig(caliper=None, replace=True, ratio=2))
    assert both.control.tolist() == [2, 3, 2, 3] and both.weight.tolist() == [0.5] * 4


def test_several_controls_are_shared_out():
    units = study(200, seed=2, treated_share=0.1)
    found = match(units, MatchingConfig(caliper=None, ratio=3))
    assert len(set(found.control)) == len(found.control) == 3 * units.treated.sum()
    assert np.bincount(found.treated, found.weight, minlength=200)[units.treated] == pytest.approx(1)


def test_groups_are_matched_within():
    units = small([1, 1, 0, 0], [2005] * 4, np.zeros((4, 2)), covariates=[0, 0, 0, 0], exact=np.array([0, 1, 1, 2]))
    found = match(units, WIDE)
    assert (found.treated.tolist(), found.control.tolist(), found.unmatched.tolist()) == ([1], [2], [0])


def test_place_counts_where_it_has_a_scale():
    units = small([1, 0, 0], [2005] * 3, np.zeros((3, 2)), covariates=[0.0, 0.2, 0.0])
    assert match(units, WIDE).control.tolist() == [2]
    assert match(units, WIDE.model_copy(update={"distance_scale_m": 1000.0})).control.tolist() == [1]


def test_a_control_without_an_outcome_at_the_date_is_not_taken():
    outcome = [[1, 1], [np.nan, 1], [1, 1]]
    units = small([1, 0, 0], [2005] * 3, outcome, covariates=[0.0, 0.0, 1.0])
    assert match(units, WIDE).control.tolist() == [2]


def test_matching_needs_both_kinds():
    with pytest.raises(InputError, match="0 treated units and 2 possible controls"):
        match(small([0, 0], [2005] * 2, np.zeros((2, 2)), covariates=[0, 0]), WIDE)
