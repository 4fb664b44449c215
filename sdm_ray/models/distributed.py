"""This process among the ranks that train together; the same code for one rank and for many."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from sdm_ray import batch
from sdm_ray.batch import Array

Value = TypeVar("Value")


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

    def counts(self, rows: int, batch_rows: int | None = None) -> list[int]:
        """How many rows each rank has.

        Args:
            rows: of this rank.
            batch_rows: of the global batch, where each rank has its share of it: then nothing is asked for and read
                from the device.

        Raises:
            ValueError: this rank has not its share.
        """
        if self.world == 1:
            return [rows]
        if batch_rows is not None:
            ends = [batch.share(batch_rows, rank, self.world) for rank in range(self.world)]
            found = [end.stop - end.start for end in ends]
            if found[self.rank] != rows:
                raise ValueError(f"{rows} rows on rank {self.rank}, expected {found[self.rank]} of {batch_rows}")
            return found
        parts = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.world)]
        dist.all_gather(parts, torch.tensor([rows], device=self.device), group=self.group)
        counted: list[int] = torch.cat(parts).tolist()
        return counted

    def gather(self, rows: Tensor, counts: Sequence[int] | None = None) -> list[Tensor]:
        """The rows of every rank, which may differ in number; without gradient.

        Args:
            rows: of this rank.
            counts: how many each rank has; by default they are asked for.
        """
        if self.world == 1:
            return [rows]
        counts = counts or self.counts(len(rows))
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.world)]
        dist.all_gather(parts, padded.contiguous(), group=self.group)
        return [part[:count] for part, count in zip(parts, counts, strict=True)]

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

    def first(self, make: Callable[[], Value]) -> Value:
        """What rank 0 makes, on every rank; where it raises an error, every rank raises it."""
        if self.world == 1:
            return make()
        found: list[Any] = [None, None]
        if self.rank == 0:
            try:
                found[0] = make()
            except Exception as error:
                found[1] = error
        dist.broadcast_object_list(found, src=0, group=self.group)
        if found[1] is not None:
            raise found[1]
        value: Value = found[0]
        return value

    def wait(self) -> None:
        """Wait for all ranks."""
        if self.world > 1:
            dist.barrier(group=self.group)


ALONE = Ranks()
"""One rank, without a process group."""
