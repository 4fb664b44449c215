"""Brier, calibration, TSS, Boyce and thresholds against what can be worked out by hand or by scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from sdm_ray.errors import InputError
from sdm_ray.metrics import calibration


@pytest.fixture(scope="module")
def drawn():
    """Labels that were drawn from the probabilities, of a common and a rare species."""
    numbers = np.random.default_rng(0)
    p = numbers.random((20_000, 2)) ** np.array([1, 6])
    return (numbers.random(p.shape) < p).astype(np.uint8), p


def test_probabilities_that_are_true_are_calibrated(drawn):
    labels, p = drawn
    assert (calibration.calibration_error(labels, p, "occurrence") < 0.015).all()
    assert (calibration.calibration_error(labels, p**2, "occurrence") > 0.05).all()
    by_hand = abs(labels[:, 0].mean() - p[:, 0].mean())
    assert calibration.calibration_error(labels, p, "occurrence", bins=1)[0] == pytest.approx(by_hand)


def test_skill_is_twice_the_balanced_accuracy(drawn):
    labels, p = drawn
    found = calibration.tss(labels, p, np.array([0.5, 0.2]), "recorded")
    for species, threshold in enumerate((0.5, 0.2)):
        accuracy = balanced_accuracy_score(labels[:, species], p[:, species] >= threshold)
        assert found[species] == pytest.approx(2 * accuracy - 1)
    assert np.isnan(calibration.tss(np.ones((4, 1)), np.ones((4, 1)), 0.5, "recorded")).all()


def test_thresholds_do_what_their_names_say(drawn):
    labels, p = drawn
    found = calibration.cuts(labels, p)
    best = calibration.tss(labels, p, found["max_tss"], "recorded")
    for other in (0.1, 0.3, 0.5, 0.7):
        assert (best >= calibration.tss(labels, p, other, "recorded")).all()
    for species in range(2):
        present, score = labels[:, species] == 1, p[:, species]
        assert (score[present] >= found["minimum_presence"][species]).all()
        assert (score[present] < found["tenth_percentile"][species]).mean() == pytest.approx(0.1, abs=0.01)
        above = score >= found["equal"][species]
        assert above[present].mean() == pytest.approx((~above)[~present].mean(), abs=0.01)
        assert found["prevalence"][species] == present.mean()
    everywhere = calibration.cuts(np.ones((3, 1), np.uint8), np.ones((3, 1)))
    assert all(np.isnan(values).all() for values in everywhere.values())


def test_sensitivity_equals_specificity_between_far_presences():
    """Scores that fall evenly with presences at ranks 1 and 61: half of either class lies above the median."""
    score = np.linspace(0.99, 0, 100)[:, None]
    present = np.isin(np.arange(100), [0, 60])[:, None].astype(np.uint8)
    assert calibration.cuts(present, score)["equal"][0] == pytest.approx(0.5, abs=0.011)


def test_boyce_tells_order_from_chance_and_its_reverse():
    numbers = np.random.default_rng(1)
    score = numbers.random((4000, 1))
    present = (numbers.random((4000, 1)) < score**2).astype(np.uint8)
    assert calibration.boyce(present, score)[0] > 0.95
    assert calibration.boyce(present, -score)[0] < -0.95
    assert calibration.boyce(present, np.exp(score))[0] > 0.95
    assert np.isnan(calibration.boyce(present, np.ones((4000, 1)))[0])
    assert np.isnan(calibration.boyce(np.zeros((4000, 1)), score)[0])


def test_relative_probabilities_are_refused():
    labels = np.array([[1], [0], [1], [0]])
    p = np.array([[0.9], [0.2], [0.4], [0.6]], np.float32)
    assert calibration.brier(labels, p, "occurrence")[0] == pytest.approx((0.01 + 0.04 + 0.36 + 0.36) / 4)
    assert calibration.tss(labels, p, 0.5, "recorded")[0] == pytest.approx(0.0)
    assert calibration.brier(labels, p, "relative", force=True)[0] == pytest.approx(0.1925)
    for name, call in (
        ("Brier score", lambda: calibration.brier(labels, p, "relative")),
        ("TSS", lambda: calibration.tss(labels, p, 0.5, "relative")),
        ("expected calibration error", lambda: calibration.calibration_error(labels, p, "relative")),
    ):
        with pytest.raises(InputError, match=f"{name}.*relative"):
            call()
