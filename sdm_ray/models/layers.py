"""The layers that the models share."""

import torch
from torch import Tensor, nn

_FREQUENCY = 0.3  # turns per standard deviation, where learning starts


class ResidualBlock(nn.Module):
    """Two layers with layer norm before them, added to their input."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, width) to (N, width)."""
        return x + self.layers(x)


def residual_mlp(inputs: int, hidden: int, depth: int, outputs: int, dropout: float = 0.0) -> nn.Sequential:
    """A linear layer, `depth` residual blocks of width `hidden`, layer norm and a linear layer."""
    blocks = [ResidualBlock(hidden, dropout) for _ in range(depth)]
    return nn.Sequential(nn.Linear(inputs, hidden), *blocks, nn.LayerNorm(hidden), nn.Linear(hidden, outputs))


class PeriodicNumbers(nn.Module):
    """Each number with sines and cosines of learnt frequencies, and a layer for each number, to fit steep responses.

    Gorishniy et al. 2022, On Embeddings for Numerical Features in Tabular Deep Learning (PLR).

    Args:
        count: numbers of a row.
        frequencies: learnt frequencies of each number.
        dim: features made of each number, besides the number itself.
    """

    def __init__(self, count: int, frequencies: int, dim: int = 8) -> None:
        super().__init__()
        self.dim = count * (1 + dim)
        self.frequencies = nn.Parameter(torch.randn(count, frequencies) * _FREQUENCY)
        self.weight = nn.Parameter(torch.randn(count, 2 * frequencies, dim) / (2 * frequencies) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(count, dim))

    def forward(self, values: Tensor) -> Tensor:
        """Standardised numbers (N, C) to (N, dim)."""
        phase = 2 * torch.pi * values[:, :, None] * self.frequencies
        waves = torch.cat([torch.sin(phase), torch.cos(phase)], -1)
        made = torch.relu(torch.einsum("ncf,cfd->ncd", waves, self.weight) + self.bias)
        return torch.cat([values, made.flatten(1)], 1)


class Standard(nn.Module):
    """Numbers standardised with statistics that are set once."""

    mean: Tensor
    std: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("std", torch.ones(count))

    @torch.no_grad()
    def set(self, mean: Tensor, std: Tensor) -> None:
        """Mean and standard deviation, (C,) each; what does not vary is left as it is."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def forward(self, values: Tensor) -> Tensor:
        """(N, C) to (N, C)."""
        return (values - self.mean) / self.std
