"""Image patches of many cells out of a tile cube: each pixel read about once, in bounded memory."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from upath import UPath

from sdm_ray.geo.windows import Window, centred
from sdm_ray.stores.cube import Cube
from sdm_ray.stores.patches import Wanted


class Imagery:
    """Patches centred on cells.

    Cells closer than a patch is wide share pixels: their common region is read once (`hold`) and every patch is cut
    out of it. Scattered cells are read patch by patch.

    Attributes:
        size: pixels along the side of a patch.
        budget: bytes that the held region may take.
    """

    def __init__(self, path: UPath, bands: Sequence[str], size: int, budget: int, season: str | None = None) -> None:
        self._cube = Cube(path)
        self._bands = self._cube.numbers(bands)
        self._time = self._cube.time(season)
        self.size = size
        self.budget = budget
        self._held: tuple[Window, np.ndarray] | None = None

    def fits(self, x: np.ndarray, y: np.ndarray) -> bool:
        """Whether the cells' common region is within the budget."""
        region = self._region(*centred(self._cube.grid, x, y, self.size))
        return len(self._cube.bands) * region.height * region.width * 2 <= self.budget

    def hold(self, x: np.ndarray, y: np.ndarray) -> None:
        """Read the region of cells whose patches will be asked for, unless reading them one by one is less."""
        region = self._region(*centred(self._cube.grid, x, y, self.size))
        self._held = None
        if self.fits(x, y) and region.height * region.width <= len(x) * self.size**2:
            self._held = region, self._cube.read(region, self._time)[list(self._bands)]

    def patches(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The patches of cells.

        Args:
            x: metres east, (N,).
            y: metres north, (N,).

        Returns:
            uint16 (N, band, size, size); 0 outside the cube and where it has no data.
        """
        rows, cols = centred(self._cube.grid, x, y, self.size)
        if self._held is None:
            return self._cube.patches(Wanted(rows, cols, self.size, self._time, self._bands))
        region, pixels = self._held
        views = sliding_window_view(pixels, (self.size, self.size), axis=(1, 2))
        return views[:, rows - region.row, cols - region.col].swapaxes(0, 1)

    def scenes(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Number of valid scenes behind the pixel in the middle of each cell, uint8 (N,); 0 outside the cube."""
        rows, cols = self._cube.grid.cell(x, y)
        inside = self._cube.grid.contains(rows, cols)
        found = np.zeros(len(x), np.uint8)
        if inside.any():
            rows, cols = rows[inside], cols[inside]
            row, col = int(rows.min()), int(cols.min())
            region = Window(row, col, int(rows.max()) - row + 1, int(cols.max()) - col + 1)
            found[inside] = self._cube.valid_count(region, self._time)[rows - row, cols - col]
        return found

    def _region(self, rows: np.ndarray, cols: np.ndarray) -> Window:
        row, col = int(rows.min()), int(cols.min())
        return Window(row, col, int(rows.max()) - row + self.size, int(cols.max()) - col + self.size)
