"""One rank's stream of batches: the order of training is carried out from step `start` on, a little ahead of its use.

The rows of step k are the same for any number of ranks and for any `start`. How they are read depends on the parts of
the dataset (`parts`): threads of the rank or, with `readers`, tasks of Ray Data on any machine decode images, and
windows of a cube are read in the order of its chunks.
"""

import math
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Self

from sdm_ray.batch import Array, Batch, Ints
from sdm_ray.streams.chunk_shuffle_sampler import ChunkShuffleSampler
from sdm_ray.streams.config import Mixing
from sdm_ray.streams.dataset import Dataset, Schedule, merged
from sdm_ray.streams.reader_tasks import NO_TASKS, ReaderTasks
from sdm_ray.streams.sampler import Sampler
from sdm_ray.streams.windows import Windows

_SEQUENCE_ROWS = 64  # places of an interleaved sequence at least


@dataclass(frozen=True)
class Stream:
    """What is read, in which order, in which global batches.

    Attributes:
        dataset: makes batches of ids.
        sampler: gives the ids of every position.
        batch: rows of a global batch.
        readers: Ray Data tasks that read for each rank.
    """

    dataset: Dataset
    sampler: Sampler | ChunkShuffleSampler
    batch: int
    readers: ReaderTasks = NO_TASKS

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        seed: int,
        batch: int,
        mixing: Mixing | None = None,
        readers: ReaderTasks = NO_TASKS,
    ) -> Self:
        """A stream that is shuffled; of windows of a cube in an order that can be read fast.

        Args:
            dataset: what is read.
            seed: of the order.
            batch: rows of a global batch.
            mixing: how windows are shuffled.
            readers: Ray Data tasks that read for each rank; by default threads of the rank itself do.

        Raises:
            InputError: the cube lacks a band or the season.
        """
        found = [windows for part in dataset.parts() if (windows := part.windows) is not None]
        sampler: Sampler | ChunkShuffleSampler = Sampler(len(dataset), seed)
        if found:
            sampler = _by_chunks(found[0], seed, batch, mixing or Mixing())
        return cls(dataset, sampler, batch, readers)

    def schedule(self, rank: int, world: int, steps: range) -> Schedule:
        """The rows of a rank at some steps; those of all ranks are the global batches."""
        slots = self.sampler.slots(self.batch, rank, world)
        return Schedule(self.sampler, self.batch, slots, steps, self.readers)

    def rows(self, steps: range, rank: int = 0, world: int = 1) -> tuple[Ints, Ints]:
        """Ids and epochs of a rank's rows at some steps, each (len(steps), local batch) int64."""
        return self.schedule(rank, world, steps).rows(steps)

    def take(self, step: int, rank: int = 0, world: int = 1) -> Batch[Array]:
        """The batch of one step, read here and now."""
        ids, epochs = self.rows(range(step, step + 1), rank, world)
        return self.dataset.read(ids[0], epochs[0])


def batches(stream: Stream, rank: int, world: int, start: int, stop: int) -> Generator[Batch[Array]]:
    """This rank's batches of the steps from `start` to before `stop`.

    The arrays may be read-only views of Ray's object store.

    Raises:
        InputError: something cannot be read.
    """
    if start >= stop:
        return
    schedule = stream.schedule(rank, world, range(start, stop))
    with ExitStack() as stack:
        sources = [stack.enter_context(closing(part.batches(schedule))) for part in stream.dataset.parts()]
        for found in zip(*sources, strict=True):
            yield merged(found)


def in_order(dataset: Dataset, batch: int, readers: ReaderTasks = NO_TASKS) -> Generator[Batch[Array]]:
    """Every row once, in the order of the ids and of epoch 0, as for validation; read a little ahead of its use.

    Args:
        dataset: what is read.
        batch: rows of each batch but the last.
        readers: Ray Data tasks that read; by default threads of this process do.

    Raises:
        InputError: something cannot be read.
    """
    count = len(dataset)
    if count == 0:
        return
    size = min(batch, count)
    stream = Stream(dataset, Sampler(count, 0, shuffled=False), size, readers)
    starts = range(0, count, size)
    with closing(batches(stream, 0, 1, 0, len(starts))) as found:
        for start, each in zip(starts, found, strict=True):  # the last goes on with the first rows
            yield Batch({name: values[: count - start] for name, values in each.items()})


def _by_chunks(windows: Windows, seed: int, batch: int, mixing: Mixing) -> ChunkShuffleSampler:
    places = windows.in_chunks()
    interleave = math.gcd(batch, mixing.interleave) if len(places) >= _SEQUENCE_ROWS * mixing.interleave else 1
    return ChunkShuffleSampler(places, seed, batch, mixing.shuffle_window, interleave)
