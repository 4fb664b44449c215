"""Cutting many patches out of chunks, each chunk decoded once for all patches that need it.

Patches come in *pieces*, lists of patches that are wanted together. The chunks of the next pieces are asked for while
one piece is cut, and a chunk that one of them needs as well is kept: pieces side by side share what lies between.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from sdm_ray.stores.engine import Engine, Pending

_UNDER_WAY = 64  # chunks that are asked for while one piece is cut, about; with 4 bands of 256 pixels 34 MB

Ints = NDArray[np.int64]
Patches = NDArray[np.uint16] | Sequence[NDArray[np.uint16]]
"""Arrays (band, size, size), stacked or not."""
Chunk = tuple[int, int]
"""Row and column of a chunk."""
Overlaps = dict[Chunk, list[tuple[int, int, int]]]
"""For each chunk the patches that it is part of: number in the piece, row, column of the patch."""


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
    coming: deque[tuple[Ints, Overlaps]] = deque()
    for piece in chain(pieces, [None] * keep):
        if piece is not None:
            coming.append((piece, _overlaps(layout, wanted, piece)))
        if len(coming) <= keep and piece is not None:
            continue
        if not coming:
            break
        under_way = 0
        for _, overlaps in coming:
            _ask(engine, layout, wanted.time, held, overlaps)
            under_way += len(overlaps)
            if under_way >= _UNDER_WAY and under_way > len(coming[0][1]):
                break
        current, overlaps = coming.popleft()
        out = room(current)
        _paste(layout, wanted, current, overlaps, held, out)
        yield out
        for chunk in overlaps:
            if not any(chunk in later for _, later in coming):
                del held[chunk]


def _overlaps(layout: Layout, wanted: Wanted, piece: Ints) -> Overlaps:
    found: Overlaps = {}
    high, wide = layout.chunk
    for number, (row, col) in enumerate(zip(wanted.rows[piece].tolist(), wanted.cols[piece].tolist(), strict=True)):
        if row >= layout.height or col >= layout.width:
            continue
        for down in range(max(row, 0) // high, (min(row + wanted.size, layout.height) - 1) // high + 1):
            for right in range(max(col, 0) // wide, (min(col + wanted.size, layout.width) - 1) // wide + 1):
                found.setdefault((down, right), []).append((number, row, col))
    return found


def _ask(engine: Engine, layout: Layout, time: int, held: dict[Chunk, Pending], chunks: Overlaps) -> None:
    missing = sorted(chunk for chunk in chunks if chunk not in held)
    started = engine.start([(time, slice(None), *layout.slices(chunk)) for chunk in missing])
    held.update(zip(missing, started, strict=True))


def _paste(
    layout: Layout, wanted: Wanted, piece: Ints, overlaps: Overlaps, held: dict[Chunk, Pending], out: Patches
) -> None:
    size, bands = wanted.size, wanted.bands
    rows, cols = wanted.rows[piece], wanted.cols[piece]
    beyond = (rows < 0) | (cols < 0) | (rows + size > layout.height) | (cols + size > layout.width)
    for number in np.flatnonzero(beyond).tolist():
        out[number][...] = 0
    for chunk, patches in overlaps.items():
        pixels = np.asarray(held[chunk].result())
        if bands is not None and bands != tuple(range(layout.bands)):
            pixels = pixels[list(bands)]
        down, right = layout.slices(chunk)
        for number, row, col in patches:
            top, bottom = max(row, down.start), min(row + size, down.stop)
            left, end = max(col, right.start), min(col + size, right.stop)
            out[number][:, top - row : bottom - row, left - col : end - col] = pixels[
                :, top - down.start : bottom - down.start, left - right.start : end - right.start
            ]
