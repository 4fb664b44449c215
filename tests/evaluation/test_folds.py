"""Folds by country, and rivals that predict only what they have not seen."""

import numpy as np
import pytest

from sdm_ray.errors import InputError
from sdm_ray.evaluation.config import BoostingConfig, ForestConfig
from sdm_ray.evaluation.folds import Fold, country_folds, country_groups, cross_fit
from sdm_ray.evaluation.metrics import auc


def test_countries_stay_whole_and_groups_even():
    country = np.repeat(["AT", "BE", "CZ", "DK", "EE"], [500, 300, 290, 200, 90])
    group = country_groups(country, 3)
    assert all(len(set(group[country == name])) == 1 for name in set(country))
    assert np.bincount(group).tolist() == [500, 390, 490]
    with pytest.raises(InputError, match="5 found, expected at least 6"):
        country_groups(country, 6)


def test_country_folds_choose_whole_blocks_elsewhere():
    country = np.repeat(["A", "B", "C"], 100)
    blocks = np.arange(300) // 10
    folds = country_folds(country, blocks, 3, 0.2, seed=0)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(300))
    for fold in folds:
        assert not set(country[fold.test]) & set(country[np.r_[fold.train, fold.select]])
        assert not set(blocks[fold.train]) & set(blocks[fold.select])
        assert len(fold.train) + len(fold.select) + len(fold.test) == 300


def test_cross_fit_never_saw_what_it_predicts():
    numbers = np.random.default_rng(0)
    block = np.repeat(np.arange(30), 20)
    place = block[:, None] + numbers.random((600, 1))
    # labels are constant within a block and random between them: only who saw the block could know
    labels = numbers.integers(0, 2, (30, 4))[block].astype(np.uint8)
    folds = [
        Fold(f"fold {k}", np.flatnonzero(block % 3 != k), np.zeros(0, int), np.flatnonzero(block % 3 == k))
        for k in range(3)
    ]
    rivals = [ForestConfig(trees=10, min_samples_leaf=1), BoostingConfig(max_rounds=30, min_child_samples=5)]
    found, settings = cross_fit(rivals, {"both": place}, labels, folds, seed=0, threads=1)
    assert list(found) == list(settings) == ["random forest, both", "gradient boosting, both"]
    for each in found.values():
        assert np.isfinite(each).all() and auc(labels, each).mean() < 0.75
    leaking = [Fold("leak", np.arange(600), np.zeros(0, int), np.arange(600))]
    known, _ = cross_fit(rivals, {"both": place}, labels, leaking, seed=0, threads=1)
    assert all(auc(labels, each).mean() > 0.95 for each in known.values())


def test_folds_that_cannot_teach_or_test():
    labels = np.array([[1, 0], [0, 1], [1, 1], [1, 1]], np.uint8)
    none = np.zeros(0, int)
    with pytest.raises(InputError, match="fold 2: no test surveys"):
        Fold("fold 2", np.arange(4), none, none).check(labels)
    with pytest.raises(InputError, match="fold 3: its 2 test surveys hold a single class"):
        Fold("fold 3", np.array([0, 1]), none, np.array([2, 3])).check(labels)
