"""One rank's stream of batches: Ray Data executes the order from step `start` on.

Each rank runs a pipeline of its own inside the train loop. A task of the pipeline makes a group of steps: it computes
the ids of its steps from the order, fetches this rank's slice of each and returns one row per step. So the rows
of step k are the same for any number of ranks and for any `start`.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdm_ray.errors import InputError
from sdm_ray.streams.order import Order, share

Batch = dict[str, np.ndarray]
Fetch = Callable[[np.ndarray, np.ndarray], Batch]
"""(ids, passes), each (N,) int64 -> arrays whose first axis is N; shapes beyond it are fixed. Picklable."""

_TASK_BYTES = 16 << 20  # of what one task returns: large enough to hide Ray's price a task, small in the store
_TASK_ROWS = 1 << 15
_TASKS_AT_ONCE = 2
_STORE_BYTES = 128 << 20  # that one pipeline may fill ahead of the training
_MISTAKE = "mistake"


@dataclass(frozen=True)
class Stream:
    """What is fetched, in which order, in which global batches."""

    fetch: Fetch
    order: Order
    batch: int

    def rows(self, steps: np.ndarray, rank: int = 0, world: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Ids and passes of a rank's rows at `steps`, each (len(steps), local batch) int64."""
        within = np.arange(self.batch)[share(self.batch, rank, world)]
        return self.order.at(np.asarray(steps, np.int64)[:, None] * self.batch + within)

    def take(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """The batch of one step, fetched here and now."""
        ids, passes = self.rows(np.array([step]), rank, world)
        return self.fetch(ids[0], passes[0])


def batches(stream: Stream, rank: int, world: int, start: int, stop: int) -> Generator[Batch]:
    """This rank's batches of the steps from `start` to before `stop`, through Ray Data.

    The arrays are read-only views of Ray's object store.

    Raises:
        InputError: what a fetch raised.
    """
    if start >= stop:
        return
    import ray

    group = _steps_of_a_task(stream, rank, world)
    first = list(range(start, stop, group))
    data: Any = ray.data.from_items([{"start": s} for s in first], override_num_blocks=len(first))
    data.context.execution_options.preserve_order = True
    data.context.execution_options.resource_limits = ray.data.ExecutionResources(object_store_memory=_STORE_BYTES)
    data = data.map_batches(
        _Group(stream, rank, world, group, stop),
        batch_size=None,
        num_cpus=0.25,
        compute=ray.data.TaskPoolStrategy(size=min(_TASKS_AT_ONCE, len(first))),
    )
    for block in data.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1):
        if _MISTAKE in block:
            raise InputError(str(block[_MISTAKE][0]))
        for i in range(len(block["step"])):
            yield {name: values[i] for name, values in block.items() if name != "step"}


@dataclass(frozen=True)
class _Group:
    """The task of the pipeline."""

    stream: Stream
    rank: int
    world: int
    size: int
    stop: int

    def __call__(self, block: Batch) -> Batch:
        steps = np.concatenate([np.arange(s, min(s + self.size, self.stop)) for s in block["start"]])
        ids, passes = self.stream.rows(steps, self.rank, self.world)
        try:
            fetched = self.stream.fetch(ids.ravel(), passes.ravel())
        except InputError as error:  # Ray Data would pass on its text alone, inside a traceback
            return {_MISTAKE: np.array([str(error)])}
        return {"step": steps} | {
            name: values.reshape(*ids.shape, *values.shape[1:]) for name, values in fetched.items()
        }


def _steps_of_a_task(stream: Stream, rank: int, world: int) -> int:
    """Enough steps to fill a task, judged by one row."""
    row = stream.fetch(*(part[:1] for part in stream.order.at(np.arange(1))))
    size = sum(values.nbytes for values in row.values())
    part = share(stream.batch, rank, world)
    local = part.stop - part.start
    return max(1, min(_TASK_BYTES // max(size, 1), _TASK_ROWS) // max(local, 1))
