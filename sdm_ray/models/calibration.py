"""From the logits of a species model to probabilities that agree with how often species are found."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

KNOTS = np.linspace(-12, 12, 97)
"""Logits between which a curve is straight; below the first and above the last its slope is 1."""
_PARTS = ("scale", "shift", "curve")


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

    def apply(self, logits: Tensor, species: slice) -> Tensor:
        """Calibrated logits of K of the species, (K, N)."""
        scaled = logits * self.scale[species, None] + self.shift[species, None]
        return scaled if self.curve is None else bend(scaled, self.curve[species])

    def of_species(self, numbers: list[int]) -> "Calibration":
        """The calibration of some species."""
        return Calibration(*(None if each is None else each[numbers] for each in self))  # type: ignore[arg-type]

    def to(self, like: Tensor) -> "Calibration":
        """The same numbers of another type, on another device."""
        return Calibration(*(None if each is None else each.to(like) for each in self))  # type: ignore[arg-type]


def calibrations_of(state: Mapping[str, Tensor]) -> dict[str, Calibration]:
    """The calibrations among the weights of a species model, by name; "" is that of all its inputs."""
    names = ["", *dict.fromkeys(each.split(".")[1] for each in state if each.startswith("calibrations."))]
    prefixes = {name: f"calibrations.{name}." if name else "calibration_" for name in names}
    return {
        name: Calibration(*(state.get(f"{prefix}{part}") for part in _PARTS))  # type: ignore[arg-type]
        for name, prefix in prefixes.items()
    }


class InputCalibrations(nn.Module):
    """Calibrations for predictions from fewer inputs than a model has, by the name of the set of inputs.

    A map has no photos and no time series: logits that are less certain need a calibration of their own.
    """

    def names(self) -> list[str]:
        """Of the sets that have a calibration of their own."""
        return [name for name, _ in self.named_children()]

    def __getitem__(self, name: str) -> Calibration:
        held = self.get_submodule(name)
        return Calibration(*(getattr(held, part, None) for part in _PARTS))  # type: ignore[arg-type]

    def get(self, name: str, default: Calibration) -> Calibration:
        """The calibration of a set, or the default where it has none of its own."""
        return self[name] if name in self.names() else default

    def __setitem__(self, name: str, calibration: Calibration) -> None:
        part = nn.Module()
        for key, values in zip(_PARTS, calibration, strict=True):
            if values is not None:
                part.register_buffer(key, values)
        self.add_module(name, part)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:  # noqa: ANN401
        held = {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}
        for name in dict.fromkeys(key.partition(".")[0] for key in held):
            self[name] = Calibration(*(held.get(f"{name}.{part}") for part in _PARTS))  # type: ignore[arg-type]
        super()._load_from_state_dict(state_dict, prefix, *args)


def name_of(given: Collection[str]) -> str:
    """The name of a set of images and series that a prediction is given beside coordinates and covariates."""
    return "+".join(sorted(given)) or "location"


def mean_of(found: Sequence[Calibration]) -> Calibration:
    """The mean of calibrations of one kind; the mean of rising curves rises."""
    curves = [each.curve for each in found if each.curve is not None]
    scale = torch.stack([each.scale for each in found]).mean(0)
    shift = torch.stack([each.shift for each in found]).mean(0)
    return Calibration(scale, shift, torch.stack(curves).mean(0) if curves else None)


def means_of(found: Sequence[Mapping[str, Calibration]]) -> dict[str, Calibration]:
    """The mean of the calibrations of each name."""
    return {name: mean_of([each[name] for each in found]) for name in found[0]}


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
