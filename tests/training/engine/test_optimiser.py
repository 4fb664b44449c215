"""The learning rate of each step, and the average of the weights."""

import itertools
import math

import pytest
import torch

from sdm_ray.training.engine.config import OptimConfig
from sdm_ray.training.engine.optimiser import MovingAverage, learning_rate


def test_the_learning_rate_rises_then_falls_to_zero():
    optim = OptimConfig(lr=1.0, warmup=0.1)
    rates = [learning_rate(optim, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1.0)
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))
    assert rates[-1] < 0.01 and not any(map(math.isnan, rates))


def test_the_average_follows_the_weights_of_short_trainings():
    weights = torch.nn.Linear(1, 1, bias=False)
    average = MovingAverage(weights, 0.999)
    decays = []
    for step in range(400):
        before = average.module.weight.item() if step else 0.0
        torch.nn.init.constant_(weights.weight, step + 1)
        average.update(weights)
        if step:
            decays.append((step + 1 - average.module.weight.item()) / (step + 1 - before))
    assert decays == pytest.approx([(1 + t) / (10 + t) for t in range(1, 400)], rel=1e-3)
    assert 400 - average.module.weight.item() < 50  # of a constant .999 still 330 behind
    short = MovingAverage(weights, 0.5)
    for value in (0.0, 1.0, 1.0, 1.0):
        torch.nn.init.constant_(weights.weight, value)
        short.update(weights)
    assert short.module.weight.item() == pytest.approx(1 - (2 / 11) * (3 / 12) * (4 / 13))
