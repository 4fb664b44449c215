"""Optimisation: parameter groups, the learning rate of each step, and a moving average of the weights."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sdm_ray.training.engine.config import OptimConfig


def learning_rate(optim: OptimConfig, step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine to zero."""
    warm = max(1, round(optim.warmup * steps))
    if step < warm:
        return optim.lr * (step + 1) / warm
    return optim.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def parameter_groups(objective: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices; none for vectors and scalars (biases, norms, temperatures)."""
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]


class MovingAverage:
    """A moving average of the weights; with each step its buffers become those of the objective.

    The decay warms up, `min(decay, (1 + t) / (10 + t))` at step t, as TensorFlow's ExponentialMovingAverage has it: the
    average spans a tenth of the steps so far at the most, so that it follows the weights in short trainings too.

    Torch's `AveragedModel` keeps t in a tensor, which would have to be read from the device at each step.

    Args:
        objective: whose weights are averaged.
        decay: of the average in long trainings.

    Attributes:
        module: with the averaged weights.
    """

    def __init__(self, objective: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(objective)
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def update(self, objective: nn.Module) -> None:
        """Take the weights after a step into the average; the first ones are the average."""
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps)) if self._steps else 0.0
        averaged, current = list(self.module.parameters()), list(objective.parameters())
        get_ema_multi_avg_fn(decay)(averaged, current, self._steps)
        for own, each in zip(self.module.buffers(), objective.buffers(), strict=True):
            own.copy_(each)
        self._steps += 1

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` continues from."""
        return {"steps": self._steps, "module": self.module.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self._steps = state["steps"]
        self.module.load_state_dict(state["module"])
