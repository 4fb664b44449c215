"""Launches the fits of a job as one Ray Train run, which continues after interruptions."""

import os
from collections.abc import Callable, Iterator
from typing import Any

from upath import UPath

from sdm_ray.errors import find_input_error
from sdm_ray.job import Job
from sdm_ray.progress import say
from sdm_ray.ray_runtime import connect
from sdm_ray.tracking import Tracker
from sdm_ray.training.engine.checkpointing import FolderCheckpointer, TrainCheckpointer
from sdm_ray.training.engine.config import WorkersConfig
from sdm_ray.training.engine.reporting import Printer, Reporter, driver_reporter

Fits = Callable[[], Iterator[Any]]
"""Yields each `trainer.Fit` that is not finished, on every rank; a saved one may influence the next."""


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
        _train_here(fits, checkpointer, Reporter(Printer(), job.tracker), compiled=workers.compile)
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


def _train_here(fits: Fits, checkpointer: FolderCheckpointer, reporter: Reporter, *, compiled: bool) -> None:
    from sdm_ray.models.distributed import Ranks
    from sdm_ray.training.engine import trainer

    for fit in fits():
        fit.save(trainer.run(fit, Ranks(), checkpointer, reporter, compiled=compiled))


def _train_on_ranks(fits: Fits, storage: UPath, workers: WorkersConfig, tracker: Tracker | None) -> None:
    # A checkpoint is acknowledged when the controller next polls its workers.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # this machine cannot be preempted
    connect()
    from ray.train import TrainingFailedError

    with driver_reporter(tracker) as reporter:
        for attempt in range(workers.retries + 1):
            try:
                _trainer(fits, storage, workers, reporter).fit()
                break
            except TrainingFailedError as error:
                mistake = find_input_error(error)
                if mistake is not None:
                    raise mistake from None
                if attempt == workers.retries:
                    raise
                say(f"  a worker was lost ({_first_line(error)}); continuing from the last checkpoint")


def _trainer(fits: Fits, storage: UPath, workers: WorkersConfig, reporter: Reporter) -> Any:  # noqa: ANN401
    from ray.train import CheckpointConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    resources = {"CPU": workers.cpus} | ({"GPU": workers.gpus} if workers.gpus else {})
    return TorchTrainer(
        _work,
        train_loop_config={"fits": fits, "reporter": reporter, "workers": workers},
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
    from sdm_ray.training.engine import trainer

    context = ray.train.get_context()
    device = str(ray.train.torch.get_device())
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), device)
    workers: WorkersConfig = settings["workers"]
    if workers.threads:
        torch.set_num_threads(workers.threads)
    reporter = settings["reporter"] if ranks.rank == 0 else Reporter()
    checkpointer = TrainCheckpointer(workers.checkpoint_s, ranks.rank)
    for fit in settings["fits"]():
        trained = trainer.run(fit, ranks, checkpointer, reporter, compiled=workers.compile)
        if ranks.rank == 0:
            fit.save(trained)
        ranks.wait()


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:100]


def _remove(path: UPath) -> None:
    if path.exists():
        path.fs.rm(path.path, recursive=True)
