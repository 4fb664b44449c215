"""Windows of the tile cube, by Ray Data or threads: read in the order of the chunks, batched in that of training."""

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from ray.data import Dataset, Datasource, read_datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import ReadTask
from ray.data.extensions import ArrowTensorArray

from sdm_ray.batch import Ints
from sdm_ray.buffers import empty
from sdm_ray.errors import InputError
from sdm_ray.ray_runtime import connect
from sdm_ray.stores.patch_reader import Wanted
from sdm_ray.streams.prefetch import prefetch
from sdm_ray.streams.reader_tasks import ReaderTasks
from sdm_ray.streams.windows import Windows, open_cube

_TASKS_BYTES = 1 << 30  # of windows in all running tasks: where tasks split a sequence, chunks are decoded twice
_BLOCK_BYTES = 24 << 20  # of windows that a task yields at once: they are held and freed together, each block at a cost
_ERROR = "error"


@dataclass(frozen=True)
class Reading:
    """In what order windows are read, and what is read together.

    Attributes:
        ids: of the windows, (m,).
        groups: bounds in `ids` of the windows that are cut together, from 0 to m.
        tasks: bounds in `groups` of the groups that one task reads.
        keep: most groups between two of one sequence, which share chunks.
    """

    ids: Ints
    groups: Ints
    tasks: Ints
    keep: int


def plan(ids: Ints, group: Ints, row_bytes: int, interleave: int = 1, readers: int = 1) -> tuple[Reading, Ints]:
    """Plan the reading of windows that are wanted in some order: each group when its first window is wanted.

    Args:
        ids: in the order wanted, (m,); an id may come again.
        group: number of the group that each of them is read with, (m,).
        row_bytes: of a window.
        interleave: sequences of the sampler.
        readers: tasks that read at the same time, if any.

    Returns:
        The reading, and the position of each of `ids` in it, (m,).
    """
    first = np.full(int(group.max()) + 1, len(ids))
    np.minimum.at(first, group, np.arange(len(ids)))
    order = np.argsort(first[group], kind="stable")
    where = np.empty(len(ids), np.int64)
    where[order] = np.arange(len(ids))
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    task = starts // max(1, _TASKS_BYTES // max(1, readers) // row_bytes)
    tasks = np.flatnonzero(np.diff(task, prepend=-1))
    return Reading(ids[order], np.append(starts, len(ids)), np.append(tasks, len(starts)), 2 * interleave + 8), where


class WindowSource(Datasource):
    """Windows of a tile cube as rows `image` (B, size, size) uint16, `nodata` (share of pixels) and `id`.

    Rows come in the order of `reading`.
    """

    def __init__(self, windows: Windows, reading: Reading) -> None:
        super().__init__()
        self._windows = windows
        self._reading = reading

    def get_name(self) -> str:
        """Name in Ray's progress lines."""
        return "Windows"

    def estimate_inmemory_data_size(self) -> int:
        """Bytes of all windows."""
        return len(self._reading.ids) * self._windows.row_bytes

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None  # noqa: ANN401
    ) -> list[ReadTask]:  # fmt: skip
        """One task for each part of the reading; parts are not split further for more parallelism."""
        return [self._task(*bounds) for bounds in zip(self._reading.tasks, self._reading.tasks[1:], strict=False)]

    def _task(self, start: int, stop: int) -> ReadTask:
        bounds = self._reading.groups[start : stop + 1]
        ids = self._reading.ids[bounds[0] : bounds[-1]]
        size = len(ids) * self._windows.row_bytes
        metadata = BlockMetadata(num_rows=len(ids), size_bytes=size, input_files=None, exec_stats=None)
        task = _Task(self._windows.cube, self._windows.at(ids), ids, bounds - bounds[0], self._reading.keep)
        return ReadTask(task, metadata)


@dataclass(frozen=True)
class _Task:
    cube: str
    wanted: Wanted
    ids: Ints
    bounds: Ints
    keep: int

    def __call__(self) -> Iterable[pa.Table]:
        groups = [np.arange(*each) for each in zip(self.bounds, self.bounds[1:], strict=False)]
        try:
            assert self.wanted.bands is not None
            cube, shape = open_cube(self.cube), (len(self.wanted.bands), self.wanted.size, self.wanted.size)
            allocate = lambda group: np.empty((len(group), *shape), np.uint16)  # noqa: E731
            for group, images in zip(groups, cube.cut(self.wanted, groups, allocate, self.keep), strict=True):
                yield _table(self.ids[group], np.asarray(images))
        except InputError as error:  # Ray Data would pass on its text alone, inside a traceback
            yield pa.table({_ERROR: [str(error)]})


def _table(ids: Ints, images: NDArray[np.uint16]) -> pa.Table:
    known = np.array([np.count_nonzero(image[0]) for image in images])  # counting all at once takes four times as long
    columns = {"id": pa.array(ids), "nodata": pa.array((1 - known / images[0, 0].size).astype(np.float32))}
    return pa.table({**columns, "image": ArrowTensorArray.from_numpy(images)})


def read_windows(windows: Windows, reading: Reading, readers: ReaderTasks) -> Dataset:
    """A Ray dataset of windows, in the order of the reading.

    Args:
        windows: what is read.
        reading: in which order.
        readers: the tasks that read.
    """
    connect()
    source = WindowSource(windows, reading)
    tasks = len(reading.tasks) - 1
    data: Dataset = read_datasource(
        source, override_num_blocks=tasks, concurrency=min(readers.count, tasks), **readers.options()
    )
    readers.limit(data)
    data.context.target_max_block_size = _BLOCK_BYTES
    # By default a task pauses after two blocks until they are consumed, and tasks would read one after the other.
    data.context._max_num_blocks_in_streaming_gen_buffer = 4
    return data


def fill(windows: Windows, reading: Reading, where: Ints, readers: ReaderTasks) -> Generator[NDArray[np.uint16]]:
    """Batches of windows, each yielded when all its windows have been read.

    Args:
        windows: what is read.
        reading: in which order.
        where: position in the reading of each window of each batch, (batches, size).
        readers: Ray Data tasks that read; without any threads of this process do.

    Raises:
        InputError: a chunk cannot be read.
    """
    steps, size = where.shape
    target = np.empty(where.size, np.int64)
    target[where.ravel()] = np.arange(where.size)
    batches = _Batches(target, size, windows.shape)
    arrivals = batches.copy(windows, reading, readers) if readers.count else batches.cut_here(windows, reading)
    with closing(arrivals):
        for step in range(steps):
            while not batches.complete(step):
                next(arrivals)
            yield batches.pop(step)


class _Batches:
    """Batches that are filled with windows as these are read."""

    def __init__(self, target: Ints, size: int, shape: tuple[int, ...]) -> None:
        self._target = target
        self._size = size
        self._shape = shape
        self._images: dict[int, NDArray[np.uint16]] = {}
        self._missing = [size] * (len(target) // size)

    def complete(self, step: int) -> bool:
        """Whether all windows of a batch have been read."""
        return self._missing[step] == 0

    def pop(self, step: int) -> NDArray[np.uint16]:
        """Take out a complete batch."""
        return self._images.pop(step)

    def cut_here(self, windows: Windows, reading: Reading) -> Generator[None]:
        """Read in a thread of this process, ahead of the training; yields after each group."""
        groups = [np.arange(*bounds) for bounds in zip(reading.groups, reading.groups[1:], strict=False)]
        cutting = open_cube(windows.cube).cut(windows.at(reading.ids), groups, self._allocate, reading.keep)
        depth = 1 + 2 * self._size * len(groups) // len(reading.ids)
        with closing(prefetch((partial(next, cutting) for _ in groups), depth)) as cuts:
            for group, _ in zip(groups, cuts, strict=True):
                self._count(group)
                yield

    def copy(self, windows: Windows, reading: Reading, readers: ReaderTasks) -> Generator[None]:
        """Read with Ray tasks; yields after each of their blocks."""
        start = 0
        data = read_windows(windows, reading, readers)
        blocks: Any = data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)
        for block in blocks:
            if _ERROR in block.column_names:
                raise InputError(str(block[_ERROR][0]))
            group = np.arange(start, start + len(block))
            images = (image for chunk in block["image"].chunks for image in chunk.to_numpy())  # views of Ray's store
            for target, image in zip(self._allocate(group), images, strict=True):
                target[...] = image
            self._count(group)
            start += len(group)
            yield

    def _allocate(self, group: Ints) -> list[NDArray[np.uint16]]:
        steps, slots = np.divmod(self._target[group], self._size)
        for step in np.unique(steps).tolist():
            if step not in self._images:
                self._images[step] = empty((self._size, *self._shape), np.uint16)
        return [self._images[step][slot] for step, slot in zip(steps.tolist(), slots.tolist(), strict=True)]

    def _count(self, group: Ints) -> None:
        for step in (self._target[group] // self._size).tolist():
            self._missing[step] -= 1
