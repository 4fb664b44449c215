"""Baselines fit a simulated signal with missing covariates, and are reproducible."""

import numpy as np
import pytest
import torch

from sdm_ray.baselines.base import build_baseline, feature_matrix, tuned
from sdm_ray.baselines.config import BoostingConfig, ForestConfig, LogisticConfig, MaxentConfig
from sdm_ray.baselines.logistic_regression import heads
from sdm_ray.errors import InputError
from sdm_ray.metrics.ranking import auc
from sdm_ray.models.geoclip import Capsules
from sdm_ray.models.species_losses import UNKNOWN

BASELINES = [
    ForestConfig(trees=30, min_samples_leaf=3),
    ForestConfig(trees=30, min_samples_leaf=3, extra=True),
    BoostingConfig(max_rounds=60, learning_rate=0.1, min_child_samples=10),
]


@pytest.fixture(scope="module")
def planted():
    """A niche on the first covariate, one on the product of two, one never present, one always."""
    numbers = np.random.default_rng(0)
    c = numbers.normal(size=(1500, 3))
    p = np.column_stack([1 / (1 + np.exp(-3 * c[:, 0])), 1 / (1 + np.exp(-4 * c[:, 1] * c[:, 2]))])
    labels = np.column_stack([numbers.random((1500, 2)) < p, np.zeros(1500), np.ones(1500)]).astype(np.uint8)
    c[::17, 1] = np.nan
    lon, lat = numbers.uniform(0, 10, 1500), numbers.uniform(40, 50, 1500)
    x = feature_matrix("both", lon, lat, c)
    rows = np.arange(1500)
    return x, labels, rows[:900], rows[900:1100], rows[1100:]


@pytest.mark.parametrize("config", BASELINES, ids=lambda config: config.kind)
def test_learns_the_planted_signal(config, planted):
    x, labels, train, validation, test = planted
    baseline = build_baseline(config, seed=1, threads=2)
    baseline.fit(x, labels, train, validation)
    found = baseline.predict(x[test])
    assert found.dtype == np.float32 and found.shape == (400, 4)
    assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1
    assert (auc(labels[test], found)[:2] > 0.7).all()
    np.testing.assert_allclose(found[:, 2:], [[0, 1]] * 400)
    again = build_baseline(config, seed=1, threads=2)
    again.fit(x, labels, train, validation)
    np.testing.assert_array_equal(again.predict(x[test]), found)


def test_a_forest_takes_a_covariate_that_no_training_row_knows(planted):
    x, labels, train, validation, test = planted
    wider = np.column_stack([x, np.where(np.isin(np.arange(len(x)), train), np.nan, 1.0)]).astype(np.float32)
    forest = build_baseline(ForestConfig(trees=10), 0, 1)
    forest.fit(wider, labels, train, validation)
    assert auc(labels[test], forest.predict(wider[test]))[0] > 0.7


def test_logistic_regression_learns_what_is_linear(planted):
    x, labels, train, validation, test = planted
    alone = build_baseline(LogisticConfig(features="covariates"), 0, 1)
    alone.fit(x[:, 2:], labels, train, validation)
    area = auc(labels[test], alone.predict(x[test, 2:]))
    assert area[0] > 0.85 and abs(area[1] - 0.5) < 0.1  # the second species follows a product
    both = build_baseline(LogisticConfig(ridge=(1e-3,)), 0, 1)
    both.fit(x, labels, train, validation)
    found = both.predict(x[test])
    assert auc(labels[test], found)[0] > 0.8 and (found[:, 2] < 0.1).all() and (found[:, 3] > 0.9).all()


def test_logistic_regression_has_published_features_beside_the_ladder(planted, geoclip):
    x = planted[0][:, :2]
    feature = Capsules(str(geoclip))(torch.from_numpy(x).double())[:, 0].detach().numpy()
    labels = (feature > np.median(feature)).astype(np.uint8)[:, None]
    areas = []
    for weights in (None, str(geoclip)):
        config = LogisticConfig(features="coordinates", geoclip=weights, ridge=(1e-3,))
        baseline = build_baseline(config, 0, 1)
        baseline.fit(x, labels, *planted[2:4])
        areas.append(auc(labels[planted[4]], baseline.predict(x[planted[4]]))[0])
    assert areas[0] < 0.85 and areas[1] > 0.93
    assert build_baseline(config, 0, 1).name == "logistic regression, coordinates, GeoCLIP"


@pytest.mark.parametrize("config", [*BASELINES, LogisticConfig(), MaxentConfig()], ids=lambda config: config.kind)
def test_learns_from_a_few_known_labels(config, planted):
    x, labels, train, validation, test = planted
    known = np.full_like(labels, UNKNOWN)
    known[train[:300]] = np.where(labels[train[:300]] == 0, 0, UNKNOWN)  # absences of some surveys
    for species in range(4):
        present = train[labels[train, species] == 1][:40]
        known[present, species] = 1
    baseline = build_baseline(config, seed=1, threads=1)
    baseline.fit(x, known, train, validation[:0])
    found = baseline.predict(x[test])
    assert found.shape == (400, 4) and auc(labels[test], found)[0] > 0.75
    assert np.isfinite(found).all()


def test_maxent_learns_presences_against_a_background(planted):
    x, labels, train, validation, test = planted
    baseline = build_baseline(MaxentConfig(features="covariates", background=300), seed=1, threads=1)
    baseline.fit(x[:, 2:], labels, train, validation)
    found = baseline.predict(x[test, 2:])
    assert (auc(labels[test], found)[:2] > 0.75).all() and (found[:, 2] == 0).all()


def test_boosting_stops_on_the_select_rows(planted):
    x, labels, train, validation, test = planted
    noise = np.random.default_rng(5).integers(0, 2, labels.shape).astype(np.uint8)
    config = BoostingConfig(max_rounds=300, learning_rate=0.3, patience=5, min_child_samples=5)
    stopped, never = build_baseline(config, 0, 1), build_baseline(config, 0, 1)
    stopped.fit(x, noise, train, validation)
    never.fit(x, noise, train, validation[:0])
    # nothing can be learned: what stops stays near one half, what does not stop learns the noise by heart
    assert stopped.predict(x[test]).std() < 0.1 < 0.3 < never.predict(x[test]).std()


def test_tuning_takes_the_best_of_the_grid(planted):
    x, labels, train, validation, _ = planted

    def score(config):
        baseline = build_baseline(config, 0, 2)
        baseline.fit(x, labels, train, validation)
        return np.nanmean(auc(labels[validation], baseline.predict(x[validation])))

    start = ForestConfig(trees=5, min_samples_leaf=400)
    best = tuned(start, x, labels, train, validation, seed=0, threads=2)
    assert best.trees == 5 and best.min_samples_leaf < 400
    assert score(best) > score(start)


def test_features():
    lon, lat, c = np.array([1.0, 2]), np.array([3.0, 4]), np.array([[5.0], [6]])
    assert feature_matrix("both", lon, lat, c).tolist() == [[1, 3, 5], [2, 4, 6]]
    assert feature_matrix("coordinates", lon, lat).tolist() == [[1, 3], [2, 4]]
    with pytest.raises(InputError, match="covariates"):
        feature_matrix("covariates", lon, lat)


def test_heads_need_no_scaled_features_and_leave_out_what_nobody_knows():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(200, 3)).astype(np.float32))
    labels = (x[:, :1] > 0.5).to(torch.uint8).repeat(1, 2)
    labels[100:, 1] = UNKNOWN
    matrix, bias = heads(x, labels)
    scaled, moved = torch.tensor([0.1, 7.0, 30.0]), torch.tensor([5.0, -2.0, 0.0])
    other = heads(x * scaled + moved, labels)
    logits = x @ matrix.T + bias
    assert torch.allclose((x * scaled + moved) @ other[0].T + other[1], logits, atol=2e-3)
    assert ((logits[:, 0] > 0) == (labels[:, 0] == 1)).float().mean() > 0.9
    labels[100:, 1] = torch.from_numpy(rng.integers(0, 2, 100).astype(np.uint8))
    assert not torch.allclose(heads(x, labels)[0][1], matrix[1], atol=1e-2)


def test_few_presences_take_a_strong_penalty():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(300, 20)).astype(np.float32))
    labels = (x[:, :2] + torch.from_numpy(rng.normal(size=(300, 2)).astype(np.float32)) * 0.2 > 1).to(torch.uint8)
    one = torch.where(labels == 1, torch.tensor(UNKNOWN, dtype=torch.uint8), labels)
    one[labels.argmax(0), [0, 1]] = 1
    ridges = (1e-3, 1.0)
    assert torch.equal(heads(x, one, ridges)[0], heads(x, one, (1.0,))[0])  # each lies on one side, and tells nothing
    assert torch.equal(heads(x, labels, ridges)[0], heads(x, labels, (1e-3,))[0])
    drawn = torch.from_numpy(rng.integers(0, 2, (60, 4)).astype(np.uint8))  # a weak penalty learns what is not there
    assert torch.equal(heads(x[:60], drawn, ridges)[0], heads(x[:60], drawn, (1.0,))[0])
