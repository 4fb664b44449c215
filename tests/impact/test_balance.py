import numpy as np
import pytest
from helpers.management import small, study

from sdm_ray.impact.balance import balance
from sdm_ray.impact.config import MatchingConfig
from sdm_ray.impact.matching import Matches, match


def test_a_table_worked_by_hand():
    units = small([1, 1, 0, 0, 0], [2005] * 5, np.zeros((5, 2)), covariates=[3.0, 5.0, 0.0, 2.0, 4.0])
    found = Matches(np.array([0, 1]), np.array([3, 4]), np.ones(2), np.array([], int), np.zeros(5))
    row = balance(units, found).set_index("covariate").loc["c0"]
    assert (row["mean_treated"], row["mean_control_before"], row["mean_control"]) == (4, 2, 3)
    scale = np.sqrt((1 + 8 / 3) / 2)  # variances 1 and 8/3 before matching
    assert row["smd_before"] == pytest.approx(2 / scale) and row["smd"] == pytest.approx(1 / scale)
    assert row["variance_ratio_before"] == pytest.approx(3 / 8) and row["variance_ratio"] == pytest.approx(1)


def test_matching_makes_alike():
    units = study(600, seed=4)
    table = balance(units, match(units, MatchingConfig())).set_index("covariate")
    assert abs(table.loc["warmth", "smd_before"]) > 0.5 and abs(table.loc["warmth", "smd"]) < 0.1
    assert not table.loc["outcome before", "matched_on"]
