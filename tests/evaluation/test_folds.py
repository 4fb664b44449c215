"""Folds by country, and baselines that predict only what they have not seen."""

import numpy as np
import pytest
from upath import UPath

from sdm_ray.baselines.config import BoostingConfig, ForestConfig
from sdm_ray.errors import InputError
from sdm_ray.evaluation.folds import Fold, cross_fit, folds_of, held_out_by
from sdm_ray.geo.blocks import Blocks, block_id, fold
from sdm_ray.geo.grid import Grid
from sdm_ray.metrics.ranking import auc
from sdm_ray.stores.holdout import HoldOut
from sdm_ray.stores.land import write_land


def test_block_folds_are_those_of_geo():
    numbers = np.random.default_rng(0)
    x, y = numbers.uniform(3e6, 5e6, 4000), numbers.uniform(2e6, 4e6, 4000)
    blocks = Blocks(folds=4)
    folds = folds_of(x, y, HoldOut(blocks))
    assert sorted(np.concatenate([each.test for each in folds]).tolist()) == list(range(4000))
    for number, each in enumerate(folds):
        assert (fold(x[each.test], y[each.test], blocks) == number).all()
        used = [set(block_id(x[rows], y[rows], blocks)) for rows in (each.train, each.validation, each.test)]
        assert not (used[0] & used[1] or used[0] & used[2] or used[1] & used[2])
        assert len(each.train) and len(each.validation)


def test_country_folds_leave_out_folds_without_a_country(tmp_path):
    grid = Grid(3e6, 4e6, 50_000.0, 40, 40)
    country = np.repeat(np.arange(1, 4, dtype=np.int16), [10, 10, 20])[None].repeat(40, 0)
    write_land(UPath(tmp_path) / "land.zarr", grid, np.ones(grid.shape, bool), country, ["AT", "BE", "CZ"])
    numbers = np.random.default_rng(0)
    x, y = numbers.uniform(3e6, 5e6, 1200), numbers.uniform(2e6, 4e6, 1200)
    folds = folds_of(x, y, HoldOut(Blocks(folds=20), str(tmp_path / "land.zarr")))
    assert 2 <= len(folds) <= 3
    assert sorted(np.concatenate([each.test for each in folds]).tolist()) == list(range(1200))


def test_settings_of_a_fold_are_chosen_on_its_own_validation_rows(monkeypatch):
    """Those of another fold may be what this fold tests."""
    seen = []

    def remembered(config, x, labels, train, validation, **rest):
        seen.append((set(train.tolist()), set(validation.tolist())))
        return config.model_copy(update={"max_features": 0.1 * len(seen)})

    monkeypatch.setattr("sdm_ray.evaluation.folds.tuned", remembered)
    rng = np.random.default_rng(0)
    x, labels, part = rng.random((300, 2)), rng.integers(0, 2, (300, 2)).astype(np.uint8), np.arange(300) % 3
    folds = [Fold(f"fold {k}", *(np.flatnonzero(part == (k + step) % 3) for step in (2, 1, 0))) for k in range(3)]
    _, settings = cross_fit([ForestConfig(trees=2, tune=True)], {"both": x}, labels, folds, seed=0, threads=1)
    assert [each["max_features"] for each in settings["random forest, both"]] == [0.1, 0.2, 0.1 * 3]
    for each, (train, validation) in zip(folds, seen, strict=True):
        assert not (train | validation) & set(each.test.tolist())


def test_how_far_training_surveys_are_from_test_surveys():
    x, y, none = np.array([0.0, 3_000.0, 10_000.0, 14_000.0]), np.zeros(4), np.array([], int)
    folds = [Fold("0", np.array([2, 3]), none, np.array([0, 1])), Fold("1", np.array([0]), none, np.array([2, 3]))]
    found = held_out_by(Blocks(size_m=8_000, buffer_m=1_000), x, y, folds)
    assert found["nearest_training_km"] == pytest.approx(np.median([10, 7, 10, 14]))
    assert (found["block_km"], found["folds"], found["buffer_km"]) == (8, 2, 1)


def test_cross_fit_never_saw_what_it_predicts():
    numbers = np.random.default_rng(0)
    block = np.repeat(np.arange(30), 20)
    place = block[:, None] + numbers.random((600, 1))
    # labels are constant within a block and random between them: only a model trained on the block could predict them
    labels = numbers.integers(0, 2, (30, 4))[block].astype(np.uint8)
    folds = [
        Fold(f"fold {k}", np.flatnonzero(block % 3 != k), np.zeros(0, int), np.flatnonzero(block % 3 == k))
        for k in range(3)
    ]
    baselines = [ForestConfig(trees=10, min_samples_leaf=1), BoostingConfig(max_rounds=30, min_child_samples=5)]
    found, settings = cross_fit(baselines, {"both": place}, labels, folds, seed=0, threads=1)
    assert list(found) == list(settings) == ["random forest, both", "gradient boosting, both"]
    for each in found.values():
        assert np.isfinite(each).all() and auc(labels, each).mean() < 0.75
    leaking = [Fold("leak", np.arange(600), np.zeros(0, int), np.arange(600))]
    known, _ = cross_fit(baselines, {"both": place}, labels, leaking, seed=0, threads=1)
    assert all(auc(labels, each).mean() > 0.95 for each in known.values())


def test_folds_that_cannot_teach_or_test():
    labels = np.array([[1, 0], [0, 1], [1, 1], [1, 1]], np.uint8)
    none = np.zeros(0, int)
    with pytest.raises(InputError, match="fold 2: no test surveys"):
        Fold("fold 2", np.arange(4), none, none).check(labels)
    with pytest.raises(InputError, match="fold 3: its 2 test surveys hold a single class"):
        Fold("fold 3", np.array([0, 1]), none, np.array([2, 3])).check(labels)
