import numpy as np
from helpers.management import study

from sdm_ray.impact.config import EstimateConfig, MatchingConfig
from sdm_ray.impact.estimate import Estimator
from sdm_ray.impact.event_study import event_study
from sdm_ray.impact.matching import match


def events(**how):
    units = study(500, **how)
    return event_study(units, Estimator(units, match(units, MatchingConfig()), EstimateConfig(resamples=300)))


def test_the_effect_begins_with_the_treatment():
    table = events(seed=1, effect=-2.0).table.set_index("years_since")
    assert table.loc[-1, "effect"] == 0
    before, after = table[table.index < -1], table[table.index >= 0]
    assert (before["band_low"] < 0).all() and (before["band_high"] > 0).all()
    assert (after["high"] < 0).all() and abs(after["effect"].mean() + 2) < 0.5
    assert (table["band_low"] <= table["low"]).all()


def test_a_trend_of_treated_units_before_treatment_is_told():
    assert events(seed=2).trend_p > 0.05
    assert events(seed=2, lead=-0.5).trend_p < 0.01


def test_two_years_have_no_event_study():
    units = study(200, years=(2005, 2015))
    assert event_study(units, Estimator(units, match(units, MatchingConfig()), EstimateConfig(resamples=100))) is None


def test_every_lag_is_one_of_the_data():
    found = events(seed=3).table["years_since"]
    assert found.is_monotonic_increasing and found.between(-7, 6).all() and np.isin([-3, 0, 3], found).all()
