import numpy as np
import pytest
from helpers.planted_errors import SPECIES, planted, surveys

from sdm_ray.indicators.joint_fit import FitSettings, HeldOut, fit_error_model

SETTINGS = FitSettings((20_000.0,), factors=1, pairs=20_000)


def test_planted_correlations_are_found_again():
    model = planted()
    found = fit_error_model(surveys(model, count=6000), SPECIES, SETTINGS)
    for distance in (5_000, 20_000, 60_000):
        expected, fitted = model.correlation(distance), found.correlation(distance)
        assert np.diag(fitted).mean() == pytest.approx(np.diag(expected).mean(), abs=0.08)
        assert fitted[~np.eye(6, dtype=bool)].mean() == pytest.approx(expected[0, 1], abs=0.08)
    together = found.correlation(0)[~np.eye(6, dtype=bool)].mean()
    assert together == pytest.approx(model.correlation(0)[0, 1], abs=0.06)


def test_right_predictions_have_no_errors_that_go_together():
    model = planted(loading=0, own=0, site=0)
    found = fit_error_model(surveys(model, count=3000), SPECIES, SETTINGS)
    assert found.spatial_variance.max() < 0.08
    assert np.abs(found.correlation(10_000)).mean() < 0.02


def test_variances_leave_room_for_chance():
    model = planted(loading=0.85, own=0.2, site=0.1)
    found = fit_error_model(surveys(model, count=2000), SPECIES, SETTINGS)
    assert (found.spatial_variance + found.site_variance).max() <= 0.9001


def test_the_rarest_of_very_many_species_have_mean_errors(monkeypatch):
    monkeypatch.setattr("sdm_ray.indicators.joint_fit._MOST_SPECIES", 4)
    monkeypatch.setattr("sdm_ray.indicators.joint_fit._RAREST", 2)
    data = surveys(planted(), count=1500)
    labels = data.labels.copy()
    labels[:, 2] &= (np.arange(1500) % 9 == 0).astype(np.uint8)
    labels[:, 4] &= (np.arange(1500) % 7 == 0).astype(np.uint8)
    found = fit_error_model(HeldOut(data.x, data.y, data.probability, labels), SPECIES, SETTINGS)
    rarest = np.argsort(-labels.sum(axis=0), kind="stable")[2:4]
    assert set(rarest).isdisjoint({2, 4})
    for species in (2, 4):
        assert found.loadings[:, species] == pytest.approx(found.loadings[:, rarest].mean(axis=1), abs=1e-6)
        assert found.own[:, species] == pytest.approx(found.own[:, rarest].mean(axis=1), abs=1e-6)
