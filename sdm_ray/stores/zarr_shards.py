"""Chunks of a tile cube, decoded by the thread that needs them.

A decoded chunk is still in the core's cache when the same thread cuts patches out of it. On two cores
(`tests/benchmarks/bench_streams.py`) threads that call zstd themselves decode a cube of this system a fifth to a
third faster than TensorStore, which copies each chunk once more into the array that it gives to another thread.

At a URL the index of a Zarr shard is asked for once and chunks that lie close together by one request; more threads
than cores wait for answers.
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
from zarr.storage import FsspecStore, LocalStore

from sdm_ray.buffers import keep_freed_memory
from sdm_ray.cores import usable_cores
from sdm_ray.stores.ranges import Content, ranges_of
from sdm_ray.stores.shards import together
from sdm_ray.stores.zarr_io import engine_of

_REQUESTS = 32  # threads that wait for a store at a URL
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
        threads: that read in parallel.
    """

    layout: Layout
    threads: int

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
    if not _plain(array):
        return _Parts(array, layout)
    return _Shards(array, layout) if isinstance(array.store, LocalStore) else _RemoteShards(array, layout)


def _plain(array: Any) -> bool:  # noqa: ANN401
    """Whether an array is stored as by `create_cube`: uint16, Zarr shards of one time and all bands, zstd, in files."""
    stored = array.metadata.to_dict()
    in_files = isinstance(array.store, LocalStore | FsspecStore)
    if not in_files or array.shards is None or len(stored["codecs"]) > 1:
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
        self.layout, self.threads = layout, usable_cores()
        self._folder = f"{array.store.root / array.path}/c"
        self._pixels = _Pixels(array)

    def read(self, time: int, chunks: Sequence[Chunk]) -> Iterator[NDArray[np.uint16]]:
        (row, col), (high, wide) = self.layout.shard_of(chunks[0]), self.layout.shard
        rows, cols = np.array(chunks).T
        try:
            with open(f"{self._folder}/{time}/0/{row}/{col}", "rb", buffering=0) as file:
                found = self._index(file)[rows % high, cols % wide]
                yield from (self._at(file, start, size) for start, size in found.tolist())
        except FileNotFoundError:  # a Zarr shard that is all fill value has no file
            yield from (self._pixels.nothing for _ in chunks)

    def _index(self, file: FileIO) -> NDArray[np.uint64]:
        size = _index_bytes(self.layout)
        file.seek(-size, os.SEEK_END)
        return _index_of(file.read(size), self.layout, file.name)

    def _at(self, file: FileIO, start: int, size: int) -> NDArray[np.uint16]:
        if start == _MISSING:
            return self._pixels.nothing
        file.seek(start)
        return self._pixels.of(file.read(size))


class _RemoteShards:
    """Reads Zarr shards of a finished cube at a URL."""

    def __init__(self, array: Any, layout: Layout) -> None:  # noqa: ANN401
        keep_freed_memory()
        self.layout, self.threads = layout, max(_REQUESTS, usable_cores())
        self._ranges = ranges_of(array.store.fs)
        self._folder = f"{array.store.path.rstrip('/')}/{array.path}/c"
        self._pixels = _Pixels(array)
        self._indexes: dict[str, NDArray[np.uint64] | None] = {}  # None for a shard that is all fill value

    def read(self, time: int, chunks: Sequence[Chunk]) -> Iterator[NDArray[np.uint16]]:
        (row, col), (high, wide) = self.layout.shard_of(chunks[0]), self.layout.shard
        path = f"{self._folder}/{time}/0/{row}/{col}"
        if path not in self._indexes:
            self._indexes[path] = self._index(path)
        index = self._indexes[path]
        found = (
            [None] * len(chunks)
            if index is None
            else self._fetched(path, index, np.array(chunks) % np.array([high, wide]))
        )
        yield from (self._pixels.nothing if each is None else self._pixels.of(each) for each in found)

    def _index(self, path: str) -> NDArray[np.uint64] | None:
        try:
            return _index_of(self._ranges.tail(path, _index_bytes(self.layout)), self.layout, path)
        except FileNotFoundError:
            return None

    def _fetched(self, path: str, index: NDArray[np.uint64], chunks: NDArray[np.int64]) -> list[Content | None]:
        """The stored bytes of chunks of a shard, None for those that are all fill value."""
        offset, size = index[chunks[:, 0], chunks[:, 1]].T
        stored = np.flatnonzero(offset != _MISSING)
        starts, sizes = offset[stored].astype(np.int64), size[stored].astype(np.int64)
        groups = together(np.zeros(len(stored), np.int64), starts, sizes, self._ranges.gap_bytes)
        begun = [int(starts[group[0]]) for group in groups]
        ends = [int((starts[group] + sizes[group]).max()) for group in groups]
        parts = self._ranges.parts(path, begun, ends)
        out: list[Content | None] = [None] * len(chunks)
        for group, first, part in zip(groups, begun, parts, strict=True):
            for i in group:
                out[stored[i]] = part[starts[i] - first : starts[i] + sizes[i] - first]
        return out


class _Pixels:
    """Chunks of an array from their stored bytes."""

    def __init__(self, array: Any) -> None:  # noqa: ANN401
        self._shape = array.chunks[1:]
        self.nothing = np.full(self._shape, array.fill_value, np.uint16)

    def of(self, stored: Content) -> NDArray[np.uint16]:
        """The pixels of a chunk, (band, rows, columns)."""
        return np.frombuffer(zstd.decompress(stored), "<u2").reshape(self._shape)


def _index_bytes(layout: Layout) -> int:
    return 16 * math.prod(layout.shard) + _CHECKSUM_BYTES


def _index_of(stored: bytes, layout: Layout, name: object) -> NDArray[np.uint64]:
    """Offset and length of each chunk of a Zarr shard, bytes, (down, right, 2)."""
    index, checksum = stored[:-_CHECKSUM_BYTES], stored[-_CHECKSUM_BYTES:]
    if len(stored) != _index_bytes(layout) or google_crc32c.value(index) != int.from_bytes(checksum, "little"):
        raise ValueError(f"the index of the Zarr shard {name} is damaged")
    return np.frombuffer(index, "<u8").reshape(*layout.shard, 2)


class _Parts:
    """Reads chunks stored in any other way, or at a URL, as parts of the array."""

    def __init__(self, array: Any, layout: Layout) -> None:  # noqa: ANN401
        self.layout, self.threads = layout, usable_cores()
        self._engine = engine_of(array)

    def read(self, time: int, chunks: Sequence[Chunk]) -> Iterator[NDArray[np.uint16]]:
        parts = [(time, slice(None), *self.layout.slices(chunk)) for chunk in chunks]
        yield from (np.asarray(pending.result()) for pending in self._engine.start(parts))
