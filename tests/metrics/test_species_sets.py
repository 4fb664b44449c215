"""Sets of species against every set there is, and their scores against scikit-learn."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from sdm_ray.metrics import species_sets


def expectation(p, chosen):
    """Expected F1 of a set over all outcomes of independent species."""
    total = 0.0
    for outcome in product((0, 1), repeat=len(p)):
        there = np.array(outcome)
        chance = np.prod(np.where(there, p, 1 - p))
        either = there.sum() + chosen.sum()
        total += chance * (2 * (there & chosen).sum() / either if either else 1)
    return total


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_no_set_is_expected_to_do_better(p):
    p = np.array(p)
    found = species_sets.max_expected_f1(p[None])[0].astype(int)
    others = (np.array(each) for each in product((0, 1), repeat=len(p)))
    assert expectation(p, found) == pytest.approx(max(expectation(p, each) for each in others))


def test_expected_f1_of_every_size():
    p = np.array([0.9, 0.5, 0.2])
    expected = [expectation(p, np.array(chosen)) for chosen in ([0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1])]
    np.testing.assert_allclose(species_sets.expected_f1(p[None])[0], expected)


def test_in_parts_and_without_the_unlikeliest_it_is_the_same(monkeypatch):
    p = np.random.default_rng(0).random((50, 30)) ** 8
    whole = species_sets.max_expected_f1(p)
    monkeypatch.setattr(species_sets, "_CELLS", 5000)
    assert (species_sets.max_expected_f1(p) == whole).all()
    assert (species_sets.max_expected_f1(p, most=20) == whole).mean() > 0.99


def test_sizes():
    p = np.array([[0.9, 0.8, 0.6, 0.1], [0.1, 0.0, 0.0, 0.2]])
    assert species_sets.expected_size(p).sum(axis=1).tolist() == [2, 1]
    assert species_sets.expected_size(p)[1].tolist() == [False, False, False, True]
    assert species_sets.top_k(p, 3).tolist() == [[True, True, True, False], [True, True, False, True]]


def test_scores_are_those_of_scikit_learn():
    numbers = np.random.default_rng(0)
    p = numbers.random((300, 7))
    labels, chosen = (numbers.random((300, 7)) < p * 0.5).astype(np.uint8), p > 0.4
    expected = f1_score(labels, chosen, average="samples", zero_division=1)
    assert species_sets.survey_f1(labels, chosen).mean() == pytest.approx(expected)
    counted = np.arange(7) < 5
    micro, macro = species_sets.pooled_f1(labels, chosen, counted)
    assert macro == pytest.approx(np.mean([f1_score(labels[:, s], chosen[:, s]) for s in range(5)]))
    assert micro == pytest.approx(f1_score(labels[:, :5].ravel(), chosen[:, :5].ravel()))
    best = species_sets.best_threshold(labels, p)
    means = [species_sets.survey_f1(labels, p >= t).mean() for t in np.arange(0.02, 1, 0.02)]
    assert species_sets.survey_f1(labels, p >= best).mean() == pytest.approx(max(means))


def test_recall_counts_only_surveys_with_species():
    labels = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1]])
    p = np.array([[0.9, 0.1, 0.5], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(species_sets.survey_recall(labels, p, 1), [0.5, np.nan, 1.0])
