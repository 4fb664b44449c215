"""Who computes a loss together."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Workers:
    """Who takes part: all workers hold rows of one global batch.

    Attributes:
        rank: number of this worker.
        world_size: number of workers; 1 needs no process group.
        group: the process group, None for the default one.
    """

    rank: int = 0
    world_size: int = 1
    group: Any = None

    def gather(self, rows: Tensor) -> list[Tensor]:
        """The rows of every worker, which may differ in number; without gradient."""
        if self.world_size == 1:
            return [rows]
        counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(self.world_size)]
        dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device), group=self.group)
        longest = int(max(counts))
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.world_size)]
        dist.all_gather(parts, padded.contiguous(), group=self.group)
        return [part[: int(count)] for part, count in zip(parts, counts, strict=True)]

    def total(self, value: Tensor) -> Tensor:
        """The sum over workers."""
        if self.world_size > 1:
            value = value.clone()
            dist.all_reduce(value, group=self.group)
        return value


ALONE = Workers()
"""One worker, without a process group."""
