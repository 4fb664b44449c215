"""Few surveys: epochs and calibration from the predictions of the other folds."""

import json

import numpy as np
import pytest
import torch
from helpers.small import settings
from pydantic import ValidationError
from upath import UPath

from sdm_ray.geo.blocks import Role
from sdm_ray.metrics import calibration_fit
from sdm_ray.model_io import load_species_model
from sdm_ray.models.distributed import ALONE, Ranks
from sdm_ray.stores.weights import load_weights
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune import job as finetune
from sdm_ray.training.finetune import pooling
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fits import FineTuning

BLOCKS = {"size_m": 8000, "folds": 3, "validation": 0.2, "calibrate": 0.2}


def values(**changes) -> dict:
    return settings(output="pooled", pooled=None, blocks=BLOCKS) | changes


@pytest.fixture(scope="module")
def pooled(world, execute) -> UPath:
    execute(FinetuneConfig, finetune.run, run_dir=str(world), **values())
    return UPath(world / "pooled")


def test_the_best_epoch_is_of_the_mean_over_folds():
    history = [[{"auc": a} for a in each] for each in ([0.5, 0.7, 0.6], [0.6, 0.7, 0.9], [np.nan] * 3)]
    assert pooling.best_epoch(history, "auc") == 3
    assert pooling.best_epoch(history[:1], "auc") == 2
    assert pooling.best_epoch(history[2:], "auc") == 3
    assert pooling.best_epoch([[{}, {}]], "auc") == 2


def test_all_but_the_held_out_blocks_are_trained_on(world):
    config = FinetuneConfig(run_dir=str(world), **values())
    table = finetune_data.read_table(config)
    assert table.pooled
    for fold in range(3):
        split = table.split(fold, keep_some=True)
        assert not len(split.validation) and not len(split.calibrate)
        assert np.array_equal(np.union1d(split.train, table.held_out(fold)), np.arange(300))
        roles = table.holdout.role(table.x, table.y, fold)
        assert np.array_equal(table.held_out(fold), np.flatnonzero(roles == Role.TEST))


def test_each_fold_takes_what_suits_the_others(pooled, world):
    config = FinetuneConfig(run_dir=str(world), **values())
    table = finetune_data.read_table(config)
    folds = [load_species_model(pooled, fold) for fold in range(3)]
    tried = [each.metrics["tried"] for each in folds]
    assert all(len(each) == 6 for each in tried)
    logits = [
        finetune_data.predict(each.model, table.dataset, table.held_out(fold), Ranks())
        for fold, each in enumerate(folds)
    ]
    labels = [table.labels.dense(table.held_out(fold)) for fold in range(3)]
    for fold, each in enumerate(folds):
        others = [other for other in range(3) if other != fold]
        epochs = pooling.best_epoch([tried[other] for other in others], "auc")
        assert each.metrics["best_epoch"] == len(each.metrics["history"]) == epochs
        expected = calibration_fit.fit(
            "platt",
            np.concatenate([logits[other] for other in others]),
            np.concatenate([labels[other] for other in others]),
            classes=False,
        )
        assert torch.allclose(each.model.calibration().shift, expected.shift, atol=1e-4)
    whole = load_species_model(pooled)
    assert whole.metrics["best_epoch"] == pooling.best_epoch(tried, "auc")
    expected = calibration_fit.fit("platt", np.concatenate(logits), np.concatenate(labels), classes=False)
    assert torch.allclose(whole.model.calibration().shift, expected.shift, atol=1e-4)
    assert list(FineTuning(config, table, str(pooled))(ALONE)) == []  # finished


def test_few_surveys_are_told_and_pooled_unless_the_configuration_says_otherwise(world, capsys):
    def table(**changes):
        return finetune_data.read_table(FinetuneConfig(run_dir=str(world), **values(**changes)))

    assert table().pooled
    assert "surveys in some fold, fewer than 200: pooled over the folds instead" in capsys.readouterr().out
    assert not table(pooled=False).pooled
    assert not table(crossfit=False).pooled
    assert "fewer than 200: expected larger shares or `crossfit: true`" in capsys.readouterr().out
    assert not table(blocks=BLOCKS | {"validation": 0, "calibrate": 0}).pooled
    with pytest.raises(ValidationError, match="pooled: needs the models of several folds"):
        table(crossfit=False, pooled=True)


def test_an_interrupted_job_goes_on_where_it_was(pooled, world):
    config = FinetuneConfig(run_dir=str(world), **values())
    fits = FineTuning(config, finetune_data.read_table(config), str(pooled))
    metrics = (pooled / "folds" / "1" / "metrics.json").read_text()
    (pooled / "folds" / "1" / "metrics.json").unlink()
    first = next(fits(ALONE))
    assert first.name == "fold-1" and first.stop_after is None and first.best_by is None
    (pooled / "folds" / "1" / "metrics.json").write_text(metrics)
    turned = json.loads(metrics) | {"best_epoch": 99}
    (pooled / "folds" / "1" / "metrics.json").write_text(json.dumps(turned))
    again = next(fits(ALONE))  # a name of its own, so that no checkpoint of the first training is continued
    assert again.name == "fold-1-again" and again.stop_after == json.loads(metrics)["best_epoch"]
    (pooled / "folds" / "1" / "metrics.json").write_text(metrics)
    assert load_weights(pooled / "folds" / "1").metrics["tried"]
