import csv
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.small import LOCATION, settings

from sdm_ray.models.distributed import Ranks
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.execution import Execution
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune.distillation import Forests
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.tune import job as tune
from sdm_ray.training.tune import ranks
from sdm_ray.training.tune.config import TuneConfig


def test_trials_of_two_ranks_find_what_trials_of_one_process_find(world, execute, ray_cluster):
    model = {"location": LOCATION, "hidden": 16, "depth": 1, "embedding": 8, "dropout": 0}  # which depends on ranks
    sweep = {
        "space": {"optim.lr": [0.01]}, "trials": 1, "folds": [0, 1], "grace_epochs": 2,
        "ranks": 2, "cpus": 0.4, "finetune": settings(optim={"epochs": 2, "batch": 64}, model=model),
    }  # fmt: skip
    record = execute(TuneConfig, tune.run, run_dir=str(world), output="tuned-by-ranks", **sweep)
    rows = list(csv.DictReader((world / "tuned-by-ranks" / "trials.csv").open()))
    assert record.figures["trials"] == 1 and record.figures["failed"] == 0
    assert [int(row["epochs"]) for row in rows] == [4]
    config = TuneConfig(run_dir=str(world), **sweep)
    for row in rows:
        trial = config.trial({"optim.lr": float(row["optim.lr"])})
        study = FineTuning(trial, finetune_data.read_table(trial), "")
        alone = [trainer.run(study.fit(fold), Ranks(), NoCheckpointer(), Reporter()).history for fold in (0, 1)]
        mean = np.mean([max(epoch["auc"] for epoch in history) for history in alone])
        assert float(row["auc"]) == pytest.approx(mean, abs=1e-4)
    assert not list((world / ".train").glob("tuned-by-ranks*"))


def test_the_folds_of_a_trial_are_trained_side_by_side(world, monkeypatch):
    finetune = settings(optim={"epochs": 2, "batch": 64})
    config = TuneConfig(run_dir=str(world), finetune=finetune, space={"optim.lr": [0.01]}, folds=[0, 1])
    monkeypatch.setattr(tune, "_forests", lambda shared: Forests(2))
    seen = []

    class Noted(NoCheckpointer):
        def epoch(self, state, figures):
            seen.append((state()["fit"], figures["auc"]))

    epochs = tune._epochs(
        Ranks(), Noted(), Reporter(), config=config, chosen={"optim.lr": 0.01}, shared=["a reference"]
    )  # fmt: skip
    told = [len(seen) for _ in epochs]
    assert told == [2, 4] and len({name for name, _ in seen[:2]}) == 2


def test_trials_are_carried_out_as_configured_and_read_by_threads(world, monkeypatch):
    workers = {"count": 0, "tf32": True, "accumulate": 2, "readers": 3}
    config = TuneConfig(run_dir=str(world), finetune=settings(workers=workers), space={"optim.lr": [0.01]})
    seen = []

    def epochs(fit, ranks, checkpointer, reporter, execution=None):
        seen.append((execution, fit.streams["surveys"].readers.count))
        yield from ()

    monkeypatch.setattr(tune, "_forests", lambda shared: Forests(1))
    monkeypatch.setattr(trainer, "epochs", epochs)
    chosen = {"optim.lr": 0.01}
    assert not list(
        tune._epochs(Ranks(), NoCheckpointer(), Reporter(), config=config, chosen=chosen, shared=["a reference"])
    )
    assert seen == [(Execution(tf32=True, accumulate=2), 0)]


def test_ranks_of_a_trial_wait_for_each_other_as_long_as_configured(world, monkeypatch):
    workers = {"count": 0, "collective_timeout_s": 77.4}
    space = {"optim.lr": [0.01]}
    config = TuneConfig(run_dir=str(world), finetune=settings(workers=workers), space=space, ranks=2)
    given = {}

    class Noted:
        def __init__(self, work, **settings):
            given.update(settings)

        def fit(self):
            given["fitted"] = True

    monkeypatch.setattr("ray.train.torch.TorchTrainer", Noted)
    monkeypatch.setattr("ray.tune.get_context", lambda: SimpleNamespace(get_trial_id=lambda: "a"))
    monkeypatch.setattr("ray.tune.integration.ray_train.TuneReportCallback", lambda: None)
    monkeypatch.setattr("ray.train.RunConfig", lambda **settings: settings)
    ranks.train(lambda *_: iter(()), config, str(world), None)
    assert given["torch_config"].timeout_s == 77 and given["fitted"]
