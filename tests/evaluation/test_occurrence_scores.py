"""Scores of probabilities by class of prevalence."""

import numpy as np
import pytest

from sdm_ray.evaluation.occurrence_scores import calibration_by_prevalence, species_scores
from sdm_ray.evaluation.scores import HeldOutSurveys


def test_rare_species_predicted_too_often_are_told_by_class():
    """Two rare species get five times their prevalence, a common one its own; a fourth is in no survey."""
    rng = np.random.default_rng(0)
    prevalence = np.array([0.002, 0.005, 0.3])
    labels = (rng.random((20_000, 4)) < np.append(prevalence, 0)).astype(np.uint8)
    p = np.broadcast_to(np.append(prevalence * [5, 5, 1], 1e-4), labels.shape).astype(np.float32)
    nothing = np.zeros(len(labels))
    held = HeldOutSurveys(labels, list("ABCD"), *(nothing,) * 4, nothing.astype(np.int64), None, "occurrence")
    found = calibration_by_prevalence(held, {"map": p}, species_scores(held, {"map": p}, {"map": p}))
    assert [(each["above"], each["species"]) for each in found] == [(0.0, 1), (0.001, 2), (0.1, 1)]
    nowhere, rare, common = found
    assert nowhere["observed"] == 0 and nowhere["ratio"]["map"] is None
    assert nowhere["predicted"]["map"] == pytest.approx(1e-4, rel=1e-4)
    assert rare["ratio"]["map"] == pytest.approx(5, rel=0.15) and common["ratio"]["map"] == pytest.approx(1, rel=0.05)
    error = (p[:, :2].mean(axis=0) - labels[:, :2].mean(axis=0)).mean()
    assert rare["calibration_error"]["map"] == pytest.approx(error, rel=0.2)
