"""The residual network that the encoders share."""

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
