import numpy as np
import pytest

from sdm_ray.impact.sensitivity import e_value, rosenbaum_gamma, sensitivity, signed_rank_p

EXPOSED = [38, 23, 41, 18, 37, 36, 23, 62, 31, 34, 24, 14, 21, 17, 16, 20, 15, 10, 45, 39, 22, 35, 49, 48, 44, 35, 43,
           39, 34, 13, 73, 25, 27]  # fmt: skip
CONTROL = [16, 18, 18, 24, 19, 11, 10, 15, 16, 18, 18, 13, 19, 10, 16, 16, 24, 13, 9, 14, 21, 19, 7, 18, 19, 12, 11,
           22, 25, 16, 13, 11, 13]  # fmt: skip
LEAD = np.array(EXPOSED, float) - np.array(CONTROL)
"""Lead in the blood of 33 pairs of children (Morton et al. 1982; Rosenbaum 2002, Observational Studies, table 4.1)."""


@pytest.mark.parametrize(
    ("gamma", "expected"), [(1, 0.0), (2, 0.0018), (3, 0.0136), (4, 0.0388), (4.25, 0.0468), (5, 0.0740)]
)
def test_the_bounds_of_the_published_example(gamma, expected):
    assert signed_rank_p(LEAD, gamma) == pytest.approx(expected, abs=2e-4)


def test_gamma_is_where_significance_ends():
    gamma = rosenbaum_gamma(LEAD)
    assert signed_rank_p(LEAD, gamma) <= 0.05 < signed_rank_p(LEAD, gamma + 0.01)
    assert rosenbaum_gamma(np.array([1.0, -1.1, 0.9, -1.0])) == 1


def test_the_e_value_of_the_published_example():
    assert e_value(np.log(3.9) / 0.91) == pytest.approx(7.26, abs=0.005)  # VanderWeele and Ding 2017
    assert e_value(0) == 1


def test_direction_and_limits():
    down, up = (sensitivity(s * LEAD, s * 15.0, tuple(sorted((s * 9.0, s * 21.0))), 10.0) for s in (-1.0, 1.0))
    assert down == up and down.gamma > 4 and 1 < down.e_value_limit < down.e_value
    assert sensitivity(LEAD, 1.0, (-1.0, 3.0), 10.0).e_value_limit == 1
