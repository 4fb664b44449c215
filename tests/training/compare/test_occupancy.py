"""Predicted occupancy agrees with how often species are found, however presences are weighed in training."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.small import settings
from scipy.special import expit

from sdm_ray.baselines.config import ForestConfig, LogisticConfig, MaxentConfig
from sdm_ray.baselines.logistic_regression import Logistic
from sdm_ray.models.distributed import Ranks
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.training.compare import occupancy
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.data import predict, read_table
from sdm_ray.training.finetune.fits import FineTuning


def rare(count: int) -> SparseLabels:
    """Two species that few surveys hold, wherever they are."""
    drawn = np.random.default_rng(0).random((count, 3)) < [0.03, 0.1, 0.3]
    return SparseLabels.from_lists([np.flatnonzero(row) for row in drawn], 3)


@pytest.mark.parametrize("changes", [{"presence": {"balance": "equal"}}, {"probe": {}}, {}])
def test_a_method_predicts_the_occupancy_of_what_it_learnt_from(world, changes):
    config = FinetuneConfig(run_dir=str(world), **settings(**changes))
    table = read_table(config)
    labels = rare(len(table.labels))
    table = replace(table, labels=labels, dataset=replace(table.dataset, labels=labels))
    fits = FineTuning(config, table, "")
    model = trainer.run(fits.fit(0), Ranks(), NoCheckpointer(), Reporter()).objective.model
    rows = table.split(0).train
    logits = predict(model, table.dataset, rows, Ranks())
    observed = labels.dense(rows).mean(axis=0)
    assert occupancy.of_method(fits, model, logits, rows).mean(axis=0) == pytest.approx(observed, abs=0.06)
    if changes:
        assert expit(logits).mean(axis=0)[0] > 0.3  # presences weigh as much as absences


def test_shares_of_classes_are_those_of_the_model_and_a_focusing_loss_has_none(world):
    config = FinetuneConfig(run_dir=str(world), **settings())
    classes = config.model_copy(update={"model": config.model.model_copy(update={"output": "class"})})
    focusing = config.model_copy(update={"presence": config.presence.model_copy(update={"loss": "asymmetric"})})
    table = read_table(config)
    shares = np.array([[0.7, 0.2, 0.1]], np.float32)
    found = occupancy.of_method(FineTuning(classes, table, ""), None, np.log(shares), np.arange(3))
    assert found == pytest.approx(shares)
    assert occupancy.of_method(FineTuning(focusing, table, ""), None, np.log(shares), np.arange(3)) is None


def test_baselines_are_corrected_where_they_weigh_presences_equally():
    labels, rows = rare(1500), np.arange(1500)
    rng = np.random.default_rng(1)
    lonlat = np.column_stack([rng.uniform(4, 7, 1500), rng.uniform(51, 53, 1500)]).astype(np.float32)
    config = LogisticConfig(features="coordinates", wavelengths_km=(400,), ridge=(100.0,))
    model = Logistic(config)
    model.fit(lonlat, labels.dense(rows), rows, rows[:0])
    predictions, observed = model.predict(lonlat), labels.dense(rows).mean(axis=0)
    assert predictions.mean(axis=0) == pytest.approx([0.5] * 3, abs=0.05)
    assert occupancy.of_baseline(config, predictions, labels, rows).mean(axis=0) == pytest.approx(observed, abs=0.02)
    assert occupancy.of_baseline(ForestConfig(), predictions, labels, rows) is predictions
    assert occupancy.of_baseline(MaxentConfig(), predictions, labels, rows) is None
