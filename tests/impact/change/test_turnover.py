import numpy as np
import pytest

from sdm_ray.impact.change.turnover import Turnover


def of(before, after):
    found = Turnover((np.shape(before)[1],))
    for one, other in zip(np.float32(before), np.float32(after), strict=True):
        found.add(one, other)
    return found


def test_a_case_by_hand():
    """Three species at one place: .8 -> .2, .1 -> .4, .5 -> .5."""
    found = of([[0.8], [0.1], [0.5]], [[0.2], [0.4], [0.5]])
    assert found.change == pytest.approx(-0.3)
    assert found.gain == pytest.approx(0.3) and found.loss == pytest.approx(0.6)
    assert found.bray_curtis == pytest.approx(0.9 / 2.5)
    both = 0.16 + 0.04 + 0.25
    assert found.sorensen == pytest.approx((2.5 - 2 * both) / 2.5)


def test_of_certain_maps_both_are_the_sorensen_dissimilarity():
    numbers = np.random.default_rng(0)
    before, after = (numbers.random((2, 30, 50)) < 0.4).astype(float)
    found = of(before, after)
    a, b, c = ((before * after).sum(0), (before * (1 - after)).sum(0), (after * (1 - before)).sum(0))
    assert found.bray_curtis == pytest.approx((b + c) / (2 * a + b + c))
    assert found.sorensen == pytest.approx((b + c) / (2 * a + b + c))
    assert found.gain == pytest.approx(c) and found.loss == pytest.approx(b)


def test_bray_curtis_is_that_of_scipy():
    from scipy.spatial.distance import braycurtis

    before, after = np.random.default_rng(1).random((2, 12, 4))
    expected = [braycurtis(before[:, place], after[:, place]) for place in range(4)]
    assert of(before, after).bray_curtis == pytest.approx(expected, rel=1e-5)


def test_the_two_are_bounds_and_a_place_without_species_has_none():
    before, after = np.random.default_rng(2).random((2, 5, 100))
    found = of(before, after)
    assert (found.bray_curtis <= found.sorensen + 1e-6).all()
    assert of(before, before).bray_curtis.max() == 0 and of(before, before).sorensen.min() > 0
    empty = of(np.zeros((2, 1)), np.zeros((2, 1)))
    assert empty.bray_curtis == 0 and empty.sorensen == 0
