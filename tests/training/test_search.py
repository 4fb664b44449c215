import csv

from PIL import Image
from small import settings

from sdm_ray.config import load
from sdm_ray.training import search
from sdm_ray.training.search_config import TuneConfig
from sdm_ray.training.species_config import FinetuneConfig


def test_a_small_sweep_ends_in_a_configuration_of_finetune(world, execute):
    space = {"optim.lr": {"low": 1e-4, "high": 3e-2, "log": True}, "model.hidden": [8, 16]}
    finetune = settings(optim={"epochs": 2, "batch": 64})
    record = execute(
        TuneConfig, search.run, run_dir=str(world), finetune=finetune, space=space, trials=2, grace_epochs=1
    )
    folder = world / "tune"
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert len(rows) == 2 and record.figures["trials"] == 2 and record.figures["failed"] == 0
    best = max(rows, key=lambda row: float(row["auc"]))
    config = load(folder / "best.yaml", FinetuneConfig)
    assert config.optim.lr == float(best["optim.lr"]) and config.model.hidden == int(best["model.hidden"])
    assert config.covariates == "covariates.zarr" and config.workers.count == 0 and config.run_dir == str(world)
    assert Image.open(folder / "trials.png").size[0] > 200
