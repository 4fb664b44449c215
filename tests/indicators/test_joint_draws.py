import numpy as np
import pytest
from helpers.planted_errors import SPECIES, planted
from scipy.sparse import csr_array

from sdm_ray.indicators.joint_draws import JointDraws, ZoneDraws

SIDE = 24
ROWS, COLS = np.divmod(np.arange(SIDE * SIDE), SIDE)
X, Y = 4_000_500.0 + 1000 * COLS, 3_000_500.0 + 1000 * ROWS
P = np.random.default_rng(0).uniform(0.02, 0.9, (6, SIDE * SIDE)).astype(np.float32)


def zones(number):
    return csr_array((np.ones(len(number), np.float32), (number, np.arange(len(number)))))


def test_draws_have_the_mapped_probability_as_their_mean():
    draws = JointDraws(planted(), 4000, seed=1)
    for species, q in enumerate(draws.probabilities(X[:9], Y[:9], P[:, :9], slice(0, 6))):
        assert q.shape == (9, 4000)
        assert q.mean(axis=1) == pytest.approx(P[species, :9], abs=0.012)


def test_a_zones_draws_do_not_depend_on_what_else_is_asked_for():
    draws = JointDraws(planted(), 50)
    whole = draws.zone_sums(X, Y, P, zones(ROWS // 12))
    order = np.random.default_rng(1).permutation(len(X))
    parts = [order[:100], order[100:333], order[333:]]
    sums = [JointDraws(planted(), 50).zone_sums(X[p], Y[p], P[:, p], zones_of(p, ROWS // 12)) for p in parts]
    assert sum(each.expected for each in sums) == pytest.approx(whole.expected, rel=1e-4)
    assert sum(each.variance for each in sums) == pytest.approx(whole.variance, rel=1e-4)


def zones_of(part, number):
    return csr_array((np.ones(len(part), np.float32), (number[part], np.arange(len(part)))), shape=(2, len(part)))


def test_a_species_draws_do_not_depend_on_the_other_species():
    every = JointDraws(planted(), 30).zone_sums(X, Y, P, zones(ROWS // 12))
    chosen = planted().select([SPECIES[4], SPECIES[1]], "errors")
    some = JointDraws(chosen, 30).zone_sums(X, Y, P[[4, 1]], zones(ROWS // 12))
    assert some.expected == pytest.approx(every.expected[[4, 1]], rel=1e-4)


def test_errors_that_go_together_widen_sums_more_than_single_cells():
    together = JointDraws(planted(), 800).zone_sums(X, Y, P, zones(np.zeros(len(X), int)))
    total = together.expected.sum(axis=0)[0]
    independent = np.sqrt((P * (1 - P)).sum())
    assert total.mean() == pytest.approx(P.sum(), rel=0.05)
    assert total.std() > 8 * independent


def test_without_errors_all_draws_are_the_map():
    found = JointDraws(planted(0, 0, 0), 5).zone_sums(X, Y, P, zones(ROWS // 12))
    assert found.expected[:, 0] == pytest.approx(np.tile(P[:, :288].sum(axis=1)[:, None], 5), rel=1e-4)


def test_fractions_of_cells_count():
    half = csr_array(np.full((1, len(X)), 0.5, np.float32))
    full = JointDraws(planted(), 20).zone_sums(X, Y, P, zones(np.zeros(len(X), int)))
    assert JointDraws(planted(), 20).zone_sums(X, Y, P, half).expected == pytest.approx(full.expected / 2, rel=1e-4)


def test_numbers_of_presences_have_the_mean_and_variance_of_their_sum():
    p = np.full((1, 1, 20_000), 0.3, np.float32)
    found = ZoneDraws(40 * p, 40 * p * (1 - p)).presences()
    assert found.mean() == pytest.approx(12, rel=0.02)
    assert found.var() == pytest.approx(8.4, rel=0.05)
    assert (found == np.rint(found)).all()
