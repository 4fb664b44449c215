"""A head by regression on frozen inputs, in place of steps."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.small import LOCATION, settings
from pydantic import ValidationError
from upath import UPath

from sdm_ray.baselines.logistic_regression import heads
from sdm_ray.geo.blocks import Role
from sdm_ray.metrics.ranking import auc
from sdm_ray.model_io import load_species_model
from sdm_ray.models.distributed import Ranks
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.training.compare.few_shot import draw
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune import job as finetune
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.tune.config import TuneConfig

MODEL = {
    "location": LOCATION,
    "frozen_location_features": [{"wavelengths_km": [60, 30]}, {"kind": "sincos"}],
    "frequencies": 4,
}


def config(world, **changes) -> FinetuneConfig:
    values = settings(probe={"ridge": [0.001, 0.1]}, model=MODEL) | changes
    return FinetuneConfig(run_dir=str(world), **values)


def test_the_folder_holds_heads_on_inputs_as_they_are(world, execute):
    chosen = config(world, output="probed")
    record = execute(FinetuneConfig, finetune.run, **chosen.model_dump(), workers={"count": 0})
    assert record.figures["validation_auc"] > 0.6 and record.figures["epochs"] == 0
    table = finetune_data.read_table(chosen)
    loaded = load_species_model(UPath(world) / "probed", 0)
    model, test = loaded.model, np.flatnonzero(table.holdout.role(table.x, table.y, 0) == Role.TEST)
    assert model.config.fusion == "none" and model.config.frequencies == 0
    logits = finetune_data.predict(model, table.dataset, test, Ranks())
    assert auc(table.labels.dense(test)[:, :2], logits[:, :2]).min() > 0.75

    torch.manual_seed(chosen.seed)
    untrained = FineTuning(chosen, table, "").fit(0).objective().model
    assert torch.equal(model.location.network[0].weight, untrained.location.network[0].weight)
    rows = table.split(0).train
    z = torch.from_numpy(finetune_data.embed(model, table.dataset, rows, Ranks()))
    assert z.shape[1] == model.width == LOCATION["dim"] + model.frozen_location_features.dim + 2
    known = torch.from_numpy(table.dataset.known[rows].all(axis=1))
    standard = (torch.from_numpy(table.dataset.covariates[rows]) - model.covariate_mean) / model.covariate_std
    assert torch.allclose(z[known][:, -2:], standard[known], atol=1e-5)
    blocks = torch.from_numpy(table.block_of(rows))
    assert len(blocks.unique()) > 5
    matrix, bias = heads(z, torch.from_numpy(table.labels.dense(rows)), chosen.probe.ridge, blocks)
    assert torch.allclose(model.head.weight, matrix, atol=1e-5) and torch.allclose(model.head.bias, bias, atol=1e-5)


def test_what_balanced_logits_lack_of_prevalence_is_given_back(world, tmp_path):
    for changes in ({}, {"probe": None, "presence": {"balance": "equal"}, "forest": {"trees": 50}}):
        chosen = config(world, **changes)
        made = FineTuning(chosen, finetune_data.read_table(chosen), str(tmp_path / str(len(changes))))
        rare = made.table.labels.dense(np.arange(300))
        rare[:, 2] = 0
        rare[np.arange(0, 300, 30), 2] = 1  # one survey in thirty instead of three in ten
        labels = SparseLabels.from_lists([np.flatnonzero(row) for row in rare], 3)
        table = replace(made.table, labels=labels, dataset=replace(made.table.dataset, labels=labels))
        made = replace(made, table=table)
        fit = made.fit(0)
        fit.save(trainer.run(fit, Ranks(), NoCheckpointer(), Reporter()))
        model = load_species_model(UPath(made.output), 0).model
        test = np.flatnonzero(table.holdout.role(table.x, table.y, 0) == Role.TEST)
        logits = torch.from_numpy(finetune_data.predict(model, table.dataset, test, Ranks()))
        found = model.calibrate(logits).mean(0).numpy()
        assert found[2] < 0.07 < found[:2].min()


def test_few_known_labels_are_enough(world):
    made = FineTuning(config(world), finetune_data.read_table(config(world)), "")
    table = made.table
    test = np.flatnonzero(table.holdout.role(table.x, table.y, 0) == Role.TEST)
    scores = {5: [], 20: []}
    for count, background, draws in ((5, 60, 8), (20, 240, 2)):
        for seed in range(draws):  # five occurrences are a lottery: means of both species are from .64 to .79
            labels, rows = draw(table.labels, table.split(0).train, count, background, seed)
            known = replace(table, dataset=replace(table.dataset, labels=labels))
            trained = trainer.run(
                FineTuning(made.config, known, "").fit_rows(0, rows), Ranks(), NoCheckpointer(), Reporter()
            )
            assert trained.history == [] and trained.best_epoch == 0
            logits = finetune_data.predict(trained.objective.model, table.dataset, test, Ranks())
            scores[count].append(auc(table.labels.dense(test)[:, :2], logits[:, :2]).mean())
    assert np.mean(scores[5]) > 0.7 and np.mean(scores[20]) > 0.85


def test_what_a_probe_cannot_be_of_is_named(world):
    for changes, line in (
        ({"presence": {"loss": "asymmetric"}}, "probe: needs species and the loss bce, found asymmetric"),
        ({"model": MODEL | {"output": "class"}}, "probe: needs species and the loss bce, found classes"),
        ({"forest": {}}, "probe: goes without a forest"),
        ({"start": "model"}, "probe: keeps nothing of a model to start from"),
        (
            {"model": {"location": None, "frozen_location_features": [{}], "series": {}}},
            "frozen_location_features: tells where a place is",
        ),
        (
            {"model": {"frozen_location_features": [{"kind": "hashgrid"}]}},
            "frozen_location_features: nothing trains it; expected neither a hash grid",
        ),
    ):
        with pytest.raises(ValidationError, match=line):
            config(world, **changes)
    with pytest.raises(ValidationError, match=r"finetune\.probe: has no epochs"):
        TuneConfig(run_dir=str(world), finetune=settings(probe={}), space={"optim.lr": [0.01]})
