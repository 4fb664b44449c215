"""What a map's work is: which cells are wanted, in which tiles, and how much that is."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np

from sdm_ray.geo.block_means import block_sums
from sdm_ray.geo.grid import Grid
from sdm_ray.geo.windows import Window, tiles

_MASK_CELLS = 1 << 24  # of the tiles that are looked at together: asking for each alone takes ten times as long


@dataclass(frozen=True)
class PlannedTile:
    """One tile with work in it.

    Attributes:
        id: its south-western corner, `E4096000N3072000`.
        window: its cells on the map's grid.
        cells: how many of them are wanted.
    """

    id: str
    window: Window
    cells: int


@dataclass(frozen=True)
class Plan:
    """The tiles of a map.

    Attributes:
        grid: the map's grid.
        tiles: tiles with at least one wanted cell.
        done: ids of those that an earlier attempt finished.
    """

    grid: Grid
    tiles: list[PlannedTile]
    done: frozenset[str]

    @property
    def left(self) -> list[PlannedTile]:
        """Tiles still to do."""
        return [tile for tile in self.tiles if tile.id not in self.done]

    @property
    def cells(self) -> int:
        """Wanted cells."""
        return sum(tile.cells for tile in self.tiles)

    def lines(self, species: int, bits: int) -> list[str]:
        """The plan for a person to read."""
        total = self.grid.width * self.grid.height
        raw = self.cells * species * bits // 8
        return [
            f"grid {self.grid.width} x {self.grid.height} cells of {self.grid.resolution:g} m",
            f"tiles {len(self.tiles)}, of which {len(self.tiles) - len(self.left)} done",
            f"cells {self.cells} ({self.cells / total:.1%} of the grid), {species} species",
            f"probabilities {raw / 1e6:.1f} MB before compression",
        ]


def make(grid: Grid, size: int, wanted: Callable[[Window], np.ndarray], done: Collection[str] = ()) -> Plan:
    """Plan a map.

    Args:
        grid: the map's grid.
        size: cells along the side of a tile.
        wanted: gives the mask of the wanted cells of a window, bool (height, width).
        done: ids of tiles that need no work.
    """
    cells = _counted(grid, size, wanted)
    planned = [
        PlannedTile(tile.id, tile.window, count)
        for tile in tiles(grid, size)
        if (count := int(cells[tile.window.row // size, tile.window.col // size]))
    ]
    return Plan(grid, planned, frozenset(done))


def _counted(grid: Grid, size: int, wanted: Callable[[Window], np.ndarray]) -> np.ndarray:
    """Wanted cells of each tile, (rows of tiles, columns of tiles)."""
    many = max(1, _MASK_CELLS // size**2)
    rows = []
    for row in range(0, grid.height, size):
        strip = Window(row, 0, min(size, grid.height - row), grid.width)
        counts = [block_sums(wanted(part), size)[0] for part in strip.parts(size, many * size)]
        rows.append(np.concatenate(counts))
    return np.stack(rows)


def coarser(work: Plan, grid: Grid, size: int, level: int) -> list[PlannedTile]:
    """The tiles of a coarser level that lie over tiles of the map, with what is wanted there.

    Args:
        work: the plan of the map.
        grid: of the level.
        size: cells along the side of a tile, of the map and of the level.
        level: cells of the level are 2^level times as wide.
    """
    cells: Counter[tuple[int, int]] = Counter()
    for tile in work.tiles:
        cells[tile.window.row // size >> level, tile.window.col // size >> level] += tile.cells
    places = ((tile, (tile.window.row // size, tile.window.col // size)) for tile in tiles(grid, size))
    return [PlannedTile(tile.id, tile.window, cells[at]) for tile, at in places if at in cells]


def split(window: Window, block: int, fits: Callable[[Window], bool]) -> Iterator[Window]:
    """Cut a window into quarters, on block edges, until each part fits or is one block."""
    if (window.height <= block and window.width <= block) or fits(window):
        yield window
        return
    half = (max(1, -(-side // block) // 2) * block for side in (window.height, window.width))
    for part in window.parts(*half):
        yield from split(part, block, fits)


def blocks(window: Window, block: int) -> Iterator[Window]:
    """Cut a tile, or a part of one, into the compute blocks of a forward pass, row by row.

    Tiles are cut from the grid's corner and are whole blocks, so the grid alone decides the blocks, and a cell's
    numbers do not depend on its tile: a matrix product may round differently in a batch of another shape. At the
    grid's lower and right edges a block may be smaller.
    """
    return window.parts(block, block)
