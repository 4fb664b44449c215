import numpy as np
import pytest

from sdm_ray.mapping.mess import Similarity


@pytest.mark.parametrize(
    ("value", "expected"),
    [(5.0, 100), (2.5, 60), (7.5, 40), (0.0, 0), (9.0, 20), (-0.9, -10), (13.5, -50)],
)
def test_one_covariate_by_the_definition(value, expected):
    """Ten surveys at 0 to 9: the share of them below a value, twice, from the nearer end; beyond, part of the range."""
    reference = np.arange(10.0)[:, None]
    assert Similarity(reference).of(np.array([[value]]))[0] == pytest.approx(expected, abs=1e-4)


def test_the_worst_covariate_decides():
    numbers = np.random.default_rng(0)
    reference, values = numbers.normal(size=(300, 3)), numbers.normal(size=(50, 3)) * 2
    each = [Similarity(reference[:, [i]]).of(values[:, [i]]) for i in range(3)]
    assert np.array_equal(Similarity(reference).of(values), np.min(each, axis=0))


def test_unknown_covariates_do_not_count():
    numbers = np.random.default_rng(0)
    reference, values = numbers.normal(size=(300, 3)), numbers.normal(size=(50, 3)) * 2
    values[:, 1] = np.nan
    expected = Similarity(reference[:, [0, 2]]).of(values[:, [0, 2]])
    assert np.array_equal(Similarity(reference).of(values), expected)


def test_a_covariate_without_any_range_is_no_division_by_zero():
    found = Similarity(np.ones((5, 1))).of(np.array([[1.0], [2.0]]))
    assert found.tolist() == [0, -100]
