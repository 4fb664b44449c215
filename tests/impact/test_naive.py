import pytest
from helpers.management import small

from sdm_ray.impact.config import EstimateConfig
from sdm_ray.impact.naive import naive_estimates


def test_estimates_worked_by_hand():
    units = small([1, 1, 0, 0], [2005] * 4, [[1, 4], [3, 4], [0, 1], [0, 5]])
    found = naive_estimates(units, EstimateConfig(resamples=100), 1000.0)
    assert found["before and after, treated alone"].value == pytest.approx(2)
    assert found["after, treated and all controls"].value == pytest.approx(4 - 3)
    change = found["change, treated and all controls"]
    assert change.value == pytest.approx(2 - 3) and change.low < -1 < change.high


def test_controls_count_over_the_dates_of_treated_units():
    outcome = [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 2, 8]]
    units = small([1, 1, 1, 0], [2001, 2001, 2002, 0], outcome, years=(2000, 2001, 2002))
    found = naive_estimates(units, EstimateConfig(resamples=100), 1000.0)["change, treated and all controls"]
    assert found.value == pytest.approx(-(2 * 5 + 7) / 3)  # changes of the control: 5 from 2001, 7 from 2002
