"""This process among the ranks that train together; the same code for one rank and for many."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from sdm_ray import batch
from sdm_ray.batch import Array


@dataclass(frozen=True)
class Ranks:
    """Where this process stands; all ranks hold rows of one global batch.

    Attributes:
        rank: 0 to world - 1.
        world: number of ranks; 1 needs no process group.
        device: where this rank computes.
        group: the process group, None for the default one.
    """

    rank: int = 0
    world: int = 1
    device: str = "cpu"
    group: Any = None

    def share(self, rows: int) -> slice:
        """This rank's part of `rows` rows."""
        return batch.share(rows, self.rank, self.world)

    def gather(self, rows: Tensor) -> list[Tensor]:
        """The rows of every rank, which may differ in number; without gradient."""
        if self.world == 1:
            return [rows]
        counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(self.world)]
        dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device), group=self.group)
        longest = int(max(counts))
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.world)]
        dist.all_gather(parts, padded.contiguous(), group=self.group)
        return [part[: int(count)] for part, count in zip(parts, counts, strict=True)]

    def total(self, value: Tensor) -> Tensor:
        """The sum over ranks."""
        if self.world > 1:
            value = value.clone()
            dist.all_reduce(value, group=self.group)
        return value

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Mean of each value over the ranks."""
        if self.world == 1:
            return values
        tensor = self.total(torch.tensor(list(values.values()), dtype=torch.float64, device=self.device))
        return dict(zip(values, (tensor / self.world).tolist(), strict=True))

    def rows(self, part: Array) -> Array:
        """The rows of all ranks, in their order, on every rank."""
        if self.world == 1:
            return part
        parts: list[Array] = [part] * self.world
        dist.all_gather_object(parts, part, group=self.group)
        return np.concatenate(parts)

    def agree(self, flag: bool) -> bool:
        """The flag of rank 0, on every rank."""
        if self.world == 1:
            return flag
        tensor = torch.tensor([int(flag)], device=self.device)
        dist.broadcast(tensor, src=0, group=self.group)
        return bool(tensor.item())

    def wait(self) -> None:
        """Wait for all ranks."""
        if self.world > 1:
            dist.barrier(group=self.group)


ALONE = Ranks()
"""One rank, without a process group."""
