"""What training reads: a dataset gives batches of its rows, in parts that are each read in the way that suits them."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from sdm_ray.batch import Array, Batch, Ints
from sdm_ray.streams.chunk_shuffle_sampler import ChunkShuffleSampler
from sdm_ray.streams.reader_tasks import NO_TASKS, ReaderTasks
from sdm_ray.streams.sampler import Sampler
from sdm_ray.streams.windows import Windows

Read = Callable[[Ints, Ints], Batch[Array]]
"""(ids, epochs), each (N,) int64 -> a batch of N rows; shapes beyond the first axis are fixed. Picklable."""


@dataclass(frozen=True)
class Schedule:
    """Which rows one rank reads at which steps.

    Attributes:
        sampler: gives the ids of every position.
        batch: rows of a global batch.
        slots: this rank's rows of every global batch, ascending.
        steps: the steps that are read, one after the other.
        readers: Ray Data tasks that read for the rank.
    """

    sampler: Sampler | ChunkShuffleSampler
    batch: int
    slots: Ints
    steps: range
    readers: ReaderTasks = NO_TASKS

    def rows(self, steps: range) -> tuple[Ints, Ints]:
        """Ids and epochs of the rank's rows at some steps, each (len(steps), len(slots)) int64."""
        return self.sampler.at(np.arange(steps.start, steps.stop)[:, None] * self.batch + self.slots)


class Part(Protocol):
    """Some keys of a dataset's batches, all read in one way."""

    @property
    def windows(self) -> Windows | None:
        """Windows of a cube that are read for it, of each id; None without any."""
        ...

    def read(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        """Its keys of one batch, read here and now."""
        ...

    def batches(self, schedule: Schedule) -> Generator[Batch[Array]]:
        """Its keys of the batches of all steps.

        Raises:
            InputError: something cannot be read.
        """
        ...


class Dataset(Protocol):
    """Rows by id, 0 to n - 1. Picklable; what a row is depends on its id and on the epoch alone."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def read(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        """A batch of rows (N,), each in its epoch (N,), from which random augmentation follows.

        Raises:
            InputError: something cannot be read.
        """
        ...

    def subset(self, rows: Ints, *, plain: bool = False) -> Self:
        """Some of the rows, numbered anew from 0; `plain` for prediction: without anything random."""
        ...

    def parts(self) -> Sequence[Part]:
        """What its batches consist of."""
        ...


def read_parts(parts: Sequence[Part], ids: Ints, epochs: Ints) -> Batch[Array]:
    """One batch, read here and now."""
    return merged([part.read(ids, epochs) for part in parts])


def merged(found: Sequence[Batch[Array]]) -> Batch[Array]:
    """The keys of several batches of the same rows as one batch."""
    return Batch({name: values for each in found for name, values in each.items()})
