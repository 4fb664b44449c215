"""This process among the ranks of a training run; the same code for one rank and for many."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import distributed

from sdm_ray.streams.sampler import share


@dataclass(frozen=True)
class Ranks:
    """Where this process stands.

    Attributes:
        rank: 0 to world - 1.
        world: number of ranks.
        device: where this rank computes.
    """

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    def share(self, rows: int) -> slice:
        """This rank's part of `rows` rows."""
        return share(rows, self.rank, self.world)

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Mean of each value over the ranks."""
        if self.world == 1:
            return values
        tensor = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        distributed.all_reduce(tensor)
        return dict(zip(values, (tensor / self.world).tolist(), strict=True))

    def rows(self, part: np.ndarray) -> np.ndarray:
        """The rows of all ranks, in their order, on every rank."""
        if self.world == 1:
            return part
        parts: list[np.ndarray] = [part] * self.world
        distributed.all_gather_object(parts, part)
        return np.concatenate(parts)

    def agree(self, flag: bool) -> bool:
        """What rank 0 says."""
        if self.world == 1:
            return flag
        tensor = torch.tensor([int(flag)], device=self.device)
        distributed.broadcast(tensor, src=0)
        return bool(tensor.item())

    def wait(self) -> None:
        """Wait for all ranks."""
        if self.world > 1:
            distributed.barrier()
