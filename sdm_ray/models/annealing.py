"""Coarse-to-fine features: long wavelengths are learnt before short ones."""

import math

import torch
from torch import Tensor, nn


class Annealed(nn.Module):
    """Features in levels that are faded in one after the other (Park et al. 2021, Nerfies, equation 8).

    Args:
        levels: number of levels, the coarsest first; all are used until `anneal` is called.
    """

    progress: Tensor

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.register_buffer("progress", torch.ones(()))

    @torch.no_grad()
    def anneal(self, share: float) -> None:
        """Use the first `share` of the levels, 0 to 1."""
        self.progress.fill_(min(max(share, 0.0), 1.0))

    def shares(self) -> Tensor:
        """Weight of each level, (levels,), 0 to 1."""
        number = torch.arange(self.levels, device=self.progress.device)
        within = (self.progress * self.levels - number).clamp(0, 1)
        return (1 - torch.cos(math.pi * within)) / 2
