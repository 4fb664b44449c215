"""Batches by Ray Data: tasks anywhere in the cluster decode rows, which come back in the order of training.

Each rank runs a pipeline of its own inside the train loop. A task makes the next so many of the rank's rows: it
computes their ids from the sampler and reads them. The rank then cuts what comes back into steps.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdm_ray.batch import Array, Batch, Ints
from sdm_ray.errors import InputError
from sdm_ray.ray_runtime import connect
from sdm_ray.streams.dataset import Read, Schedule

_BLOCK_BYTES = 16 << 20  # large enough to hide what a block costs in Ray, small in its object store
_BLOCK_ROWS = 1 << 15  # at most
_TASK_BLOCKS = 4  # of a task: between two tasks a core waits for Ray, some tenth of a second
_ERROR = "error"


def decode(read: Read, schedule: Schedule) -> Generator[Batch[Array]]:
    """The batches of all steps; arrays may be read-only views of Ray's object store.

    Raises:
        InputError: what `read` raised.
    """
    yield from cut_steps(_blocks(read, schedule), len(schedule.slots))


def cut_steps(blocks: Iterable[Batch[Array]], width: int) -> Generator[Batch[Array]]:
    """Batches of `width` rows from blocks of any number; a batch that lies in one block is not copied."""
    parts: list[Batch[Array]] = []
    have = 0
    for block in blocks:
        rows = len(next(iter(block.values())))
        at = 0
        while at < rows:
            taken = min(width - have, rows - at)
            parts.append(Batch({name: values[at : at + taken] for name, values in block.items()}))
            at, have = at + taken, have + taken
            if have == width:
                whole = {name: np.concatenate([part[name] for part in parts]) for name in block}
                yield Batch(whole) if len(parts) > 1 else parts[0]
                parts, have = [], 0


def _blocks(read: Read, schedule: Schedule) -> Generator[Batch[Array]]:
    """A rank's rows of all steps, one after the other, in blocks of many rows."""
    import ray

    connect()
    total, size = len(schedule.steps) * len(schedule.slots), _rows_of_a_block(read, schedule)
    first = list(range(0, total, _TASK_BLOCKS * size))
    data: Any = ray.data.from_items([{"start": start} for start in first], override_num_blocks=len(first))
    schedule.readers.limit(data)
    data.context.target_max_block_size = _BLOCK_BYTES  # each block goes on as soon as it is made
    data.context._max_num_blocks_in_streaming_gen_buffer = _TASK_BLOCKS  # and no task waits for the one before it
    data = data.map_batches(
        ReadRows(read, schedule, size, total),
        batch_size=None,
        compute=ray.data.TaskPoolStrategy(size=min(schedule.readers.count, len(first))),
        **schedule.readers.options(),
    )
    for block in data.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1):
        if _ERROR in block:
            raise InputError(str(block[_ERROR][0]))
        yield block


@dataclass(frozen=True)
class ReadRows:  # the name that Ray's dashboard shows
    """Reads the next blocks of `size` of a rank's `total` rows, from one of them on."""

    read: Read
    schedule: Schedule
    size: int
    total: int

    def __call__(self, block: Batch[Array]) -> Iterator[dict[str, Array]]:
        """The rows' batches, from the row on that `block` names."""
        (start,) = block["start"]
        for first in range(start, min(start + _TASK_BLOCKS * self.size, self.total), self.size):
            try:
                yield self.read(*self._ids(np.arange(first, min(first + self.size, self.total))))
            except InputError as error:  # Ray Data would pass on its text alone, inside a traceback
                yield {_ERROR: np.array([str(error)])}
                return

    def _ids(self, rows: Ints) -> tuple[Ints, Ints]:
        step, slot = np.divmod(rows, len(self.schedule.slots))
        positions = (self.schedule.steps.start + step) * self.schedule.batch + self.schedule.slots[slot]
        return self.schedule.sampler.at(positions)


def _rows_of_a_block(read: Read, schedule: Schedule) -> int:
    """Enough rows to fill a block, judged by one row; whole steps where it takes more than one."""
    row = read(*schedule.sampler.at(np.arange(1)))
    size = sum(values.nbytes for values in row.values())
    rows, width = max(1, min(_BLOCK_BYTES // max(size, 1), _BLOCK_ROWS)), len(schedule.slots)
    return rows - rows % width if rows > width else rows
