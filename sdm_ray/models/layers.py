"""The residual network that the encoders share."""

import torch
from torch import Tensor, nn


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
