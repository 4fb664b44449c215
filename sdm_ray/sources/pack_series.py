"""Write the time series of surveys to one Zarr group, in parallel; missing and unreadable ones are reported.

A Ray task writes one block of rows, and at the end a file in `parts/` with its counts and faults. An interrupted run
continues with the blocks that have no such file.
"""

import json
from typing import Any

import numpy as np
import pandas as pd
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.progress import track
from sdm_ray.sources.base import SeriesList, SeriesReader
from sdm_ray.sources.photos.pack import as_done
from sdm_ray.stores import raster
from sdm_ray.stores.files import replacing
from sdm_ray.stores.series import BLOCK, SeriesSpec, create_series, write_rows

_CPUS = 0.5  # of a task, which waits for the disk about half of the time


def pack(folder: UPath, lists: list[SeriesList]) -> dict[str, int]:
    """Write the series of all lists; series that are missing or unreadable go into the lists' reports.

    Args:
        folder: of the group; finished blocks of an earlier attempt are kept.
        lists: the series; a survey may be in one list only.

    Returns:
        How many surveys there are, and how many of them have each series.

    Raises:
        InputError: a survey is in two lists.
    """
    rows = pd.concat([each.rows.assign(source=number) for number, each in enumerate(lists)], ignore_index=True)
    twice = rows["survey_id"].duplicated()
    if twice.any():
        raise InputError(f"series: survey {rows['survey_id'][twice].iloc[0]} is in two sources; expected one")
    parts = folder / "parts"
    if not parts.exists():
        specs = {name: spec for each in lists for name, spec in each.reader.specs.items()}
        create_series(folder, rows["survey_id"].tolist(), specs)
        parts.mkdir()
    starts = range(0, len(rows), BLOCK)
    missing = [start for start in starts if not _part(parts, start).exists()]
    if missing:
        _write_missing(folder, rows, [each.reader for each in lists], missing)
    counts = {"surveys": len(rows)}
    for start in starts:
        part = json.loads(_part(parts, start).read_text())
        for source, kind, key in part["faults"]:
            lists[source].report.drop(kind, [key])
        for name, count in part["known"].items():
            counts[name] = counts.get(name, 0) + count
    return counts


def finish(folder: UPath) -> None:
    """Consolidate the group's metadata and remove the parts."""
    parts = folder / "parts"
    parts.fs.rm(parts.path, recursive=True)
    raster.consolidate(folder)


def forget_faulty(folder: UPath) -> None:
    """Remove the parts of blocks with faults, so that the next attempt reads these blocks again."""
    for file in sorted((folder / "parts").glob("*.json")):
        if json.loads(file.read_text())["faults"]:
            file.unlink()


def _write_missing(folder: UPath, rows: pd.DataFrame, readers: list[SeriesReader], starts: list[int]) -> None:
    import ray

    from sdm_ray import ray_runtime

    ray_runtime.connect()
    task = ray.remote(num_cpus=_CPUS)(_write_block)
    held = [ray.put(reader) for reader in readers]  # whole tables, perhaps: stored once, not sent with every task
    waiting = [task.remote(folder, start, rows[start : start + BLOCK], *held) for start in starts]
    for _ in track(as_done(waiting), len(waiting), "blocks of series"):
        pass


def _write_block(folder: UPath, start: int, rows: pd.DataFrame, *readers: SeriesReader) -> None:
    specs: dict[str, SeriesSpec] = {name: spec for reader in readers for name, spec in reader.specs.items()}
    values = {name: np.full((len(rows), *spec.shape), np.nan, np.float32) for name, spec in specs.items()}
    known = dict.fromkeys(specs, 0)
    faults: list[tuple[int, str, str]] = []
    row: Any
    for number, row in enumerate(rows.itertuples(index=False)):
        for name in readers[row.source].specs:
            label = f"{name} {row.survey_id}"
            try:
                values[name][number] = readers[row.source].read(name, row.key)
            except (KeyError, FileNotFoundError):
                faults.append((row.source, "missing", label))
            except (OSError, ValueError) as error:
                faults.append((row.source, "unreadable", f"{label} ({str(error).splitlines()[0][:80]})"))
            else:
                if np.isfinite(values[name][number]).any():
                    known[name] += 1
                else:
                    faults.append((row.source, "empty", label))
    write_rows(folder, start, values)
    with replacing(_part(folder / "parts", start)) as draft:
        draft.write_text(json.dumps({"known": known, "faults": faults}))


def _part(parts: UPath, start: int) -> UPath:
    return parts / f"{start:09d}.json"
