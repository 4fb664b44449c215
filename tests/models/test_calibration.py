"""Calibration of species by their own data and by all species' data."""

import numpy as np

from sdm_ray.models.calibration import fit_platt, fit_temperature


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


def test_no_rows_change_nothing():
    scale, shift = fit_platt(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8))
    assert scale.tolist() == [1, 1, 1]
    assert shift.tolist() == [0, 0, 0]


def test_a_known_temperature_is_found():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20_000, 5)).astype(np.float32)
    chance = np.exp(0.4 * logits) / np.exp(0.4 * logits).sum(axis=1, keepdims=True)
    drawn = (rng.random((20_000, 1)) > chance.cumsum(axis=1)).sum(axis=1).clip(max=4)
    scale, shift = fit_temperature(logits, np.eye(5, dtype=np.uint8)[drawn])
    assert np.allclose(scale, 0.4, atol=0.02) and (shift == 0).all()
    assert (fit_temperature(logits[:0], np.empty((0, 5), np.uint8))[0] == 1).all()
