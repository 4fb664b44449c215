"""Whether two artefacts have the same content: arrays as they are decoded, tables, weights, members of archives."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import zarr
from upath import UPath

from sdm_ray.stores import raster

WEIGHTS_ATOL = 1e-5


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
    return [f"{first.name}: {worst} differs by {apart[worst]:.2g}"] if apart[worst] > WEIGHTS_ATOL else []


def _members(file: UPath) -> dict[str, bytes]:
    with file.open("rb") as content, tarfile.open(fileobj=content) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}  # type: ignore[union-attr]
