"""The learning rate of each step."""

import itertools
import math

import pytest

from sdm_ray.training.engine.config import OptimConfig
from sdm_ray.training.engine.optimiser import learning_rate


def test_the_learning_rate_rises_then_falls_to_zero():
    optim = OptimConfig(lr=1.0, warmup=0.1)
    rates = [learning_rate(optim, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1.0)
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))
    assert rates[-1] < 0.01 and not any(map(math.isnan, rates))
