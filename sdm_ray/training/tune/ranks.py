"""A trial on several ranks: a Ray Train run inside Ray Tune, which hears of every epoch through the run's reports."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from sdm_ray.tracking import Tracker
from sdm_ray.training.tune.config import TuneConfig

if TYPE_CHECKING:
    from sdm_ray.models.distributed import Ranks
    from sdm_ray.training.engine.checkpointing import TuneCheckpointer
    from sdm_ray.training.engine.reporting import Reporter

Epochs = Callable[["Ranks", "TuneCheckpointer", "Reporter"], Iterator[None]]
"""Trains the fits of a trial side by side; yields after an epoch of each. Picklable."""
DRIVER_CPUS = 0.01
"""Of the process of a trial that waits for its ranks."""


def train(epochs: Epochs, config: TuneConfig, storage: str, tracker: Tracker) -> None:
    """Train a trial on its ranks; within a function of Ray Tune, where ASHA ends it with its process.

    Args:
        epochs: what every rank does.
        config: of the sweep: number of ranks, what each takes, what is reported.
        storage: folder of the trials' checkpoints.
        tracker: the trial's run.
    """
    from ray import tune
    from ray.train import CheckpointConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    passed_on: Any = TuneReportCallback()
    resources = {"CPU": config.cpus} | ({"GPU": config.gpus} if config.gpus else {})
    settings = {"epochs": epochs, "goal": config.trial({}).goal, "tracker": tracker}
    TorchTrainer(
        _work,
        train_loop_config=settings,
        torch_config=TorchConfig(timeout_s=max(1, round(config.trial({}).workers.collective_timeout_s))),
        scaling_config=ScalingConfig(num_workers=config.ranks, use_gpu=config.gpus > 0, resources_per_worker=resources),
        run_config=RunConfig(
            name=f"trial-{tune.get_context().get_trial_id()}",
            storage_path=storage,
            callbacks=[passed_on],
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    ).fit()


def _work(settings: dict[str, Any]) -> None:
    """The training function of every rank."""
    import ray.train
    import ray.train.torch

    from sdm_ray.models.distributed import Ranks
    from sdm_ray.training.engine.checkpointing import TuneCheckpointer
    from sdm_ray.training.engine.reporting import Reporter

    context = ray.train.get_context()
    ranks = Ranks(context.get_world_rank(), context.get_world_size(), str(ray.train.torch.get_device()))
    checkpointer = TuneCheckpointer(settings["goal"], ranks.rank)
    reporter = Reporter(tracker=settings["tracker"]) if ranks.rank == 0 else Reporter()
    for _ in settings["epochs"](ranks, checkpointer, reporter):
        checkpointer.report()
