"""Optimisation: parameter groups, the learning rate of each step, and a moving average of the weights."""

import math
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

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


def moving_average(objective: nn.Module, decay: float | None) -> AveragedModel | None:
    """A moving average of the weights; with each step its buffers become those of the objective.

    The decay warms up, `min(decay, (1 + t) / (10 + t))` at step t, as TensorFlow's ExponentialMovingAverage has it: the
    average spans a tenth of the steps so far at the most, so that it follows the weights in short trainings too.
    """
    if decay is None:
        return None

    def update(averaged: Any, current: Any, count: Any) -> None:  # noqa: ANN401 - lists of tensors, a tensor
        step = int(count)
        get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))(averaged, current, count)

    return AveragedModel(objective, multi_avg_fn=update)
