"""What maps of 100 m and 10 m would take, on paper: from figures measured at 1 km and a simulated cluster."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from sdm_ray.mapping.plan import PlannedTile

GPU_PATCHES = 5_000.0  # of 128 pixels a second by a ResNet-18 on one card of today: a guess, to be measured
STRIDE_M = 640.0
CUBE_BYTES = 4 * 2 * 0.6  # of a pixel: four bands of two bytes, compressed to 0.6 as in bench_streams.py
CORES = 256


@dataclass(frozen=True)
class Measured:
    """At 1 km.

    Attributes:
        tiles: the tiles.
        rate: cells a second of one worker with one core, location and covariates.
        overhead: seconds that a tile takes beside its cells.
        stored: bytes of a cell on disk, all species.
        species: how many.
    """

    tiles: Sequence[PlannedTile]
    rate: float
    overhead: float
    stored: float
    species: int


def makespan(seconds: Sequence[float], workers: int) -> float:
    """When the last of some tasks ends that workers take in order, each as soon as it is free."""
    free = [0.0] * workers
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def lines(measured: Measured, tile: int) -> list[str]:
    """The estimate as a table.

    Args:
        measured: at 1 km.
        tile: cells along the side of a tile, at every resolution.
    """
    found = [
        f"on paper, {measured.species} species, {CORES} cores in a simulated cluster; imagery by patches of 128 pixels"
        f" every {STRIDE_M:g} m at {GPU_PATCHES:g} patches a second and GPU (assumed)",
        "  resolution    cells  tiles  core-hours   wall h  busy  stored TB   patches  GPU-hours  pixels read TB",
    ]
    land = sum(tile.cells for tile in measured.tiles)
    for resolution in (1000, 100, 10):
        step = 1000 // resolution
        seconds = [
            part / measured.rate + measured.overhead
            for tile in measured.tiles
            for part in _parts(tile.cells, step, tile)
        ]
        wall = makespan(seconds, CORES)
        cells = land * step**2
        patches = land * 1e6 / min(STRIDE_M, 1000.0) ** 2 if resolution < 1000 else land
        found.append(
            f"  {resolution:7d} m {cells:9.2e} {len(seconds):6d} {sum(seconds) / 3600:11.1f} {wall / 3600:8.2f}"
            f" {sum(seconds) / CORES / wall:5.0%} {cells * measured.stored / 1e12:10.2f} {patches:9.1e}"
            f" {patches / GPU_PATCHES / 3600:10.1f} {land * 1e4 * CUBE_BYTES / 1e12:15.2f}"
        )
    return found


def _parts(cells: int, step: int, tile: int) -> list[float]:
    """Cells of the finer tiles under one of 1 km: full ones, and one with what is left."""
    fine = cells * step**2
    full, left = divmod(fine, tile**2)
    return [float(tile**2)] * full + ([float(left)] if left else [])
