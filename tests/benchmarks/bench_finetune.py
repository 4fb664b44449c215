"""What fine-tuning costs beside a bare loop, and what memory a table of thousands of species takes.

    python tests/benchmarks/bench_finetune.py [--runs FOLDER] [--quick]

Throughput: the network of configs/europe-trees on its surveys ($SDM_RAY_DATA), steps of 512 rows, by a bare loop over
tensors in memory with torch's defaults, by our loop in one process (whose AdamW is fused, a tenth of a step), and by
our loop on Ray Train; start-up and validation excluded. With one thread Ray's own processes, which take about a tenth
of a core, have a core to themselves where there are two; with two threads they interrupt one of them time and again,
and the other waits for it. Memory: one epoch with validation on 88,987 surveys of 11,255 species.
"""

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from price_runs import Timed
from trees_data import CONFIGS, prepared
from upath import UPath

from sdm_ray.config import load
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.job import Job
from sdm_ray.models.distributed import Ranks
from sdm_ray.models.species_losses import bce
from sdm_ray.stores.holdout import HoldOut
from sdm_ray.stores.labels import SparseLabels
from sdm_ray.streams.survey_dataset import SurveyDataset
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import NoCheckpointer
from sdm_ray.training.engine.config import WorkersConfig
from sdm_ray.training.engine.launch import launch
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.engine.trainer import Fit
from sdm_ray.training.finetune import data as finetune_data
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.finetune.fits import FineTuning
from sdm_ray.training.finetune.inputs import CovariateTable

SHARE_GOAL, MEMORY_GOAL_GB = 0.95, 4.0
THREADS = (1, 2)
SURVEYS, SPECIES, PRESENT = 88_987, 11_255, 17
_WARM = 5  # steps that are not counted


@dataclass(frozen=True)
class Steps:
    """A fold's fit that trains so many steps and notes when each begins; picklable."""

    study: FineTuning
    steps: int
    file: str

    def fit(self) -> Fit:
        """The fit."""
        whole = self.study.fit(0)
        optim = whole.optim.model_copy(update={"epochs": 1})
        return replace(
            whole,
            optim=optim,
            steps_per_epoch=self.steps,
            objective=lambda: Timed(whole.objective(), self.file),
            validate=lambda module, ranks: {},
            best_by=None,
            save=lambda trained: None,
        )

    def __call__(self, ranks: Ranks) -> Iterator[Fit]:
        """Once."""
        yield self.fit()


def begins(file: str) -> list[float]:
    """What `Steps` has noted."""
    return [float(line) for line in Path(file).read_text().splitlines()]


def bare(study: FineTuning, steps: int) -> list[float]:
    """When each step of a plain loop over tensors in memory begins; the same model, optimiser, average and clipping."""
    torch.manual_seed(0)
    config, table = study.config, study.table
    model = study.fit(0).objective().model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.optim.lr)
    decay = torch.optim.swa_utils.get_ema_multi_avg_fn(config.optim.ema)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=decay)
    rows = torch.from_numpy(table.split(0).train)
    lonlat, values = torch.from_numpy(table.dataset.lonlat), torch.from_numpy(table.dataset.covariates)
    known, labels = torch.from_numpy(table.dataset.known), torch.from_numpy(table.labels.dense(np.arange(len(values))))
    found = []
    for ids in torch.randint(len(rows), (steps, config.optim.batch)):
        found.append(time.time())
        chosen = rows[ids]
        hide = torch.rand(len(chosen)) < config.model.modality_dropout
        batch = {"lonlat": lonlat[chosen], "covariates": values[chosen], "has_covariates": known[chosen]}
        loss = bce(model({**batch, "hide_covariates": hide}), labels[chosen])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(model)
        loss.item()
    return found


def throughput(runs: str, steps: int, rounds: int) -> list[dict[str, object]]:
    """Print the table; return the figures."""
    import ray

    from sdm_ray.ray_runtime import connect

    folder = UPath(runs).absolute()
    network = [*prepared(folder), "encoder=null", "forest=null"]
    config = load(CONFIGS / "europe-trees" / "finetune.yaml", FinetuneConfig, network)
    study = FineTuning(config, finetune_data.read_table(config), "")
    found: dict[tuple[int, str], list[float]] = {}
    connect()
    print(f"network of europe-trees, batch {config.optim.batch}, {steps} steps, median of {rounds} rounds")
    with tempfile.TemporaryDirectory() as place:
        for number, threads in itertools.product(range(rounds), THREADS):
            for name, took in one_round(study, steps, UPath(place) / f"{number}-{threads}", threads).items():
                found.setdefault((threads, name), []).append(took)
    ray.shutdown()
    figures = []
    for (threads, name), each in found.items():
        share = statistics.median(b / own for b, own in zip(found[threads, "bare loop"], each, strict=True))
        print(f"{threads} threads, {name:<24}{1 / statistics.median(each):>8.1f} steps/s, {share:.3f} of a bare loop's")
        if name != "bare loop":
            told = f"steps/s of {name} beside a bare loop, {threads} threads"
            figures.append(figure(told, share, "ratio", SHARE_GOAL, share >= SHARE_GOAL))
    return figures


def one_round(study: FineTuning, steps: int, place: UPath, threads: int) -> dict[str, float]:
    """Median seconds of a step; the machine's pace drifts, so the bare loop runs before and after."""
    torch.set_num_threads(threads)
    files = [f"{place}-{name}" for name in ("here", "train")]
    before = _median(bare(study, steps))
    trainer.run(Steps(study, steps, files[0]).fit(), Ranks(), NoCheckpointer(), Reporter())
    job = Job(place, place.name, {}, resumed=False, tracker=None)  # type: ignore[arg-type]
    launch(Steps(study, steps, files[1]), job, WorkersConfig(count=1, threads=threads, checkpoint_s=1e9))
    found = {"bare loop": (before + _median(bare(study, steps))) / 2}
    return found | {"our loop": _median(begins(files[0])), "our loop on Ray Train": _median(begins(files[1]))}


def _median(times: list[float]) -> float:
    return statistics.median(np.diff(times[_WARM:]))


def many(steps: int) -> list[dict[str, object]]:
    """Peak memory of a training on thousands of species, in a process of its own."""
    told = subprocess.run(
        [sys.executable, __file__, "--many", str(steps)], check=True, capture_output=True, text=True
    ).stdout.splitlines()[-1]
    peak = float(told)
    print(f"{SURVEYS} surveys of {SPECIES} species, {steps} steps of 512 and validation: {peak:.2f} GB at the most")
    return [figure("peak memory with 11,255 species", peak, "GB", MEMORY_GOAL_GB, peak < MEMORY_GOAL_GB)]


def train_many(steps: int) -> None:
    """Train and print the peak resident memory of this process, GB."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(3e6, 6e6, SURVEYS), rng.uniform(2e6, 5e6, SURVEYS)
    lonlat = np.column_stack(to_lonlat(x, y))
    common = rng.zipf(1.3, SURVEYS * PRESENT) % SPECIES  # a few are everywhere, most are rare
    labels = SparseLabels.from_lists(np.split(common.astype(np.int32), SURVEYS), SPECIES)
    optim = {"epochs": 1, "batch": 512, "steps_per_epoch": steps}
    config = FinetuneConfig(run_dir="unused", optim=optim, blocks={"size_m": 100_000})
    nothing = np.zeros((SURVEYS, 0), np.float32)
    dataset = SurveyDataset(np.arange(SURVEYS), lonlat, nothing, nothing.astype(bool), labels)
    names = pd.DataFrame({"species_id": range(SPECIES), "name": map(str, range(SPECIES)), "gbif_key": 0})
    none = np.zeros(0, np.float32)
    covariates = CovariateTable((), nothing, nothing.astype(bool), none, none)
    table = finetune_data.Table(dataset, labels, x, y, names, "occurrence", covariates, HoldOut(config.blocks))
    trained = trainer.run(FineTuning(config, table, "").fit(0), Ranks(), NoCheckpointer(), Reporter())
    assert "auc" in trained.history[-1]
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def figure(name: str, value: float, unit: str, goal: float, holds: bool) -> dict[str, object]:
    """One line of the end."""
    return {"figure": name, "value": round(value, 3), "unit": unit, "goal": goal, "holds": bool(holds)}


def main() -> int:
    """0 where all goals hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default="runs/trees", help="folder of the prepared data")
    parser.add_argument("--quick", action="store_true", help="fewer steps, about a minute")
    parser.add_argument("--many", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.many:
        train_many(given.many)
        return 0
    steps, rounds = (60, 1) if given.quick else (200, 7)
    figures = throughput(given.runs, steps, rounds) + many(10 if given.quick else 50)
    for each in figures:
        print(json.dumps(each))
    return 0 if all(each["holds"] for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
