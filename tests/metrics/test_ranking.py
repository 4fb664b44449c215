"""Scores against scikit-learn, with ties and weights."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from sdm_ray.metrics import ranking


@st.composite
def tables(draw):
    rows = draw(st.integers(2, 40))
    numbers = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = (numbers.random((rows, 3)) < draw(st.floats(0.1, 0.9))).astype(np.uint8)
    scores = numbers.integers(0, draw(st.sampled_from([1, 3, 1000])) + 1, (rows, 3)).astype(np.float32)
    weights = numbers.integers(0, 4, rows)
    return labels, scores, weights


@settings(max_examples=60, deadline=None)
@given(tables())
def test_equals_scikit_learn(table):
    labels, scores, weights = table
    for w in (None, weights):
        seen = np.ones(len(labels)) if w is None else w
        area = ranking.auc(labels, scores, w)
        precision = ranking.average_precision(labels, scores, w)
        for s in range(3):
            if not seen[labels[:, s] == 1].sum() or not seen[labels[:, s] == 0].sum():
                assert np.isnan(area[s]) and np.isnan(precision[s])
                continue
            assert area[s] == pytest.approx(roc_auc_score(labels[:, s], scores[:, s], sample_weight=w))
            expected = average_precision_score(labels[:, s], scores[:, s], sample_weight=w)
            assert precision[s] == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(tables(), st.integers(1, 6))
def test_weighting_blocks_is_repeating_their_rows(table, number):
    labels, scores, _ = table
    numbers = np.random.default_rng(number)
    block = numbers.integers(0, number, len(labels))
    weights = numbers.integers(0, 3, (number, 4))
    area, precision = ranking.block_scores(labels, scores, block, weights)
    for r in range(4):
        rows = np.repeat(np.arange(len(labels)), weights[block, r])
        assume(len(rows))
        np.testing.assert_allclose(area[:, r], ranking.auc(labels[rows], scores[rows]))
        np.testing.assert_allclose(precision[:, r], ranking.average_precision(labels[rows], scores[rows]))


def test_levels_in_parts_change_nothing(monkeypatch):
    numbers = np.random.default_rng(1)
    labels, scores = numbers.random((500, 2)) < 0.3, numbers.random((500, 2)).round(2)
    block, weights = numbers.integers(0, 7, 500), numbers.integers(0, 3, (7, 3))
    whole = ranking.block_scores(labels, scores, block, weights)
    monkeypatch.setattr(ranking, "_LEVELS_AT_ONCE", 5)
    np.testing.assert_allclose(ranking.block_scores(labels, scores, block, weights), whole)


def test_macro_says_what_it_left_out():
    found = ranking.macro(np.array([0.5, 0.9, np.nan, 0.1]), np.array([20, 30, 40, 2]), min_positives=10)
    assert (found.value, found.counted, found.left_out) == (pytest.approx(0.7), 2, 2)
    assert np.isnan(ranking.macro(np.array([np.nan]), np.array([0])).value)


def test_spearman():
    truth = np.array([[1.0, 2, 3, 4], [1, 2, 3, 4], [1, 1, 1, 1], [1, 2, 3, np.nan]])
    predicted = np.array([[0.1, 0.2, 0.3, 9], [4.0, 3, 2, 1], [1, 2, 3, 4], [3, 2, 1, 0]])
    np.testing.assert_allclose(ranking.spearman(predicted, truth), [1, -1, np.nan, -1])
