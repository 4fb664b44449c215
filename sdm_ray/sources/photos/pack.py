"""Image files to shards, in parallel, unreadable ones left out by name.

A shard is one Ray task. What it leaves in `parts/` (its rows of the index and its faults) says that it is whole, so
that an interrupted run goes on with the shards that are missing. The same images give the same bytes.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from upath import UPath

from sdm_ray.progress import track
from sdm_ray.sources.base import ImageList, Opener
from sdm_ray.stores.files import replacing
from sdm_ray.stores.shards import Sample, write_index, write_shard

_FORMATS = {"jpg": "JPEG", "png": "PNG"}
_CPUS = 0.5  # of a task, which waits for the disk about half of the time
_UNREADABLE = (OSError, EOFError, ValueError, SyntaxError, zipfile.BadZipFile, zlib.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class _PlannedShard:
    """One shard: its number and its rows of one list."""

    number: int
    source: int
    start: int
    stop: int


def pack(folder: UPath, lists: list[ImageList], images_per_shard: int) -> None:
    """Write the shards and the index of all lists; images that cannot be used go into the lists' reports.

    Args:
        folder: the shards' folder; whole shards of an earlier attempt are kept.
        lists: the images.
        images_per_shard: most images of one shard.
    """
    shards = _cut([len(each.rows) for each in lists], images_per_shard)
    parts = folder / "parts"
    parts.mkdir(exist_ok=True)
    missing = [shard for shard in shards if not _part(parts, shard.number).exists()]
    if missing:
        _write_missing(folder, lists, missing)
    for shard in shards:
        faults = json.loads(_faults(parts, shard.number).read_text())
        for kind, key in faults:
            lists[shard.source].report.drop(kind, [key])


def finish(folder: UPath) -> pd.DataFrame:
    """Write the index of all shards from their parts, which are then removed; returns the index."""
    parts = folder / "parts"
    tables = []
    for file in sorted(parts.glob("*.parquet")):
        with file.open("rb") as handle:
            tables.append(pd.read_parquet(handle))
    write_index(folder, tables)
    parts.fs.rm(parts.path, recursive=True)
    return pd.concat(tables, ignore_index=True)


def forget_faulty(folder: UPath) -> None:
    """Remove the parts of shards with faults, so that the next attempt packs these shards again."""
    for file in sorted((folder / "parts").glob("*.json")):
        if json.loads(file.read_text()):
            (file.parent / f"{file.stem}.parquet").unlink(missing_ok=True)


def check_image(content: bytes, ext: str) -> str | None:
    """Decode an image; returns the fault that was found, or None.

    Args:
        content: the file's bytes.
        ext: what it should be, `jpg`, `png` or `npy` (band, height, width).
    """
    try:
        if ext == "npy":
            shape = np.load(io.BytesIO(content), allow_pickle=False).shape
            return None if len(shape) == 3 else f"has shape {shape}, expected band, height, width"
        with Image.open(io.BytesIO(content)) as image:
            if image.format != _FORMATS[ext]:
                return f"is {image.format}, expected {_FORMATS[ext]}"
            image.load()
    except _UNREADABLE as error:
        return type(error).__name__ if "BytesIO" in str(error) else str(error).splitlines()[0][:80]
    return None


def as_done(waiting: list[Any]) -> Iterator[None]:
    """Yield once for each finished task; raises the error of a task that failed."""
    import ray

    while waiting:
        done, waiting = ray.wait(waiting, num_returns=1)
        ray.get(done)
        yield None


def _cut(counts: list[int], size: int) -> list[_PlannedShard]:
    shards: list[_PlannedShard] = []
    for source, count in enumerate(counts):
        for start in range(0, count, size):
            shards.append(_PlannedShard(len(shards), source, start, min(start + size, count)))
    return shards


def _write_missing(folder: UPath, lists: list[ImageList], shards: list[_PlannedShard]) -> None:
    import ray

    from sdm_ray import ray_runtime

    ray_runtime.connect()
    task = ray.remote(num_cpus=_CPUS)(_write_piece)
    # An opener may hold a whole landscape; it is stored once, not sent with every task.
    openers = {number: ray.put(lists[number].opener) for number in sorted({shard.source for shard in shards})}
    waiting = [
        task.remote(folder, shard.number, lists[shard.source].rows[shard.start : shard.stop], openers[shard.source])
        for shard in shards
    ]
    for _ in track(as_done(waiting), len(waiting), "shards"):
        pass


def _write_piece(folder: UPath, number: int, rows: pd.DataFrame, opener: Opener) -> None:
    parts = folder / "parts"
    faults: list[tuple[str, str]] = []
    with opener.opened() as read:
        index = write_shard(folder, number, _samples(rows, read, faults))
    _faults(parts, number).write_text(json.dumps(faults))
    with replacing(_part(parts, number)) as draft, draft.open("wb") as file:
        index.to_parquet(file, index=False)


def _samples(rows: pd.DataFrame, read: Callable[[str], bytes], faults: list[tuple[str, str]]) -> Iterator[Sample]:
    row: Any
    for row in rows.itertuples(index=False):
        try:
            content = read(row.file)
        except (KeyError, FileNotFoundError):
            faults.append(("missing", row.file))
            continue
        except _UNREADABLE as error:
            faults.append(("unreadable", f"{row.file} ({str(error).splitlines()[0][:80]})"))
            continue
        wrong = check_image(content, row.ext)
        if wrong:
            faults.append(("unreadable", f"{row.file} ({wrong})"))
            continue
        survey = (row.survey_id, row.survey_kind) if "survey_id" in rows else ()
        yield Sample(row.key, row.ext, content, row.scale, row.lon, row.lat, row.place_id, row.date, *survey)


def _part(parts: UPath, number: int) -> UPath:
    return parts / f"{number:05d}.parquet"


def _faults(parts: UPath, number: int) -> UPath:
    return parts / f"{number:05d}.json"
