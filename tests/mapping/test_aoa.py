"""The dissimilarity index by its definition, written out in plain loops, and its threshold."""

import numpy as np
import pytest

from sdm_ray.mapping.aoa import Reference, fit, mean_distance, upper_whisker


@pytest.fixture(scope="module")
def reference():
    numbers = np.random.default_rng(0)
    values = numbers.normal(size=(60, 3)) * [1, 10, 0.1] + [5, 0, 2]
    return Reference(values, np.repeat([0, 1, 2], 20), np.array([1.0, 0.5, 0.0]))


def by_definition(reference, values):
    """Meyer and Pebesma 2021, equations 1 to 3."""
    scale = reference.weights / reference.weights.max() / reference.values.std(axis=0)
    known, asked = reference.values * scale, values * scale
    between = [np.linalg.norm(a - b) for i, a in enumerate(known) for j, b in enumerate(known) if i != j]
    mean = np.mean(between)
    return [min(np.linalg.norm(each - other) for other in known) / mean for each in asked], known, mean


def test_cells_are_compared_with_the_nearest_survey(reference):
    values = np.random.default_rng(1).normal(size=(40, 3)) * [2, 20, 100]
    expected, _, _ = by_definition(reference, values)
    found = fit(reference, 1000, 0)
    np.testing.assert_allclose(found.of(values), expected, rtol=1e-5)
    assert found.exact and found.used.tolist() == [True, True, False]
    assert found.of(reference.values).max() == pytest.approx(0, abs=1e-6)


def test_the_threshold_is_the_whisker_of_distances_to_other_folds(reference):
    _, known, mean = by_definition(reference, reference.values)
    nearest = [
        min(np.linalg.norm(a - b) for b, fold in zip(known, reference.folds, strict=True) if fold != own)
        for a, own in zip(known, reference.folds, strict=True)
    ]
    assert fit(reference, 1000, 0).threshold == pytest.approx(upper_whisker(np.array(nearest) / mean))


def test_blocked_folds_widen_the_area():
    """Surveys that differ between folds: the model was tested far from its training surveys, and holds as far away."""
    numbers = np.random.default_rng(2)
    values = np.concatenate([numbers.normal(size=(50, 2)) + 3 * number for number in range(4)])
    blocked = Reference(values, np.repeat(range(4), 50), np.ones(2))
    mixed = Reference(values, np.tile(range(4), 50), np.ones(2))
    assert fit(blocked, 1000, 0).threshold > 2 * fit(mixed, 1000, 0).threshold


def test_the_whisker_leaves_out_what_a_box_plot_draws_as_a_point():
    assert upper_whisker(np.array([1.0, 2, 3, 4, 5, 100])) == 5
    assert upper_whisker(np.array([1.0, 2, 3, 4])) == 4


def test_the_mean_distance_counts_each_pair_of_different_surveys():
    assert mean_distance(np.array([[0.0], [1], [3]])) == pytest.approx(2)


def test_an_unknown_covariate_makes_the_index_unknown_where_it_counts(reference):
    values = reference.values[:3].copy()
    values[0, 0], values[1, 2] = np.nan, np.nan
    found = fit(reference, 1000, 0).of(values)
    assert np.isnan(found).tolist() == [True, False, False]


def test_of_many_surveys_a_random_part_is_searched_and_told(reference):
    found = fit(reference, 25, 0)
    assert not found.exact and len(found.points) == 25
    values = np.random.default_rng(1).normal(size=(40, 3))
    ratio = found.of(values) / fit(reference, 1000, 0).of(values)
    assert ratio.min() >= 1 - 1e-6 and ratio.max() > 1
    assert np.array_equal(found.points, fit(reference, 25, 0).points)


def test_surveys_of_one_cell_of_the_covariates_are_searched_once(reference):
    doubled = Reference(np.tile(reference.values, (3, 1)), np.tile(reference.folds, 3), reference.weights)
    found = fit(doubled, 1000, 0)
    assert len(found.points) == 60 and found.exact


def test_a_tree_and_all_distances_agree():
    """More than 15 covariates are searched without a tree."""
    numbers = np.random.default_rng(3)
    values = numbers.normal(size=(80, 20))
    wide = Reference(values, np.tile([0, 1], 40), np.ones(20))
    asked = numbers.normal(size=(10, 20))
    expected, _, _ = by_definition(wide, asked)
    np.testing.assert_allclose(fit(wide, 1000, 0).of(asked), expected, rtol=1e-5)


def test_without_a_covariate_that_differs_there_is_no_index():
    with pytest.raises(ValueError, match="no covariate with a weight differs"):
        fit(Reference(np.ones((5, 1)), np.zeros(5), np.ones(1)), 10, 0)
