"""Cutting many patches out of chunks, each chunk decoded once for all patches that need it.

Patches come in *groups*, lists of patches that are wanted together. The chunks of the next groups are requested while
one group is waited for, and a chunk that one of them needs as well is kept: neighbouring groups share chunks.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, islice, pairwise

import numpy as np
from numpy.typing import NDArray

from sdm_ray.stores.zarr_shards import Chunk, Chunks, Layout

_IN_FLIGHT = 64  # chunks that are requested while one group is waited for, about; four a thread at a URL
_AHEAD = 8  # groups that are requested at most: which chunks later groups need must be known
_RUN = 8  # chunks that a thread decodes and cuts at a time
_HELD_BYTES = 160 << 20  # of chunks kept for later groups; beyond it they are decoded again

Ints = NDArray[np.int64]
Patches = NDArray[np.uint16] | Sequence[NDArray[np.uint16]]
"""Arrays (band, size, size), stacked or not."""
Overlap = tuple[int, ...]


@dataclass(frozen=True)
class Wanted:
    """Square patches of one size and one time.

    Attributes:
        rows: upper pixel row of each patch, (N,).
        cols: left pixel column of each patch, (N,).
        size: side, pixels.
        time: number of the composite.
        bands: numbers of the bands in the order wanted; None for all.
    """

    rows: Ints
    cols: Ints
    size: int
    time: int = 0
    bands: tuple[int, ...] | None = None


@dataclass(eq=False)
class _Group:
    """Patches, and their overlaps with chunks.

    Attributes:
        ids: positions in `wanted`.
        overlaps: of each chunk: the number of the patch in the group; rows from and to, columns from and to in the
            patch; the same in the chunk.
        out: arrays that the patches are cut into, once that has begun.
        jobs: futures of the threads that cut them.
    """

    ids: Ints
    overlaps: dict[Chunk, list[Overlap]]
    out: Patches | None = None
    jobs: list[Future[None]] = field(default_factory=list)


@dataclass(eq=False)
class _Held:
    """A chunk kept for later groups: its pixels, once the job that decodes it has reached it."""

    job: Future[None] | None = None
    pixels: NDArray[np.uint16] | None = None


def cut(
    chunks: Chunks, wanted: Wanted, groups: Sequence[Ints], allocate: Callable[[Ints], Patches], keep: int = 2
) -> Iterator[Patches]:
    """Cut the patches of each group; 0 where they lie outside the array.

    Args:
        chunks: of the array.
        wanted: the patches.
        groups: positions in `wanted`; empty ones are allowed.
        allocate: returns for a group the arrays (band, size, size) that its patches are cut into.
        keep: number of later groups, at least 2, for which chunks that they need are kept.

    Yields:
        The arrays of each group, filled.

    Raises:
        OSError, RuntimeError, ValueError: a chunk cannot be read.
    """
    cutting = _Cutting(chunks, wanted, allocate)
    for ids in chain(groups, [None] * (keep + _AHEAD)):
        if ids is not None:
            cutting.add(ids)
            if len(cutting.pending) <= keep + _AHEAD:
                continue
        if cutting.pending:
            yield cutting.next(_AHEAD if ids is not None else len(cutting.pending))


class _Cutting:
    """Cuts groups out of chunks in threads of this process."""

    def __init__(self, chunks: Chunks, wanted: Wanted, allocate: Callable[[Ints], Patches]) -> None:
        self.pending: deque[_Group] = deque()
        self._chunks = chunks
        self._wanted = wanted
        self._allocate = allocate
        self._last: dict[Chunk, _Group] = {}  # the last of the pending groups that needs it
        self._held: dict[Chunk, _Held] = {}
        self._most = _HELD_BYTES // (2 * chunks.layout.bands * math.prod(chunks.layout.chunk))
        in_order = wanted.bands == tuple(range(chunks.layout.bands))
        self._bands = None if wanted.bands is None or in_order else list(wanted.bands)

    def add(self, ids: Ints) -> None:
        """Add a group to those pending."""
        group = _group(self._chunks.layout, self._wanted, ids)
        self.pending.append(group)
        self._last.update(dict.fromkeys(group.overlaps, group))

    def next(self, most: int) -> Patches:
        """The first pending group, cut; at most so many groups are begun."""
        in_flight = 0
        for group in islice(self.pending, most):
            if group.out is None:
                group.out = self._begin(group)
            in_flight += len(group.overlaps)
            if in_flight >= max(_IN_FLIGHT, 4 * self._chunks.threads) and group is not self.pending[0]:
                break
        group = self.pending.popleft()
        for job in group.jobs:
            job.result()
        for chunk in group.overlaps:
            if self._last[chunk] is group:
                del self._last[chunk]
                self._held.pop(chunk, None)
        assert group.out is not None
        return group.out

    def _begin(self, group: _Group) -> Patches:
        out = self._allocate(group.ids)
        layout, size = self._chunks.layout, self._wanted.size
        rows, cols = self._wanted.rows[group.ids], self._wanted.cols[group.ids]
        beyond = (rows < 0) | (cols < 0) | (rows + size > layout.height) | (cols + size > layout.width)
        for number in np.flatnonzero(beyond).tolist():
            out[number][...] = 0
        held = {chunk: self._held[chunk] for chunk in group.overlaps if chunk in self._held}
        for run in layout.runs((chunk for chunk in group.overlaps if chunk not in held), _RUN):
            again = {chunk: _Held() for chunk in run if self._last[chunk] is not group}
            job = _threads(self._chunks.threads).submit(self._decode, run, again, group.overlaps, out)
            group.jobs.append(job)
            for each in again.values():
                each.job = job
            self._held |= again
        while len(self._held) > self._most:
            del self._held[next(iter(self._held))]
        if held:  # submitted after the jobs that it waits for, so that threads never wait for each other
            group.jobs.append(_threads(self._chunks.threads).submit(_cut_held, held, group.overlaps, out))
        return out

    def _decode(
        self, run: list[Chunk], again: dict[Chunk, _Held], overlaps: dict[Chunk, list[Overlap]], out: Patches
    ) -> None:
        """Cut patches out of chunks as they are decoded."""
        for chunk, pixels in zip(run, self._chunks.read(self._wanted.time, run), strict=True):
            chosen = pixels if self._bands is None else pixels[self._bands]
            _paste(chosen, overlaps[chunk], out)
            if chunk in again:
                again[chunk].pixels = chosen


def _cut_held(held: dict[Chunk, _Held], overlaps: dict[Chunk, list[Overlap]], out: Patches) -> None:
    for chunk, each in held.items():
        assert each.job is not None
        each.job.result()
        assert each.pixels is not None
        _paste(each.pixels, overlaps[chunk], out)


def _paste(pixels: NDArray[np.uint16], overlaps: list[Overlap], out: Patches) -> None:
    for number, top, bottom, left, right, upper, lower, begin, end in overlaps:
        out[number][:, top:bottom, left:right] = pixels[:, upper:lower, begin:end]


@lru_cache(maxsize=2)  # for a local disk and for a URL
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="cutting")


def _group(layout: Layout, wanted: Wanted, ids: Ints) -> _Group:
    rows, cols = wanted.rows[ids], wanted.cols[ids]
    down, is_down = _along(rows, wanted.size, layout.chunk[0], layout.height)
    right, is_right = _along(cols, wanted.size, layout.chunk[1], layout.width)
    number, i, j = np.nonzero(is_down[:, :, None] & is_right[:, None, :])
    down, right = down[number, i], right[number, j]
    sequence = np.lexsort((right, down))
    number, down, right = number[sequence], down[sequence], right[sequence]
    rows, cols, upper, left = rows[number], cols[number], down * layout.chunk[0], right * layout.chunk[1]
    bottom = np.minimum(np.minimum(rows + wanted.size, upper + layout.chunk[0]), layout.height)
    end = np.minimum(np.minimum(cols + wanted.size, left + layout.chunk[1]), layout.width)
    top, begin = np.maximum(rows, upper), np.maximum(cols, left)
    in_patch = top - rows, bottom - rows, begin - cols, end - cols
    in_chunk = top - upper, bottom - upper, begin - left, end - left
    overlaps = list(zip(*np.stack([number, *in_patch, *in_chunk]).tolist(), strict=True))
    first = (np.diff(down, prepend=-1) != 0) | (np.diff(right, prepend=-1) != 0)
    bounds = [*np.flatnonzero(first).tolist(), len(number)]
    chunks = zip(down[bounds[:-1]].tolist(), right[bounds[:-1]].tolist(), strict=True)
    return _Group(ids, {chunk: overlaps[a:b] for chunk, (a, b) in zip(chunks, pairwise(bounds), strict=True)})


def _along(start: Ints, size: int, chunk: int, length: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Numbers of the chunks that patches touch along an axis, (N, most), and which of them are valid."""
    first, last = np.maximum(start, 0) // chunk, (np.minimum(start + size, length) - 1) // chunk
    numbers = first[:, None] + np.arange((size - 1) // chunk + 2)
    return numbers, (numbers <= last[:, None]) & (start < length)[:, None]
