"""What a sweep that stops bad trials costs beside trials run in full, and how good its best is.

    python tests/benchmarks/bench_tune.py [--runs FOLDER] [--quick] [--seed SEED] [--steps STEPS]

The job `tune` twice, with the same seed and space, on the trees of Europe ($SDM_RAY_DATA): as it is, and with every
trial trained to its end (patience aside, which neither has). Cost: epochs trained, and wall time, of which both take
the same to grow a forest and to start processes. About 11 minutes on 2 cores; with epochs of fewer steps less.
Quality: the best of each is trained once more; macro AUC on the `validation` blocks, its interval from resampled
blocks.
"""

import argparse
import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from trees_data import CONFIGS, prepared
from upath import UPath

from sdm_ray.config import load
from sdm_ray.geo.blocks import block_id
from sdm_ray.job import execute
from sdm_ray.metrics.block_bootstrap import Comparison, compare
from sdm_ray.models.distributed import Ranks
from sdm_ray.ray_runtime import connect
from sdm_ray.stores import artefact
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.tune import job as tune
from sdm_ray.training.tune.config import TuneConfig

COST_GOAL = 0.5
SPACE = {
    "optim.lr": {"low": 1e-4, "high": 2e-2, "log": True},
    "optim.weight_decay": {"low": 1e-4, "high": 1e-1, "log": True},
    "model.dropout": [0.0, 0.2, 0.5],
    "model.frequencies": [0, 8],
    "model.hidden": [64, 128, 256],
    "model.depth": [0, 1, 2],
}


@dataclass(frozen=True)
class Sweep:
    """What one sweep took and found."""

    seconds: float
    epochs: int
    best: FinetuneConfig


def settings(runs: UPath, epochs: int, steps: int) -> dict[str, object]:
    """Of `finetune`: the surveys and the model of configs/europe-trees."""
    overrides = [*prepared(runs, "shards=[]"), "encoder=null", "patience=null"]
    overrides.append(f"optim={{lr: 0.002, epochs: {epochs}, batch: 256, steps_per_epoch: {steps}, ema: 0.99}}")
    base = load(CONFIGS / "europe-trees" / "finetune.yaml", FinetuneConfig, overrides)
    return base.model_dump(mode="json", exclude={"run_dir", "output", "tracking"}, exclude_unset=True)


def sweep(runs: UPath, name: str, **values: object) -> Sweep:
    """Run the job anew."""
    tracking = {"uri": f"sqlite:///{runs}/mlflow.db"}
    config = TuneConfig(run_dir=str(runs), output=name, tracking=tracking, space=SPACE, **values)
    shutil.rmtree(str(config.path(name)), ignore_errors=True)
    began = time.monotonic()
    execute("tune", config, tune.run, "sweep")
    seconds = time.monotonic() - began
    epochs = artefact.read_record(config.path(name)).figures["epochs_run"]
    return Sweep(seconds, int(epochs), load(Path(str(config.path(name))) / "best.yaml", FinetuneConfig))


def compared(best: dict[str, FinetuneConfig], fold: int = 0) -> Comparison:
    """The best of each sweep, trained once more, on the `validation` blocks."""
    predictions, table, rows = {}, None, None
    for name, config in best.items():
        table = finetune_data.read_table(config)
        rows = table.split(fold).validation
        trained = trainer.run(FineTuning(config, table, "").fit(fold), Ranks(), NoCheckpointer(), Reporter())
        predictions[name] = finetune_data.predict(trained.objective.model, table.dataset, rows, Ranks())
    blocks = block_id(table.x[rows], table.y[rows], table.holdout.blocks)
    return compare(table.labels.dense(rows), predictions, blocks, resamples=200, min_positives=1)


def main() -> int:
    """0 where all goals hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default="runs/trees", help="folder of the prepared data")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter trials, about a minute")
    parser.add_argument("--seed", type=int, default=0, help="of the search")
    parser.add_argument("--steps", type=int, default=200, help="of an epoch; with 200 it is of all surveys")
    given = parser.parse_args()
    trials, epochs, steps = (6, 6, 10) if given.quick else (16, 15, given.steps)
    runs = UPath(given.runs).absolute()
    both = {"finetune": settings(runs, epochs, steps), "trials": trials, "seed": given.seed}
    connect()
    with_asha = sweep(runs, "bench-asha", **both)
    in_full = sweep(runs, "bench-full", **both, grace_epochs=epochs)
    torch.set_num_threads(2)
    found = compared({"ASHA": with_asha.best, "in full": in_full.best})
    auc, full = found.values["auc"]["ASHA"], found.values["auc"]["in full"]
    difference = found.differences["auc"]["ASHA", "in full"]
    print(f"{trials} trials of {epochs} epochs of {steps} steps, fold 0, 2 at once; AUC of {found.counted} species")
    for name, each, score in (("ASHA", with_asha, auc), ("in full", in_full, full)):
        shown = f"{score.value:.4f} [{score.low:.4f}, {score.high:.4f}]"
        print(f"{name:<10}{each.epochs:>6} epochs {each.seconds:>8.0f} s   best {shown}")
    print(f"paired difference {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]")
    costs = {"epochs": with_asha.epochs / in_full.epochs, "wall time": with_asha.seconds / in_full.seconds}
    figures = [
        figure(f"{what} of a sweep with ASHA beside trials in full", cost, COST_GOAL, cost <= COST_GOAL)
        for what, cost in costs.items()
    ]
    name = "AUC of ASHA's best, at least the low end of the best in full"
    figures.append(figure(name, auc.value, full.low, auc.value >= full.low))
    for each in figures:
        print(json.dumps(each))
    return 0 if all(each["holds"] for each in figures) else 1


def figure(name: str, value: float, goal: float, holds: bool) -> dict[str, object]:
    """One line of the end."""
    return {"figure": name, "value": round(value, 4), "unit": "ratio", "goal": round(goal, 4), "holds": bool(holds)}


if __name__ == "__main__":
    sys.exit(main())
