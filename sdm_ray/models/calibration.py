"""Calibration of a species model's logits."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

KNOTS = np.linspace(-12, 12, 97)
"""Knots of a piecewise linear curve; beyond the first and the last its slope is 1."""


class Calibration(NamedTuple):
    """The calibrated logit of a species is curve(scale * logit + shift).

    Attributes:
        scale: (S,).
        shift: (S,).
        curve: its values at `KNOTS`, strictly rising, (S, K); None for the identity.
    """

    scale: Tensor
    shift: Tensor
    curve: Tensor | None = None

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> "Calibration":
        """The calibration in the weights of a species model."""
        return cls(state["calibration_scale"], state["calibration_shift"], state.get("calibration_curve"))


def mean_of(found: Sequence[Calibration]) -> Calibration:
    """The mean of calibrations of one kind; the mean of rising curves rises."""
    curves = [each.curve for each in found if each.curve is not None]
    scale = torch.stack([each.scale for each in found]).mean(0)
    shift = torch.stack([each.shift for each in found]).mean(0)
    return Calibration(scale, shift, torch.stack(curves).mean(0) if curves else None)


def bend(logits: Tensor, curve: Tensor) -> Tensor:
    """The values of curves.

    Args:
        logits: of S species, (S, N).
        curve: values at `KNOTS`, (S, K).
    """
    last = curve.shape[1] - 1
    inside = logits.clamp(KNOTS[0], KNOTS[-1])
    place = (inside - KNOTS[0]) * (last / (KNOTS[-1] - KNOTS[0]))
    left = place.floor().clamp(max=last - 1)
    low, high = (curve.gather(1, left.long() + step) for step in (0, 1))
    return torch.lerp(low, high, place - left) + (logits - inside)
