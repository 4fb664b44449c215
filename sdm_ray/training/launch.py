"""From the driver to the ranks: one Ray Train run for all fits of a job, continued after whatever stopped it."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upath import UPath

from sdm_ray.errors import InputError, find_input_error
from sdm_ray.job import Job
from sdm_ray.progress import say
from sdm_ray.runtime import connect
from sdm_ray.training.config import WorkersConfig
from sdm_ray.training.voice import Voice, listening

Fits = Callable[[], Iterator[Any]]
"""Yields each `loop.Fit` that is not finished; run on every rank, and one that is saved may shape the next."""


def launch(fits: Fits, job: Job, workers: WorkersConfig) -> None:
    """Run all fits on Ray Train workers.

    A run that was killed continues from its last checkpoint when the same job is started again; finished fits are
    not repeated. A lost worker is replaced `workers.retries` times.

    Args:
        fits: what to train; picklable.
        job: its output names the run, its folder `.train` beside it keeps the checkpoints until all is done.
        workers: how many ranks.

    Raises:
        InputError: data that cannot be trained on.
    """
    connect()
    from ray.train import TrainingFailedError

    place = UPath(os.path.abspath(job.output.path)) if _is_local(job.output) else job.output
    storage = place.parent / ".train"
    name = f"{place.name}-{job.fingerprint[:12]}"
    if not job.resumed:
        _remove(storage / name)
    with listening(job.tracker) as voice:
        for attempt in range(workers.retries + 1):
            try:
                _trainer(fits, storage, name, workers, voice).fit()
                break
            except TrainingFailedError as error:
                mistake = find_input_error(error)
                if mistake is not None:
                    raise mistake from None
                if attempt == workers.retries:
                    raise
                say(f"  a worker was lost ({_first_line(error)}); continuing from the last checkpoint")
    _remove(storage / name)


def _trainer(fits: Fits, storage: UPath, name: str, workers: WorkersConfig, voice: Voice) -> Any:  # noqa: ANN401
    from ray.train import CheckpointConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    resources = {"CPU": workers.cpus} | ({"GPU": workers.gpus} if workers.gpus else {})
    return TorchTrainer(
        _work,
        train_loop_config={"fits": fits, "voice": voice, "checkpoint_s": workers.checkpoint_s},
        scaling_config=ScalingConfig(
            num_workers=workers.count, use_gpu=workers.gpus > 0, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name=name, storage_path=str(storage), checkpoint_config=CheckpointConfig(num_to_keep=1)
        ),
    )


def _work(settings: dict[str, Any]) -> None:
    """What every rank runs."""
    import ray.train
    import ray.train.torch

    from sdm_ray.training import loop
    from sdm_ray.training.ranks import Ranks

    context = ray.train.get_context()
    device = str(ray.train.torch.get_device())
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), device)
    voice = settings["voice"] if ranks.rank == 0 else Voice()
    keeper = TrainKeeper(ranks.rank, settings["checkpoint_s"])
    for fit in settings["fits"]():
        trained = loop.run(fit, ranks, keeper, voice)
        if ranks.rank == 0:
            fit.save(trained)
        ranks.wait()


@dataclass
class TrainKeeper:
    """Keeps states as checkpoints of Ray Train (a `loop.Keeper`)."""

    rank: int
    every_s: float
    _last: float = 0.0

    def __post_init__(self) -> None:
        self._last = time.monotonic()

    def load(self, name: str) -> dict[str, Any] | None:
        """The last checkpoint, where it is one of this fit."""
        import ray.train
        import torch

        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / "state.pt", map_location="cpu", weights_only=True)
        return state if state["fit"] == name else None

    def due(self) -> bool:
        """Whether the interval has passed."""
        return time.monotonic() - self._last >= self.every_s

    def save(self, state: dict[str, Any]) -> None:
        """Report a checkpoint; a barrier of all ranks."""
        import ray.train
        import torch

        figures = {"fit": state["fit"], "step": state["progress"]["step"]}
        if self.rank != 0:
            ray.train.report(figures)
        else:
            with tempfile.TemporaryDirectory() as folder:
                torch.save(state, Path(folder) / "state.pt")
                ray.train.report(figures, checkpoint=ray.train.Checkpoint.from_directory(folder))
        self._last = time.monotonic()

    def epoch(self, state: Callable[[], dict[str, Any]], figures: dict[str, float]) -> None:
        """Nothing: the voice has told it."""


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:100]


def _is_local(path: UPath) -> bool:
    return path.protocol in ("", "file", "local")


def _remove(path: UPath) -> None:
    if path.exists():
        path.fs.rm(path.path, recursive=True)
