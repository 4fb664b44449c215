"""Augmentation of images on the device, from random numbers by key: independent of the batch that a row is in."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """Random changes of images in training.

    Attributes:
        turns: whether they are turned by quarters and flipped; otherwise they are flipped from left to right.
        jitter: largest share by which brightness, contrast and saturation change.
        band_dropout: chance that one band of an image is set to 0, whichever band.
    """

    turns: bool = False
    jitter: float = 0.0
    band_dropout: float = 0.0

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Augmented images.

        Args:
            images: (N, bands, side, side) of any type; pixels that are 0 have no data and stay 0 under jitter.
            draws: uniform random numbers in [0, 1), (N, 5) or more.

        Returns:
            float32 (N, bands, side, side).
        """
        values = dihedral(images.float(), draws[:, 0], 8 if self.turns else 2)
        if self.jitter:
            values = torch.where(values == 0, 0.0, _jittered(values, 1 + self.jitter * (2 * draws[:, 1:4] - 1)))
        if self.band_dropout:
            values = values * _kept_bands(draws[:, 4], self.band_dropout, values.shape[1])[:, :, None, None]
        return values


def dihedral(images: Tensor, draw: Tensor, choices: int = 8) -> Tensor:
    """One of the turns and flips of a square for each image (N, B, S, S); with 2 choices, a flip or none.

    Every image is transposed and flipped, and the result taken where it was drawn: to ask which images those are would
    make a process wait for its GPU.
    """
    number = (draw * choices).long()[:, None, None, None]
    turns, mirrored = number % (choices // 2), number >= choices // 2
    if choices > 2:  # a quarter turn transposes and flips up and down, two flip both ways, three transpose and flip
        images = torch.where(turns % 2 == 1, images.transpose(2, 3), images)
        images = torch.where((turns == 1) | (turns == 2), images.flip(2), images)
    return torch.where((turns >= 2) ^ mirrored, images.flip(3), images)


def _jittered(values: Tensor, factors: Tensor) -> Tensor:
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    values = values * brightness
    mean = values.mean((1, 2, 3), keepdim=True)
    values = mean + (values - mean) * contrast
    grey = values.mean(1, keepdim=True)
    return (grey + (values - grey) * saturation).clamp(min=0)


def _kept_bands(draw: Tensor, chance: float, bands: int) -> Tensor:
    """0 for the band that an image loses, 1 elsewhere, (N, bands)."""
    lost = (draw / chance * bands).long()
    return (lost[:, None] != torch.arange(bands, device=draw.device)).float()
