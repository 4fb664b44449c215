import numpy as np
import pytest
from helpers.planted_errors import planted

from sdm_ray.impact.change.compare import Errors, Places, Sums, compare
from sdm_ray.indicators.joint_draws import JointDraws

N = 60
X, Y = 4_000_000 + 1000.0 * np.arange(N), np.full(N, 3_000_000.0)
PLACES = Places.of_zones(X, Y, (np.arange(N) >= 20).astype(int), 2)
BEFORE = np.random.default_rng(0).uniform(0.1, 0.6, (6, N)).astype(np.float32)
AFTER = BEFORE.copy()
AFTER[:, 20:] *= 0.5  # every species halves in the second zone


def errors(*, shared=True, draws=200):
    first = JointDraws(planted(), draws, 3)
    return Errors(first, first if shared else JointDraws(planted(), draws, 4), 0.9)


def test_without_errors_figures_are_those_of_the_maps():
    layers, sums = compare(BEFORE, AFTER, PLACES, None)
    assert layers["richness_change"] == pytest.approx((AFTER - BEFORE).sum(0), abs=1e-5)
    assert layers["gains"] == pytest.approx(np.zeros(N), abs=1e-6)
    assert set(layers) == {"richness_change", "gains", "losses", "bray_curtis", "sorensen"}
    assert sums.places.tolist() == [20, 40]
    assert sums.zones[0] == pytest.approx([BEFORE[:, :20].sum(), BEFORE[:, 20:].sum()])
    assert sums.zones[2] == pytest.approx([0, -BEFORE[:, 20:].sum() / 2], abs=1e-4)
    assert sums.species[0] - sums.species[3] == pytest.approx(AFTER.sum(1), rel=1e-5)
    assert sums.zone_draws.shape == (5, 2, 0)


def test_shared_errors_leave_no_doubt_about_a_common_change():
    layers, sums = compare(BEFORE, AFTER, PLACES, errors())
    assert layers["distinct"][20:].all() and not layers["distinct"][:20].any()
    assert (layers["species_distinct"][:20] == 0).all() and layers["species_distinct"][20:].mean() > 3
    assert (layers["richness_change_low"] <= layers["richness_change"] + 1e-4).all()
    assert sums.zone_draws[0, 0] == pytest.approx(np.zeros(200), abs=1e-3)
    assert sums.zone_draws[0, 1].max() < 0
    assert sums.zone_draws[0, 1].mean() == pytest.approx(sums.zones[2, 1], rel=0.08)
    assert sums.species_draws.mean(axis=1) == pytest.approx(AFTER.sum(1) - BEFORE.sum(1), rel=0.15)


def test_independent_errors_hide_it():
    shared, independent = (compare(BEFORE, AFTER, PLACES, errors(shared=each))[1] for each in (True, False))
    assert independent.zone_draws[0, 1].std() > 2 * shared.zone_draws[0, 1].std()
    layers, _ = compare(BEFORE, AFTER, PLACES, errors(shared=False))
    assert layers["distinct"].mean() < 0.5


def test_sums_do_not_depend_on_how_places_were_cut():
    every = compare(BEFORE, AFTER, PLACES, errors(draws=40))[1]
    cut = [slice(0, 7), slice(7, 31), slice(31, N)]
    parts = [compare(BEFORE[:, each], AFTER[:, each], PLACES.part(each), errors(draws=40))[1] for each in cut]
    found = Sums.total(parts)
    for name in ("places", "zones", "zone_draws", "species", "species_draws"):
        assert getattr(found, name) == pytest.approx(getattr(every, name), rel=1e-4, abs=1e-4)


def test_no_places_are_no_sums():
    nothing = Places.of_zones(X[:0], Y[:0], np.zeros(0, int), 2)
    layers, sums = compare(BEFORE[:, :0], AFTER[:, :0], nothing, errors(draws=20))
    assert len(layers["distinct"]) == 0 and sums.places.tolist() == [0, 0]
    assert sums.zone_draws.shape == (5, 2, 20) and not sums.species.any()
