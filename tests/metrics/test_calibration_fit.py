"""Calibration of species by their own data and by all species' data."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import expit, logit

from sdm_ray.metrics.calibration_fit import fit, fit_platt, prevalence_offset
from sdm_ray.metrics.ranking import auc
from sdm_ray.models.calibration import KNOTS, Calibration, bend, mean_of


def draw(count: int, scale: float, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 4)).astype(np.float32)
    chance = 1 / (1 + np.exp(-(scale * logits + shift)))
    return logits, (rng.random(logits.shape) < chance).astype(np.uint8)


def test_a_known_distortion_is_found():
    scale, shift = fit_platt(*draw(20_000, 0.6, -1.0))
    assert np.allclose(scale, 0.6, atol=0.05)
    assert np.allclose(shift, -1.0, atol=0.08)


def test_a_species_without_presences_stays_near_the_others_and_near_zero():
    logits, labels = draw(500, 0.6, -1.0)
    logits[:, 0], labels[:, 0] = logits[:, 0] - 6, 0
    scale, shift = fit_platt(logits, labels)
    assert 0.4 < scale[0] < 1.0
    assert (1 / (1 + np.exp(-(scale[0] * logits[:, 0] + shift[0])))).mean() < 0.02


def test_many_data_overrule_the_others():
    logits, labels = draw(100_000, 1.0, 0.0)
    labels[:, 0] = draw(100_000, 1.0, 2.0)[1][:, 0]
    _, shift = fit_platt(logits, labels)
    assert abs(shift[0] - 2.0) < 0.2
    assert abs(shift[1]) < 0.2


def calibrated(calibration: Calibration, logits: np.ndarray) -> np.ndarray:
    scaled = (torch.from_numpy(logits) * calibration.scale + calibration.shift).T
    return torch.sigmoid(scaled if calibration.curve is None else bend(scaled, calibration.curve)).T.numpy()


@pytest.mark.parametrize("kind", ["platt", "temperature", "isotonic", "none"])
def test_no_rows_change_nothing(kind):
    found = fit(kind, np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), classes=False)
    logits = np.linspace(-20, 20, 60, dtype=np.float32).reshape(20, 3)
    assert (found.curve is not None) == (kind == "isotonic")
    np.testing.assert_allclose(calibrated(found, logits), expit(logits), rtol=1e-5)


def test_a_known_temperature_is_found():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20_000, 5)).astype(np.float32)
    chance = np.exp(0.4 * logits) / np.exp(0.4 * logits).sum(axis=1, keepdims=True)
    drawn = (rng.random((20_000, 1)) > chance.cumsum(axis=1)).sum(axis=1).clip(max=4)
    found = fit("temperature", logits, np.eye(5, dtype=np.uint8)[drawn], classes=True)
    assert np.allclose(found.scale, 0.4, atol=0.02) and (found.shift == 0).all()
    found = fit("temperature", *draw(20_000, 0.6, 0.0), classes=False)
    assert np.allclose(found.scale, 0.6, atol=0.03) and found.shift.abs().max() < 1e-6


def saturating(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, labels and true probabilities: of two common species at most .3, of two rare ones as the logits say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal([0, 0, -4, -4], 2, (count, 4)).astype(np.float32)
    truth = expit(logits)
    truth[:, :2] = 0.3 * truth[:, :2]
    return logits, (rng.random(truth.shape) < truth).astype(np.uint8), truth


def test_isotonic_mends_what_platt_cannot():
    logits, labels, _ = saturating(30_000, 0)
    unseen, seen_there, truth = saturating(30_000, 1)
    error = {}
    for kind in ("platt", "isotonic"):
        p = calibrated(fit(kind, logits, labels, classes=False), unseen)
        error[kind] = np.abs(p - truth).mean(axis=0)
        np.testing.assert_allclose(auc(seen_there, p), auc(seen_there, unseen), atol=1e-6)  # the order is kept
    assert error["platt"][:2].min() > 0.02 and error["isotonic"][:2].max() < 0.007
    assert (error["isotonic"] < error["platt"]).all() and error["isotonic"].max() < 0.01  # rare ones have their own


def test_a_curve_rises_strictly_and_stays_near_its_argument_where_nothing_is_known():
    logits, labels, _ = saturating(3000, 0)
    curve = fit("isotonic", logits, labels, classes=False).curve.numpy()
    assert (np.diff(curve, axis=1) > 0).all()
    np.testing.assert_allclose(np.diff(curve)[:, -4:], KNOTS[1] - KNOTS[0], rtol=1e-4)  # beyond all logits
    nothing = fit("isotonic", logits[:50], np.zeros_like(labels[:50]), classes=False).curve.numpy()
    assert np.isfinite(nothing).all() and (np.diff(nothing) > 0).all() and np.abs(nothing - KNOTS).max() < 0.5


def test_the_mean_of_rising_curves_rises():
    each = [fit("isotonic", *saturating(2000, seed)[:2], classes=False) for seed in (0, 1)]
    mean = mean_of(each)
    assert (mean.curve.diff(dim=1) > 0).all()
    assert torch.allclose(mean.shift, (each[0].shift + each[1].shift) / 2)
    assert mean_of([Calibration(mean.scale, mean.shift)] * 2).curve is None


PREVALENCE = np.geomspace(0.001, 0.2, 60)


def balanced_logits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of 8,000 rows and 60 species, as of a fit in which presences weigh as much as absences; and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (8000, 60))
    level = [
        brentq(lambda b, x=x, p=p: expit(x + b).mean() - p, -20, 20) for x, p in zip(logits.T, PREVALENCE, strict=True)
    ]
    truth = logits + level
    return (truth - logit(PREVALENCE)).astype(np.float32), (rng.random(truth.shape) < expit(truth)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["platt", "isotonic", "temperature"])
def test_rare_species_of_balanced_fits_come_out_as_often_as_they_are(kind):
    logits, labels = balanced_logits(0)
    offset = prevalence_offset(labels.sum(axis=0), np.full(60, len(labels)))
    p = calibrated(fit(kind, logits, labels, classes=False, offset=offset), balanced_logits(1)[0]).mean(axis=0)
    assert 0.0008 <= p[0] <= 0.0011  # .0229 without the offset
    assert abs(p[-1] - 0.2) < 0.01  # .137 without
    rare = PREVALENCE < 0.005
    assert abs(p[rare].sum() / PREVALENCE[rare].sum() - 1) < 0.15


@pytest.mark.parametrize("kind", ["platt", "isotonic", "temperature"])
@pytest.mark.parametrize("label", [0, 1])
def test_presences_or_absences_alone_tell_nothing_of_the_level(kind, label):
    """Records of one species: the likeliest probability would be 1, or 0, everywhere."""
    logits = np.random.default_rng(0).normal(size=(200, 1)).astype(np.float32)
    found = fit(kind, logits, np.full((200, 1), label, np.uint8), classes=False)
    assert (found.scale.item(), found.shift.item()) == (1, 0)


def test_without_rows_a_balanced_fit_has_its_prevalence_all_the_same():
    nothing = np.empty((0, 2), np.float32), np.empty((0, 2), np.uint8)
    offset = prevalence_offset(np.array([9, 0]), np.array([999, 999]))
    found = fit("platt", *nothing, classes=False, offset=offset)
    np.testing.assert_allclose(torch.sigmoid(found.shift), [0.0095, 0.0005], rtol=1e-4)
    assert fit("none", *nothing, classes=False, offset=offset).shift.abs().max() == 0
