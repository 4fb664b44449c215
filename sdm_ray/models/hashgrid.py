"""A multiresolution hash grid over the EPSG:3035 plane, in plain torch."""

import math

import torch
from torch import Tensor, nn

from sdm_ray.models.annealing import Annealed
from sdm_ray.models.config import HashConfig
from sdm_ray.models.projection import to_xy

_EXTENT_M = (8_000_000.0, 6_000_000.0)  # the EPSG:3035 plane of Europe, from 0, 0
_PRIME = 2_654_435_761


class HashGrid(Annealed):
    """Learnt features at the corners of nested grids, interpolated (Mueller et al. 2022).

    A level whose corners fit its table has a row for each; finer ones share rows by a hash of the corner. Coarse
    levels may be learnt before fine ones (`anneal`).

    Args:
        longest_m: cell of the coarsest level, metres.
        shortest_m: cell of the finest level.
        config: levels, rows of a table, features of a row.
    """

    cells: Tensor

    def __init__(self, longest_m: float, shortest_m: float, config: HashConfig) -> None:
        super().__init__(config.levels)
        steps = torch.linspace(0, 1, config.levels, dtype=torch.float64)
        cells = longest_m * (shortest_m / longest_m) ** steps
        self.register_buffer("cells", cells)
        self._corners = [[math.floor(extent / cell) + 2 for extent in _EXTENT_M] for cell in cells.tolist()]
        self.rows = config.table
        self.tables = nn.Parameter(torch.empty(config.levels, config.table, config.features).uniform_(-1e-2, 1e-2))
        self.dim = config.levels * config.features

    def forward(self, lonlat: Tensor) -> Tensor:
        """Degrees (N, 2) float64 to features (N, dim) float32."""
        xy = to_xy(lonlat)
        xy = torch.stack([each.clamp(0, extent) for each, extent in zip(xy.unbind(-1), _EXTENT_M, strict=True)], -1)
        shares = self.shares()
        levels = [share * self._level(number, xy) for number, share in enumerate(shares)]
        return torch.cat(levels, -1)

    def _level(self, number: int, xy: Tensor) -> Tensor:
        """Bilinear interpolation between the four corners around each place."""
        position = xy / self.cells[number]
        corner = torch.floor(position)
        within = (position - corner).float()
        across, down = self._corners[number]
        total = torch.zeros(len(xy), self.tables.shape[-1], device=xy.device)
        for east in (0, 1):
            for north in (0, 1):
                weight = (within[:, 0] if east else 1 - within[:, 0]) * (within[:, 1] if north else 1 - within[:, 1])
                x, y = corner[:, 0].long() + east, corner[:, 1].long() + north
                row = y * across + x if across * down <= self.rows else torch.bitwise_xor(x, y * _PRIME) % self.rows
                total = total + weight[:, None] * self.tables[number, row]
        return total
