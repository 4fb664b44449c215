"""The training loop: one model, step by step, the same on one rank and on many, resumed where it stopped.

Step k is a function of the seed and of k: the rows (streams), the learning rate and the state of torch's random
generator. So a checkpoint holds the model, the optimiser and the step, and nothing about the streams. Plain dropout
draws independently on each rank: with it, and with it alone, results depend on the number of ranks.
"""

import math
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from sdm_ray.batch import Array, Batch
from sdm_ray.buffers import keep_freed_memory
from sdm_ray.errors import InputError
from sdm_ray.models.distributed import Ranks
from sdm_ray.streams.loader import Stream, batches
from sdm_ray.training.engine.config import OptimConfig
from sdm_ray.training.engine.diagnosis import suspects
from sdm_ray.training.engine.execution import Execution, one_ahead, parts, seed, tensors, without_exchange
from sdm_ray.training.engine.optimiser import MovingAverage, learning_rate, parameter_groups
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.engine.step_meter import StepMeter

Batches = dict[str, Batch[torch.Tensor]]
"""One batch for each stream."""


@dataclass(frozen=True)
class Trained:
    """The result of a fit.

    Attributes:
        objective: the module that `Fit.objective` made, at its best epoch, in evaluation mode.
        history: the figures of each epoch.
        best_epoch: number of epochs that the module was trained for.
    """

    objective: Any
    history: list[dict[str, float]]
    best_epoch: int


@dataclass(frozen=True)
class Fit:
    """One model to train.

    Attributes:
        name: in logs and checkpoints.
        seed: of initial weights, order and dropout.
        optim: optimisation settings.
        steps_per_epoch: steps between two validations; 0 where `finish` replaces training.
        streams: rows by name.
        objective: makes the module that is trained; its `forward(batches, ranks)` returns this rank's loss, scaled
            so that the *mean* over ranks has the gradient of the global batch.
        validate: computes figures on held-out rows, the same on every rank.
        save: saves the trained module; called on rank 0.
        best_by: name of the figure by which the best epoch is kept (higher is better); None keeps the last epoch.
        patience: epochs without improvement after which training stops.
        stop_after: epochs to train, of those that the learning rate schedule is planned for.
        reported: figures whose names end so are printed on the driver; the tracker has all.
        prepare: called before each step with the module and the completed share of training, 0 to 1.
        finish: adds to the module what is not trained by steps; called on every rank.
    """

    name: str
    seed: int
    optim: OptimConfig
    steps_per_epoch: int
    streams: dict[str, Stream]
    objective: Callable[[], nn.Module]
    validate: Callable[[Any, Ranks], dict[str, float]]
    save: Callable[["Trained"], None]
    best_by: str | None = None
    patience: int | None = None
    stop_after: int | None = None
    reported: tuple[str, ...] = ("",)
    prepare: Callable[[Any, float], None] | None = None
    finish: Callable[[Any, Ranks], None] | None = None

    @property
    def steps(self) -> int:
        """Steps to train."""
        return min(self.optim.epochs, self.stop_after or self.optim.epochs) * self.steps_per_epoch


class Checkpointer(Protocol):
    """Saves and restores the state of a fit."""

    def load(self, name: str) -> dict[str, Any] | None:
        """The last saved state of the fit of this name."""

    def due(self) -> bool:
        """Whether it is time to save a state; the answer of rank 0 counts."""

    def save(self, state: dict[str, Any]) -> None:
        """Save a state; called on every rank."""

    def epoch(self, state: Callable[[], dict[str, Any]], figures: dict[str, float]) -> None:
        """Take note of an epoch's figures; called on every rank."""


@dataclass
class Progress:
    """The progress of a fit."""

    step: int = 0
    loss_sum: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, torch.Tensor] | None = None
    best_epoch: int = 0

    def better(self, name: str) -> bool:
        """Whether the last epoch has the best figure so far; NaN never is."""
        figures = [epoch.get(name, math.nan) for epoch in self.history]
        known = [value for value in figures[:-1] if math.isfinite(value)]
        return math.isfinite(figures[-1]) and (not known or figures[-1] > max(known))


def run(
    fit: Fit, ranks: Ranks, checkpointer: Checkpointer, reporter: Reporter, execution: Execution | None = None
) -> Trained:
    """Train one model from the start or from its last saved state.

    Args:
        fit: what to train.
        ranks: this process among the others.
        checkpointer: saves and restores the state.
        reporter: prints and logs progress.
        execution: how steps are carried out.

    Raises:
        InputError: the loss is not a number.
    """
    steps = epochs(fit, ranks, checkpointer, reporter, execution)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            trained: Trained = end.value
            return trained


def epochs(
    fit: Fit, ranks: Ranks, checkpointer: Checkpointer, reporter: Reporter, execution: Execution | None = None
) -> Generator[dict[str, float], None, Trained]:
    """As `run`, but suspended after each epoch, so that several fits can be trained in turn in one process.

    Yields:
        The figures of the epoch.
    """
    how = execution or Execution()
    keep_freed_memory()  # else activations would get new memory pages at each step
    torch.manual_seed(fit.seed)
    trained = how.placed(fit.objective(), ranks.device)
    optimiser = torch.optim.AdamW(parameter_groups(trained, fit.optim.weight_decay), lr=fit.optim.lr, fused=True)
    average = None if fit.optim.ema is None else MovingAverage(trained, fit.optim.ema)
    objective = trained if average is None else average.module  # what is validated and saved
    progress = Progress()
    if (kept := checkpointer.load(fit.name)) is not None:
        trained.load_state_dict(kept["objective"])
        optimiser.load_state_dict(kept["optimiser"])
        if average is not None:
            average.load_state_dict(kept["average"])
        progress = Progress(**kept["progress"])
        reporter.say(f"{fit.name}: continues at step {progress.step} of {fit.steps}")

    def state() -> dict[str, Any]:
        return {
            "fit": fit.name,
            "objective": trained.state_dict(),
            "optimiser": optimiser.state_dict(),
            "average": None if average is None else average.state_dict(),
            "progress": dict(vars(progress)),
        }

    stepper = how.distributed(trained, ranks).train()
    losses, profiler, meter = Losses(fit, ranks), how.profiler(ranks.rank), StepMeter(fit.name, reporter)
    with closing(_stream(fit, ranks, progress.step)) as stream:
        cuts = (list(parts(batch, how.accumulate)) for batch in meter.timed(stream))
        move = lambda cut: [{name: tensors(each, ranks) for name, each in part.items()} for part in cut]  # noqa: E731
        for cut, moved in one_ahead(cuts, move, ranks.device):
            if _stopped(fit, progress):
                break
            if fit.prepare is not None:
                fit.prepare(trained, progress.step / fit.steps)
            losses.add(_step(fit, stepper, optimiser, moved, ranks, progress.step))
            if average is not None:
                average.update(trained)
            progress.step += 1
            profiler.step()
            meter.step(cut, progress.step)
            reporter.at(fit.name, progress.step, fit.steps)
            ended = progress.step % fit.steps_per_epoch == 0
            if ended or how.checks(progress.step, ranks.device):
                progress.loss_sum += losses.read(progress.step)
            if ended:
                figures = _close_epoch(fit, objective, progress, ranks)
                stepper.train()
                shown = {name: value for name, value in figures.items() if name.endswith(fit.reported)}
                reporter.epoch(fit.name, figures, progress.step, shown)
                checkpointer.epoch(state, figures)
                yield figures
            if how.checks(progress.step, ranks.device) and ranks.agree(checkpointer.due()):
                progress.loss_sum = ranks.mean({"sum": progress.loss_sum})["sum"]  # of rank 0 alone, all would go on
                checkpointer.save(state())
    profiler.close()
    meter.close()
    if progress.best is not None:
        objective.load_state_dict(progress.best)
    if fit.finish is not None:
        fit.finish(objective, ranks)
    chosen = progress.best_epoch if progress.best is not None else len(progress.history)
    return Trained(objective.eval(), progress.history, chosen)


def _stream(fit: Fit, ranks: Ranks, start: int) -> Generator[dict[str, Batch[Array]]]:
    each = {name: batches(stream, ranks.rank, ranks.world, start, fit.steps) for name, stream in fit.streams.items()}
    try:
        for _ in range(start, fit.steps):
            yield {name: next(source) for name, source in each.items()}
    finally:
        for source in each.values():
            source.close()


class Losses:
    """The losses of the last steps, which stay on the device until they are looked at together."""

    def __init__(self, fit: Fit, ranks: Ranks) -> None:
        self._fit, self._ranks = fit, ranks
        self._waiting: list[torch.Tensor] = []

    def add(self, loss: torch.Tensor) -> None:
        """Note the loss of a step."""
        self._waiting.append(loss)

    def read(self, step: int) -> float:
        """The sum of what has waited, after so many steps in all.

        Raises:
            InputError: one is not a number; its rows, which follow from the number of its step, are read again.
        """
        values: list[float] = torch.stack(self._waiting).tolist()
        self._waiting.clear()
        for at, value in enumerate(values, step - len(values)):
            if not math.isfinite(value):
                where = self._ranks.rank, self._ranks.world
                batch = {name: stream.take(at, *where) for name, stream in self._fit.streams.items()}
                raise InputError(f"{self._fit.name}: the loss at step {at} is {value}; {suspects(batch)}")
        return sum(values)


def _step(
    fit: Fit,
    stepper: nn.Module,
    optimiser: torch.optim.Optimizer,
    moved: list[Batches],
    ranks: Ranks,
    step: int,
) -> torch.Tensor:
    """One step of the optimiser on the parts of this rank's rows; returns its loss, which is not waited for."""
    # Seeded by step and rank, so that a resume needs no generator's state and ranks drop out different units.
    seed((fit.seed * 1_000_003 + step) * 4096 + ranks.rank, ranks.device)
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(fit.optim, step, fit.optim.epochs * fit.steps_per_epoch)
    optimiser.zero_grad(set_to_none=True)
    device, total = torch.device(ranks.device).type, torch.zeros((), device=ranks.device)
    for number, part in enumerate(moved, 1):
        with without_exchange(stepper, last=number == len(moved)):
            with torch.autocast(device, torch.bfloat16, enabled=fit.optim.precision == "bfloat16"):
                loss = stepper(part, ranks)
            loss.backward()
        total += loss.detach()
    if fit.optim.clip is not None:
        nn.utils.clip_grad_norm_(stepper.parameters(), fit.optim.clip)
    optimiser.step()
    return total


def _close_epoch(fit: Fit, objective: nn.Module, progress: Progress, ranks: Ranks) -> dict[str, float]:
    objective.eval()
    with torch.inference_mode():
        found = fit.validate(objective, ranks)
    figures = ranks.mean({"loss": progress.loss_sum / fit.steps_per_epoch}) | found
    progress.loss_sum = 0.0
    progress.history.append(figures)
    if fit.best_by is not None and progress.better(fit.best_by):
        progress.best_epoch = len(progress.history)
        progress.best = {name: value.detach().cpu().clone() for name, value in objective.state_dict().items()}
    return figures


def _stopped(fit: Fit, progress: Progress) -> bool:
    waited = len(progress.history) - progress.best_epoch
    return fit.best_by is not None and fit.patience is not None and waited >= fit.patience
