"""Time series of a place to an embedding, whatever is missing in them."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sdm_ray.models.config import SeriesConfig
from sdm_ray.models.layers import Standard

_GROUPS = 8
_PROFILES = 8


class SeriesEncoder(nn.Module):
    """A small residual network over the calendar of a series.

    Channels are standardised; where nothing was measured they are 0, and marked in mask channels. Two
    axes of time, such as quarter and year, are convolved like the rows and columns of an image. At the end each of
    several learnt profiles over the calendar weighs the times, so that the season and the year of an event count.

    Args:
        shape: of a series: channels, then one or two axes of time.
        config: the sizes.
    """

    def __init__(self, shape: Sequence[int], config: SeriesConfig) -> None:
        super().__init__()
        channels, *times = shape
        self.times = (1, *times)[-2:]
        self.standard = Standard(channels)
        self.stem = nn.Conv2d(2 * channels, config.hidden, 3, padding=1)
        self.blocks = nn.Sequential(*(_Block(config.hidden) for _ in range(config.depth)))
        self.profiles = nn.Parameter(torch.randn(_PROFILES, math.prod(times)) / 2)
        width = _PROFILES * config.hidden
        self.project = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.dim))

    def forward(self, values: Tensor) -> Tensor:
        """Series (N, channels, time...), not finite where nothing was measured, to embeddings (N, dim)."""
        known = torch.isfinite(values)
        standard = self.standard(torch.where(known, values, 0.0).movedim(1, -1)).movedim(-1, 1)
        seen = torch.cat([standard * known, known.to(values.dtype)], 1)
        made = self.blocks(self.stem(seen.unflatten(2, (1, -1)) if seen.ndim == 3 else seen))
        return self.project(torch.einsum("nhp,kp->nkh", made.flatten(2), self.profiles.softmax(-1)).flatten(1))


class _Block(nn.Module):
    """Two convolutions with group norm before them, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers = [(nn.GroupNorm(_GROUPS, width), nn.GELU(), nn.Conv2d(width, width, 3, padding=1)) for _ in range(2)]
        self.layers = nn.Sequential(*(each for part in layers for each in part))

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, height, width) to the same."""
        return x + self.layers(x)
