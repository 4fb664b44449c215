"""Folds by country, and baselines that predict only what they have not seen."""

import numpy as np
import pytest
from upath import UPath

from sdm_ray.baselines.config import BoostingConfig, ForestConfig, LogisticConfig
from sdm_ray.errors import InputError
from sdm_ray.evaluation.folds import BaselineData, Fold, calibrated, cross_fit, folds_of, held_out_by
from sdm_ray.geo.blocks import Blocks, block_id, fold
from sdm_ray.geo.grid import Grid
from sdm_ray.metrics.calibration import brier, calibration_error
from sdm_ray.metrics.ranking import auc
from sdm_ray.stores.holdout import HoldOut
from sdm_ray.stores.land import write_land


def data_of(x, labels):
    return BaselineData({"both": x}, labels, np.arange(len(labels)))


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
    _, settings = cross_fit(
        [ForestConfig(trees=2, tune=True)],
        data_of(x, labels),
        folds,
        seed=0,
        threads=1,
    )
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
    found, settings = cross_fit(baselines, data_of(place, labels), folds, seed=0, threads=1)
    assert list(found) == list(settings) == ["random forest, both", "gradient boosting, both"]
    for each in found.values():
        assert np.isfinite(each).all() and auc(labels, each).mean() < 0.75
    leaking = [Fold("leak", np.arange(600), np.zeros(0, int), np.arange(600))]
    known, _ = cross_fit(baselines, data_of(place, labels), leaking, seed=0, threads=1)
    assert all(auc(labels, each).mean() > 0.95 for each in known.values())


def test_folds_that_cannot_teach_or_test():
    labels = np.array([[1, 0], [0, 1], [1, 1], [1, 1]], np.uint8)
    none = np.zeros(0, int)
    with pytest.raises(InputError, match="fold 2: no test surveys"):
        Fold("fold 2", np.arange(4), none, none).check(labels)
    with pytest.raises(InputError, match="fold 3: its 2 test surveys hold a single class"):
        Fold("fold 3", np.array([0, 1]), none, np.array([2, 3])).check(labels)


def test_baselines_are_calibrated_by_the_other_folds_alone():
    rng = np.random.default_rng(0)
    truth = rng.normal(-2, 1.5, (3000, 4))
    labels = (rng.random(truth.shape) < 1 / (1 + np.exp(-truth))).astype(np.uint8)
    timid = (1 / (1 + np.exp(-truth / 3 - 0.5))).astype(np.float32)  # as a method that balances presences and absences
    timid[:5] = 0.0  # as leaves of a forest
    part = np.arange(3000) % 3
    folds = [Fold(f"fold {k}", part[:0], part[:0], np.flatnonzero(part == k)) for k in range(3)]
    found = calibrated({"forest": timid}, labels, folds)["forest"]
    kind = "occurrence"
    assert (brier(labels, found, kind) < brier(labels, timid, kind)).all()
    assert (calibration_error(labels, found, kind) < 0.03).all()
    assert (calibration_error(labels, timid, kind) > 0.1).all()
    for each in folds:  # the order of places within a fold, and with it AUC there, stays
        np.testing.assert_allclose(auc(labels[each.test], found[each.test]), auc(labels[each.test], timid[each.test]))
    other = labels.copy()
    other[folds[0].test] = 1 - other[folds[0].test]
    again = calibrated({"forest": timid}, other, folds)["forest"]
    np.testing.assert_array_equal(again[folds[0].test], found[folds[0].test])
    assert (again[folds[1].test] != found[folds[1].test]).any()


def test_penalties_of_a_logistic_baseline_are_chosen_by_blocks():
    """Features that tell blocks apart, and presences that differ from block to block: rows choose weak penalties."""
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(60), 10)
    x = (rng.normal(size=(60, 20))[block] + 0.1 * rng.normal(size=(600, 20))).astype(np.float32)
    labels = (rng.random((60, 3)) < 0.5)[block].astype(np.uint8)
    folds = [Fold("fold", np.flatnonzero(block < 40), block[:0], np.flatnonzero(block >= 40))]
    config = LogisticConfig(features="covariates")
    spread = {}
    for name, groups in (("rows", np.arange(600)), ("blocks", block)):
        found, _ = cross_fit([config], BaselineData({"covariates": x}, labels, groups), folds, seed=0, threads=1)
        spread[name] = np.nanstd(found["logistic regression, covariates"])
    assert spread["blocks"] < 0.5 * spread["rows"]  # nothing is to be learnt, and the penalties say so
