"""One rank's stream of batches: the order is executed from step `start` on, a little ahead of the training.

By default threads of the rank itself fetch the next steps. With `readers`, each rank runs a pipeline of Ray Data inside
the train loop, whose tasks may run on any machine: a task makes the next so many of the rank's rows, it computes their
ids from the order and fetches them, and the rank cuts what comes into steps. Either way the rows of step k are the same
for any number of ranks and for any `start`. Windows of a cube come another way (`reading`): in the order of the chunks,
to be held until their step.
"""

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from sdm_ray.errors import InputError
from sdm_ray.ray_runtime import connect
from sdm_ray.streams.chunk_shuffle_sampler import ChunkShuffleSampler
from sdm_ray.streams.config import Mixing
from sdm_ray.streams.prefetch import ahead
from sdm_ray.streams.sampler import Sampler, share
from sdm_ray.streams.windows import Windows, open_cube

Batch = dict[str, np.ndarray]
Fetch = Callable[[np.ndarray, np.ndarray], Batch]
"""(ids, passes), each (N,) int64 -> arrays whose first axis is N; shapes beyond it are fixed. Picklable."""


@runtime_checkable
class CompositeDataset(Protocol):
    """A fetch whose batches are put together from those of several, so that each is fetched in its own way."""

    def parts(self) -> list[Fetch]:
        """The fetches: first the one of what is in memory and of windows, then those of images."""
        ...


class WindowedDataset(Protocol):
    """A fetch whose images are windows of a tile cube, which may have been read before."""

    @property
    def windows(self) -> Windows | None:
        """Of each id; None where it has no images."""
        ...

    def __call__(self, ids: np.ndarray, epochs: np.ndarray) -> Batch:
        """A batch of windows read here and now."""
        ...

    def with_images(self, ids: np.ndarray, epochs: np.ndarray, images: np.ndarray) -> Batch:
        """A batch of the windows given, uint16 (N, B, size, size)."""
        ...


_PIECE_BYTES = 16 << 20  # of what a task gives at once: large enough to hide Ray's price, small in the store
_MOST_ROWS = 1 << 15  # of a piece
_PIECES = 4  # of a task: between two tasks a core waits for Ray, some tenth of a second
_STEPS_AHEAD = 2  # of the rank's own threads: while the last images of one step are decoded, the next has begun
_LEG_ROWS = 1 << 20  # windows whose reading is planned at once
_LANE_ROWS = 64  # places that a lane has at least
_WINDOWS = 64  # read together at least: what chunks they share need not wait in memory
_STORE_BYTES = 256 << 20  # that one pipeline may fill ahead of the training
_MISTAKE = "mistake"


@dataclass(frozen=True)
class Stream:
    """What is fetched, in which order, in which global batches.

    Attributes:
        dataset: makes batches of ids.
        sampler: gives the ids of every position.
        batch: rows of a global batch.
        readers: Ray tasks of a rank that fetch at the same time; 0: threads of the rank itself do.
        in_memory: whether a fetch only picks rows of arrays, which the training does by itself, between two steps.
    """

    dataset: Fetch
    sampler: Sampler | ChunkShuffleSampler
    batch: int
    readers: int = 0
    in_memory: bool = False

    def rows(self, steps: np.ndarray, rank: int = 0, world: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Ids and passes of a rank's rows at `steps`, each (len(steps), local batch) int64."""
        return self.sampler.at(np.asarray(steps, np.int64)[:, None] * self.batch + self.slots(rank, world))

    def slots(self, rank: int, world: int) -> np.ndarray:
        """A rank's rows of a global batch, int64; those of all ranks are the whole batch."""
        if isinstance(self.sampler, ChunkShuffleSampler):
            return self.sampler.slots(rank, world)
        return np.arange(self.batch)[share(self.batch, rank, world)]

    def take(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """The batch of one step, fetched here and now."""
        ids, epochs = self.rows(np.array([step]), rank, world)
        return self.dataset(ids[0], epochs[0])


def windowed(dataset: "WindowedDataset", seed: int, batch: int, mixing: Mixing, readers: int) -> Stream:
    """A stream of windows in an order that can be read fast.

    Args:
        dataset: its `windows` are read.
        seed: of the order.
        batch: rows of a global batch.
        mixing: how the windows are shuffled.
        readers: Ray tasks of a rank that read at the same time; 0: threads of the rank itself do.

    Raises:
        InputError: the cube lacks a band or the season.
    """
    windows = dataset.windows
    assert windows is not None
    wanted = windows.wanted
    interleave = math.gcd(batch, mixing.interleave) if len(wanted.rows) >= _LANE_ROWS * mixing.interleave else 1
    chunk = open_cube(windows.cube).chunk
    sampler = ChunkShuffleSampler(wanted.rows, wanted.cols, chunk, seed, batch, mixing.shuffle_window, interleave)
    return Stream(dataset, sampler, batch, readers)


def batches(stream: Stream, rank: int, world: int, start: int, stop: int) -> Generator[Batch]:
    """This rank's batches of the steps from `start` to before `stop`.

    The arrays may be read-only views of Ray's object store.

    Raises:
        InputError: what a fetch raised.
    """
    if start >= stop:
        return
    if isinstance(stream.dataset, CompositeDataset) and len(parts := stream.dataset.parts()) > 1:
        yield from _together(stream, parts, (rank, world), range(start, stop))
        return
    if isinstance(stream.sampler, ChunkShuffleSampler) and getattr(stream.dataset, "windows", None) is not None:
        yield from _windowed(stream, (rank, world), range(start, stop))
        return
    if stream.in_memory:
        yield from (stream.take(step, rank, world) for step in range(start, stop))
        return
    if stream.readers == 0:
        yield from ahead((partial(stream.take, step, rank, world) for step in range(start, stop)), _STEPS_AHEAD, 2)
        return
    slots = stream.slots(rank, world)
    if len(slots) == 0:
        nothing = np.empty(0, np.int64)
        yield from (stream.dataset(nothing, nothing) for _ in range(start, stop))
        return
    yield from _steps(_blocks(stream, slots, range(start, stop)), len(slots))


def _together(stream: Stream, parts: list[Fetch], part: tuple[int, int], steps: range) -> Generator[Batch]:
    """Batches put together from streams of the same order."""
    streams = [
        replace(stream, dataset=parts[0]),
        *(replace(stream, dataset=each, in_memory=False) for each in parts[1:]),
    ]
    with ExitStack() as stack:
        sources = [stack.enter_context(closing(batches(each, *part, steps.start, steps.stop))) for each in streams]
        for found in zip(*sources, strict=True):
            yield {name: values for batch in found for name, values in batch.items()}


def _blocks(stream: Stream, slots: np.ndarray, steps: range) -> Generator[Batch]:
    """A rank's rows of all steps, one after the other, in blocks of many rows."""
    import ray

    connect()
    width = len(slots)
    total, size = len(steps) * width, _rows_of_a_piece(stream, width)
    first = list(range(0, total, _PIECES * size))
    data: Any = ray.data.from_items([{"start": s} for s in first], override_num_blocks=len(first))
    data.context.execution_options.preserve_order = True
    data.context.execution_options.resource_limits = ray.data.ExecutionResources(object_store_memory=_STORE_BYTES)
    data.context.target_max_block_size = _PIECE_BYTES  # each piece goes on when it is made
    data.context._max_num_blocks_in_streaming_gen_buffer = _PIECES  # and no task waits for the one before it
    data = data.map_batches(
        _Rows(stream, slots, steps.start, size, total),
        batch_size=None,
        num_cpus=0.25,
        compute=ray.data.TaskPoolStrategy(size=min(stream.readers, len(first))),
    )
    for block in data.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1):
        if _MISTAKE in block:
            raise InputError(str(block[_MISTAKE][0]))
        yield block


def _steps(blocks: Iterable[Batch], width: int) -> Generator[Batch]:
    """Batches of `width` rows from blocks of any; a batch that lies in one block is not copied."""
    parts: list[Batch] = []
    have = 0
    for block in blocks:
        rows = len(next(iter(block.values())))
        at = 0
        while at < rows:
            taken = min(width - have, rows - at)
            parts.append({name: values[at : at + taken] for name, values in block.items()})
            at, have = at + taken, have + taken
            if have == width:
                yield {name: np.concatenate([p[name] for p in parts]) for name in block} if len(parts) > 1 else parts[0]
                parts, have = [], 0


def _windowed(stream: Stream, part: tuple[int, int], steps: range) -> Generator[Batch]:
    """Leg by leg, so that the plan of a long training stays small."""
    from sdm_ray.streams.window_datasource import fill, plan

    sampler, dataset = stream.sampler, cast(WindowedDataset, stream.dataset)
    windows = dataset.windows
    assert windows is not None and isinstance(sampler, ChunkShuffleSampler)
    slots = stream.slots(*part)
    leg = max(1, _LEG_ROWS // max(len(slots), 1))
    for first in range(steps.start, steps.stop, leg):
        ids, epochs = stream.rows(np.arange(first, min(first + leg, steps.stop)), *part)
        if ids.size == 0:
            yield from (dataset(each, number) for each, number in zip(ids, epochs, strict=True))
            continue
        pieces = sampler.pieces(ids.ravel(), epochs.ravel(), np.tile(slots, len(ids)), _WINDOWS)
        reading, where = plan(ids.ravel(), pieces, windows.row_bytes, sampler.interleave, stream.readers)
        with closing(fill(windows, reading, where.reshape(ids.shape), stream.readers)) as images:
            for step_ids, step_passes in zip(ids, epochs, strict=True):
                yield dataset.with_images(step_ids, step_passes, next(images))


@dataclass(frozen=True)
class _Rows:
    """The task of the pipeline: the next pieces of `size` of a rank's `total` rows from step `first` on."""

    stream: Stream
    slots: np.ndarray
    first: int
    size: int
    total: int

    def __call__(self, block: Batch) -> Iterator[Batch]:
        (start,) = block["start"]
        for first in range(start, min(start + _PIECES * self.size, self.total), self.size):
            rows = np.arange(first, min(first + self.size, self.total))
            step, slot = np.divmod(rows, len(self.slots))
            ids, epochs = self.stream.sampler.at((self.first + step) * self.stream.batch + self.slots[slot])
            try:
                yield self.stream.dataset(ids, epochs)
            except InputError as error:  # Ray Data would pass on its text alone, inside a traceback
                yield {_MISTAKE: np.array([str(error)])}
                return


def _rows_of_a_piece(stream: Stream, width: int) -> int:
    """Enough rows to fill a piece, judged by one; whole steps where it takes more than one."""
    row = stream.dataset(*(part[:1] for part in stream.sampler.at(np.arange(1))))
    size = sum(values.nbytes for values in row.values())
    rows = max(1, min(_PIECE_BYTES // max(size, 1), _MOST_ROWS))
    return rows - rows % width if rows > width else rows
