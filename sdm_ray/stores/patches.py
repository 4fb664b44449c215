"""Cutting many patches out of chunks, each chunk decoded once for all patches that need it.

Patches come in *pieces*, lists of patches that are wanted together. The chunks of the next pieces are asked for while
one piece is cut, and a chunk that one of them needs as well is kept: pieces side by side share what lies between.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from sdm_ray.stores.engine import Engine, Pending

_UNDER_WAY = 64  # chunks that are asked for while one piece is cut, about; with 4 bands of 256 pixels 34 MB

Ints = NDArray[np.int64]
Patches = NDArray[np.uint16] | Sequence[NDArray[np.uint16]]
"""Arrays (band, size, size), stacked or not."""
Chunk = tuple[int, int]
"""Row and column of a chunk."""


@dataclass(frozen=True)
class Layout:
    """Of the array (time, band, y, x) that patches are cut from.

    Attributes:
        height: of the array, pixels.
        width: of the array, pixels.
        chunk: rows and columns of a chunk, pixels.
        bands: of the array.
    """

    height: int
    width: int
    chunk: tuple[int, int]
    bands: int

    def slices(self, chunk: Chunk) -> tuple[slice, slice]:
        """Rows and columns of a chunk inside the array."""
        top, left = chunk[0] * self.chunk[0], chunk[1] * self.chunk[1]
        bottom, right = min(top + self.chunk[0], self.height), min(left + self.chunk[1], self.width)
        return slice(top, bottom), slice(left, right)


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


@dataclass(frozen=True)
class _Overlaps:
    """What chunks and the patches of a piece have in common.

    Attributes:
        chunks: where the overlaps of each chunk begin and end in `columns`.
        columns: of each overlap the number of the patch in the piece; rows from and to, columns from and to in the
            patch; the same in the chunk.
    """

    chunks: dict[Chunk, tuple[int, int]]
    columns: list[list[int]]


def cut(
    engine: Engine,
    layout: Layout,
    wanted: Wanted,
    pieces: Sequence[Ints],
    room: Callable[[Ints], Patches],
    keep: int = 2,
) -> Iterator[Patches]:
    """Cut the patches of each piece; 0 where they lie outside the array.

    Args:
        engine: of the array.
        layout: of the array.
        wanted: the patches.
        pieces: positions in `wanted`; empty ones are allowed.
        room: gives for a piece the arrays (band, size, size) that its patches are cut into.
        keep: pieces, at least 2, for whose sake a chunk is kept that they need as well.

    Yields:
        What `room` gave for each piece, filled.
    """
    held: dict[Chunk, Pending] = {}
    needed: Counter[Chunk] = Counter()  # by how many of the pieces that are coming
    coming: deque[tuple[Ints, _Overlaps]] = deque()
    for piece in chain(pieces, [None] * keep):
        if piece is not None:
            coming.append((piece, _overlaps(layout, wanted, piece)))
            needed.update(coming[-1][1].chunks.keys())
        if len(coming) <= keep and piece is not None:
            continue
        if not coming:
            break
        under_way = 0
        for _, overlaps in coming:
            _ask(engine, layout, wanted.time, held, overlaps)
            under_way += len(overlaps.chunks)
            if under_way >= _UNDER_WAY and under_way > len(coming[0][1].chunks):
                break
        current, overlaps = coming.popleft()
        out = room(current)
        _paste(layout, wanted, current, overlaps, held, out)
        yield out
        for chunk in overlaps.chunks:
            needed[chunk] -= 1
            if not needed[chunk]:
                del needed[chunk], held[chunk]


def _overlaps(layout: Layout, wanted: Wanted, piece: Ints) -> _Overlaps:
    rows, cols = wanted.rows[piece], wanted.cols[piece]
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
    columns = np.stack([number, *in_patch, *in_chunk]).tolist()
    first = (np.diff(down, prepend=-1) != 0) | (np.diff(right, prepend=-1) != 0)
    bounds = [*np.flatnonzero(first).tolist(), len(number)]
    chunks = zip(down[bounds[:-1]].tolist(), right[bounds[:-1]].tolist(), strict=True)
    return _Overlaps(dict(zip(chunks, pairwise(bounds), strict=True)), columns)


def _along(start: Ints, size: int, chunk: int, length: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Numbers of the chunks that patches touch along an axis, (N, most), and which of them are such."""
    first, last = np.maximum(start, 0) // chunk, (np.minimum(start + size, length) - 1) // chunk
    numbers = first[:, None] + np.arange((size - 1) // chunk + 2)
    return numbers, (numbers <= last[:, None]) & (start < length)[:, None]


def _ask(engine: Engine, layout: Layout, time: int, held: dict[Chunk, Pending], overlaps: _Overlaps) -> None:
    missing = [chunk for chunk in overlaps.chunks if chunk not in held]
    if missing:
        started = engine.start([(time, slice(None), *layout.slices(chunk)) for chunk in missing])
        held.update(zip(missing, started, strict=True))


def _paste(
    layout: Layout, wanted: Wanted, piece: Ints, overlaps: _Overlaps, held: dict[Chunk, Pending], out: Patches
) -> None:
    size, bands = wanted.size, wanted.bands
    rows, cols = wanted.rows[piece], wanted.cols[piece]
    beyond = (rows < 0) | (cols < 0) | (rows + size > layout.height) | (cols + size > layout.width)
    for number in np.flatnonzero(beyond).tolist():
        out[number][...] = 0
    chosen = None if bands is None or bands == tuple(range(layout.bands)) else list(bands)
    for chunk, (start, stop) in overlaps.chunks.items():
        pixels = np.asarray(held[chunk].result())
        if chosen is not None:
            pixels = pixels[chosen]
        some = (column[start:stop] for column in overlaps.columns)
        for number, top, bottom, left, end, first, last, begin, stop_at in zip(*some, strict=True):
            out[number][:, top:bottom, left:end] = pixels[:, first:last, begin:stop_at]
