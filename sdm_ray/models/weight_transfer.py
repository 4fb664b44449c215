"""What a species model takes over before it is trained: a pretrained encoder, or another species model."""

from typing import get_args

import numpy as np
import torch
from torch import Tensor

from sdm_ray.errors import InputError
from sdm_ray.models.config import Scale
from sdm_ray.models.species_model import SpeciesModel

_SET_BY = {
    "location.features.directions": "location.wavelengths_km",
    "location.features.cells": "location.wavelengths_km",
    **{f"{scale}.{name}": f"{scale}.{name}" for scale in get_args(Scale) for name in ("mean", "std")},
}
"""Buffers that training never changes -> the settings that they come from."""


def load_encoder(model: SpeciesModel, weights: dict[str, Tensor]) -> None:
    """Take over the location encoder and the image towers of an alignment model.

    Raises:
        InputError: a weight is missing there or has another shape, or something that the configuration sets
            differs though its shape is the same.
    """
    own = model.state_dict()
    wanted = {name: f"towers.{name}" for name in own if name.partition(".")[0] in model.config.towers}
    wanted |= {name: name for name in own if name.startswith("location.")}
    for name, theirs in wanted.items():
        if theirs not in weights:
            raise InputError(f"encoder: has no {theirs}; pretrain with the location and images of the model")
        if weights[theirs].shape != own[name].shape:
            found, expected = tuple(weights[theirs].shape), tuple(own[name].shape)
            raise InputError(f"encoder: {theirs} has shape {found}, the species model expects {expected}")
        if name in _SET_BY and not torch.allclose(weights[theirs].to(own[name]), own[name]):
            raise InputError(f"encoder: {theirs} differs; expected the same {_SET_BY[name]} as in pretraining")
    model.load_state_dict({**own, **{name: weights[theirs] for name, theirs in wanted.items()}})


@torch.no_grad()
def start_from(model: SpeciesModel, other: SpeciesModel, shared: tuple[np.ndarray, np.ndarray]) -> None:
    """Take over the weights of a model of other species; the head's and calibration of those that both know.

    What inputs are standardised by comes with the weights. That the inputs are the same, in the same order, is for the
    caller to see: shapes do not tell.

    Args:
        model: to be trained.
        other: a model of the same inputs and sizes.
        shared: numbers of the common species there, and here.

    Raises:
        InputError: it is built otherwise.
    """
    own, theirs = model.state_dict(), other.state_dict()
    for name, value in own.items():
        if name.startswith(("head.", "calibration_")):
            value[shared[1]] = theirs[name][shared[0]]
        elif name not in theirs or theirs[name].shape != value.shape:
            found = tuple(theirs[name].shape) if name in theirs else "nothing"
            raise InputError(f"start: {name} is {found} there, expected {tuple(value.shape)}, the same `model`")
        elif name in _SET_BY and not torch.allclose(theirs[name].to(value), value):
            raise InputError(f"start: {name} differs there; expected the same `model.{_SET_BY[name]}`")
        else:
            value.copy_(theirs[name])
