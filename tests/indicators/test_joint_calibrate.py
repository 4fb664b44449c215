import numpy as np
import pytest
from helpers.planted_errors import planted, surveys

from sdm_ray.indicators.joint_calibrate import calibrated, scaled


def test_errors_that_are_right_are_left_and_those_that_are_too_small_are_scaled():
    data = surveys(planted(loading=0.5, own=0.05), count=2500)
    right = calibrated(planted(loading=0.5, own=0.05), data, 0.85, seed=0)
    small = calibrated(planted(loading=0.35, own=0.02), data, 0.85, seed=0)
    assert right.loadings.max() <= 0.5 * np.sqrt(1.31)
    assert small.loadings.max() >= 0.35 * np.sqrt(1.49)


def test_variances_leave_room_for_chance():
    found = scaled(planted(loading=0.8, own=0.1, site=0.3), 2.0)
    assert (found.spatial_variance + found.site_variance).max() == pytest.approx(0.9)
    assert scaled(planted(), 1.5).spatial_variance == pytest.approx(1.5 * planted().spatial_variance)
