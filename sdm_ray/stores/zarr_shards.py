"""Chunks of a tile cube, decoded by the thread that needs them.

A decoded chunk is still in the core's cache when the same thread cuts patches out of it. On two cores
(`tests/benchmarks/bench_streams.py`) threads that call zstd themselves decode a cube of this system a fifth to a
third faster than TensorStore, which copies each chunk once more into the array that it gives to another thread.
"""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from itertools import groupby
from typing import Any, Protocol

import google_crc32c
import numpy as np
from numcodecs import zstd
from numpy.typing import NDArray
from zarr.storage import LocalStore

from sdm_ray.buffers import keep_freed_memory
from sdm_ray.stores.zarr_io import engine_of

_MISSING = 2**64 - 1  # marks a chunk that is all fill value in the index of a Zarr shard
_CHECKSUM_BYTES = 4
_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}

Chunk = tuple[int, int]
"""Row and column of a chunk."""


@dataclass(frozen=True)
class Layout:
    """The layout of an array (time, band, y, x) whose chunks hold one time and all bands.

    Attributes:
        height: of the array, pixels.
        width: of the array, pixels.
        chunk: rows and columns of a chunk, pixels.
        shard: rows and columns of a Zarr shard, chunks; one where each chunk is a file.
        bands: of the array.
    """

    height: int
    width: int
    chunk: tuple[int, int]
    shard: tuple[int, int]
    bands: int

    def slices(self, chunk: Chunk) -> tuple[slice, slice]:
        """Rows and columns of a chunk inside the array."""
        top, left = chunk[0] * self.chunk[0], chunk[1] * self.chunk[1]
        bottom, right = min(top + self.chunk[0], self.height), min(left + self.chunk[1], self.width)
        return slice(top, bottom), slice(left, right)

    def shard_of(self, chunk: Chunk) -> tuple[int, int]:
        """Row and column of the Zarr shard that holds a chunk."""
        return chunk[0] // self.shard[0], chunk[1] // self.shard[1]

    def runs(self, chunks: Iterable[Chunk], most: int) -> Iterator[list[Chunk]]:
        """Split chunks into runs of at most so many, each of one Zarr shard."""
        for _, run in groupby(sorted(chunks, key=lambda chunk: (self.shard_of(chunk), chunk)), self.shard_of):
            some = list(run)
            yield from (some[start : start + most] for start in range(0, len(some), most))


class Chunks(Protocol):
    """Chunks of an array, which threads may read in parallel.

    Attributes:
        layout: of the array.
    """

    layout: Layout

    def read(self, time: int, chunks: Sequence[Chunk]) -> Iterator[NDArray[np.uint16]]:
        """Pixels of chunks of one Zarr shard in turn, each at least (band, rows, columns) inside the array.

        Raises:
            OSError, RuntimeError, ValueError: a chunk cannot be read.
        """
        ...


def chunks_of(array: Any) -> Chunks:  # noqa: ANN401 - zarr's
    """The fastest reader of the chunks of a Zarr v3 array (time, band, y, x), as zarr-python opens it."""
    units = array.shards or array.chunks
    height, width = array.shape[-2:]
    shard = units[-2] // array.chunks[-2], units[-1] // array.chunks[-1]
    layout = Layout(height, width, tuple(array.chunks[-2:]), shard, array.shape[1])
    return _Shards(array, layout) if _plain(array) else _Parts(array, layout)


def _plain(array: Any) -> bool:  # noqa: ANN401
    """Whether an array is stored as by `create_cube`: uint16, local Zarr shards of one time and all bands, zstd."""
    stored = array.metadata.to_dict()
    if not isinstance(array.store, LocalStore) or array.shards is None or len(stored["codecs"]) > 1:
        return False
    sharding = stored["codecs"][0]["configuration"]
    return bool(
        array.dtype == np.uint16
        and array.chunks[:2] == array.shards[:2] == (1, array.shape[1])
        and stored["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
        and sharding["index_location"] == "end"
        and sharding["index_codecs"] == (_LITTLE, {"name": "crc32c"})
        and sharding["codecs"][0] == _LITTLE
        and [codec["name"] for codec in sharding["codecs"]] == ["bytes", "zstd"]
    )


class _Shards:
    """Reads local Zarr shards; each call opens the file and its index anew, since it may have been rewritten."""

    def __init__(self, array: Any, layout: Layout) -> None:  # noqa: ANN401
        keep_freed_memory()
        self.layout = layout
        self._folder = f"{array.store.root / array.path}/c"
        self._shape = array.chunks[1:]
        self._nothing = np.full(self._shape, array.fill_value, np.uint16)

    def read(self, time: int, chunks: Sequence[Chunk]) -> Iterator[NDArray[np.uint16]]:
        (row, col), (high, wide) = self.layout.shard_of(chunks[0]), self.layout.shard
        rows, cols = np.array(chunks).T
        try:
            with open(f"{self._folder}/{time}/0/{row}/{col}", "rb", buffering=0) as file:
                found = self._index(file)[rows % high, cols % wide]
                yield from (self._pixels(file, start, size) for start, size in found.tolist())
        except FileNotFoundError:  # a Zarr shard that is all fill value has no file
            yield from (self._nothing for _ in chunks)

    def _index(self, file: FileIO) -> NDArray[np.uint64]:
        """Offset and length of each chunk of a Zarr shard, bytes, (down, right, 2)."""
        size = 16 * math.prod(self.layout.shard)
        file.seek(-size - _CHECKSUM_BYTES, os.SEEK_END)
        found = file.read(size + _CHECKSUM_BYTES)
        if google_crc32c.value(found[:size]) != int.from_bytes(found[size:], "little"):
            raise ValueError(f"the index of the Zarr shard {file.name} is damaged")
        return np.frombuffer(found, "<u8", size // 8).reshape(*self.layout.shard, 2)

    def _pixels(self, file: FileIO, start: int, size: int) -> NDArray[np.uint16]:
        if start == _MISSING:
            return self._nothing
        file.seek(start)
        return np.frombuffer(zstd.decompress(file.read(size)), "<u2").reshape(self._shape)


class _Parts:
    """Reads chunks stored in any other way, or at a URL, as parts of the array."""

    def __init__(self, array: Any, layout: Layout) -> None:  # noqa: ANN401
        self.layout = layout
        self._engine = engine_of(array)

    def read(self, time: int, chunks: Sequence[Chunk]) -> Iterator[NDArray[np.uint16]]:
        parts = [(time, slice(None), *self.layout.slices(chunk)) for chunk in chunks]
        yield from (np.asarray(pending.result()) for pending in self._engine.start(parts))
