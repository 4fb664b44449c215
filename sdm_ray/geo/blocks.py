"""Spatial folds as a function of place, the same for surveys, photos, patches and cells.

A block is a square of the EPSG:3035 plane. A hash of its number puts it into a fold; a second, independent hash
sets some of the blocks that are not held out aside for selecting and calibrating. The same functions take any
other number of a group, such as a country, where whole countries are to be left out.
"""

from dataclasses import dataclass
from enum import IntEnum
from itertools import product
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from sdm_ray.geo import splitmix

if TYPE_CHECKING:
    from sdm_ray.geo.grid import Grid

_AROUND = [step for step in product((-1, 0, 1), repeat=2) if step != (0, 0)]
"""Steps east and north to the 8 neighbours of a block."""


class Role(IntEnum):
    """What a row is used for in one fold."""

    TRAIN = 0
    VALIDATION = 1
    """Early stopping and sweeps."""
    CALIBRATE = 2
    """Calibration, thresholds."""
    TEST = 3
    BUFFER = 4
    """Too near a held-out block to be used."""


@dataclass(frozen=True)
class Blocks:
    """How places are held out.

    Attributes:
        size_m: side of a block, metres.
        folds: number of folds.
        seed: another seed is another assignment of blocks to folds.
        origin: x and y of a corner of a block, metres.
        buffer_m: rows nearer than this to a held-out block or country are not used.
        validation: share of the other blocks for early stopping and sweeps.
        calibrate: share of the other blocks for calibration.

    Raises:
        ValueError: a value makes no folds.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    size_m: float = 100_000.0
    folds: int = 5
    seed: int = 0
    origin: tuple[float, float] = (0.0, 0.0)
    buffer_m: float = 0.0
    validation: float = 0.1
    calibrate: float = 0.1

    def __post_init__(self) -> None:
        if self.size_m <= 0 or self.folds < 2:
            raise ValueError(f"blocks need size_m > 0 and folds >= 2, found {self.size_m} and {self.folds}")
        if not 0 <= self.buffer_m <= self.size_m:
            raise ValueError(f"buffer_m must lie between 0 and size_m, found {self.buffer_m}")
        if min(self.validation, self.calibrate) < 0 or self.validation + self.calibrate >= 1:
            raise ValueError("validation and calibrate must leave blocks for training")


def block_id(x: NDArray[np.float64], y: NDArray[np.float64], blocks: Blocks) -> NDArray[np.int64]:
    """The number of the block of each point."""
    col, row = _block(x, y, blocks)
    return (col << 32) + row


def fold(x: NDArray[np.float64], y: NDArray[np.float64], blocks: Blocks) -> NDArray[np.int16]:
    """The fold, 0 to folds - 1, that each point is held out in."""
    return fold_of(block_id(x, y, blocks), blocks)


def fold_of(group: NDArray[np.int64], blocks: Blocks) -> NDArray[np.int16]:
    """The fold of each group (block, country, ...), by its number."""
    return (_uniform(group, blocks.seed, 0) * blocks.folds).astype(np.int16)


def role(x: NDArray[np.float64], y: NDArray[np.float64], blocks: Blocks, held_out: int | None) -> NDArray[np.int8]:
    """What each point is used for when one fold is held out; codes of `Role`.

    Args:
        x: EPSG:3035 metres, (N,).
        y: EPSG:3035 metres, (N,).
        blocks: how places are held out.
        held_out: the fold held out; None where nothing is, and every row is for training.
    """
    roles = role_of(block_id(x, y, blocks), blocks, held_out)
    if held_out is None or blocks.buffer_m == 0:
        return roles
    near = _near_held_out(np.asarray(x), np.asarray(y), blocks, held_out)
    return np.where(near & (roles != Role.TEST), np.int8(Role.BUFFER), roles)


def role_on_grid(
    x: NDArray[np.float64], y: NDArray[np.float64], blocks: Blocks, held_out: int | None
) -> NDArray[np.int8]:
    """As `role`, of the points of a grid, and much faster: each block and each neighbour is looked at once.

    Args:
        x: of the columns, EPSG:3035 metres, (c,).
        y: of the rows, EPSG:3035 metres, (r,).
        blocks: how places are held out.
        held_out: the fold held out; None where nothing is, and every row is for training.

    Returns:
        Codes of `Role`, (r, c).
    """
    (cols, col), (rows, row) = (np.unique(each, return_inverse=True) for each in _block(x, y, blocks))
    roles = role_of((cols << 32) + rows[:, None], blocks, held_out)[row][:, col]
    if held_out is None or blocks.buffer_m == 0:
        return roles
    gaps_x, gaps_y = (_gaps(each, start, blocks) for each, start in zip((x, y), blocks.origin, strict=True))
    for step_x, step_y in _AROUND:
        gap_x, gap_y = gaps_x[step_x], gaps_y[step_y]
        i, j = (np.flatnonzero(gap < blocks.buffer_m) for gap in (gap_y, gap_x))
        held = fold_of(((cols + step_x) << 32) + (rows + step_y)[:, None], blocks) == held_out
        near = held[row[i]][:, col[j]] & (np.hypot(gap_x[j], gap_y[i, None]) < blocks.buffer_m)
        part = roles[np.ix_(i, j)]
        roles[np.ix_(i, j)] = np.where(near & (part != Role.TEST), np.int8(Role.BUFFER), part)
    return roles


def misfit(blocks: Blocks, grid: "Grid") -> str | None:
    """Why edges of blocks cut cells of a grid; None where every cell lies in one block.

    A survey and the centre of its cell may then lie in different blocks, so that the model which holds out the block of
    the centre may have been trained on the survey. For example, blocks of 25 km cut every 25th of 2-km cells along an
    axis.
    """
    corner = grid.x0, grid.y1
    steps = [blocks.size_m / grid.resolution]
    steps += [(edge - start) / grid.resolution for edge, start in zip(blocks.origin, corner, strict=True)]
    if np.allclose(steps, np.round(steps), rtol=0, atol=1e-6):
        return None
    size = max(1, round(steps[0])) * grid.resolution
    east, north = (start + round(step) * grid.resolution for start, step in zip(corner, steps[1:], strict=True))
    return (
        f"edges of blocks of {blocks.size_m:g} m from {blocks.origin[0]:g}, {blocks.origin[1]:g} cut cells of"
        f" {grid.resolution:g} m, so that a cell may hold surveys of the model's own training; expected blocks such as"
        f" size_m: {size:g}, origin: [{east:g}, {north:g}]"
    )


def role_of(group: NDArray[np.int64], blocks: Blocks, held_out: int | None) -> NDArray[np.int8]:
    """What each group (block, country, ...) is used for when one fold is held out; codes of `Role`."""
    group = np.asarray(group)
    roles = np.full(group.shape, Role.TRAIN, np.int8)
    if held_out is None:
        return roles
    u = _uniform(group, blocks.seed, 1)
    roles[u < blocks.validation + blocks.calibrate] = Role.CALIBRATE
    roles[u < blocks.validation] = Role.VALIDATION
    roles[fold_of(group, blocks) == held_out] = Role.TEST
    return roles


def _block(
    x: NDArray[np.float64], y: NDArray[np.float64], blocks: Blocks
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    col = np.floor((np.asarray(x) - blocks.origin[0]) / blocks.size_m).astype(np.int64)
    row = np.floor((np.asarray(y) - blocks.origin[1]) / blocks.size_m).astype(np.int64)
    return col, row


def _near_held_out(x: NDArray[np.float64], y: NDArray[np.float64], blocks: Blocks, held_out: int) -> NDArray[np.bool_]:
    """Whether a held-out block, one of the 8 neighbours, begins within the buffer's distance."""
    col, row = _block(x, y, blocks)
    gap_x, gap_y = (_gaps(each, start, blocks) for each, start in zip((x, y), blocks.origin, strict=True))
    near = np.zeros(np.shape(x), bool)
    for step_x, step_y in _AROUND:
        held = fold_of(((col + step_x) << 32) + row + step_y, blocks) == held_out
        near |= held & (np.hypot(gap_x[step_x], gap_y[step_y]) < blocks.buffer_m)
    return near


def _gaps(along: NDArray[np.float64], origin: float, blocks: Blocks) -> dict[int, NDArray[np.float64]]:
    """How far points are, along an axis, from the blocks on either side, and 0 from their own."""
    beyond = np.asarray(along) - origin
    beyond = beyond - np.floor(beyond / blocks.size_m) * blocks.size_m
    return {-1: beyond, 0: np.zeros_like(beyond), 1: blocks.size_m - beyond}


def _uniform(group: NDArray[np.int64], seed: int, stream: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each group."""
    with np.errstate(over="ignore"):
        start = np.uint64((2 * seed + stream + 1) & 0xFFFFFFFFFFFFFFFF) * splitmix.GOLDEN
        z = np.asarray(group, np.int64).astype(np.uint64) ^ splitmix.mix(start)
        return splitmix.unit(splitmix.mix(z))
