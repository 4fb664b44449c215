"""Launches the fits of a job as one Ray Train run, which continues after interruptions."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upath import UPath

from sdm_ray.errors import find_input_error
from sdm_ray.job import Job
from sdm_ray.progress import say
from sdm_ray.ray_runtime import connect
from sdm_ray.tracking import Tracker
from sdm_ray.training.engine.checkpointing import FolderCheckpointer, TrainCheckpointer
from sdm_ray.training.engine.config import WorkersConfig
from sdm_ray.training.engine.reporting import Printer, Reporter, driver_reporter

if TYPE_CHECKING:
    from sdm_ray.models.distributed import Ranks
    from sdm_ray.training.engine.trainer import Checkpointer

Fits = Callable[["Ranks"], Iterator[Any]]
"""Yields each `trainer.Fit` that is not finished, the same on every rank; a saved one may influence the next."""
POLLING = ("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
"""Of Ray Train's controller: it acknowledges what ranks report when it next polls them."""


def launch(fits: Fits, job: Job, workers: WorkersConfig) -> None:
    """Run all fits on Ray Train workers.

    A run that was killed continues from its last checkpoint when the same job is started again; finished fits are
    not repeated. A lost worker is replaced `workers.retries` times.

    Args:
        fits: what to train; picklable.
        job: its output names the run; checkpoints are kept next to it in `.train` until all is done.
        workers: number of ranks; with 0 this process trains, without Ray.

    Raises:
        InputError: the data cannot be trained on.
    """
    storage = storage_of(job)
    if workers.count == 0:
        checkpointer = FolderCheckpointer(storage, workers.checkpoint_s)
        _train_all(fits, checkpointer, Reporter(Printer(), job.tracker), workers)
    else:
        _train_on_ranks(fits, storage, workers, job.tracker)
    _remove(storage)


def storage_of(job: Job) -> UPath:
    """The folder of a job's checkpoints, `.train/<output>-<fingerprint>` next to the output.

    Checkpoints of another attempt are removed, unless this job continues it.
    """
    place = job.output
    storage = place.parent / ".train" / f"{place.name}-{job.fingerprint[:12]}"
    if not job.resumed:
        _remove(storage)
    return storage


def _train_all(
    fits: Fits, checkpointer: "Checkpointer", reporter: Reporter, workers: WorkersConfig, ranks: "Ranks | None" = None
) -> None:
    """Train what is not finished, on this rank among others."""
    from sdm_ray.models.distributed import Ranks
    from sdm_ray.training.engine import trainer
    from sdm_ray.training.engine.execution import Execution

    ranks = ranks or Ranks()
    for fit in fits(ranks):
        with tempfile.TemporaryDirectory() as place:
            trace = Path(place) / f"{fit.name}.json"
            trained = trainer.run(fit, ranks, checkpointer, reporter, Execution.of(workers, str(trace)))
            if reporter.tracker is not None and trace.exists():
                reporter.tracker.file(trace, "profiles")
        if ranks.rank == 0:
            if ranks.world > 1:
                others = f"{ranks.world - 1} other ranks wait, at most {workers.collective_timeout_s:g} s"
                reporter.say(f"{fit.name}: rank 0 calibrates and writes the model; {others}")
            fit.save(trained)
        ranks.wait()


def _train_on_ranks(fits: Fits, storage: UPath, workers: WorkersConfig, tracker: Tracker | None) -> None:
    os.environ.setdefault(*POLLING)
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # this machine cannot be preempted
    connect()
    import ray

    if tracker is not None:
        ranks = workers.least or workers.count
        grows = bool(os.environ.get("RAY_ADDRESS"))
        tracker.require_reachable(ray.nodes(), ranks * workers.cpus if grows else 0)
    with driver_reporter(tracker) as reporter:
        persist(lambda: _trainer(fits, storage, workers, reporter).fit(), storage, workers.retries)


def persist(train: Callable[[], object], storage: UPath, retries: int) -> None:
    """Train, and continue after lost workers; failures are counted since the last checkpoint that was reached.

    Args:
        train: trains from the last checkpoint on.
        storage: where checkpoints are.
        retries: failures without a new checkpoint that are endured.

    Raises:
        InputError: the data cannot be trained on.
    """
    from ray.train import TrainingFailedError

    failures, reached = 0, newest_checkpoint(storage)
    while True:
        try:
            train()
            return
        except TrainingFailedError as error:
            mistake = find_input_error(error)
            if mistake is not None:
                raise mistake from None
            newest = newest_checkpoint(storage)
            failures = failures + 1 if newest == reached else 1
            reached = newest
            if failures > retries:
                raise
            say(f"  a worker was lost ({_first_line(error)}); continuing from the last checkpoint")


def newest_checkpoint(storage: UPath) -> str:
    """Name of the last checkpoint of a run, which begins with its time; empty where there is none."""
    if not storage.exists():
        return ""
    return max((each.name for each in storage.iterdir() if each.name.startswith("checkpoint_2")), default="")


def _trainer(fits: Fits, storage: UPath, workers: WorkersConfig, reporter: Reporter) -> Any:  # noqa: ANN401
    from ray.train import CheckpointConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    resources = {"CPU": workers.cpus} | ({"GPU": workers.gpus} if workers.gpus else {})
    return TorchTrainer(
        _work,
        train_loop_config={"fits": fits, "reporter": reporter, "workers": workers},
        torch_config=TorchConfig(timeout_s=max(1, round(workers.collective_timeout_s))),
        scaling_config=ScalingConfig(
            num_workers=workers.count if workers.least is None else (workers.least, workers.count),  # type: ignore[arg-type]
            use_gpu=workers.gpus > 0,
            resources_per_worker=resources,
        ),
        run_config=RunConfig(
            name=storage.name, storage_path=str(storage.parent), checkpoint_config=CheckpointConfig(num_to_keep=1)
        ),
    )


def _work(settings: dict[str, Any]) -> None:
    """The training function of every rank."""
    import ray.train
    import ray.train.torch
    import torch

    from sdm_ray.models.distributed import Ranks

    context = ray.train.get_context()
    device = str(ray.train.torch.get_device())
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), device)
    workers: WorkersConfig = settings["workers"]
    if workers.threads:
        torch.set_num_threads(workers.threads)
    reporter = settings["reporter"] if ranks.rank == 0 else Reporter()
    checkpointer = TrainCheckpointer(workers.checkpoint_s, ranks.rank)
    _train_all(settings["fits"], checkpointer, reporter, workers, ranks)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:100]


def _remove(path: UPath) -> None:
    if path.exists():
        path.fs.rm(path.path, recursive=True)
