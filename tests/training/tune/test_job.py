import csv

import numpy as np
import pytest
from helpers.small import settings
from PIL import Image
from upath import UPath

from sdm_ray.config import load
from sdm_ray.errors import InputError
from sdm_ray.models.distributed import Ranks
from sdm_ray.stores import artefact
from sdm_ray.stores.surveys import read_surveys, write_surveys
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.tune import job as tune
from sdm_ray.training.tune.asha import Halving
from sdm_ray.training.tune.config import TuneConfig


def test_a_small_sweep_ends_in_a_configuration_of_finetune(world, execute, ray_cluster):
    space = {"optim.lr": {"low": 1e-4, "high": 3e-2, "log": True}, "model.hidden": [8, 16]}
    finetune = settings(optim={"epochs": 2, "batch": 64}, forest={"trees": 50})
    sweep = {"space": space, "trials": 2, "grace_epochs": 1, "folds": [0, 1]}
    record = execute(TuneConfig, tune.run, run_dir=str(world), finetune=finetune, **sweep)
    folder = world / "tune"
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert len(rows) == 2 and record.figures["trials"] == 2 and record.figures["failed"] == 0
    best = max(rows, key=lambda row: float(row["auc"]))
    config = load(folder / "best.yaml", FinetuneConfig)
    assert config.optim.lr == float(best["optim.lr"]) and config.model.hidden == int(best["model.hidden"])
    assert config.covariates == "covariates.zarr" and config.workers.count == 0 and config.run_dir == str(world)
    assert Image.open(folder / "trials.png").size[0] > 200
    assert record.figures["epochs_run"] == sum(int(row["epochs"]) for row in rows) <= 2 * 2 * 2
    study = FineTuning(config, finetune_data.read_table(config), "")
    alone = [trainer.run(study.fit(fold), Ranks(), NoCheckpointer(), Reporter()).history for fold in (0, 1)]
    if int(best["epochs"]) == 4:  # side by side each fold is trained as it is alone, and their mean counts
        mean = np.mean([max(epoch["auc"] for epoch in history) for history in alone])
        assert float(best["auc"]) == pytest.approx(mean, abs=1e-5)


def test_trials_share_the_forests_of_the_base(world, ray_cluster):
    space = {"optim.lr": [0.01], "forest.ensemble_weight": [0.2]}
    config = TuneConfig(run_dir=str(world), finetune=settings(forest={"trees": 50}), space=space, folds=[0, 1])
    table = finetune_data.read_table(config.candidate({}))
    forests = tune._forests(tune._shared(config, table)[0])
    shared = dict(forests._grown)
    trial = config.candidate({"optim.lr": 0.01, "forest.ensemble_weight": 0.2})
    fits = [FineTuning(trial, table, "", forests.grown).fit(fold) for fold in config.folds]
    assert len(shared) == 2 and forests._grown == shared  # compared by identity: none was grown anew
    trained = trainer.run(fits[0], Ranks(), NoCheckpointer(), Reporter()).objective.model
    assert any(trained.forest is forest for _, forest in shared.values()) and float(
        trained.ensemble_weight
    ) == pytest.approx(0.2)


def test_levels_let_the_best_so_far_go_on():
    halving = Halving(first=2, epochs=16, reduction=4)
    halving.set_search_properties("auc", "max")

    def goes_on(epoch, auc):
        return halving.on_trial_result(None, None, {"epoch": epoch, "auc": auc}) == "CONTINUE"

    assert goes_on(1, 0.1) and all(goes_on(epoch, 0.5) for epoch in (2, 4, 8))  # nothing to be set beside
    assert goes_on(1, 0.1) and goes_on(3, 0.1) and goes_on(16, 0.1)  # no levels
    assert not any(goes_on(epoch, 0.4) for epoch in (2, 4, 8))
    assert goes_on(2, 0.5) and goes_on(2, 0.6) and not goes_on(2, 0.5)  # of .4 .5 .5 .6, the best quarter is from .525
    assert not goes_on(4, float("nan")) and goes_on(4, 0.48)  # from .475: what is no number is not counted


def test_classes_are_searched_for_their_likelihood(world, execute, ray_cluster):
    run_dir = UPath(world)
    surveys, table = read_surveys(run_dir / "surveys.parquet")
    surveys["species"] = [[0 if 0 in each else 1] for each in surveys["species"]]
    write_surveys(run_dir / "two" / "surveys.parquet", surveys, table, "occurrence")
    artefact.seal(run_dir / "two" / "surveys.parquet", artefact.Record(kind="test", fingerprint="t"))
    finetune = settings(surveys="two/surveys.parquet", optim={"epochs": 1, "batch": 64})
    finetune["model"] = {**finetune["model"], "output": "class"}
    config = TuneConfig(run_dir=str(world), finetune=finetune, space={"optim.lr": [0.01, 0.02]}, folds=[0])
    base = config.candidate({"optim.lr": 0.02})
    assert base.goal == "log_likelihood"
    tune._check(config, finetune_data.read_table(base))
    fit = FineTuning(base, finetune_data.read_table(base), "").fit(0)
    assert (
        fit.best_by == base.goal and trainer.run(fit, Ranks(), NoCheckpointer(), Reporter()).history[-1][base.goal] < 0
    )


def test_folds_that_cannot_choose_are_refused(world, execute):
    sweep = {"finetune": settings(), "space": {"optim.lr": [0.01]}, "run_dir": str(world)}
    with pytest.raises(ValueError, match=r"folds: \[0, 2\]; expected some of finetune.blocks' 0 to 1"):
        TuneConfig(**sweep, folds=[0, 2])
    sweep["finetune"] = settings(blocks={**settings()["blocks"], "validation": 0})
    with pytest.raises(InputError, match="`validation` surveys of fold 0 are none; expected a larger share"):
        execute(TuneConfig, tune.run, output="none", **sweep)


def test_a_sweep_says_which_test_blocks_had_no_part_in_it(world):
    sweep = {"finetune": settings(), "space": {"optim.lr": [0.01]}, "run_dir": str(world)}
    one, both = (TuneConfig(**sweep, folds=folds) for folds in ([0], [0, 1]))
    assert tune.unseen_blocks(one).startswith("The test blocks of fold 0 alone had no part")
    assert tune.unseen_blocks(both).startswith("The test blocks of every fold had a part")
    table = finetune_data.read_table(one.trial({}))
    used = [np.concatenate([each.train, each.validation]) for each in (table.split(0), table.split(1))]
    assert not np.isin(table.held_out(0), used[0]).any() and np.isin(table.held_out(0), used[1]).any()
    assert one.trial({}).pooled is False  # trials are judged on the validation blocks
