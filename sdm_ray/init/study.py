"""Settings that follow from a person's surveys and rasters: cells, bounds, blocks, training."""

from dataclasses import dataclass

import numpy as np

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks, block_id
from sdm_ray.geo.grid import Extent, to_xy
from sdm_ray.init.layers import OwnRaster
from sdm_ray.init.table import OwnTable
from sdm_ray.training.finetune.data_defaults import suggested_batch, suggested_blocks, suggested_epochs

RESOLUTIONS_M = (10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
"""Sides of cells to choose from: each divides the side of a block."""
_MOST_CELLS = 4_000_000
_MARGIN = 0.1  # of the longer side of the surveys' extent
_FEW_RECORDS = 10
_IN_PROCESS = 20_000  # surveys that one process trains on as fast as Ray starts
FEW_SURVEYS = 200
"""Surveys below which scores depend much on which blocks are held out."""


@dataclass(frozen=True)
class Study:
    """A person's table and rasters, and the settings that follow from them.

    Attributes:
        table: of surveys.
        rasters: of covariates.
        resolution_m: side of a cell.
        bounds: of the map, EPSG:3035 metres, on multiples of `resolution_m`.
        blocks: how places are held out.
        batch: rows of a step.
        epochs: most epochs of training.
        wavelengths_km: of the location encoder.
        min_records: surveys that a species must be in.
        counts: surveys with each species.
    """

    table: OwnTable
    rasters: list[OwnRaster]
    resolution_m: int
    bounds: tuple[int, int, int, int]
    blocks: Blocks
    batch: int
    epochs: int
    wavelengths_km: list[float]
    min_records: int
    counts: np.ndarray

    @property
    def species(self) -> int:
        """Species that are modelled."""
        return int((self.counts >= self.min_records).sum())

    @property
    def relative(self) -> bool:
        """Whether the records are presence-only."""
        return self.table.kind == "relative"

    @property
    def alone(self) -> bool:
        """Whether presences of a single species are all that there is, so that nothing stands for absences."""
        return self.relative and self.species == 1

    @property
    def in_process(self) -> bool:
        """Whether the data are so small that training needs no workers."""
        return len(self.table.surveys) <= _IN_PROCESS

    @property
    def cells(self) -> tuple[int, int]:
        """Columns and rows of the map."""
        west, south, east, north = self.bounds
        return (east - west) // self.resolution_m, (north - south) // self.resolution_m


def plan(table: OwnTable, rasters: list[OwnRaster], resolution_m: int | None) -> Study:
    """The settings for a table and rasters.

    Args:
        table: of surveys.
        rasters: of covariates.
        resolution_m: side of a cell; by default the finest raster's, if that is not too many cells.

    Raises:
        InputError: the map would have too many cells.
    """
    surveys = table.surveys
    x, y = to_xy(surveys["lon"].to_numpy(np.float64), surveys["lat"].to_numpy(np.float64))
    counts = np.bincount(np.concatenate([*surveys["species"], np.empty(0, np.int64)]).astype(np.int64))
    blocks = suggested_blocks(x, y)
    extent = _wanted(x, y, rasters)
    side = _resolution(extent, rasters, int(blocks.size_m), resolution_m)
    trained = len(surveys) * (blocks.folds - 1) // blocks.folds
    batch = suggested_batch(trained)
    west, south, east, north = extent
    length = max(east - west, north - south) / 1000
    shortest = 2 * blocks.size_m / 1000
    halves = [float(f"{length / 2**n:.2g}") for n in range(8)]
    return Study(
        table=table,
        rasters=rasters,
        resolution_m=side,
        bounds=_snapped(extent, side),
        blocks=blocks,
        batch=batch,
        epochs=suggested_epochs(max(1, round(trained / batch))),
        wavelengths_km=[each for each in halves if each >= shortest] or halves[:1],
        min_records=_FEW_RECORDS if (counts >= _FEW_RECORDS).any() else 1,
        counts=counts,
    )


def occupied(study: Study) -> int:
    """Blocks that hold surveys."""
    surveys = study.table.surveys
    x, y = to_xy(surveys["lon"].to_numpy(np.float64), surveys["lat"].to_numpy(np.float64))
    return len(np.unique(block_id(x, y, study.blocks)))


def _wanted(x: np.ndarray, y: np.ndarray, rasters: list[OwnRaster]) -> Extent:
    """What surrounds the surveys with a margin, as far as any raster reaches."""
    margin = max(_MARGIN * max(np.ptp(x), np.ptp(y)), 5 * max(each.pixel for each in rasters))
    west, south, east, north = np.array([each.extent for each in rasters]).T
    return (
        float(max(x.min() - margin, west.min())),
        float(max(y.min() - margin, south.min())),
        float(min(x.max() + margin, east.max())),
        float(min(y.max() + margin, north.max())),
    )


def _resolution(extent: Extent, rasters: list[OwnRaster], block: int, stated: int | None) -> int:
    west, south, east, north = extent
    finest = min(each.pixel for each in rasters)
    fitting = [side for side in RESOLUTIONS_M if block % side == 0]
    if stated is not None:
        if block % stated:
            raise InputError(f"--resolution {stated}: expected a side that divides blocks of {block} m, as {fitting} m")
        return stated
    for side in fitting:
        if side >= 0.9 * finest and (east - west) * (north - south) / side**2 <= _MOST_CELLS:
            return side
    return fitting[-1]


def _snapped(extent: Extent, side: int) -> tuple[int, int, int, int]:
    west, south, east, north = extent
    return (
        int(np.floor(west / side)) * side,
        int(np.floor(south / side)) * side,
        int(np.ceil(east / side)) * side,
        int(np.ceil(north / side)) * side,
    )
