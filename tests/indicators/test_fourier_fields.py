import numpy as np
import pytest

from sdm_ray.indicators.fourier_fields import Fields, Waves, node_spacing, nodes_of


@pytest.mark.parametrize("range_m", [5_000.0, 150_000.0])
def test_correlation_falls_with_distance_as_the_exponential(range_m):
    waves, numbers = Waves.of_range(range_m), np.random.default_rng(0)
    here = numbers.uniform(2e6, 6e6, (300, 2))
    for share in (0, 0.25, 1, 2, 10):
        angle = numbers.uniform(0, 2 * np.pi, 300)
        there = here + share * range_m * np.column_stack([np.cos(angle), np.sin(angle)])
        found = (waves.at(*here.T) * waves.at(*there.T)).sum(axis=1)
        assert found.mean() == pytest.approx(np.exp(-share), abs=0.02)
        assert found.std() < 0.1


def test_a_field_of_infinite_range_is_one_number():
    features = Waves.of_range(np.inf).at(np.array([0.0, 5e6]), np.array([0.0, 1e6]))
    assert (features == [[1, 0], [1, 0]]).all()
    assert node_spacing(np.inf) > 1e8


def test_the_mean_over_a_wide_region_varies_as_it_should():
    """Waves longer than the range are in every draw: the mean over 40 ranges keeps its variance of 2 pi / 40^2."""
    fields = Fields(10_000.0, 3, 0)
    x, y = np.meshgrid(np.arange(0, 400e3, 5e3), np.arange(0, 400e3, 5e3))
    features = fields.waves.at(x.ravel(), y.ravel()).mean(axis=0)
    means = features @ fields.amplitudes(np.arange(1), 4000)[:, 0]
    assert means.var() == pytest.approx(2 * np.pi / 40**2, rel=0.4)


def test_draws_follow_from_their_key_alone():
    fields = Fields(10_000.0, 3, 0)
    many = fields.amplitudes(np.array([4, 9, 2]), 7)
    assert np.array_equal(many[:, 1, :5], fields.amplitudes(np.array([9]), 5)[:, 0])
    assert not np.array_equal(many, Fields(10_000.0, 4, 0).amplitudes(np.array([4, 9, 2]), 7))
    assert not np.array_equal(many, Fields(10_000.0, 3, 1).amplitudes(np.array([4, 9, 2]), 7))
    assert abs(many.mean()) < 0.05 and many.std() == pytest.approx(1, abs=0.05)


def test_places_have_numbers_of_their_own():
    x, y = np.array([4e6, 4e6 + 1000, 4e6]), np.array([3e6, 3e6, 3e6])
    numbers = Fields.of_places(1, x, y, 2, 500)
    assert np.array_equal(numbers[0], numbers[2])
    assert abs(np.corrcoef(numbers[0, 0], numbers[1, 0])[0, 1]) < 0.15
    assert abs(np.corrcoef(numbers[0, 0], numbers[0, 1])[0, 1]) < 0.15


def test_squares_do_not_depend_on_which_places_are_asked_for():
    x, y = np.array([10.0, 630.0, 12.0]), np.array([-10.0, 5.0, -620.0])
    east, north, which = nodes_of(x, y, 625.0)
    assert np.array_equal(east[which], [312.5, 937.5, 312.5])
    assert np.array_equal(north[which], [-312.5, 312.5, -312.5])
    alone = nodes_of(x[:1], y[:1], 625.0)
    assert (alone[0][0], alone[1][0]) == (312.5, -312.5)
