"""What one tile of a map costs, measured before the map is made."""

import resource
import time
from dataclasses import dataclass, replace

from upath import UPath

from sdm_ray.mapping.plan import PlannedTile
from sdm_ray.mapping.setup import Ready
from sdm_ray.mapping.tile import Mapper
from sdm_ray.stores.maps import create_map


@dataclass(frozen=True)
class Cost:
    """The cost of one tile.

    Attributes:
        seconds: to compute and write it, the models being loaded.
        memory: bytes by which the process grew at most, the models included.
        stored: bytes on disk, without coarser levels.
    """

    seconds: float
    memory: int
    stored: int


def measure(ready: Ready, tile: PlannedTile, scratch: UPath) -> Cost:
    """Do a tile twice in this process, at a place that the caller removes: the second time is the one that counts."""
    before = _peak()
    create_map(scratch, ready.work.area.grid, ready.spec)
    empty = _bytes(scratch)
    mapper = Mapper(replace(ready.work, output=str(scratch)))
    mapper.compute(tile, scratch)
    start = time.monotonic()
    mapper.compute(tile, scratch)
    return Cost(time.monotonic() - start, _peak() - before, _bytes(scratch) - empty)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _bytes(folder: UPath) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
