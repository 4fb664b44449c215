"""One measurement of bench_streams.py, in a process of its own: `python stream_runs.py NAME '{"arguments": ...}'`."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from sdm_ray.buffers import keep_freed_memory
from sdm_ray.geo.grid import to_lonlat
from sdm_ray.stores import zarr_io as engines
from sdm_ray.stores.patch_reader import _RUN, _threads
from sdm_ray.stores.shards import Shards
from sdm_ray.stores.zarr_shards import chunks_of

SIZE = 128
BATCH = 256


def places(side: int, count: int) -> np.ndarray:
    """Upper-left corners of patches at random in a square of `side` pixels, (count, 2)."""
    return np.random.default_rng(1).integers(0, side - SIZE, (count, 2))


def chunks_needed(corners: np.ndarray, chunk: int) -> int:
    """How many chunks hold a pixel of the patches."""
    ends = [(corners + np.array(shift) * (SIZE - 1)) // chunk for shift in ((0, 0), (0, 1), (1, 0), (1, 1))]
    return len(np.unique(np.concatenate(ends), axis=0))


def ours(cube: str, count: int, epochs: int, readers: int) -> dict[str, float]:
    """Batches of torch tensors through the stream of training, as steadily as decoding is timed at its best.

    The first pass is start-up: what is imported and opened, Ray's workers, memory that is new to the process. What was
    read ahead when the clock starts is made up for by what has been read ahead when it stops.
    """
    import torch

    from sdm_ray.streams.loader import Stream, batches
    from sdm_ray.streams.places import ListedPlaces
    from sdm_ray.streams.reader_tasks import ReaderTasks
    from sdm_ray.streams.window_dataset import WindowDataset
    from sdm_ray.streams.windows import Windows, open_cube

    grid = open_cube(cube).grid
    corners = places(grid.width, count)
    centres = (corners + SIZE / 2) * grid.resolution
    x, y = grid.x0 + centres[:, 1], grid.y1 - centres[:, 0]
    windows = Windows(cube, tuple(open_cube(cube).bands), ListedPlaces(np.stack(to_lonlat(x, y), axis=1)), SIZE)
    stream = Stream.of(WindowDataset(windows), 0, BATCH, readers=ReaderTasks(readers))
    first, last = count // BATCH, (epochs + 1) * count // BATCH  # one pass before, and one to go on with after
    steps = (epochs + 2) * count // BATCH
    start, rows = 0.0, 0
    for step, batch in enumerate(batches(stream, 0, 1, 0, steps)):
        rows += len(torch.from_numpy(batch["image_satellite"]))
        if step == first:
            start, rows = time.perf_counter(), 0
        elif step == last:
            rate = rows / (time.perf_counter() - start)
    ids = stream.rows(range(steps))[0].ravel()
    return {"rate": rate, "mixing": float(np.corrcoef(x[ids[:-1]], x[ids[1:]])[0, 1])}


def idle() -> dict[str, float]:
    """A Ray cluster that does nothing, to be taken off the others' memory."""
    from sdm_ray import ray_runtime

    ray_runtime.connect()
    time.sleep(6)
    return {"rate": 0.0}


def one_by_one(cube: str, count: int) -> dict[str, float]:
    """zarr-python, window by window."""
    import torch

    array: Any = zarr.open_group(cube, mode="r")["reflectance"]
    corners = places(array.shape[-1], count)

    def read() -> Iterator[Any]:
        for start in range(0, count, 32):
            batch = corners[start : start + 32].tolist()
            yield torch.from_numpy(np.stack([array[0, :, row : row + SIZE, col : col + SIZE] for row, col in batch]))

    return {"rate": _rate(read)}


def torchgeo(tif: str, count: int) -> dict[str, float]:
    """torchgeo's RandomGeoSampler over a RasterDataset, as its documentation shows it."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import RandomGeoSampler, Units

    class Pixels(RasterDataset):
        filename_glob = Path(tif).name

    dataset = Pixels(Path(tif).parent)
    sampler = RandomGeoSampler(dataset, size=SIZE, length=count, units=Units.PIXELS)
    loader = DataLoader(dataset, batch_size=32, sampler=sampler, collate_fn=stack_samples)
    return {"rate": _rate(lambda: (batch["image"] for batch in loader))}


def xbatcher(cube: str, count: int) -> dict[str, float]:
    """xbatcher's BatchGenerator over dask; its patches are those of a regular grid, in order."""
    import torch
    import xarray as xr
    from xbatcher import BatchGenerator

    data = xr.open_zarr(cube, mask_and_scale=False).reflectance.isel(time=0)
    side = int(np.ceil(np.sqrt(count))) * SIZE
    patches = BatchGenerator(data.isel(x=slice(0, side), y=slice(0, side)), {"x": SIZE, "y": SIZE})
    return {"rate": _rate(lambda: (torch.from_numpy(patches[i].values[None]) for i in range(count)))}


def decode(cube: str, engine: str) -> dict[str, float]:
    """Bytes a second that an engine decodes of the whole cube, the best of the ways that it offers."""
    if engine == "zarrs":
        zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    array: Any = zarr.open_group(cube, mode="r")["reflectance"]
    ways = {"tensorstore": [_tensorstore_by_shard, _tensorstore_by_chunk], "our threads": [_our_threads]}
    best = 0.0
    for way in ways.get(engine, [_zarr_by_shard]):
        for _ in range(3):
            start = time.perf_counter()
            total = way(array)
            best = max(best, total / (time.perf_counter() - start))
    return {"rate": best}


def _parts(side: int, size: int, within: tuple[int, int] = (0, 0)) -> list[tuple[Any, ...]]:
    """Squares of `size` pixels of a square of `side`."""
    corners = [(within[0] + row, within[1] + col) for row in range(0, side, size) for col in range(0, side, size)]
    return [(0, slice(None), slice(row, row + size), slice(col, col + size)) for row, col in corners]


def _zarr_by_shard(array: Any) -> int:
    return sum(array[part].nbytes for part in _parts(array.shape[-1], array.shards[-1]))


def _tensorstore_by_shard(array: Any) -> int:
    store = engines.engine_of(array)
    return sum(engines.read(store, part).nbytes for part in _parts(array.shape[-1], array.shards[-1]))


def _tensorstore_by_chunk(array: Any) -> int:
    store, side, shard = engines.engine_of(array), array.shape[-1], array.shards[-1]
    corners = [(row, col) for row in range(0, side, shard) for col in range(0, side, shard)]
    wanted = (_parts(shard, array.chunks[-1], corner) for corner in corners)
    return sum(pending.result().nbytes for parts in wanted for pending in store.start(parts))


def _our_threads(array: Any) -> int:
    """As patches are cut, but for the cutting."""
    chunks, many = chunks_of(array), array.shape[-1] // array.chunks[-1]
    runs = chunks.layout.runs([(row, col) for row in range(many) for col in range(many)], _RUN)
    return sum(_threads(chunks.threads).map(lambda run: sum(pixels.nbytes for pixels in chunks.read(0, run)), runs))


def photo_stream(shards: str, size: int, epochs: int, readers: int) -> dict[str, float]:
    """Photos a second through the stream of training."""
    from upath import UPath

    from sdm_ray.models.distributed import Ranks
    from sdm_ray.streams.image_dataset import ImageDataset
    from sdm_ray.streams.loader import Stream, batches
    from sdm_ray.streams.reader_tasks import ReaderTasks
    from sdm_ray.streams.sampler import Sampler
    from sdm_ray.training.engine.execution import tensors

    index = Shards(UPath(shards)).index
    lonlat, place = index[["lon", "lat"]].to_numpy(), index["place_id"].to_numpy()
    dataset = ImageDataset(shards, "landscape", np.arange(len(index)), lonlat, place, size)
    stream = Stream(dataset, Sampler(len(index), 0), BATCH, ReaderTasks(readers))
    for _ in batches(stream, 0, 1, 0, 8):  # start-up: Ray's workers and what they import
        pass
    start, rows = time.perf_counter(), 0
    for batch in batches(stream, 0, 1, 0, epochs * len(index) // BATCH):
        rows += len(tensors(batch, Ranks())["image_landscape"])
    return {"rate": rows / (time.perf_counter() - start)}


def bare(shards: str, epochs: int, pool: str, decoder: str = "Pillow", size: int | None = None) -> dict[str, float]:
    """Photos a second that two processes or threads decode at full size, and shrink to `size`, doing nothing else.

    Threads keep the memory that they free, as the streams do. Pillow is what data loaders use; it alone shrinks.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from upath import UPath

    store = Shards(UPath(shards))
    files = store.read(np.arange(len(store.index))) * epochs
    decoded = _by_simplejpeg if decoder == "simplejpeg" else partial(_by_pillow, size=size)
    if pool == "threads":
        keep_freed_memory()
        workers: Any = ThreadPoolExecutor(2)
    else:
        workers = ProcessPoolExecutor(2, get_context("spawn"))
    with workers:
        list(workers.map(decoded, files[:64], chunksize=32))
        start = time.perf_counter()
        for _ in workers.map(decoded, files, chunksize=32):
            pass
        return {"rate": len(files) / (time.perf_counter() - start)}


def _by_pillow(file: bytes, size: int | None) -> int:
    import io

    from PIL import Image, ImageOps

    image = Image.open(io.BytesIO(file)).convert("RGB")
    if size is not None:
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).nbytes


def _by_simplejpeg(file: bytes) -> int:
    import simplejpeg

    return simplejpeg.decode_jpeg(file, "RGB").nbytes


def _rate(read: Callable[[], Iterator[Any]]) -> float:
    """Patches a second, without the first batch, which pays for opening."""
    batches = iter(read())
    next(batches)
    start, rows = time.perf_counter(), 0
    for batch in batches:
        rows += len(batch)
    return rows / (time.perf_counter() - start)


if __name__ == "__main__":
    run = {"ours": ours, "one_by_one": one_by_one, "torchgeo": torchgeo, "xbatcher": xbatcher, "decode": decode}
    run |= {"idle": idle, "photo_stream": photo_stream, "bare": bare}
    if json.loads(sys.argv[2]).get("readers"):
        from sdm_ray import ray_runtime

        ray_runtime.connect()
    print(json.dumps(run[sys.argv[1]](**json.loads(sys.argv[2]))))
