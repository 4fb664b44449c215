import numpy as np
import pytest
from helpers.management import small, study

from sdm_ray.errors import InputError
from sdm_ray.impact.config import EstimateConfig, MatchingConfig
from sdm_ray.impact.estimate import Estimator, baci, block_side
from sdm_ray.impact.matching import Matches, match

PLAIN = EstimateConfig(adjust=False, block_m=1000, resamples=200)


def pairs(treated, control):
    treated = np.array(treated)
    number = np.bincount(treated)
    return Matches(treated, np.array(control), 1 / number[treated], np.array([], int), np.zeros(9))


def test_a_difference_in_differences_worked_by_hand():
    # dates differ: unit 0 is compared over 2003 against 2000-2002, unit 1 over 2002-2003 against 2000-2001
    outcome = [[1, 1, 1, 5], [2, 2, 0, 0], [4, 4, 4, 5], [1, 3, 3, 3]]
    units = small([1, 1, 0, 0], [2003, 2002, 0, 0], outcome, years=(2000, 2001, 2002, 2003))
    effect = baci(units, Estimator(units, pairs([0, 1], [2, 3]), PLAIN))
    assert effect.value == pytest.approx(((5 - 1) - (5 - 4) + (0 - 2) - (3 - 2)) / 2)
    assert effect.sets == 2 and effect.blocks == 2


def test_several_controls_count_with_their_mean():
    units = small([1, 0, 0], [2005] * 3, [[0, 9], [0, 2], [0, 4]])
    estimator = Estimator(units, pairs([0, 0], [1, 2]), PLAIN)
    assert baci(units, estimator).value == 6
    assert np.isnan(baci(units, estimator).low)  # one block tells no error


def test_periods_leave_years_out():
    outcome = [[100, 1, 50, 7, 100], [0, 0, 0, 0, 0]]
    from sdm_ray.impact.study import Periods

    units = small([1, 0], [2002, 0], outcome, years=range(2000, 2005), periods=Periods(1, 1, 1))
    assert units.changes()[0, 0] == 7 - 1


def test_what_is_left_of_a_linear_difference_is_taken_off():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1, 200)
    treated = np.arange(200) < 60
    outcome = np.column_stack([np.zeros(200), 3 * z + np.where(treated, 2.0, 0.0)])
    units = small(treated, [2005] * 200, outcome, covariates=z + 0.0)
    controls = 60 + np.argsort(z[60:])[:60]  # the coldest ones, by mistake
    found = pairs(np.arange(60), controls)
    estimates = [
        baci(units, Estimator(units, found, EstimateConfig(adjust=adjust, block_m=5000, resamples=100))).value
        for adjust in (False, True)
    ]
    assert abs(estimates[0] - 2) > 2 and estimates[1] == pytest.approx(2, abs=0.15)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    held, naive = [], []
    for seed in range(40):
        units = study(250, seed=seed, effect=-1.0)
        estimator = Estimator(units, match(units, MatchingConfig()), EstimateConfig(resamples=200), seed)
        effect = baci(units, estimator)
        held.append(effect.low <= -1.0 <= effect.high)
        changes = units.changes()
        own = changes[units.row_of_date(), np.arange(len(units.ids))]
        naive.append(np.mean(own[units.treated]) + 1.0)
    assert sum(held) >= 35
    assert np.mean(naive) < -0.5  # without controls the decline of warm parcels is taken for an effect


def test_joint_draws_widen_the_interval_by_what_all_units_share():
    units = study(300, seed=5)
    rng = np.random.default_rng(1)
    shift = rng.normal(0, 3, 50)  # an error of all treated places together, such as a wrong slope
    draws = units.outcome[None] + (shift[:, None, None] * units.treated[:, None] * (units.years >= 2012))
    found = match(units, MatchingConfig())
    config = EstimateConfig(resamples=400)
    without = baci(units, Estimator(units, found, config))
    units = units.__class__(**{**units.__dict__, "draws": draws})
    with_draws = baci(units, Estimator(units, found, config))
    assert with_draws.value == pytest.approx(without.value)
    assert with_draws.error > 3 * without.error


def test_blocks_follow_the_treated_units():
    units = study(400, seed=6)
    side = block_side(units, EstimateConfig())
    assert 10_000 < side < 60_000 and block_side(units, EstimateConfig(block_m=123)) == 123


def test_no_matched_unit_is_an_error():
    units = small([1, 0], [2005, 0], [[0, 1], [0, 1]])
    none = Matches(np.array([], int), np.array([], int), np.array([]), np.array([0]), np.zeros(2))
    with pytest.raises(InputError, match="none of 1 treated units has a control within the calipers"):
        Estimator(units, none, PLAIN)


def test_controls_of_one_block_share_their_error():
    rng = np.random.default_rng(3)
    treated = np.arange(200) < 100
    shared = np.repeat(rng.normal(0, 3, 5), 20)  # of five blocks of controls
    outcome = np.column_stack([np.zeros(200), np.concatenate([np.zeros(100), shared]) + rng.normal(0, 0.1, 200)])
    x = np.concatenate([np.arange(100) * 10_000.0, np.repeat(np.arange(5), 20) * 10_000.0 + 5e6])
    units = small(treated, [2005] * 200, outcome, x=x)
    config = EstimateConfig(adjust=False, block_m=10_000, resamples=200)
    effect = baci(units, Estimator(units, pairs(np.arange(100), np.arange(100, 200)), config))
    assert effect.error > 2 * 3 / np.sqrt(100)  # as if 100 controls were independent: 0.3
