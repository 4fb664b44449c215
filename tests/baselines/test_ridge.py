"""Ridge logistic regressions, compared with scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sdm_ray.baselines import ridge as ridge_module
from sdm_ray.baselines.ridge import Regressions, best
from sdm_ray.models.species_losses import UNKNOWN


@pytest.fixture
def rows():
    """One species that follows a feature, one that follows none; the features resemble each other."""
    numbers = np.random.default_rng(0)
    x = numbers.normal(size=(120, 40)) @ numbers.normal(size=(40, 40))
    x = (x - x.mean(0)) / x.std(0)
    p = np.column_stack([1 / (1 + np.exp(-4 * x[:, 0])), np.full(120, 0.5)])
    y = numbers.random((120, 2)) < p
    return tuple(torch.from_numpy(values.astype(np.float32)) for values in (x, y, np.full((120, 2), 1 / 120)))


def test_as_scikit_learn_has_it_at_any_penalty_in_any_order(rows):
    x, y, weight = rows
    fits = Regressions(x, y, weight)
    for ridge in (1.0, 1e-3, 0.03):
        matrix, bias = fits.fit(torch.tensor([ridge, 10.0]))
        other = LogisticRegression(C=1 / (2 * ridge * len(x)), tol=1e-8, max_iter=5000).fit(x, y[:, 0])
        np.testing.assert_allclose(matrix[:, 0], other.coef_[0], atol=2e-3 * np.abs(other.coef_).max())
        np.testing.assert_allclose(bias[0], other.intercept_[0], atol=2e-3)


def test_the_unpredictable_gets_a_stronger_penalty(rows):
    chosen = ridge_module._chosen(*rows, (100.0, 10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4), torch.arange(120) % 5)
    assert 1e-4 < chosen[0] < chosen[1] < 100


def test_species_that_do_not_fit_in_memory_together_are_fitted_one_after_the_other(rows, monkeypatch):
    x, y, _ = rows
    labels = y.to(torch.uint8)
    labels[::5, 1] = UNKNOWN
    matrix, bias = best(x, labels, (0.01,))
    monkeypatch.setattr(ridge_module, "_NUMBERS_AT_ONCE", 1)
    for one, other in zip(best(x, labels, (0.01,)), (matrix, bias), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-2)
    known = labels[:, 1] != UNKNOWN
    alone, _ = best(x[known], labels[known, 1:], (0.01,))  # as if it were only where it is known
    torch.testing.assert_close(matrix[:, 1:], alone, atol=1e-3, rtol=1e-2)


def test_a_species_seen_once_gets_the_strongest(rows):
    x, y, weight = rows
    once = torch.zeros_like(y)
    once[7] = 1
    assert ridge_module._chosen(x, once, weight, (3.0, 0.1), torch.arange(120) % 5).tolist() == [3, 3]


def test_one_row_is_enough(rows):
    x, y, _ = rows
    matrix, bias = best(x[:1], y[:1].to(torch.uint8), (0.1, 1.0))
    assert torch.isfinite(matrix).all() and torch.isfinite(bias).all()


def test_no_group_is_on_both_sides_of_a_choice():
    groups = torch.from_numpy(np.random.default_rng(0).integers(0, 23, 500)) << 32
    part_of = ridge_module._parts(groups)
    assert all(len(part_of[groups == each].unique()) == 1 for each in groups.unique())
    assert part_of.bincount(minlength=5).min() > 60  # parts are alike in size
    assert ridge_module._parts(torch.arange(12)).tolist() == [0, 1, 2, 3, 4] * 2 + [0, 1]


def test_what_only_neighbours_share_gets_a_stronger_penalty_by_blocks():
    """Features that tell blocks apart, and a species that follows the block: of other blocks they say nothing."""
    numbers = np.random.default_rng(0)
    block = np.repeat(np.arange(30), 20)
    x = numbers.normal(size=(30, 40))[block] + 0.1 * numbers.normal(size=(600, 40))
    y = (numbers.random(30) < 0.5)[block]
    x, labels = torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y[:, None].astype(np.uint8))
    weight = torch.full((600, 1), 1 / 600)
    rows, blocks = (ridge_module._parts(each) for each in (torch.arange(600), torch.from_numpy(block)))
    ridges = (100.0, 10.0, 1.0, 0.1, 0.01, 1e-3)
    chosen = [ridge_module._chosen(x, labels.float(), weight, ridges, each).item() for each in (rows, blocks)]
    assert chosen[0] == pytest.approx(1e-3) and chosen[1] >= 1
    assert torch.equal(best(x, labels, ridges, torch.from_numpy(block))[0], best(x, labels, (chosen[1],))[0])
