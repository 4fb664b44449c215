"""The three ways to read a part of a dataset's batches: from memory, by decoding files, or from a tile cube."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from sdm_ray.batch import Array, Batch, Ints
from sdm_ray.streams.chunk_shuffle_sampler import ChunkShuffleSampler
from sdm_ray.streams.dataset import Read, Schedule
from sdm_ray.streams.prefetch import prefetch
from sdm_ray.streams.windows import Windows

_STEPS_AHEAD = 2  # of the rank's own threads: while the last images of one step are decoded, the next has begun
_PLANNED_ROWS = 1 << 20  # windows whose reading is planned at once, so that the plan of a long training stays small
_GROUP_ROWS = 64  # windows read together at least: chunks that they share need not wait in memory


@dataclass(frozen=True)
class InMemory:
    """Rows of arrays in memory, which the training picks between two steps.

    Attributes:
        read: makes a batch.
    """

    read: Read
    windows: None = None

    def batches(self, schedule: Schedule) -> Generator[Batch[Array]]:
        """The batches of all steps."""
        for step in schedule.steps:
            yield _read(self.read, schedule, step)


@dataclass(frozen=True)
class Decoded:
    """Files that are decoded, by threads of the rank or by tasks of Ray Data.

    Attributes:
        read: makes a batch.
    """

    read: Read
    windows: None = None

    def batches(self, schedule: Schedule) -> Generator[Batch[Array]]:
        """The batches of all steps.

        Raises:
            InputError: a file cannot be read.
        """
        if schedule.readers.count and len(schedule.slots):
            from sdm_ray.streams.ray_pipeline import decode

            yield from decode(self.read, schedule)
        else:
            calls = (partial(_read, self.read, schedule, step) for step in schedule.steps)
            yield from prefetch(calls, _STEPS_AHEAD, 2)


@dataclass(frozen=True)
class FromCube:
    """Windows of a tile cube, read in the order of its chunks and held until their step.

    In an order that does not follow the chunks, as that of validation, each batch is read by itself.

    Attributes:
        source: windows of all places.
        complete: (ids, epochs, windows (N, B, size, size) uint16) -> the batch.
        rows: number of the place of each id; None where ids are numbers of places.
    """

    source: Windows
    complete: Callable[[Ints, Ints, Array], Batch[Array]]
    rows: Ints | None = field(default=None, repr=False)

    @property
    def windows(self) -> Windows:
        """Of each id."""
        return self.source if self.rows is None else self.source.subset(self.rows)

    def read(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        """A batch, read here and now."""
        return self.complete(ids, epochs, self.source.read(ids if self.rows is None else self.rows[ids]))

    def batches(self, schedule: Schedule) -> Generator[Batch[Array]]:
        """The batches of all steps.

        Raises:
            InputError: a chunk cannot be read.
        """
        if not isinstance(schedule.sampler, ChunkShuffleSampler):
            yield from Decoded(self.read).batches(schedule)
            return
        windows, steps = self.windows, schedule.steps
        planned = max(1, _PLANNED_ROWS // max(len(schedule.slots), 1))
        for first in range(steps.start, steps.stop, planned):
            some = replace(schedule, steps=range(first, min(first + planned, steps.stop)))
            yield from self._planned(windows, some)

    def _planned(self, windows: Windows, schedule: Schedule) -> Generator[Batch[Array]]:
        """The batches of some steps, whose reading is planned together."""
        from sdm_ray.streams.window_datasource import fill, plan

        sampler = schedule.sampler
        assert isinstance(sampler, ChunkShuffleSampler)
        ids, epochs = schedule.rows(schedule.steps)
        if ids.size == 0:
            yield from map(self.read, ids, epochs)
            return
        slots = np.tile(schedule.slots, len(ids))
        groups = sampler.groups(ids.ravel(), epochs.ravel(), slots, _GROUP_ROWS)
        reading, where = plan(ids.ravel(), groups, windows.row_bytes, sampler.interleave, schedule.readers.count)
        with closing(fill(windows, reading, where.reshape(ids.shape), schedule.readers)) as images:
            for step_ids, step_epochs in zip(ids, epochs, strict=True):
                yield self.complete(step_ids, step_epochs, next(images))


def _read(read: Read, schedule: Schedule, step: int) -> Batch[Array]:
    ids, epochs = schedule.rows(range(step, step + 1))
    return read(ids[0], epochs[0])
