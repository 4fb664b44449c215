"""Whether two artefacts have the same content.

Arrays as they are decoded, tables and members of archives must be equal; weights and figures, as the loss of each
epoch in `metrics.json`, within 1e-5.
"""

import csv
import json
import math
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import zarr
from upath import UPath

from sdm_ray.stores import raster

TOLERANCE = 1e-5  # of weights, and of figures also in relation to their size


def differences(first: UPath, second: UPath) -> list[str]:
    """What differs between two artefacts, in one line each; empty where nothing does."""
    if first.name.endswith(".zarr"):
        return [*_groups(first, second), *_missing(first, second)]
    if not first.is_dir():
        return _files(first, second)
    found = _missing(first, second)
    for file in sorted(_listed(first) & _listed(second)):
        found += _files(first / file, second / file)
    return found


def _missing(first: UPath, second: UPath) -> list[str]:
    """Files of one that the other lacks; of Zarr's own files none, since what is empty may be written or not."""
    return [f"only one has {name}" for name in sorted(_listed(first) ^ _listed(second))]


def _listed(folder: UPath) -> set[str]:
    start = len(folder.path.rstrip("/")) + 1
    names = (str(path)[start:] for path in folder.fs.find(folder.path))
    return {name for name in names if not {"c", "zarr.json"} & set(name.split("/"))}


def _groups(first: UPath, second: UPath) -> list[str]:
    found = []
    ours, theirs = dict(_arrays(first)), dict(_arrays(second))
    for name in sorted(ours.keys() ^ theirs.keys()):
        found.append(f"only one has the array {name}")
    for name in sorted(ours.keys() & theirs.keys()):
        a, b = np.asarray(ours[name][...]), np.asarray(theirs[name][...])
        numbers = a.dtype.kind == "f"
        if a.shape != b.shape or a.dtype != b.dtype or not np.array_equal(a, b, equal_nan=numbers):
            count = int((a != b).sum()) if a.shape == b.shape else -1
            found.append(f"array {name} differs in {count} of {a.size} values")
    return found


def _arrays(place: UPath) -> Iterator[tuple[str, Any]]:
    for name, member in raster.open_group(place).members(max_depth=None):
        if isinstance(member, zarr.Array):
            yield name, member


def _files(first: UPath, second: UPath) -> list[str]:
    """Tables, weights and archives by their content; what else there is (times, names of runs) is left out."""
    if not second.exists():
        return [f"only one has {first.name}"]
    same = True
    if first.suffix == ".parquet":
        same = pq.read_table(first.open("rb")).equals(pq.read_table(second.open("rb")))
    elif first.suffix == ".safetensors":
        return _weights(Path(str(first)), Path(str(second)))
    elif first.suffix == ".tar":
        same = _members(first) == _members(second)
    elif first.name == "metrics.json":
        return [f"metrics.json: {line}" for line in _figures(_json(first), _json(second))]
    elif first.name == "trials.csv":  # of a sweep: figures of trainings
        return [f"trials.csv: {line}" for line in _figures(_rows(first), _rows(second))]
    elif first.suffix == ".csv":
        same = first.read_bytes() == second.read_bytes()
    return [] if same else [f"{first.name} differs"]


def _weights(first: Path, second: Path) -> list[str]:
    from safetensors.numpy import load_file

    a, b = load_file(first), load_file(second)
    if a.keys() != b.keys():
        return [f"{first.name}: only one has {sorted(a.keys() ^ b.keys())[0]}"]
    apart = {name: float(np.abs(a[name].astype(float) - b[name]).max(initial=0.0)) for name in a}
    worst = max(apart, key=lambda name: apart[name])
    return [f"{first.name}: {worst} differs by {apart[worst]:.2g}"] if apart[worst] > TOLERANCE else []


def _json(file: UPath) -> Any:
    return json.loads(file.read_text())


def _rows(file: UPath) -> list[dict[str, Any]]:
    """The rows of a table, whose numbers are numbers."""
    return [
        {key: _number(value) for key, value in row.items()} for row in csv.DictReader(file.read_text().splitlines())
    ]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _figures(first: Any, second: Any, name: str = "") -> Iterator[str]:
    """What differs between two values of JSON, with their names."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted(first.keys() ^ second.keys()):
            yield f"only one has {name}.{key}".replace(" .", " ")
        for key in first:
            if key in second:
                yield from _figures(first[key], second[key], f"{name}.{key}".lstrip("."))
    elif isinstance(first, list) and isinstance(second, list):
        if len(first) != len(second):
            yield f"{name} has {len(first)} and {len(second)} entries"
        for number, pair in enumerate(zip(first, second, strict=False)):
            yield from _figures(*pair, f"{name}[{number}]")
    elif not _alike(first, second):
        yield f"{name} is {first} and {second}"


def _alike(first: Any, second: Any) -> bool:
    numbers = isinstance(first, int | float) and isinstance(second, int | float)
    if not numbers or isinstance(first, bool) or isinstance(second, bool):
        return type(first) is type(second) and first == second
    both_nan = math.isnan(first) and math.isnan(second)
    return both_nan or math.isclose(first, second, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _members(file: UPath) -> dict[str, bytes]:
    with file.open("rb") as content, tarfile.open(fileobj=content) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}  # type: ignore[union-attr]
